//! Which settings should a program run with?
//!
//! ```text
//! grid      the table of engines -> configurations
//! tunables  what the running C library knows, and what it made of an environment
//! bench     one process at a time, recorded, until the time is up
//! between   what two configurations do alike, those between them need not show
//! prune     counts and peak memory -> which configurations need no timing
//! search    count every configuration, leave out what counts rule out
//! wild      ... but time some of those, too, since counts may be wrong
//! halve     interleaved timed rounds, the worse half out after each rung
//! cross     the best joint configurations with the best of the other knobs
//! confirm   the finalists against the reference, in fresh interleaved rounds
//! decide    paired samples -> a setting, the default, or undecided
//! answer    what was found, in words and in every spelling
//! ```
//!
//! The search may be wrong about a finalist: it looks at many configurations and
//! keeps the luckiest. Nothing it measured decides; the confirmation does, with
//! samples of its own.

pub mod answer;
mod bench;
mod between;
mod confirm;
mod cross;
mod decide;
mod grid;
mod halve;
mod prune;
mod search;
pub mod tunables;
mod wild;

use std::path::Path;
use std::time::Duration;

use brkpoint_reports::record::Exit;

pub use bench::Told;
pub use confirm::Confirmed;
pub use decide::{Duel, Verdict};
pub use grid::Missing;
pub use prune::Facts;
pub use search::{Found, Tried};
pub(crate) use search::{counted, named};

use crate::engine::{Arm, ArmSpec, Engines};
use crate::journal::{Journal, JournalError};
use crate::plan::Work;
use crate::supervise::Stop;
use bench::Bench;
use tunables::Tunables;

/// What a person wants less of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Objective {
    /// Wall time.
    Time,
    /// Peak resident memory, at no more than the slowdown allowed.
    Memory,
    /// Wall time and peak resident memory: their geometric mean.
    Balanced,
    /// Minor faults.
    Faults,
}

impl Objective {
    /// Its name on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Objective::Time => "time",
            Objective::Memory => "memory",
            Objective::Balanced => "balanced",
            Objective::Faults => "faults",
        }
    }
}

/// What is to be tuned, and how.
#[derive(Debug)]
pub struct Request {
    /// Engines whose settings are tried; their defaults are tried, too.
    pub engines: Vec<String>,
    /// What all are compared with: an engine at its defaults.
    pub reference: String,
    /// What runs.
    pub work: Work,
    /// What is wanted less of.
    pub objective: Objective,
    /// Slowdown that is allowed where memory is the objective, as a share.
    pub max_slowdown: f64,
    /// Configurations with more peak resident bytes are out.
    pub max_memory: Option<u64>,
    /// No process starts that would not end within this time.
    pub budget: Duration,
    /// A process that runs longer is killed.
    pub timeout: Duration,
    /// Seeds workloads and orders.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The reference, proven.
    pub reference: Arm,
    /// What the search saw.
    pub found: Found,
    /// What the confirmation saw.
    pub confirmed: Confirmed,
    /// The answer.
    pub verdict: Verdict,
    /// Knobs that could not be tried.
    pub missing: Vec<Missing>,
    /// Engines that are not here, with what to do.
    pub absent: Vec<String>,
}

/// Runs of the command in the smallest tuning: counting a few configurations, and
/// the first look at the finalists.
const RUNS: u32 = 80;

/// Why there is no answer at all. What was measured is in the record file.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// A signal.
    #[error("interrupted")]
    Interrupted,
    /// The request cannot be carried out.
    #[error("{0}")]
    SetUp(String),
    /// The program does not work at the reference's defaults.
    #[error("the command fails at the defaults of {engine}: {why}; nothing can be tuned")]
    Broken {
        /// The reference.
        engine: String,
        /// What happened.
        why: String,
    },
    /// The budget ended within the first runs.
    #[error(
        "a budget of {} is too small: {ran}. A tuning takes some {RUNS} runs at the least: give \
         more with --budget, or a command that does less",
        shown(*budget)
    )]
    TooSmall {
        /// What was allowed.
        budget: Duration,
        /// What happened.
        ran: String,
    },
    /// The record file.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A duration in words, rounded to what matters.
pub(crate) fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 100.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", (s / 60.0).ceil()),
    }
}

/// Tunes: measures until an answer is found or the time is up.
///
/// # Errors
/// If there is nothing to tune: see [`TuneError`].
pub fn tune(
    request: &Request,
    worker: &Path,
    journal: &mut Journal,
    stop: &Stop,
    told: &mut dyn Told,
) -> Result<Outcome, TuneError> {
    let engines = Engines::builtin();
    let set_up = |error: crate::engine::EngineError| TuneError::SetUp(error.to_string());
    let bare = |name: &str| ArmSpec { engine: name.to_owned(), settings: Default::default() };
    let reference = engines.resolve(&bare(&request.reference), worker).map_err(set_up)?;
    let tunables = Tunables::under(&[], &reference.env_remove);
    let (mut tried, mut missing, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    for name in &request.engines {
        let engine = engines
            .get(name)
            .filter(|engine| !engine.is_linked_only())
            .ok_or_else(|| TuneError::SetUp(format!("there is no engine {name:?} to tune")))?;
        if *name != request.reference {
            match engines.resolve(&bare(name), worker) {
                Ok(arm) => tried.push(Tried::new(arm, true)),
                Err(error) => {
                    absent.push(error.to_string());
                    continue;
                }
            }
        }
        let (points, lacking) = grid::points(engine, tunables.as_ref().filter(|_| engine.built_in));
        missing.extend(lacking);
        for point in points {
            let mut one = match engines.resolve(&point.spec, worker) {
                Ok(arm) => Tried::new(arm, point.blind),
                Err(error) => {
                    absent.push(format!("{}: {error}", point.spec));
                    continue;
                }
            };
            // What the C library made of it, in a process with this environment.
            if engine.built_in
                && let Some(seen) = Tunables::under(&one.arm.env, &one.arm.env_remove)
            {
                one.out = seen.contradicts(&one.arm.env);
            }
            tried.push(one);
        }
    }
    let mut bench = Bench::new(request, worker, journal, stop, told);
    let found = search::search(&mut bench, request, &reference, tried)?;
    let confirmed = confirm::confirm(&mut bench, request, &reference, &found)?;
    let verdict = decide::verdict(request, &found, &confirmed);
    Ok(Outcome { reference, found, confirmed, verdict, missing, absent })
}

/// Why a process that ended like this did not do its work, compared with `usual`.
pub(crate) fn differs(exit: Option<Exit>, usual: Option<Exit>) -> Option<String> {
    let text = |exit: Option<Exit>| exit.map_or("no exit".to_owned(), |exit| exit.to_string());
    (exit != usual).then(|| format!("{}, where the reference has {}", text(exit), text(usual)))
}
