//! Did it become worse? Two arms, measured now and in turns.
//!
//! ```text
//! side      what stands for base and new -> an arm, proven to answer
//! revision  a revision of a repository -> its preload library, built and kept
//! ```
//!
//! How the two are compared is `brkpoint_reports::gate`'s business, which also says
//! after each look what still needs rounds. Two runs come of it: everything, and then
//! whatever seems to have become worse once more, in rounds of its own.

mod revision;
mod side;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use brkpoint_reports::Records;
use brkpoint_reports::gate::{COUNTED, Gate, gate};
use brkpoint_reports::record::{Gating, Line, Margins, Pass, Stage};
use brkpoint_reports::stats::LOOKS;
use brkpoint_workloads::synthetic;

pub use revision::{RevisionError, Scratch};
pub use side::{Side, SideError};

use crate::control::{BURDEN, Control};
use crate::engine::Arm;
use crate::journal::Journal;
use crate::plan::{GatePlan, Plan, Work};
use crate::runner::{self, Open, Progress, RunError};
use crate::supervise::Stop;
use crate::worker::Burden;

/// What is run where nobody names anything, and how much of it: processes of 20 to 50
/// ms under our allocator, of which times vary least.
const USUAL: [(&str, f64); 4] =
    [("steady-10k", 8.0), ("small-churn", 8.0), ("straddle", 8.0), ("calloc-large", 1.0)];

/// The workloads that are run where nobody names anything. The positive control runs
/// on the first, also where only commands are measured.
pub fn usual_workloads() -> impl Iterator<Item = &'static str> {
    USUAL.iter().map(|(name, _)| *name)
}

/// How much of workload `name` a gate takes.
pub fn usual_amount(name: &str) -> f64 {
    USUAL.iter().find(|(usual, _)| *usual == name).map_or(1.0, |(_, amount)| *amount)
}

/// What is to be compared, and how.
#[derive(Debug)]
pub struct Request {
    /// What was there before.
    pub base: Arm,
    /// What is judged.
    pub new: Arm,
    /// What both run.
    pub works: Vec<Work>,
    /// How much of the usual amount a positive control takes that runs beside commands.
    pub scale: f64,
    /// The margins.
    pub margins: Margins,
    /// The instruments that are used.
    pub passes: &'static [Pass],
    /// No round starts after this long.
    pub budget: Option<Duration>,
    /// A process that runs longer is killed.
    pub timeout: Duration,
    /// Seeds workloads and orders.
    pub seed: u64,
    /// Rounds in which everything is measured, with a control on each workload, no
    /// look and no confirmation: what batches are resampled from.
    pub recording: Option<u32>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Every line that was written.
    pub lines: Vec<Line>,
    /// A signal ended it.
    pub interrupted: bool,
}

/// Measures until all is decided and what seems worse is confirmed, or the rounds or
/// the time are up. What it amounts to, `brkpoint_reports::gate` tells of the lines.
///
/// # Errors
/// If a command cannot be started, or the journal not be written.
pub fn run(
    request: Request,
    executable: &Path,
    journal: &mut Journal,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Outcome, RunError> {
    let begun = Instant::now();
    let (budget, recording) = (request.budget, request.recording);
    let mut plan = plan(request);
    if recording.is_some() {
        let done = runner::run(&plan, executable, journal, stop, progress)?;
        return Ok(Outcome { lines: done.lines, interrupted: done.interrupted });
    }
    let mut measure = |rounds: u32, lines: &[Line]| {
        LOOKS.contains(&rounds).then(|| judged(lines, &[]).open(Stage::Measure))
    };
    let done = runner::run_until(&plan, executable, journal, stop, progress, &mut measure)?;
    let mut outcome = Outcome { lines: done.lines, interrupted: done.interrupted };

    let alarmed = judged(&outcome.lines, &[]).open(Stage::Confirm);
    if outcome.interrupted || alarmed.is_empty() {
        return Ok(outcome);
    }
    confirm(&mut plan, &alarmed);
    // What seems worse is not left in doubt for want of a little time.
    plan.budget = budget.map(|all| all.saturating_sub(begun.elapsed()).max(all / 4));
    let mut again = |rounds: u32, lines: &[Line]| match rounds {
        0 => Some(alarmed.clone()),
        _ => LOOKS.contains(&rounds).then(|| judged(&outcome.lines, lines).open(Stage::Confirm)),
    };
    let done = runner::run_until(&plan, executable, journal, stop, progress, &mut again)?;
    outcome.lines.extend(done.lines);
    outcome.interrupted = done.interrupted;
    Ok(outcome)
}

fn plan(mut request: Request) -> Plan {
    // All are started alike, those with a burden and those without.
    for work in &mut request.works {
        *work = work.burdened(Burden::NONE);
    }
    let rounds = request.recording.unwrap_or(LOOKS[LOOKS.len() - 1]);
    let controls: Vec<Work> = match request.recording {
        Some(_) => request.works.iter().filter(|work| is_control(work)).cloned().collect(),
        None => request.works.iter().find(|work| is_control(work)).cloned().into_iter().collect(),
    };
    let own = || {
        let workload = synthetic::find(USUAL[0].0)?;
        Some(Work::synthetic(workload, USUAL[0].1 * request.scale).burdened(Burden::NONE))
    };
    let gate = GatePlan {
        gating: Gating { stage: Stage::Measure, margins: request.margins },
        passes: request.passes,
        counted: if request.recording.is_some() { rounds } else { COUNTED },
    };
    let works = if controls.is_empty() { own().into_iter().collect() } else { controls };
    Plan {
        arms: vec![request.base, request.new],
        works: request.works,
        rounds,
        memory_rounds: rounds,
        detail_rounds: 0,
        budget: request.budget,
        timeout: request.timeout,
        seed: request.seed,
        control: Control { works, burden: BURDEN },
        gate: Some(gate),
    }
}

/// Whether the positive control can run on it.
fn is_control(work: &Work) -> bool {
    matches!(work, Work::Synthetic { .. }) && !work.idles()
}

/// Turns the plan into that of the confirmation of `alarmed`, in another order.
fn confirm(plan: &mut Plan, alarmed: &Open) {
    let labels: BTreeSet<&String> = alarmed.iter().map(|(label, _)| label).collect();
    plan.works.retain(|work| labels.iter().any(|label| *label == work.label()));
    plan.seed = !plan.seed;
    plan.control = Control::NONE;
    if let Some(gate) = &mut plan.gate {
        gate.gating.stage = Stage::Confirm;
    }
}

/// The gate so far.
fn judged(measured: &[Line], confirmed: &[Line]) -> Gate {
    let lines = measured.iter().chain(confirmed).cloned().map(without_series);
    gate(&Records::from_lines(lines)).expect("the runner writes the run of the gate first")
}

/// No verdict comes from memory over time.
fn without_series(mut line: Line) -> Line {
    if let Line::Sample(sample) = &mut line {
        sample.series = None;
    }
    line
}

#[cfg(test)]
mod tests {
    use brkpoint_reports::control::{CONTROL_FAULTS, CONTROL_TIME, COUNT_FLOOR};
    use brkpoint_reports::gate::{APART, Levels};
    use brkpoint_reports::stats::CONFIDENCE;

    use super::*;

    /// docs/gate.md says exactly how two results are compared: with these numbers.
    #[test]
    fn the_page_of_docs_has_the_constants_of_the_code() {
        let docs = include_str!("../../../docs/gate.md");
        let percent = |share: f64| format!("{} %", share * 100.0);
        let margins = Margins::USUAL;
        let looks = LOOKS.map(|look| look.to_string());
        let (last, others) = looks.split_last().expect("there are looks");
        let same: Vec<&str> =
            USUAL.iter().filter(|(_, amount)| *amount == 8.0).map(|(name, _)| *name).collect();
        let (second, first) = same.split_last().expect("some");
        let times_and_memory = 3 * USUAL.len();
        let levels = Levels::of(times_and_memory, LOOKS.len());
        for said in [
            format!("After {} and {last} rounds", others.join(", ")),
            format!("over the {} looks", LOOKS.len()),
            format!(
                "Margins: {} for times, {} for peak RSS",
                percent(margins.time),
                percent(margins.memory)
            ),
            format!("more than {}, and of more than {COUNT_FLOOR} calls", percent(margins.counts)),
            format!("in {COUNTED} processes of each arm"),
            format!(
                "{} more CPU time and {} more minor faults ({} at the least)",
                percent(CONTROL_TIME),
                percent(CONTROL_FAULTS),
                BURDEN.least_faults
            ),
            format!("peak RSS counts from {} on", percent(APART)),
            format!(
                "with the {times_and_memory} of the usual workloads this interval has {:.3} %",
                levels.found * 100.0
            ),
            format!("this one has {:.1} %", levels.ruled_out * 100.0),
            format!("of {:.0} % is spread over the looks alone", (1.0 - CONFIDENCE) * 100.0),
            format!("times multiplied by {}", 1.0 + CONTROL_TIME),
            format!("faults multiplied by {}", 1.0 + CONTROL_FAULTS),
            format!("the workloads are `{}` and `{second}`, 8 times", first.join("`, `")),
            format!("and `{}`.", USUAL[USUAL.len() - 1].0),
        ] {
            assert!(docs.contains(&said), "docs/gate.md does not say: {said}");
        }
        assert_eq!(USUAL[USUAL.len() - 1].1, 1.0);
    }
}
