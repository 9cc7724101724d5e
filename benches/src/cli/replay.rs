//! `brkpoint replay`: a recorded program under any engine.

use std::path::PathBuf;

use brkpoint_reports::fidelity::{self as shown, Fidelity};
use brkpoint_workloads::trace::replay::{Options, Touch};

use super::compare::{self, How};
use super::{BAD, output, run};
use crate::engine::Engines;
use crate::fidelity::{self, Lab};
use crate::plan::Work;

/// Replay a recorded program under engines, and compare them.
///
/// Each of the program's threads is a thread of the replay. They run freely, in
/// order only where a block passes from one to another. Of a trace with several
/// processes the one with most events is replayed (`brkpoint trace` lists them).
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  brkpoint replay git.trace
  brkpoint replay git.trace -e glibc -e glibc:mmap_threshold=1M,trim_threshold=8M
  brkpoint replay git.trace --fidelity -o git.html
  brkpoint replay server.trace --gaps --process 2 -e glibc -e jemalloc --rounds 20

A replay shows what the allocator does: its time, its system calls, the faults and
the memory of what is touched. It cannot show what the program's own work does to
caches, nor what it never writes to.

Exit status of --fidelity: 1 if the replay differs by more than a bound.")]
pub struct Arguments {
    /// A trace that `brkpoint record` made
    #[arg(value_name = "FILE")]
    trace: PathBuf,

    /// Which process of the trace, from 0
    #[arg(long, value_name = "N")]
    process: Option<u32>,

    /// What is written to each block: nothing; its first word and a byte of each
    /// further OS page, of those that the program had touched, or of all; or all of it
    #[arg(
        long,
        value_name = "none|recorded|pages|all",
        default_value = "recorded",
        value_parser = touch
    )]
    touch: Touch,

    /// Run the recorded command once more, and compare the replay with it under each
    /// engine (by default glibc): system calls, faults, memory; -o FILE.html makes a page
    #[arg(long, conflicts_with = "why")]
    fidelity: bool,

    /// Make each call when it was made, not as soon as possible
    #[arg(long)]
    gaps: bool,

    #[command(flatten)]
    how: How,
}

fn touch(text: &str) -> Result<Touch, String> {
    let known = Touch::ALL.into_iter().find(|touch| touch.name() == text);
    known.ok_or_else(|| "expected none, recorded, pages or all".to_owned())
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let options =
        Options { process: arguments.process, touch: arguments.touch, gaps: arguments.gaps };
    if arguments.fidelity {
        let specs = match arguments.how.engine.is_empty() {
            true => vec!["glibc".to_owned()],
            false => arguments.how.engine,
        };
        let arms = compare::arms(Engines::builtin(), &specs)?;
        let (executable, stop) = (run::executable()?, run::stop_on_signals()?);
        let (timeout, mut all) = (arguments.how.timeout, Vec::new());
        for arm in &arms {
            let lab = Lab { executable: &executable, stop: &stop, timeout };
            let fidelity = fidelity::compare(&arguments.trace, options, arm, lab)?;
            output::print(&match arguments.how.json {
                true => serde_json::to_string(&fidelity)? + "\n",
                false => shown::to_text(&fidelity),
            })?;
            all.push(fidelity);
        }
        if let Some(page) = &arguments.how.output {
            output::write(page, &shown::to_html(&all))?;
            output::tell(format_args!("The page: {}", page.display()));
        }
        return Ok(if all.iter().all(Fidelity::holds) { 0 } else { BAD });
    }
    let work = Work::trace(&arguments.trace, options)?;
    arguments.how.compare(vec![work], 1, &arguments.how.records("replay"))
}
