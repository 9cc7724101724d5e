//! A recorded program, run once more, beside its replay under the same engine.
//!
//! The program runs with the recorder, which says which threads are in a call of the
//! malloc family: so the system calls of its allocator are told from its others. It
//! runs without it for its faults and its memory.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use brkpoint_reports::fidelity::{Fidelity, Row};
use brkpoint_reports::record::{Metric, Pass, Unit};
use brkpoint_workloads::trace::join::Recording;
use brkpoint_workloads::trace::replay::Options;
use brkpoint_workloads::trace::session::{self, Session};
use brkpoint_workloads::trace::{Header, raw};

use crate::engine::{self, Arm};
use crate::measure::{self, Failure, Measured};
use crate::plan::{Conditions, Work};
use crate::profile::Contents;
use crate::supervise::{self, Call, Launch, Stop, Syscalls};
use crate::worker::marker::MEASURED;

/// Most bytes that the recording of the second run may take.
const MAX_BYTES: u64 = 16 << 30;

/// Who measures, and how.
#[derive(Debug, Clone, Copy)]
pub struct Lab<'l> {
    /// This program, which is the worker.
    pub executable: &'l Path,
    /// A request to end.
    pub stop: &'l Stop,
    /// What runs longer is killed.
    pub timeout: Duration,
}

/// What a program did to its allocator, counted while it was recorded again.
struct Again {
    syscalls: Syscalls,
    events: u64,
    processes: usize,
    peak_live: u64,
}

/// Compares the trace's process with its replay under `arm`.
///
/// # Errors
/// A trace that cannot be read, a command that cannot be run again, or an engine
/// that was not in its process.
pub fn compare(path: &Path, options: Options, arm: &Arm, lab: Lab<'_>) -> anyhow::Result<Fidelity> {
    let contents = Contents::of(path).with_context(|| path.display().to_string())?;
    if let Some(problem) = contents.problem {
        bail!("{}: {problem}", path.display());
    }
    let header = contents.header;
    let process = options.process.unwrap_or_else(|| {
        let largest = contents.processes.iter();
        largest.max_by_key(|it| it.events).map_or(0, |closing| closing.process)
    });
    ensure!(
        process == 0,
        "process {process} of {} was started by another: record its command itself ({})",
        path.display(),
        header
            .processes
            .get(process as usize)
            .map_or_else(String::new, |it| it.arguments.join(" "))
    );
    let Some((program, rest)) = header.command.split_first() else {
        bail!("{} does not say which command it is of", path.display());
    };
    let here = std::env::current_dir().unwrap_or_default();
    ensure!(
        header.directory.is_empty() || Path::new(&header.directory) == here,
        "the command was recorded in {}: run this there",
        header.directory
    );
    let arguments: Vec<OsString> = rest.iter().map(OsString::from).collect();
    let again = again(arm, &header, lab)?;
    let command = Work::command(program.into(), arguments, None);
    let nothing = Work::command("true".into(), Vec::new(), None);
    let replay = Work::trace(path, Options { process: Some(process), ..options })?;
    let one = |work: &Work, pass| one(arm, work, pass, lab);
    let [counted, started, replayed] =
        [one(&command, Pass::Counts)?, one(&nothing, Pass::Counts)?, one(&replay, Pass::Counts)?];
    let [remembered, small, held] =
        [one(&command, Pass::Memory)?, one(&nothing, Pass::Memory)?, one(&replay, Pass::Memory)?];
    let metric = |of: &Measured, metric| of.metrics.get(&metric).copied().unwrap_or_default();
    let replay_calls = replayed.syscalls.clone().unwrap_or_default();
    let mut rows = Vec::new();
    let mut row = |name: &str, unit, recorded: f64, replayed: f64, bound| {
        rows.push(Row { name: name.to_owned(), unit, recorded, replayed, bound });
    };
    let events = contents.processes.first().map_or(0, |closing| closing.events);
    row("calls of the malloc family", Unit::Count, again.events as f64, events as f64, None);
    for call in Call::ALL {
        let of = |syscalls: &Syscalls| {
            syscalls.phases.get(&MEASURED).map_or(0.0, |counts| counts.calls(call) as f64)
        };
        let bound = match call {
            Call::Brk | Call::Mmap | Call::Munmap => Some(0.03),
            _ => None,
        };
        row(call.name(), Unit::Count, of(&again.syscalls), of(&replay_calls), bound);
    }
    let peaks = [&again.syscalls, &replay_calls].map(|syscalls| syscalls.peak_footprint as f64);
    row("peak heap", Unit::Bytes, peaks[0], peaks[1], Some(0.05));
    let live = metric(&held, Metric::PeakLiveBytes);
    row("peak live bytes", Unit::Bytes, again.peak_live as f64, live, Some(0.05));
    let faults = metric(&counted, Metric::MinorFaults) - metric(&started, Metric::MinorFaults);
    row("minor faults", Unit::Count, faults, metric(&replayed, Metric::MinorFaults), Some(0.10));
    let rss = metric(&remembered, Metric::PeakRssBytes) - metric(&small, Metric::PeakRssBytes);
    let grown = metric(&held, Metric::PeakRssBytes) - metric(&held, Metric::BaselineRssBytes);
    row("peak RSS", Unit::Bytes, rss, grown, None);
    let mut notes = vec![
        "System calls and peak heap: those that the allocator made, within calls of malloc's \
         family. Minor faults and peak RSS of the program: all of them, its code, data and stack \
         too, less those of `true`."
            .to_owned(),
    ];
    if again.processes > 1 {
        notes.push(format!(
            "The command is {} processes: calls, heap, faults and RSS of the program are those of \
             all of them; only the first is replayed.",
            again.processes
        ));
    }
    notes.extend(header.limited.map(|limit| format!("The recording ends early: {limit}.")));
    notes.extend(replayed.notes);
    Ok(Fidelity {
        trace: path.display().to_string(),
        command: header.command,
        engine: crate::tune::named(arm),
        rows,
        notes,
    })
}

fn one(arm: &Arm, work: &Work, pass: Pass, lab: Lab<'_>) -> anyhow::Result<Measured> {
    let conditions = Conditions { timeout: lab.timeout, seed: 1 };
    match measure::one(arm, work, pass, conditions, lab.executable, lab.stop) {
        Ok(Measured { error: Some(error), .. }) => bail!("{}: {error}", work.label()),
        Ok(measured) => Ok(measured),
        Err(Failure::SetUp(why)) => bail!(why),
        Err(Failure::Interrupted) => bail!("interrupted"),
    }
}

/// Records the command again, under the instrument that counts.
fn again(arm: &Arm, header: &Header, lab: Lab<'_>) -> anyhow::Result<Again> {
    let directory = tempfile::tempdir().context("cannot make a directory")?;
    let session = Session::begin(directory.path(), MAX_BYTES, true).context("cannot record")?;
    let mut preload = engine::recorder()?.into_os_string();
    if let Some(library) = &arm.library {
        preload.push(":");
        preload.push(library);
    }
    let mut env = arm.env.clone();
    env.retain(|(name, _)| name != "LD_PRELOAD");
    env.extend([
        ("LD_PRELOAD".into(), preload),
        (raw::DIRECTORY.into(), directory.path().into()),
        (raw::INSIDE.into(), "1".into()),
    ]);
    let launch = Launch {
        program: header.command[0].clone().into(),
        args: header.command[1..].iter().map(OsString::from).collect(),
        env,
        env_remove: arm.env_remove.clone(),
        timeout: Some(lab.timeout),
        library: arm.library.clone(),
        inside: Some(directory.path().join("inside")),
        ..Launch::default()
    };
    let seen = supervise::run(&launch, Pass::Counts, lab.stop)?;
    session.end();
    let recording = Recording::open(directory.path(), session::now())?;
    if let Some(limit) = &recording.limited {
        bail!("recording it again ended early: {limit}");
    }
    let (_, closings) = recording.join(io::sink(), Header::default())?;
    let Some(syscalls) = seen.syscalls else {
        bail!("system calls could not be watched: {:?}", seen.instrument);
    };
    let Some(first) = closings.first() else { bail!("nothing was recorded of it") };
    Ok(Again {
        syscalls,
        events: first.events,
        processes: closings.iter().filter(|closing| closing.events > 0).count(),
        peak_live: first.peak_live_bytes,
    })
}
