//! One process at a time, recorded, until the time is up.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use brkpoint_reports::record::{Cell, Exit, Line, Pass, Role};

use super::{Request, TuneError};
use crate::engine::Arm;
use crate::journal::Journal;
use crate::measure::{self, Failure, Measured};
use crate::plan::{Conditions, Entry};
use crate::runner;
use crate::supervise::Stop;

/// So many times the reference's time, and a second, is given to any other.
const SLOWER: u32 = 4;

/// Told of what goes on, for a progress display.
pub trait Told {
    /// `stage` of the tuning runs `cell` next; `spent` of the budget is gone.
    fn step(&mut self, stage: &str, cell: &Cell, spent: Duration);
}

/// What measures.
pub(super) struct Bench<'a> {
    request: &'a Request,
    worker: &'a Path,
    journal: &'a mut Journal,
    stop: &'a Stop,
    told: &'a mut dyn Told,
    started: Instant,
    stage: &'static str,
    run: String,
    /// The longest that a process of each pass took so far under the reference.
    longest: BTreeMap<Pass, Duration>,
}

/// A process's figures, or none for want of time.
pub(super) enum Taken {
    Measured(Box<Measured>),
    NoTime,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        request: &'a Request,
        worker: &'a Path,
        journal: &'a mut Journal,
        stop: &'a Stop,
        told: &'a mut dyn Told,
    ) -> Bench<'a> {
        Bench {
            request,
            worker,
            journal,
            stop,
            told,
            started: Instant::now(),
            stage: "",
            run: String::new(),
            longest: BTreeMap::new(),
        }
    }

    /// Begins a stage, which is a run of its own in the record file; its id.
    pub(super) fn begin<'t>(
        &mut self,
        stage: &'static str,
        arms: impl Iterator<Item = (&'t Arm, Role)>,
    ) -> Result<String, TuneError> {
        self.stage = stage;
        self.run = format!("{}-{stage}", runner::run_id());
        let cells = arms.map(|(arm, role)| self.cell(arm, role)).collect();
        let works = std::iter::once(&self.request.work);
        self.journal.append(&Line::Run(runner::begun(self.run.clone(), works, cells)))?;
        Ok(self.run.clone())
    }

    fn cell(&self, arm: &Arm, role: Role) -> Cell {
        Entry { arm, role }.cell(&self.request.work)
    }

    /// The program whose processes are measured.
    pub(super) fn worker(&self) -> &'a Path {
        self.worker
    }

    /// How much of the budget is left.
    pub(super) fn left(&self) -> Duration {
        self.request.budget.saturating_sub(self.started.elapsed())
    }

    /// The share of the budget that is gone.
    pub(super) fn spent(&self) -> f64 {
        self.started.elapsed().as_secs_f64() / self.request.budget.as_secs_f64()
    }

    /// Whether more than `share` of the budget is gone.
    pub(super) fn past(&self, share: f64) -> bool {
        self.spent() > share
    }

    /// The longest that the reference took under the instrument of `pass`.
    pub(super) fn longest(&self, pass: Pass) -> Duration {
        self.longest.get(&pass).copied().unwrap_or_default()
    }

    /// Runs a process and records it.
    pub(super) fn take(
        &mut self,
        arm: &Arm,
        role: Role,
        pass: Pass,
        round: u32,
    ) -> Result<Taken, TuneError> {
        let (left, usual) = (self.left(), self.longest(pass));
        if left < usual || left.is_zero() {
            return Ok(Taken::NoTime);
        }
        // What takes far longer than the reference is out anyway.
        let patience = match usual.is_zero() || role != Role::Candidate {
            true => self.request.timeout,
            false => self.request.timeout.min(usual * SLOWER + Duration::from_secs(1)),
        };
        let cell = self.cell(arm, role);
        self.told.step(self.stage, &cell, self.started.elapsed());
        let conditions = Conditions { timeout: patience.min(left), seed: self.request.seed };
        let begun = Instant::now();
        let at_s = self.started.elapsed().as_secs_f64();
        let work = &self.request.work;
        let measured = match measure::one(arm, work, pass, conditions, self.worker, self.stop) {
            Ok(measured) => measured,
            Err(Failure::Interrupted) => return Err(TuneError::Interrupted),
            Err(Failure::SetUp(why)) => return Err(TuneError::SetUp(why)),
        };
        if role == Role::Reference && measured.error.is_none() {
            let longest = self.longest.entry(pass).or_default();
            *longest = begun.elapsed().max(*longest);
        }
        let sample = measured.clone().sample(self.run.clone(), cell, pass, round, at_s);
        self.journal.append(&Line::Sample(sample))?;
        // Cut off by the budget, not by its own slowness.
        if measured.exit == Some(Exit::TimedOut) && left < patience {
            return Ok(Taken::NoTime);
        }
        Ok(Taken::Measured(Box::new(measured)))
    }
}
