//! The conformance run of an engine: each program in a fresh process under it.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use brkpoint_reports::record::{Exit, Pass};
use brkpoint_workloads::conform::{Chapter, Tally};
use brkpoint_workloads::op::{Op, lines};
use brkpoint_workloads::shrink::{Effort, shrink};
use brkpoint_workloads::storm::Storm;
use thiserror::Error;

use crate::engine::Arm;
use crate::supervise::{self, Launch, LaunchError, Stop};
use crate::worker::{self, Judgement};

/// While a program is shrunk, what takes longer is taken for a hang.
const TRIAL_PATIENCE: Duration = Duration::from_secs(10);
const EFFORT: Effort = Effort { trials: 600, time: Duration::from_secs(45) };

/// In which way an engine failed. Of two failures in the same way, the shorter
/// program is as good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// A promise was broken; its name.
    Promise(String),
    /// The process ended in this way.
    Died(Exit),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Promise(name) => write!(f, "promise broken: {name}"),
            Way::Died(Exit::TimedOut) => f.write_str("hung"),
            Way::Died(exit) => write!(f, "died: {exit}"),
        }
    }
}

/// How a program failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In which way.
    pub way: Way,
    /// What was seen: what is wrong, or the end of what the process said.
    pub what: String,
    /// The operation, counted from 0, if that is known.
    pub at: Option<u64>,
}

/// A failure, and the shortest program found that fails in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The failure of that program.
    pub failure: Failure,
    /// The seed of the program that failed first, if it was drawn.
    pub seed: Option<u64>,
    /// How many operations that had.
    pub from: usize,
    /// The shortest program; none of a storm.
    pub program: Vec<Op>,
}

/// Why nothing can be said.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The process could not be started or watched.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The program could not be written down, or the answer not be read.
    #[error("cannot exchange files with the process that is checked: {0}")]
    Files(#[from] std::io::Error),
    /// It was not the engine's fault that a program was not performed.
    #[error("the process that performs programs says: {0}")]
    Worker(String),
}

/// Performs programs under one engine.
#[derive(Debug)]
pub struct Checker<'a> {
    arm: &'a Arm,
    worker: &'a Path,
    stop: &'a Stop,
    patience: Duration,
}

impl<'a> Checker<'a> {
    /// Under `arm`, in processes of `worker`, the file of this program. A process
    /// that takes longer than `patience` hangs.
    pub fn new(arm: &'a Arm, worker: &'a Path, stop: &'a Stop, patience: Duration) -> Checker<'a> {
        Checker { arm, worker, stop, patience }
    }

    /// Draws the chapter's program for a seed and performs it; shrinks it if it
    /// fails.
    ///
    /// # Errors
    ///
    /// If nothing can be said.
    pub fn draw(
        &self,
        chapter: &Chapter,
        seed: u64,
    ) -> Result<Result<Tally, Box<Finding>>, CheckError> {
        self.perform(chapter, Some(seed), &chapter.program(seed))
    }

    /// Performs a program under the rules of a chapter; shrinks it if it fails.
    ///
    /// # Errors
    ///
    /// If nothing can be said.
    pub fn perform(
        &self,
        chapter: &Chapter,
        seed: Option<u64>,
        program: &[Op],
    ) -> Result<Result<Tally, Box<Finding>>, CheckError> {
        let failure = match self.trial(chapter.name, &lines::write(program), self.patience)? {
            Ok(tally) => return Ok(Ok(tally)),
            Err(failure) => failure,
        };
        let trial_patience = self.patience.min(TRIAL_PATIENCE);
        let mut last = failure.clone();
        let mut fails = |smaller: &[Op]| {
            // A trial that cannot be made proves nothing.
            match self.trial(chapter.name, &lines::write(smaller), trial_patience) {
                Ok(Err(other)) if other.way == failure.way => {
                    last = other;
                    true
                }
                _ => false,
            }
        };
        // What comes after the operation that failed first is not needed.
        let end = failure.at.map_or(program.len(), |at| program.len().min(at as usize + 1));
        let begin = if fails(&program[..end]) { &program[..end] } else { program };
        let program_of = shrink(begin, EFFORT, fails);
        let from = program.len();
        Ok(Err(Box::new(Finding { failure: last, seed, from, program: program_of })))
    }

    /// Runs the storm of a seed, which is no program and cannot be shrunk.
    ///
    /// # Errors
    ///
    /// If nothing can be said.
    pub fn storm(&self, seed: u64) -> Result<Result<Tally, Box<Finding>>, CheckError> {
        let done = self.trial(Storm::NAME, &seed.to_string(), self.patience)?;
        Ok(done.map_err(|failure| {
            Box::new(Finding { failure, seed: Some(seed), from: 0, program: Vec::new() })
        }))
    }

    fn trial(
        &self,
        chapter: &str,
        input: &str,
        patience: Duration,
    ) -> Result<Result<Tally, Failure>, CheckError> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(input.as_bytes())?;
        let launch = Launch {
            program: self.worker.into(),
            args: worker::check_arguments(chapter),
            env: self.arm.env.clone(),
            env_remove: self.arm.env_remove.clone(),
            stdin: Some(file.path().to_owned()),
            timeout: Some(patience),
            ..Launch::default()
        };
        let seen = supervise::run(&launch, Pass::Time, self.stop)?;
        let died = |what: String| Failure { way: Way::Died(seen.exit), what, at: None };
        let said = seen.stderr_tail.trim();
        if seen.exit != Exit::Code(0) {
            let own = seen.exit == Exit::Code(2) && said.starts_with("brkpoint worker: ");
            if own {
                return Err(CheckError::Worker(said.to_owned()));
            }
            return Ok(Err(died(said.to_owned())));
        }
        Ok(match serde_json::from_slice(&seen.stdout.read()?) {
            Ok(Judgement::Kept { performed, refused }) => Ok(Tally { performed, refused }),
            Ok(Judgement::Broken { at, promise, what }) => {
                // A forked child says on stderr what it found.
                let what = if said.is_empty() { what } else { format!("{what}\n{said}") };
                Err(Failure { way: Way::Promise(promise), what, at: Some(at) })
            }
            Err(error) => Err(died(format!("its answer makes no sense ({error}); {said}"))),
        })
    }
}
