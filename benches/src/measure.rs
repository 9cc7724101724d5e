//! One cell under one instrument: a process is run and its figures read.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

use brkpoint_reports::record::{Cell, Exit, HeapMap, Metric, Occupancy, Pass, Sample, Series};

use crate::engine::Arm;
use crate::plan::{Conditions, Work};
use crate::service::{self, Service};
use crate::supervise::{
    self, Call, Counts, Launch, LaunchError, Leash, Observation, Stop, Syscalls, Tracer,
};
use crate::worker::{self, Answer, Latency, marker};

/// What one process showed: the fields of a sample that are not in its request.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// How it ended.
    pub exit: Option<Exit>,
    /// Why the figures cannot be used.
    pub error: Option<String>,
    /// The figures.
    pub metrics: BTreeMap<Metric, f64>,
    /// Calls, bytes and faults of the whole process tree from exec on, of which
    /// those of a workload's region are a part; only in the counts pass.
    pub whole: BTreeMap<Metric, f64>,
    /// The memory calls themselves; only in the counts pass.
    pub syscalls: Option<Syscalls>,
    /// Memory over time.
    pub series: Option<Series>,
    /// The heap's OS pages at some moments.
    pub heap: Vec<HeapMap>,
    /// How full the heap's OS pages are.
    pub occupancy: Option<Occupancy>,
    /// Digest of the answer.
    pub digest: Option<String>,
    /// Programs that ran without the engine.
    pub not_covered: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

impl Measured {
    /// A process that could not be started.
    pub fn failed(why: String) -> Measured {
        Measured { error: Some(why), ..Measured::default() }
    }

    /// The sample of `run` that it is.
    pub fn sample(self, run: String, cell: Cell, pass: Pass, round: u32, at_s: f64) -> Sample {
        Sample {
            run,
            cell,
            pass,
            round,
            at_s,
            exit: self.exit,
            error: self.error,
            metrics: self.metrics,
            series: self.series,
            heap: self.heap,
            occupancy: self.occupancy,
            digest: self.digest,
            not_covered: self.not_covered,
            notes: self.notes,
        }
    }
}

/// Why there is no [`Measured`].
#[derive(Debug)]
pub enum Failure {
    /// The run was asked to stop.
    Interrupted,
    /// The command cannot be started, whatever the engine.
    SetUp(String),
}

/// Runs `work` under `arm` in a fresh process with the instrument of `pass`.
pub fn one(
    arm: &Arm,
    work: &Work,
    pass: Pass,
    conditions: Conditions,
    executable: &Path,
    stop: &Stop,
) -> Result<Measured, Failure> {
    let mut launch = launch(arm, work, pass, conditions, executable);
    let service = match work {
        Work::Command { service, .. } => service.as_ref(),
        Work::Synthetic { .. } | Work::Trace { .. } => None,
    };
    // What the worker is the instrument of, nobody else is to disturb.
    let watched = match pass {
        Pass::Latency | Pass::Layout => Pass::Time,
        pass => pass,
    };
    let leash = service.map(|_| Leash::default());
    launch.leash.clone_from(&leash);
    let (seen, window) = thread::scope(|scope| {
        let conduct = |(service, leash): (&'_ Service, Leash)| {
            let (service, hidden) = (service.clone(), &arm.env_remove);
            scope.spawn(move || service.conduct(&leash, hidden))
        };
        let conductor = service.zip(leash).map(conduct);
        let seen = supervise::run(&launch, watched, stop);
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        (seen, conductor.map(join))
    });
    let seen = match seen {
        Ok(seen) => seen,
        Err(LaunchError::Interrupted) => return Err(Failure::Interrupted),
        Err(error) if error.is_of_the_request() => return Err(Failure::SetUp(error.to_string())),
        Err(error) => return Ok(Measured::failed(error.to_string())),
    };
    let mut measured = Measured { exit: Some(seen.exit), ..Measured::default() };
    measured.error = failure(arm, &seen);
    if pass == Pass::Counts {
        measured.metrics.extend(counted(&seen, work));
        measured.whole = whole_counts(&seen);
        measured.syscalls = seen.syscalls.clone();
    }
    measured.notes.extend(seen.instrument.note());
    measured.notes.extend(seen.notes.iter().cloned());
    for image in seen.images.iter().filter(|image| !image.covered()) {
        measured.not_covered.push(image.to_string());
    }
    for image in seen.images.iter().filter(|image| image.main) {
        if let Some(library) = &image.own_malloc {
            measured.notes.push(format!(
                "{} is linked with {library}: settings of {} do not reach that",
                image.executable.display(),
                arm.engine
            ));
        }
    }
    if seen.killed_descendants > 0 {
        measured.notes.push(format!(
            "{} process(es) still ran when the command ended and were killed",
            seen.killed_descendants
        ));
    }
    match work {
        Work::Synthetic { .. } | Work::Trace { .. } => driven(&mut measured, &seen, pass, arm),
        Work::Command { .. } => whole(&mut measured, &seen, pass),
    }
    match window {
        Some(Ok(window)) => {
            if pass == Pass::Time {
                measured.metrics.extend([
                    (Metric::WallS, window.wall_s),
                    (Metric::UserS, window.user_s.max(0.0)),
                    (Metric::SysS, window.sys_s.max(0.0)),
                ]);
            }
            // The program's own output tells of times and addresses.
            measured.digest = None;
            print(&mut measured, work, pass, &window.said);
        }
        Some(Err(why)) if measured.error.is_none() => {
            measured.error = Some(with_last_words(why, &seen));
        }
        Some(Err(_)) => {}
        None => {
            let said = seen.stdout.end(service::PRINTED);
            let said = said.map(|said| said + &seen.stderr_tail).unwrap_or_default();
            print(&mut measured, work, pass, &said);
        }
    }
    Ok(measured)
}

/// Reads the number that is the measure of `work`, if it is such a work.
fn print(measured: &mut Measured, work: &Work, pass: Pass, said: &str) {
    let Work::Command { printed: Some(printed), .. } = work else { return };
    // It says how fast it was.
    measured.digest = None;
    if pass != Pass::Time || measured.error.is_some() {
        return;
    }
    match printed.find(said) {
        Ok(number) => {
            measured.metrics.insert(printed.metric(), number);
        }
        Err(why) => measured.error = Some(why),
    }
}

/// The process that is to be run.
pub(crate) fn launch(
    arm: &Arm,
    work: &Work,
    pass: Pass,
    conditions: Conditions,
    executable: &Path,
) -> Launch {
    let (program, args, stdin) = match work {
        Work::Synthetic { name, amount, burden, .. } => {
            let mut args = worker::run_arguments(name, pass, conditions.seed, *amount);
            args.extend(burden.iter().flat_map(worker::Burden::arguments));
            (arm.program.as_deref().unwrap_or(executable).into(), args, None)
        }
        Work::Trace { path, options, .. } => {
            let args = worker::replay_arguments(path, pass, *options);
            (arm.program.as_deref().unwrap_or(executable).into(), args, None)
        }
        Work::Command { program, args, stdin, .. } => match arm.command.split_first() {
            Some((program, args)) => (program.clone(), args.to_vec(), stdin.clone()),
            None => (program.clone(), args.clone(), stdin.clone()),
        },
    };
    Launch {
        program,
        args,
        env: arm.env.clone(),
        env_remove: arm.env_remove.clone(),
        stdin,
        timeout: Some(conditions.timeout),
        library: arm.library.clone(),
        tracer: Tracer::Auto,
        inside: None,
        heap_faults: false,
        leash: None,
    }
}

/// Calls and bytes: of the region that our workloads mark, of a command all.
fn counted(seen: &Observation, work: &Work) -> Vec<(Metric, f64)> {
    let Some(syscalls) = &seen.syscalls else { return Vec::new() };
    by_metric(&match work {
        Work::Synthetic { .. } | Work::Trace { .. } => {
            syscalls.phases.get(&marker::MEASURED).copied().unwrap_or_default()
        }
        Work::Command { .. } => syscalls.total(),
    })
}

/// Calls, bytes and faults from exec to the end.
fn whole_counts(seen: &Observation) -> BTreeMap<Metric, f64> {
    let calls = seen.syscalls.iter().flat_map(|syscalls| by_metric(&syscalls.total()));
    calls.chain(usage(Pass::Counts, [0.0; 3], [seen.minor_faults, seen.major_faults])).collect()
}

fn by_metric(counts: &Counts) -> Vec<(Metric, f64)> {
    let of = |(call, calls, bytes): (Call, _, _)| {
        [(calls, counts.calls(call) as f64), (bytes, counts.bytes(call) as f64)]
    };
    CALLS.into_iter().flat_map(of).collect()
}

/// Each counted call with its metrics.
pub(crate) const CALLS: [(Call, Metric, Metric); 6] = [
    (Call::Brk, Metric::SyscallsBrk, Metric::BytesBrk),
    (Call::Mmap, Metric::SyscallsMmap, Metric::BytesMmap),
    (Call::Munmap, Metric::SyscallsMunmap, Metric::BytesMunmap),
    (Call::Mremap, Metric::SyscallsMremap, Metric::BytesMremap),
    (Call::Madvise, Metric::SyscallsMadvise, Metric::BytesMadvise),
    (Call::Mprotect, Metric::SyscallsMprotect, Metric::BytesMprotect),
];

/// Why this process's figures cannot be used, if so.
fn failure(arm: &Arm, seen: &Observation) -> Option<String> {
    let ended = match seen.exit {
        Exit::Code(_) => None,
        Exit::Signal(libc::SIGTERM) if seen.asked_to_end => None,
        exit => Some(exit.to_string()),
    };
    // What the command itself became is what was measured.
    let last = seen.images.iter().rfind(|image| image.main);
    let unloaded = last
        .filter(|image| !image.covered())
        .map(|image| format!("{} was not in the command's process: {image}", arm.engine));
    ended.or(unloaded).map(|error| with_last_words(error, seen))
}

/// `what`, and the end of what the process wrote to standard error.
fn with_last_words(what: String, seen: &Observation) -> String {
    match seen.stderr_tail.trim() {
        "" => what,
        said => format!("{what}; it said: {said}"),
    }
}

/// Figures of a whole command.
fn whole(measured: &mut Measured, seen: &Observation, pass: Pass) {
    measured.digest = Some(seen.stdout.digest.clone());
    if matches!(seen.exit, Exit::Code(code) if code != 0) {
        measured.notes.push(with_last_words(seen.exit.to_string(), seen));
    }
    let times = [seen.wall_s, seen.user_s, seen.sys_s];
    measured.metrics.extend(usage(pass, times, [seen.minor_faults, seen.major_faults]));
    if pass == Pass::Memory {
        let peak = seen.peak_rss_bytes.map(|bytes| (Metric::PeakRssBytes, bytes as f64));
        measured.metrics.extend(peak);
        measured.series = seen.series.clone();
    }
}

/// Times (wall, user, system) in the time pass, faults (minor, major) in the
/// counts pass.
fn usage(pass: Pass, times: [f64; 3], faults: [u64; 2]) -> Vec<(Metric, f64)> {
    let [minor, major] = faults.map(|faults| faults as f64);
    match pass {
        Pass::Time => [Metric::WallS, Metric::UserS, Metric::SysS].into_iter().zip(times).collect(),
        Pass::Counts => vec![(Metric::MinorFaults, minor), (Metric::MajorFaults, major)],
        Pass::Memory | Pass::Latency | Pass::Layout => Vec::new(),
    }
}

/// Figures of one of our workloads, which the worker measured from inside.
fn driven(measured: &mut Measured, seen: &Observation, pass: Pass, arm: &Arm) {
    if measured.error.is_some() {
        return;
    }
    let answer = match answer(seen) {
        Ok(answer) => answer,
        Err(why) => {
            measured.error = Some(with_last_words(format!("{}: {why}", seen.exit), seen));
            return;
        }
    };
    measured.error = arm.contradicted_by(&answer);
    let blow_ups = blow_ups(&answer);
    measured.digest = Some(answer.digest);
    measured.notes.extend(answer.notes);
    let times = [answer.wall_s, answer.user_s, answer.sys_s];
    measured.metrics.extend(usage(pass, times, [answer.minor_faults, answer.major_faults]));
    if pass == Pass::Memory {
        measured.metrics.extend([
            (Metric::PeakRssBytes, answer.peak_rss_bytes as f64),
            (Metric::BaselineRssBytes, answer.baseline_rss_bytes as f64),
            (Metric::PeakLiveBytes, answer.peak_live_bytes as f64),
            (Metric::KeptRssBytes, answer.kept_rss_bytes as f64),
            (Metric::TableBytes, answer.table_bytes as f64),
        ]);
        measured.metrics.extend(blow_ups);
        measured.series = answer.series;
    }
    if let Some(latency) = answer.latency {
        measured.metrics.extend(latencies(latency));
    }
    if let Some(layout) = answer.layout {
        measured.metrics.extend([
            (Metric::ExternalFragmentation, layout.external),
            (Metric::StrandedBytes, layout.stranded_bytes),
            (Metric::HeapBytes, layout.heap_bytes),
            (Metric::KeptHeapBytes, layout.kept_heap_bytes as f64),
        ]);
        let internal = layout.internal.map(|share| (Metric::InternalFragmentation, share));
        measured.metrics.extend(internal);
        measured.occupancy = Some(layout.occupancy);
        measured.heap = layout.heap;
    }
}

/// The heap over live bytes: at their peaks, and on average over the operations.
fn blow_ups(answer: &Answer) -> Vec<(Metric, f64)> {
    let heap = |rss: u64| rss.saturating_sub(answer.baseline_rss_bytes) as f64;
    let mut found = Vec::new();
    if answer.peak_live_bytes > 0 {
        let peak = heap(answer.peak_rss_bytes) / answer.peak_live_bytes as f64;
        found.push((Metric::BlowUp, peak));
    }
    if let Some(series) = &answer.series {
        let live: f64 = series.live_bytes.iter().map(|&live| live as f64).sum();
        let heaps: f64 = series.rss_bytes.iter().map(|&rss| heap(rss)).sum();
        if live > 0.0 {
            found.push((Metric::MeanBlowUp, heaps / live));
        }
    }
    found
}

fn latencies(latency: Latency) -> Vec<(Metric, f64)> {
    const ALLOCATIONS: [Metric; 4] =
        [Metric::AllocP50S, Metric::AllocP99S, Metric::AllocP999S, Metric::AllocMaxS];
    const FREES: [Metric; 4] =
        [Metric::FreeP50S, Metric::FreeP99S, Metric::FreeP999S, Metric::FreeMaxS];
    let of = |metrics: [Metric; 4], values: Option<[f64; 4]>| {
        metrics.into_iter().zip(values.into_iter().flatten())
    };
    let calls = of(ALLOCATIONS, latency.allocations).chain(of(FREES, latency.frees));
    calls.chain([(Metric::ClockS, latency.clock_s)]).collect()
}

/// What the worker printed, or what is wrong with it.
fn answer(seen: &Observation) -> Result<Answer, String> {
    let text = seen.stdout.read().map_err(|error| format!("the worker's answer: {error}"))?;
    if text.trim_ascii().is_empty() {
        return Err("the worker gave no answer".to_owned());
    }
    serde_json::from_slice(&text).map_err(|error| format!("the worker's answer: {error}"))
}
