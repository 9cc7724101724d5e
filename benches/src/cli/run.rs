//! Running a plan from the command line: signals, progress, records.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{fmt, fs};

use anyhow::{Context, bail, ensure};
use brkpoint_reports::Report;
use brkpoint_reports::record::{Cell, Pass};
use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::output;
use crate::engine::{Arm, ArmSpec, EngineError, Engines};
use crate::journal::Journal;
use crate::plan::{Plan, Work};
use crate::programs::Program;
use crate::runner::{self, Outcome, Progress, RunError};
use crate::supervise::Stop;

/// Those of `specs` that are here, proven to load; the others are named.
pub fn present(engines: &Engines, specs: &[ArmSpec]) -> anyhow::Result<Vec<Arm>> {
    let executable = executable()?;
    let mut arms = Vec::with_capacity(specs.len());
    for spec in specs {
        match engines.resolve(spec, &executable) {
            Ok(arm) => arms.push(arm),
            Err(absent @ EngineError::Absent { .. }) => {
                output::tell(format_args!("brkpoint: left out: {absent}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(arms)
}

/// All of `specs`, proven to load.
pub fn named(engines: &Engines, specs: &[ArmSpec]) -> anyhow::Result<Vec<Arm>> {
    let executable = executable()?;
    let mut arms: Vec<Arm> = Vec::with_capacity(specs.len());
    for spec in specs {
        let arm = engines.resolve(spec, &executable)?;
        let twice = arms.iter().any(|a| (&a.engine, &a.settings) == (&arm.engine, &arm.settings));
        ensure!(!twice, "engine {spec} is given twice; the A/A row comes by itself");
        arms.push(arm);
    }
    Ok(arms)
}

/// Runs `plan` and leaves its records in `path`; ends early, with what there
/// is, on SIGINT, SIGTERM and SIGHUP.
pub fn run(plan: &Plan, path: &Path) -> anyhow::Result<Outcome> {
    let stop = stop_on_signals()?;
    let mut journal = Journal::create(path)?;
    tell_strays();
    let executable = executable()?;
    let outcome =
        shown(plan.budget, |bar| runner::run(plan, &executable, &mut journal, &stop, bar));
    kept(outcome, path)
}

/// What `measure` comes to, with its progress shown.
pub fn shown<T>(budget: Option<Duration>, measure: impl FnOnce(&mut dyn Progress) -> T) -> T {
    let mut bar = Bar::new(budget);
    let outcome = measure(&mut bar);
    bar.0.finish_and_clear();
    outcome
}

/// `outcome`, or why there is none; then `path` holds what was measured, if anything was.
pub fn kept<T>(outcome: Result<T, RunError>, path: &Path) -> anyhow::Result<T> {
    if let Err(RunError::SetUp(why)) = outcome {
        forget(path);
        bail!(why);
    }
    outcome.with_context(|| format!("records so far are in {}", path.display()))
}

/// Removes a file of records that holds nothing but the request.
pub fn forget(path: &Path) {
    // What stays is in nobody's way but its own.
    let _ = fs::remove_file(path);
}

/// A stop that SIGINT, SIGTERM and SIGHUP ask for from now on.
pub fn stop_on_signals() -> anyhow::Result<Stop> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !ignored(*signal)) {
        signal_hook::flag::register(signal, Arc::clone(&asked)).context("cannot handle signals")?;
    }
    Ok(Stop::new(asked))
}

/// Whether this program was started with `signal` ignored, as `nohup` and the
/// shell's background jobs are: then it is to stay so.
fn ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// The work of `program`; what it reads is left beside `records`.
pub fn program(program: &Program, records: &Path) -> anyhow::Result<Work> {
    let file = records.with_file_name("tour.c");
    if let Some(source) = program.source() {
        output::write(&file, source).context(
            "a program's input goes to target/brkpoint here; start this in a directory of yours",
        )?;
    }
    Ok(program.work(&file))
}

/// Names the variables of the user's that are kept from what is measured.
pub fn tell_strays() {
    let strays = Engines::builtin().strays();
    let strays: Vec<_> = strays.iter().map(|name| name.to_string_lossy()).collect();
    if !strays.is_empty() {
        output::tell(format_args!(
            "brkpoint: kept from what is measured: {}; what is to be set belongs to an engine \
             (`brkpoint list --knobs`)",
            strays.join(", ")
        ));
    }
}

/// Says where the records are and how the run went, and returns the exit status.
pub fn finish(report: &Report, interrupted: bool, records: &Path) -> anyhow::Result<u8> {
    let path = records.display();
    if interrupted {
        output::tell(format_args!("brkpoint: interrupted; what was measured is in {path}"));
        return Ok(super::INTERRUPTED);
    }
    output::tell(format_args!("Records: {path} (`brkpoint report {path}` makes the page)"));
    Ok(super::status(report))
}

/// This program, which is also the worker.
pub fn executable() -> anyhow::Result<std::path::PathBuf> {
    std::env::current_exe().context("cannot find the file of this program, which is the worker too")
}

/// Progress with the time left, on standard error and only on a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new(budget: Option<Duration>) -> Bar {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len}, {left} left  {wide_msg}");
        let left = move |state: &ProgressState, text: &mut dyn fmt::Write| {
            let budgeted = budget.map(|budget| budget.saturating_sub(state.elapsed()));
            let left = state.eta().min(budgeted.unwrap_or(Duration::MAX));
            // Nothing can be done about a line that cannot be drawn.
            let _ = write!(text, "{:#}", HumanDuration(left));
        };
        bar.set_style(
            style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("left", left),
        );
        bar.enable_steady_tick(Duration::from_millis(500));
        Bar(bar)
    }
}

impl Progress for Bar {
    fn step(&mut self, done: u64, total: u64, cell: &Cell, pass: Pass) {
        self.0.set_length(total);
        self.0.set_position(done);
        self.0.set_message(format!("{} on {} ({})", cell.arm(), cell.workload, pass.name()));
    }
}
