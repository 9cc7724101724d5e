//! Replays a trace ahead of `main`: the program that was recorded began with a heap
//! that nobody had used, and so does its replay. Nothing is allocated before the
//! measured region, arguments are read where they lie.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use brkpoint_reports::record::Pass;
use brkpoint_workloads::synthetic::{Observer, Outcome};
use brkpoint_workloads::trace::replay::{Options, Prepared, Touch};

use crate::{Answer, VERB, Work, measure, number, pass_named, print};

/// The second argument that makes a worker replay.
pub(super) const REPLAY: &str = "replay";

/// Replays, if the arguments say so, and ends the process. To be run ahead of `main`,
/// with the arguments that glibc gives to constructors, in a program that allocates
/// by malloc: one with an engine linked as Rust's heap has nothing to replay with.
///
/// # Safety
/// `arguments` are `count` C strings, which stay.
pub unsafe extern "C" fn replay_ahead_of_main(
    count: c_int,
    arguments: *const *const c_char,
    _: *const c_void,
) {
    // SAFETY: by contract.
    let word = |at: usize| unsafe { CStr::from_ptr(*arguments.add(at)) }.to_bytes();
    if count < 3 || word(1) != VERB.as_bytes() || word(2) != REPLAY.as_bytes() {
        return;
    }
    let status = match replay((3..count as usize).map(word)) {
        Ok(()) => 0,
        Err(why) => {
            // Nothing can be done about what cannot be written.
            let _ = writeln!(io::stderr(), "brkpoint worker: {why}");
            2
        }
    };
    // SAFETY: ends the process; all is written.
    unsafe { libc::_exit(status) }
}

fn replay<'w>(mut words: impl Iterator<Item = &'w [u8]>) -> Result<(), String> {
    let trace = Path::new(OsStr::from_bytes(words.next().ok_or("a trace is missing")?));
    let (mut pass, mut options) = (Pass::Time, Options::default());
    while let Some(option) = words.next() {
        let text = |word| str::from_utf8(word).map_err(|error| error.to_string());
        let option = text(option)?;
        let value = text(words.next().ok_or_else(|| format!("{option} lacks its value"))?)?;
        match option {
            "--pass" => pass = pass_named(value)?,
            "--process" => options.process = Some(number(value)?),
            "--gaps" => options.gaps = value == "on",
            "--touch" => {
                let known = Touch::ALL.into_iter().find(|touch| touch.name() == value);
                options.touch = known
                    .ok_or_else(|| format!("{value:?} is none of none, recorded, pages, all"))?;
            }
            _ => return Err(format!("unknown option {option:?}")),
        }
    }
    if !Pass::OF_COMMANDS.contains(&pass) {
        return Err(format!("a trace is replayed in no pass {:?}", pass.name()));
    }
    let mut prepared = Prepared::new(trace, options).map_err(|error| error.to_string())?;
    let answer = measure(pass, &mut prepared)?;
    print(&told(answer, &prepared))
}

/// The answer, with what only a replay knows.
fn told(mut answer: Answer, prepared: &Prepared) -> Answer {
    if prepared.not_granted() > 0 {
        answer.notes.push(format!(
            "{} requests that were granted when this was recorded were not granted here",
            prepared.not_granted()
        ));
    }
    let (blocks, bytes) = prepared.live();
    (answer.live_blocks, answer.live_bytes) = (Some(blocks), Some(bytes));
    answer
}

impl Work for Prepared {
    fn operations(&self) -> u64 {
        self.operations()
    }

    fn table_bytes(&self) -> usize {
        self.table_bytes()
    }

    fn run(&mut self) -> Outcome {
        self.run()
    }

    fn run_observed(&mut self, observer: &mut dyn Observer) -> Outcome {
        self.run_observed(observer)
    }
}
