//! How often the gate is right: many gates, resampled from long recordings.
//!
//! A recording holds every row of a gate in every round, with no look in between:
//! base, base again, and base as the one that is judged, and the positive control.
//! A batch is a whole gate with all its rows, looks and confirmation; it takes its
//! rounds from the recording as one contiguous stretch, in the order in which they
//! were measured; what reaches beyond the end goes on at the beginning. A regression is planted into what is judged: its samples are
//! multiplied, or the real processes of the positive control take their place.

use std::collections::BTreeSet;

use super::rules::COUNTED;
use super::{Answer, Gate, gate};
use crate::control::{CONTROL_FAULTS, CONTROL_TIME};
use crate::judge::Verdict;
use crate::quantity::Quantity;
use crate::read::Records;
use crate::record::{Gating, Margins, Metric, Pass, Role, Run, Sample, Stage};
use crate::stats::LOOKS;

/// What is planted into what is judged, on one workload of each batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plant {
    /// Nothing: the base is judged against itself.
    Nothing,
    /// All times multiplied by 1 and this share.
    Time(f64),
    /// Minor faults multiplied by 1 and this share, rounded up.
    Faults(f64),
    /// The processes of the positive control, which truly took longer.
    ControlTime,
    /// The same, which truly faulted more.
    ControlFaults,
}

/// A little beyond the margin of times: too little to be found, as a rule, and too much
/// for a pass.
pub const BEYOND: f64 = 0.04;

impl Plant {
    /// What docs/gate.md has a table of.
    pub const ALL: [Plant; 6] = [
        Plant::Nothing,
        Plant::Time(BEYOND),
        Plant::Time(CONTROL_TIME),
        Plant::ControlTime,
        Plant::Faults(CONTROL_FAULTS),
        Plant::ControlFaults,
    ];

    /// In words.
    pub fn name(self) -> String {
        let percent = crate::units::percent;
        match self {
            Plant::Nothing => "nothing (A/A)".to_owned(),
            Plant::Time(share) => format!("times + {}", percent(share)),
            Plant::Faults(share) => format!("minor faults + {}", percent(share)),
            Plant::ControlTime => format!("processes that burn {} more", percent(CONTROL_TIME)),
            Plant::ControlFaults => {
                format!("processes that touch {} more OS pages", percent(CONTROL_FAULTS))
            }
        }
    }

    fn is_seen_in(self, quantity: Quantity) -> bool {
        match self {
            Plant::Nothing => false,
            Plant::Time(_) | Plant::ControlTime => {
                matches!(quantity, Quantity::CpuTime | Quantity::WallTime)
            }
            Plant::Faults(_) | Plant::ControlFaults => quantity == Quantity::MinorFaults,
        }
    }

    /// The sample that stands for the judged one of `candidate`.
    fn planted(self, candidate: &Sample, control: Option<&Sample>) -> Option<Sample> {
        let mut sample = candidate.clone();
        let factor = match self {
            Plant::Nothing => return Some(sample),
            Plant::ControlTime | Plant::ControlFaults => {
                let of_it = if self == Plant::ControlTime { Pass::Time } else { Pass::Counts };
                if sample.pass == of_it {
                    sample.metrics.clone_from(&control?.metrics);
                }
                return Some(sample);
            }
            Plant::Time(share) | Plant::Faults(share) => 1.0 + share,
        };
        for (metric, value) in &mut sample.metrics {
            match (self, metric) {
                (Plant::Time(_), Metric::WallS | Metric::UserS | Metric::SysS) => *value *= factor,
                (Plant::Faults(_), Metric::MinorFaults) => *value = (*value * factor).ceil(),
                _ => {}
            }
        }
        Some(sample)
    }
}

/// What came of the batches with one plant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Gates.
    pub batches: usize,
    /// Gates that called a planted row a REGRESSION.
    pub found: usize,
    /// Gates that called another row a REGRESSION.
    pub false_alarms: usize,
    /// Gates that called any row an IMPROVEMENT.
    pub false_improvements: usize,
    /// Gates by answer: passes, worse, open.
    pub answers: [usize; 3],
    /// Gates that said they cannot be trusted.
    pub distrusted: usize,
    /// Rounds taken by all gates together, those of confirmations included.
    pub rounds: usize,
    /// Gates that took more rounds than were recorded, and some of them twice.
    pub longer: usize,
    /// By workload: planted in, found in.
    pub by_workload: Vec<(String, usize, usize)>,
}

/// All tallies of some recordings.
#[derive(Debug, Clone, PartialEq)]
pub struct Batches {
    /// Whole rounds that were recorded.
    pub rounds: usize,
    /// Workloads, each with all its rows in every batch.
    pub workloads: Vec<String>,
    /// One a plant, in the order of [`Plant::ALL`].
    pub tallies: Vec<(Plant, Tally)>,
}

/// Resamples `count` batches with each plant; `None` if the recordings are shorter
/// than half of what the first stage of a gate may take. How many gates took more than
/// was recorded is in the tally.
pub fn batches(records: &Records, count: usize) -> Option<Batches> {
    let rounds = whole_rounds(records);
    if rounds.len() < LOOKS[LOOKS.len() - 1] as usize / 2 {
        return None;
    }
    let mut workloads: Vec<String> = Vec::new();
    for sample in rounds.iter().flatten() {
        if !workloads.contains(&sample.cell.workload) {
            workloads.push(sample.cell.workload.clone());
        }
    }
    let tallies = Plant::ALL.map(|plant| {
        let mut tally = Tally {
            by_workload: workloads.iter().map(|name| (name.clone(), 0, 0)).collect(),
            ..Tally::default()
        };
        for batch in 0..count {
            let mut stretch = rounds.clone();
            stretch.rotate_left(batch * rounds.len() / count);
            let target = batch % workloads.len();
            let (gate, used) = one(records, &stretch, &workloads, plant, target);
            tally.add(&gate, used, plant, target);
            tally.longer += usize::from(used > rounds.len());
        }
        (plant, tally)
    });
    Some(Batches { rounds: rounds.len(), workloads, tallies: tallies.into() })
}

impl Tally {
    fn add(&mut self, gate: &Gate, rounds: usize, plant: Plant, target: usize) {
        let workload = &mut self.by_workload[target];
        let planted = |workload: &str, quantity: Quantity, target: &str| {
            workload == target && plant.is_seen_in(quantity)
        };
        let worse = gate.rows.iter().filter(|row| row.verdict() == Verdict::Worse);
        let (right, wrong): (Vec<_>, Vec<_>) =
            worse.partition(|row| planted(&row.workload, row.quantity, &workload.0));
        self.batches += 1;
        self.rounds += rounds;
        self.found += usize::from(!right.is_empty());
        workload.1 += 1;
        workload.2 += usize::from(!right.is_empty());
        self.false_alarms += usize::from(!wrong.is_empty());
        let better = |row: &super::Row| row.verdict() == Verdict::Better;
        self.false_improvements += usize::from(gate.rows.iter().any(better));
        self.distrusted += usize::from(!gate.distrust.is_empty());
        self.answers[match gate.answer() {
            Answer::Passes => 0,
            Answer::Worse => 1,
            Answer::Open => 2,
        }] += 1;
    }
}

/// The samples of each round in which nothing is missing, in the order in which they
/// were measured.
fn whole_rounds(records: &Records) -> Vec<Vec<&Sample>> {
    let mut rounds: Vec<Vec<&Sample>> = Vec::new();
    for sample in &records.samples {
        let same = |other: &&Sample| (&other.run, other.round) == (&sample.run, sample.round);
        match rounds.last_mut().filter(|round| round.first().is_some_and(same)) {
            Some(round) => round.push(sample),
            None => rounds.push(vec![sample]),
        }
    }
    let whole = rounds.iter().map(Vec::len).max().unwrap_or(0);
    rounds.retain(|round| round.len() == whole && round.iter().all(|s| s.error.is_none()));
    rounds
}

/// One gate over the first of `rounds`, as the harness would have run it: the same
/// looks, the same rows left alone once they are decided. Also how many it took.
fn one(
    records: &Records,
    rounds: &[Vec<&Sample>],
    workloads: &[String],
    plant: Plant,
    target: usize,
) -> (Gate, usize) {
    let mut taken = Records::default();
    let passes = |workload: &String| Pass::ALL.map(|pass| (workload.clone(), pass));
    let mut open: BTreeSet<(String, Pass)> = workloads.iter().flat_map(passes).collect();
    let mut used = 0;
    let mut answer = None;
    for stage in [Stage::Measure, Stage::Confirm] {
        let id = format!("{stage:?}");
        taken.runs.extend(records.runs.first().map(|run| Run {
            id: id.clone(),
            gate: Some(Gating { stage, margins: Margins::USUAL }),
            ..run.clone()
        }));
        let begun = used;
        for look in LOOKS {
            while used < begun + look as usize {
                let number = (used - begun) as u32;
                let round = &rounds[used % rounds.len()];
                for sample in round {
                    let wanted = open.contains(&(sample.cell.workload.clone(), sample.pass));
                    // What is still open then varies, and is counted in every round.
                    let counted =
                        sample.pass != Pass::Counts || number < COUNTED || number >= LOOKS[0];
                    if let Some(sample) = stands_for(sample, round, workloads, plant, target)
                        && wanted
                        && counted
                    {
                        taken.samples.push(Sample { run: id.clone(), round: number, ..sample });
                    }
                }
                used += 1;
            }
            let now = gate(&taken).expect("there is a run of a gate");
            open = now.open(stage);
            answer = Some(now);
            if open.is_empty() {
                break;
            }
        }
        open = answer.iter().flat_map(|gate| gate.open(Stage::Confirm)).collect();
        if open.is_empty() {
            break;
        }
    }
    (answer.expect("there is a look"), used)
}

/// The sample as the batch has it. A gate has one positive control, on its first workload.
fn stands_for(
    sample: &Sample,
    round: &[&Sample],
    workloads: &[String],
    plant: Plant,
    target: usize,
) -> Option<Sample> {
    let cell = &sample.cell;
    match cell.role {
        Role::Control if cell.workload != workloads[0] => None,
        Role::Candidate if cell.workload == workloads[target] => {
            let control = round.iter().copied().find(|other| {
                other.cell.role == Role::Control
                    && (&other.cell.workload, other.pass) == (&cell.workload, sample.pass)
            });
            plant.planted(sample, control)
        }
        _ => Some(sample.clone()),
    }
}

impl Batches {
    /// The table of docs/gate.md.
    pub fn to_markdown(&self) -> String {
        let mut out = format!(
            "{} rounds of {}.\n\n| planted | batches | found | false alarms | false improvements | \
             passes / worse / undecided | not to be trusted | rounds, on average | longer than recorded |\n\
             |---|---|---|---|---|---|---|---|---|\n",
            self.rounds,
            self.workloads.join(", ")
        );
        for (plant, tally) in &self.tallies {
            let found = match plant {
                Plant::Nothing => "-".to_owned(),
                _ => tally.found.to_string(),
            };
            let [passes, worse, open] = tally.answers;
            out.push_str(&format!(
                "| {} | {} | {found} | {} | {} | {passes} / {worse} / {open} | {} | {:.0} | {} |\n",
                plant.name(),
                tally.batches,
                tally.false_alarms,
                tally.false_improvements,
                tally.distrusted,
                tally.rounds as f64 / tally.batches.max(1) as f64,
                tally.longer
            ));
        }
        out.push_str("\n| found, by workload |");
        for name in &self.workloads {
            out.push_str(&format!(" {name} |"));
        }
        out.push_str(&format!("\n|---|{}\n", "---|".repeat(self.workloads.len())));
        for (plant, tally) in self.tallies.iter().filter(|(plant, _)| *plant != Plant::Nothing) {
            out.push_str(&format!("| {} |", plant.name()));
            for (_, planted, found) in &tally.by_workload {
                out.push_str(&format!(" {found} of {planted} |"));
            }
            out.push('\n');
        }
        out
    }
}
