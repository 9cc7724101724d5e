//! Runs a plan: fresh processes, arms interleaved, one record a process.
//!
//! Each round takes every workload under every arm, once per instrument that
//! is due, the arms in an order drawn anew each time. A record is written as
//! soon as its process has ended, so that an interrupted run keeps what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;
use std::time::Instant;

use brkpoint_reports::record::{Cell, Line, Metric, Pass, Role, Run, SCHEMA};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

use crate::journal::{Journal, JournalError};
use crate::measure::{self, Failure, Measured};
use crate::plan::{Course, Entry, Plan, Work};
use crate::supervise::Stop;
use crate::{machine, version};

/// The passes of a round. Counts first: that pass also proves which allocator answers.
const ORDER: [Pass; 5] = [Pass::Counts, Pass::Memory, Pass::Layout, Pass::Latency, Pass::Time];

/// Counting passes after which a cell whose counts never differed is left alone.
const EXACT_AFTER: u32 = 2;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Every line that was written.
    pub lines: Vec<Line>,
    /// A signal ended the run before the plan was done.
    pub interrupted: bool,
}

/// Why a run could not go on; what was measured before is in the journal.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The first command could not be started: the request is at fault.
    #[error("{0}")]
    SetUp(String),
    /// The record file could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Told of each step, for a progress display.
pub trait Progress {
    /// The next process starts; `done` of about `total` have ended.
    fn step(&mut self, done: u64, total: u64, cell: &Cell, pass: Pass);
}

/// Labels of works, and those of their passes that further rounds are to have.
pub type Open = BTreeSet<(String, Pass)>;

/// Asked before each round, with the number of whole rounds and all lines so far,
/// what is still open from now on; `None`: as before. At first everything is.
pub type Look<'l> = dyn FnMut(u32, &[Line]) -> Option<Open> + 'l;

/// Runs the whole of `plan` with workers of `executable`, appending records to
/// `journal`.
pub fn run(
    plan: &Plan,
    executable: &Path,
    journal: &mut Journal,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Outcome, RunError> {
    run_until(plan, executable, journal, stop, progress, &mut |_, _| None)
}

/// As [`run`], but only as long, and as much of it, as `look` says.
pub fn run_until(
    plan: &Plan,
    executable: &Path,
    journal: &mut Journal,
    stop: &Stop,
    progress: &mut dyn Progress,
    look: &mut Look<'_>,
) -> Result<Outcome, RunError> {
    Running {
        courses: plan.courses(),
        open: None,
        plan,
        executable,
        journal,
        stop,
        started: Instant::now(),
        id: run_id(),
        lines: Vec::new(),
        measured: false,
        failed: BTreeSet::new(),
        counts: BTreeMap::new(),
    }
    .go(progress, look)
}

struct Running<'a> {
    plan: &'a Plan,
    courses: Vec<Course<'a>>,
    /// What further rounds are to have; `None`: all.
    open: Option<Open>,
    executable: &'a Path,
    journal: &'a mut Journal,
    stop: &'a Stop,
    started: Instant,
    id: String,
    lines: Vec<Line>,
    /// A process has been measured, well or badly.
    measured: bool,
    /// Cells that failed; they are not run again.
    failed: BTreeSet<Cell>,
    counts: BTreeMap<Cell, Counted>,
}

/// What the counting passes of a cell have shown so far.
struct Counted {
    first: BTreeMap<Metric, f64>,
    varies: bool,
}

impl<'a> Running<'a> {
    fn go(mut self, progress: &mut dyn Progress, look: &mut Look<'_>) -> Result<Outcome, RunError> {
        self.open()?;
        let plan = self.plan;
        let mut order = Pcg64Mcg::seed_from_u64(plan.seed);
        let mut done = 0;
        for round in 0..plan.rounds {
            if plan.budget.is_some_and(|budget| self.started.elapsed() > budget) {
                break;
            }
            if let Some(open) = look(round, &self.lines) {
                self.open = Some(open);
            }
            if self.open.as_ref().is_some_and(BTreeSet::is_empty) {
                break;
            }
            let begun = done;
            for course in 0..self.courses.len() {
                let work = self.courses[course].work;
                for pass in ORDER {
                    let mut due = self.due(&self.courses[course], pass, round);
                    due.shuffle(&mut order);
                    let total = begun + self.left_at(round);
                    // What sleeps is not disturbed by neighbours.
                    let together = if work.idles() { due.len().max(1) } else { 1 };
                    for due in due.chunks(together) {
                        progress.step(done, total.max(done + 1), &due[0].1, pass);
                        if !self.measure(due, course, pass, round)? {
                            return Ok(Outcome { lines: self.lines, interrupted: true });
                        }
                        done += due.len() as u64;
                    }
                }
            }
        }
        Ok(Outcome { lines: self.lines, interrupted: false })
    }

    fn open(&mut self) -> Result<(), RunError> {
        let cells = self
            .courses
            .iter()
            .flat_map(|course| course.entries.iter().map(|entry| entry.cell(course.work)));
        let works = self.courses.iter().map(|course| course.work);
        let gate = self.plan.gate.as_ref().map(|gate| gate.gating);
        let run = Run { gate, ..begun(self.id.clone(), works, cells.collect()) };
        self.write(Line::Run(run))
    }

    /// The entries that `pass` takes in `round`, with their cells.
    fn due(&self, course: &Course<'a>, pass: Pass, round: u32) -> Vec<(Entry<'a>, Cell)> {
        let work = course.work;
        let gate = self.plan.gate.as_ref();
        let rounds = match pass {
            Pass::Memory => self.plan.memory_rounds,
            Pass::Latency | Pass::Layout => self.plan.detail_rounds,
            Pass::Counts | Pass::Time => self.plan.rounds,
        };
        if !work.passes().contains(&pass)
            || round >= rounds
            || gate.is_some_and(|gate| !gate.passes.contains(&pass))
            || self.open.as_ref().is_some_and(|open| !open.contains(&(work.label().into(), pass)))
        {
            return Vec::new();
        }
        let counted = gate.map_or(EXACT_AFTER, |gate| gate.counted);
        let all = course.entries.iter().map(|entry| (*entry, entry.cell(work)));
        let alive = all.filter(|(_, cell)| !self.failed.contains(cell));
        if pass != Pass::Counts || round < counted {
            return alive.collect();
        }
        if gate.is_some() {
            let all: Vec<_> = alive.collect();
            return if self.counts_settled(&all) { Vec::new() } else { all };
        }
        // Whoever varies needs a sample of the reference beside each of its own.
        let varies = |cell: &Cell| self.counts.get(cell).is_some_and(|counted| counted.varies);
        let (due, exact): (Vec<_>, Vec<_>) = alive.partition(|(_, cell)| varies(cell));
        if due.is_empty() {
            return due;
        }
        let reference = exact.into_iter().filter(|(entry, _)| entry.role == Role::Reference);
        reference.chain(due).collect()
    }

    /// Whether no count of these varied so far, neither within a cell nor between the
    /// reference and its repeat.
    fn counts_settled(&self, entries: &[(Entry<'a>, Cell)]) -> bool {
        let counted =
            |(entry, cell): &(Entry<'a>, Cell)| Some((entry.role, self.counts.get(cell)?));
        let all: Vec<(Role, &Counted)> = entries.iter().filter_map(counted).collect();
        let base = |(role, _): &&(Role, _)| matches!(role, Role::Reference | Role::Repeat);
        let base: Vec<&Counted> = all.iter().filter(base).map(|(_, counted)| *counted).collect();
        all.iter().all(|(_, counted)| !counted.varies)
            && base.windows(2).all(|pair| pair[0].first == pair[1].first)
    }

    /// Processes in the whole of `round`, as far as is known now.
    fn in_round(&self, round: u32) -> u64 {
        let due = |course| ORDER.map(|pass| self.due(course, pass, round).len() as u64);
        self.courses.iter().flat_map(due).sum()
    }

    /// Processes from `round` to the end, as far as is known now.
    fn left_at(&self, round: u32) -> u64 {
        let counted = self.plan.gate.as_ref().map_or(EXACT_AFTER, |gate| gate.counted);
        let settled = counted.max(round);
        let before = (round..settled.min(self.plan.rounds)).map(|r| self.in_round(r)).sum::<u64>();
        let after = self.plan.rounds.saturating_sub(settled);
        before + u64::from(after) * self.in_round(settled)
    }

    /// Measures a process of each of `due`, at the same time; `false`: interrupted.
    fn measure(
        &mut self,
        due: &[(Entry<'a>, Cell)],
        course: usize,
        pass: Pass,
        round: u32,
    ) -> Result<bool, RunError> {
        let at_s = self.started.elapsed().as_secs_f64();
        let (plan, executable, stop) = (self.plan, self.executable, self.stop);
        let Course { work, burdened, .. } = &self.courses[course];
        let one = |entry: &Entry<'a>| {
            let work: &Work = match entry.role {
                Role::Control => burdened.as_ref().unwrap_or(work),
                _ => work,
            };
            measure::one(entry.arm, work, pass, plan.conditions(), executable, stop)
        };
        let results: Vec<Result<Measured, Failure>> = match due {
            [(entry, _)] => vec![one(entry)],
            _ => thread::scope(|scope| {
                let one = &one;
                let threads: Vec<_> =
                    due.iter().map(|(entry, _)| scope.spawn(move || one(entry))).collect();
                let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
                };
                threads.into_iter().map(join).collect()
            }),
        };
        for ((_, cell), result) in due.iter().zip(results) {
            let measured = match result {
                Ok(measured) => measured,
                Err(Failure::Interrupted) => return Ok(false),
                Err(Failure::SetUp(why)) if !self.measured => return Err(RunError::SetUp(why)),
                Err(Failure::SetUp(why)) => Measured::failed(why),
            };
            self.keep(measured, cell.clone(), pass, round, at_s)?;
        }
        Ok(true)
    }

    /// Appends the record of a process.
    fn keep(
        &mut self,
        measured: Measured,
        cell: Cell,
        pass: Pass,
        round: u32,
        at_s: f64,
    ) -> Result<(), RunError> {
        self.measured = true;
        if measured.error.is_some() {
            self.failed.insert(cell.clone());
        } else if pass == Pass::Counts {
            let counted = self
                .counts
                .entry(cell.clone())
                .or_insert_with(|| Counted { first: measured.metrics.clone(), varies: false });
            counted.varies |= counted.first != measured.metrics;
        }
        self.write(Line::Sample(measured.sample(self.id.clone(), cell, pass, round, at_s)))
    }

    fn write(&mut self, line: Line) -> Result<(), RunError> {
        self.journal.append(&line)?;
        self.lines.push(line);
        Ok(())
    }
}

/// The run of `cells` of `works` that begins now, on this machine.
pub(crate) fn begun<'w>(
    id: String,
    works: impl Iterator<Item = &'w Work>,
    cells: Vec<Cell>,
) -> Run {
    // A command may have the name of a workload.
    let about = works.filter_map(|work| Some((work.label().to_owned(), work.about()?))).collect();
    Run {
        schema: SCHEMA,
        id,
        brkpoint: version::VERSION.to_owned(),
        started: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        command_line: std::env::args_os().map(|arg| arg.to_string_lossy().into()).collect(),
        machine: machine::describe(),
        about,
        cells,
        gate: None,
    }
}

/// Unique: the time in nanoseconds and the process.
pub(crate) fn run_id() -> String {
    format!("{:x}-{:x}", jiff::Timestamp::now().as_nanosecond(), std::process::id())
}
