//! `brkpoint record`: what a program asks of its allocator, as a file.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use brkpoint_reports::human;
use brkpoint_reports::record::Unit;
use brkpoint_workloads::trace::join::Recording;
use brkpoint_workloads::trace::session::{self, Session};
use brkpoint_workloads::trace::{Closing, Header, raw};
use serde::Serialize;

use super::{output, values};
use crate::engine;
use crate::{machine, version};

/// Record what a command's processes ask of malloc, once, to replay it at will.
///
/// The command runs as usual, a little slower: a library in LD_PRELOAD writes down
/// each call of the malloc family, in every process that it starts. It may fork,
/// exec, be killed; what it did until then is recorded. Statically linked and
/// set-user-ID programs are not.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  brkpoint record -o git.trace -- git log --stat
  brkpoint record -o server.trace --for 60s -- ./server
  brkpoint replay git.trace -e glibc -e jemalloc
  brkpoint trace git.trace

A service that something else starts: give it LD_PRELOAD=LIBRARY (--library tells
which) and BRKPOINT_RECORD=DIRECTORY, an absolute path, and make a trace of the
directory with brkpoint record --join DIRECTORY -o FILE, at any time.")]
pub struct Arguments {
    /// The trace to make
    #[arg(short, long, value_name = "FILE", required_unless_present = "library")]
    output: Option<PathBuf>,

    /// Record no more than this; 10 bytes are about one event, of which 5 are kept
    #[arg(long, value_name = "BYTES", default_value = "8G", value_parser = values::bytes)]
    max_bytes: u64,

    /// Record no longer than this; the trace is made then, while the command goes on
    #[arg(long = "for", value_name = "TIME", value_parser = values::duration)]
    time: Option<Duration>,

    /// Make the trace of a recording that is in this directory already
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["time", "command"])]
    join: Option<PathBuf>,

    /// Print the path of the library that records
    #[arg(long, conflicts_with_all = ["join", "command"])]
    library: bool,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,

    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    if arguments.library {
        output::print(&format!("{}\n", engine::recorder()?.display()))?;
        return Ok(0);
    }
    let Some(target) = &arguments.output else { bail!("-o FILE is missing") };
    if let Some(directory) = &arguments.join {
        let made = make(directory, target, Vec::new(), String::new())?;
        made.tell(target, arguments.json)?;
        return Ok(0);
    }
    let Some((program, rest)) = arguments.command.split_first() else {
        bail!("nothing to record: give a command after --");
    };
    let parts = Parts::beside(target)?;
    let session = Session::begin(&parts.path, arguments.max_bytes, false)
        .with_context(|| format!("cannot record into {}", parts.path.display()))?;
    let library = engine::recorder()?;
    let mut command = Command::new(program);
    command.args(rest).env(raw::DIRECTORY, &parts.path).env("LD_PRELOAD", preload(&library));
    let signals = Signals::watched()?;
    let mut child =
        command.spawn().with_context(|| format!("cannot start {}", program.to_string_lossy()))?;
    let words: Vec<String> =
        arguments.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let here = std::env::current_dir().unwrap_or_default().display().to_string();
    let status = signals.wait(&mut child, arguments.time)?;
    if let (Some(time), None) = (arguments.time, status) {
        session.time_is_over(time.as_secs().max(1));
        // Threads that were at it copy the window that they had begun to.
        thread::sleep(Duration::from_millis(50));
    }
    session.end();
    let made = make(&parts.path, target, words, here);
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            let path = parts.keep();
            return Err(error.context(format!(
                "what was recorded is in {0}; `brkpoint record --join {0} -o FILE` tries again",
                path.display()
            )));
        }
    };
    drop(parts);
    made.tell(target, arguments.json)?;
    let status = match status {
        Some(status) => status,
        None => {
            output::tell("brkpoint: the trace is made; the command goes on, unrecorded");
            signals.wait(&mut child, None)?.unwrap_or_default()
        }
    };
    if !status.success() {
        output::tell(format_args!("brkpoint: the command ended with {}", ended(status)));
    }
    Ok(0)
}

/// The libraries to preload: ours first, then those of the user.
fn preload(library: &Path) -> OsString {
    let mut libraries = library.as_os_str().to_owned();
    if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        libraries.push(":");
        libraries.push(others);
    }
    libraries
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no status".to_owned(),
    }
}

/// The directory of a recording, which goes when the trace is made.
struct Parts {
    path: PathBuf,
    kept: bool,
}

impl Parts {
    /// A new one beside the trace, since there is room for that.
    fn beside(target: &Path) -> anyhow::Result<Parts> {
        let parent = output::parent(target);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        ensure!(!target.is_dir(), "{} is a directory", target.display());
        let path = tempfile::Builder::new()
            .prefix(".brkpoint-recording-")
            .tempdir_in(parent)
            .with_context(|| format!("cannot record into {}", parent.display()))?
            .keep();
        let mut parts = Parts { path, kept: false };
        parts.path = parts.path.canonicalize().context("cannot find the recording's directory")?;
        Ok(parts)
    }

    fn keep(mut self) -> PathBuf {
        self.kept = true;
        self.path.clone()
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if !self.kept {
            // What is left over says so by its name.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Made {
    bytes: u64,
    header: Header,
    processes: Vec<Closing>,
}

/// Joins the recording in `directory` into the trace `target`.
fn make(
    directory: &Path,
    target: &Path,
    command: Vec<String>,
    here: String,
) -> anyhow::Result<Made> {
    let recording = Recording::open(directory, session::now())?;
    let mut processes = recording.processes();
    ensure!(
        !processes.is_empty(),
        "nothing was recorded: the command is statically linked or set-user-ID, clears its \
         environment, or never called malloc"
    );
    let machine = serde_json::to_value(machine::describe())?;
    let began = i64::try_from(recording.began_s).unwrap_or_default();
    let header = Header {
        maker: format!("brkpoint {}", version::VERSION),
        recorded: jiff::Timestamp::from_second(began).unwrap_or_default().to_string(),
        command: if command.is_empty() { processes[0].arguments.clone() } else { command },
        directory: here,
        machine: serde_json::from_value(machine)?,
        limited: recording.limited.clone(),
        lost: recording.lost,
        processes: std::mem::take(&mut processes),
    };
    let processes = output::make(target, |out| Ok(recording.join(out, header.clone())?.1))?;
    let bytes = fs::metadata(target).map_or(0, |made| made.len());
    Ok(Made { bytes, header, processes })
}

impl Made {
    /// Standard output is the command's, but for JSON that was asked for.
    fn tell(&self, target: &Path, json: bool) -> anyhow::Result<()> {
        if json {
            return output::print(&(serde_json::to_string(self)? + "\n"));
        }
        output::tell(self.text(target).trim_end());
        Ok(())
    }

    fn text(&self, target: &Path) -> String {
        let events: u64 = self.processes.iter().map(|closing| closing.events).sum();
        let largest = self.processes.iter().max_by_key(|closing| closing.events);
        let mut text = format!(
            "{}: {} events of {} process(es), {}\n",
            target.display(),
            human(events as f64, Unit::Count),
            self.processes.len(),
            human(self.bytes as f64, Unit::Bytes),
        );
        if let Some((closing, process)) = largest.and_then(|closing| {
            Some((closing, self.header.processes.get(closing.process as usize)?))
        }) {
            text += &format!(
                "most by {} (pid {}): {} events in {} thread(s), at most {} live\n",
                process.program,
                process.pid,
                human(closing.events as f64, Unit::Count),
                closing.threads,
                human(closing.peak_live_bytes as f64, Unit::Bytes),
            );
        }
        if let Some(limit) = &self.header.limited {
            text += &format!("It ends early: {limit}.\n");
        }
        if self.header.lost > 0 {
            text += &format!("{} calls could not be written down.\n", self.header.lost);
        }
        text
    }
}

/// Signals that are the command's business: the terminal sends them to both.
struct Signals {
    passed_on: [(i32, Arc<AtomicBool>); 2],
}

impl Signals {
    fn watched() -> anyhow::Result<Signals> {
        let flag = |signal| {
            let flag = Arc::new(AtomicBool::new(false));
            let set = signal_hook::flag::register(signal, Arc::clone(&flag));
            set.map(|_| flag).context("cannot handle signals")
        };
        flag(signal_hook::consts::SIGINT)?;
        flag(signal_hook::consts::SIGQUIT)?;
        let passed_on = [signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP];
        let [term, hup] = passed_on;
        Ok(Signals { passed_on: [(term, flag(term)?), (hup, flag(hup)?)] })
    }

    /// Waits for the command's end; for so long, if a time is given.
    fn wait(
        &self,
        child: &mut Child,
        time: Option<Duration>,
    ) -> anyhow::Result<Option<ExitStatus>> {
        let begun = Instant::now();
        let mut nap = Duration::from_micros(200);
        loop {
            if let Some(status) = child.try_wait().context("cannot wait for the command")? {
                return Ok(Some(status));
            }
            for (signal, flag) in &self.passed_on {
                if flag.swap(false, Ordering::SeqCst) {
                    // SAFETY: the child has not been reaped.
                    unsafe { libc::kill(child.id() as i32, *signal) };
                }
            }
            match time.map(|time| time.saturating_sub(begun.elapsed())) {
                Some(left) if left.is_zero() => return Ok(None),
                left => thread::sleep(left.unwrap_or(nap).min(nap)),
            }
            nap = (2 * nap).min(Duration::from_millis(20));
        }
    }
}
