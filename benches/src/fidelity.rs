//! A recorded program, run once more, beside its replay under the same engine.
//!
//! The program runs with the recorder, which says which threads are in a call of the
//! malloc family: so the system calls of its allocator are told from its others. What
//! is replayed is the trace of this run, since programs do not do the same twice. It
//! runs once more without the recorder for all its faults and its memory.

use std::ffi::OsString;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use brkpoint_reports::fidelity::{Fidelity, Row};
use brkpoint_reports::record::{Metric, Pass, Unit};
use brkpoint_workloads::trace::join::Recording;
use brkpoint_workloads::trace::replay::Options;
use brkpoint_workloads::trace::session::{self, Session};
use brkpoint_workloads::trace::{Header, raw};
use tempfile::NamedTempFile;

use crate::engine::{self, Arm};
use crate::measure::{self, Failure, Measured};
use crate::plan::{Conditions, Work};
use crate::profile::{self, Contents, Filter};
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
    /// Its trace.
    trace: NamedTempFile,
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
    let pid = |at: u32| header.processes.get(at as usize).map(|process| process.pid);
    ensure!(
        pid(process) == pid(0),
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
    let again = again(arm, &header, process, lab)?;
    let command = Work::command(program.into(), arguments, None);
    let nothing = Work::command("true".into(), Vec::new(), None);
    let trace = again.trace.path();
    let replay = Work::trace(trace, Options { process: Some(process), ..options })?;
    let heap_faults = heap_faults(arm, &replay, lab)?;
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
    let events = contents.processes.get(process as usize).map_or(0, |closing| closing.events);
    row("calls then, and now", Unit::Count, events as f64, again.events as f64, None);
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
    let profile = profile::profile(trace, process, &Filter::default());
    let profile = profile.with_context(|| path.display().to_string())?;
    if let Some(series) = &held.series {
        for (name, share) in [("a quarter", 0.25), ("half", 0.5), ("three quarters", 0.75)] {
            let at = (again.events as f64 * share) as u64;
            let recorded = profile.live.iter().map(|&(_, calls, live)| (calls, live));
            let calls = series.x.iter().map(|&calls| calls as u64);
            let replayed = calls.zip(series.live_bytes.iter().copied());
            let [recorded, replayed] = [nearest(recorded, at), nearest(replayed, at)];
            let name = format!("live at {name} of the calls");
            row(&name, Unit::Bytes, recorded as f64, replayed as f64, None);
        }
    }
    let of_heap = again.syscalls.heap_faults.unwrap_or_default() as f64;
    row("minor faults on the heap", Unit::Count, of_heap, heap_faults as f64, Some(0.10));
    row("minor faults, all", Unit::Count, faults, metric(&replayed, Metric::MinorFaults), None);
    let rss = metric(&remembered, Metric::PeakRssBytes) - metric(&small, Metric::PeakRssBytes);
    let grown = metric(&held, Metric::PeakRssBytes) - metric(&held, Metric::BaselineRssBytes);
    row("peak RSS", Unit::Bytes, rss, grown, None);
    let mut notes = vec![
        "System calls and peak heap: those that the allocator made, within calls of malloc's \
         family; faults on the heap: those on the memory that these calls gave it. All minor \
         faults and peak RSS of the program: its code, data, stack and own mappings too, less \
         those of `true`."
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

/// The value at the point that is nearest to `at`.
fn nearest(points: impl Iterator<Item = (u64, u64)>, at: u64) -> u64 {
    points.min_by_key(|&(x, _)| x.abs_diff(at)).map_or(0, |(_, value)| value)
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

/// Minor faults on the heap of the replay.
fn heap_faults(arm: &Arm, replay: &Work, lab: Lab<'_>) -> anyhow::Result<u64> {
    let conditions = Conditions { timeout: lab.timeout, seed: 1 };
    let launch = measure::launch(arm, replay, Pass::Counts, conditions, lab.executable);
    let launch = Launch { heap_faults: true, ..launch };
    let seen = supervise::run(&launch, Pass::Counts, lab.stop)?;
    let faults = seen.syscalls.and_then(|syscalls| syscalls.heap_faults);
    faults.with_context(|| format!("faults could not be watched: {:?}", seen.instrument))
}

/// Records the command again, under the instrument that counts.
fn again(arm: &Arm, header: &Header, process: u32, lab: Lab<'_>) -> anyhow::Result<Again> {
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
        heap_faults: true,
        ..Launch::default()
    };
    let seen = supervise::run(&launch, Pass::Counts, lab.stop)?;
    session.end();
    let recording = Recording::open(directory.path(), session::now())?;
    if let Some(limit) = &recording.limited {
        bail!("recording it again ended early: {limit}");
    }
    let trace = NamedTempFile::new().context("cannot make the trace")?;
    let out = BufWriter::with_capacity(1 << 20, trace.as_file());
    let (_, closings) = recording.join(out, Header::default())?;
    let Some(syscalls) = seen.syscalls else {
        bail!("system calls could not be watched: {:?}", seen.instrument);
    };
    let Some(first) = closings.get(process as usize) else { bail!("nothing was recorded of it") };
    Ok(Again {
        syscalls,
        events: first.events,
        processes: closings.iter().filter(|closing| closing.events > 0).count(),
        peak_live: first.peak_live_bytes,
        trace,
    })
}
