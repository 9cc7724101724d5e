//! Did it become worse? Two arms, row by row, and whether the answer can be trusted.
//!
//! ```text
//! rules    samples of two arms -> a ratio, an interval, a verdict; every constant
//! samples  records -> the samples of each row, by round
//! apart    two record files of different hours -> rows
//! batches  long recordings -> many gates, to see how often each is right
//! words, json, page    a Gate as text, as Markdown, as JSON, as a section of the page
//! ```
//!
//! A [`Gate`] is a pure function of records, so the harness asks the same function
//! while it measures whether more rounds are wanted ([`Gate::open`]) and the page
//! asks it again later.

mod apart;
mod batches;
mod json;
mod page;
mod rules;
mod samples;
mod words;

use std::collections::BTreeSet;

use crate::control::{CONTROL_FAULTS, CONTROL_TIME};
use crate::judge::Verdict;
use crate::quantity::Quantity;
use crate::read::Records;
use crate::record::{Gating, Margins, Pass, Role, Stage};
use crate::stats::{Estimate, LOOKS, median};
use crate::units;
pub use apart::{DiffError, diff};
pub use batches::{BEYOND, Batches, Plant, Tally, batches};
pub(crate) use page::section;
pub use rules::{APART, COUNTED, Levels};
use rules::{Duel, decides};
use samples::Samples;

/// Two arms, compared row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// The arm that was there before, as the command line spells it.
    pub base: String,
    /// The arm that is judged.
    pub new: String,
    /// New against base: by workload and quantity.
    pub rows: Vec<Row>,
    /// Base against itself (A/A).
    pub repeats: Vec<Row>,
    /// Base with a burden against base: the positive control.
    pub controls: Vec<Row>,
    /// Workloads on which new failed, with the reason.
    pub failures: Vec<(String, String)>,
    /// Why the answer cannot be trusted; empty if it can.
    pub distrust: Vec<String>,
    /// What else a reader should know.
    pub notes: Vec<String>,
    /// By which margins it was judged.
    pub margins: Margins,
    /// Confidence of the intervals.
    pub levels: Levels,
    /// Both were measured at the same time, round by round.
    pub interleaved: bool,
    /// Both are the same bytes: nothing was measured, since nothing can differ.
    pub equal: bool,
}

/// One quantity of one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name of the workload, or the command.
    pub workload: String,
    /// What is compared.
    pub quantity: Quantity,
    /// Median of the base's samples, in the quantity's unit.
    pub base: Option<f64>,
    /// Median of the new one's.
    pub new: Option<f64>,
    /// New to base; the interval has [`Levels::ruled_out`] where a change for the worse
    /// is ruled out, else [`Levels::found`].
    pub ratio: Option<Estimate>,
    /// Pairs behind it; of a count that never varies, samples of new.
    pub pairs: usize,
    /// A count that never varied: no interval is needed.
    pub exact: bool,
    /// What the samples of the first stage say.
    pub first: Verdict,
    /// What fresh rounds say of what seemed to be worse.
    pub again: Option<Again>,
    /// Why no verdict is given, whatever the samples say.
    pub why_not: Option<String>,
}

/// The confirmation of a row, from samples of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Again {
    /// New to base.
    pub ratio: Option<Estimate>,
    /// As [`Row::pairs`].
    pub pairs: usize,
    /// What these samples say.
    pub verdict: Verdict,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing became worse, and it would have been seen.
    Passes,
    /// A regression, or a failure.
    Worse,
    /// Not decided, or not to be trusted.
    Open,
}

impl Row {
    /// What the row amounts to. Nothing is a regression before fresh rounds say so.
    pub fn verdict(&self) -> Verdict {
        if self.why_not.is_some() {
            return Verdict::Undecided;
        }
        match (self.first, self.again.map(|again| again.verdict)) {
            (Verdict::Worse, Some(Verdict::Worse)) => Verdict::Worse,
            (Verdict::Worse, Some(denied @ (Verdict::Same | Verdict::NotWorse))) => denied,
            (Verdict::Worse, _) => Verdict::Undecided,
            (verdict, _) => verdict,
        }
    }

    fn named(&self) -> String {
        format!("{} on {}", self.quantity.name(), units::clip(&self.workload, 40))
    }
}

impl Gate {
    /// The gate of two revisions that are the same bytes.
    pub fn of_equals(base: &str, new: &str) -> Gate {
        Gate {
            base: base.to_owned(),
            new: new.to_owned(),
            rows: Vec::new(),
            repeats: Vec::new(),
            controls: Vec::new(),
            failures: Vec::new(),
            distrust: Vec::new(),
            notes: Vec::new(),
            margins: Margins::USUAL,
            levels: Levels::of(0, 1),
            interleaved: false,
            equal: true,
        }
    }

    /// The answer, which is the exit status.
    pub fn answer(&self) -> Answer {
        let any = |verdict| self.rows.iter().any(|row| row.verdict() == verdict);
        let undecided = |row: &Row| self.decides(row) && row.verdict() == Verdict::Undecided;
        if self.equal {
            Answer::Passes
        } else if any(Verdict::Worse) || !self.failures.is_empty() {
            Answer::Worse
        } else if self.rows.is_empty()
            || self.rows.iter().any(undecided)
            || !self.distrust.is_empty()
        {
            Answer::Open
        } else {
            Answer::Passes
        }
    }

    /// Whether a row that stays undecided holds up a pass. Times of different hours
    /// are not judged.
    fn decides(&self, row: &Row) -> bool {
        decides(row.quantity) && (self.interleaved || row.quantity.pass() != Pass::Time)
    }

    /// Which passes of which workloads need more rounds: in the first stage what is
    /// undecided, and then what waits for its confirmation.
    pub fn open(&self, stage: Stage) -> BTreeSet<(String, Pass)> {
        let rows: Box<dyn Iterator<Item = &Row>> =
            match stage {
                Stage::Measure => {
                    let controls = self.controls.iter().filter(|row| planted(row).is_some());
                    let rows = self.rows.iter().chain(controls);
                    Box::new(rows.filter(|row| row.first == Verdict::Undecided))
                }
                Stage::Confirm => Box::new(self.alarms().filter(|row| {
                    row.again.is_none_or(|again| again.verdict == Verdict::Undecided)
                })),
            };
        rows.filter(|row| stage == Stage::Confirm || decides(row.quantity))
            .map(|row| (row.workload.clone(), row.quantity.pass()))
            .collect()
    }

    /// Rows that seem to have become worse and are to be confirmed.
    pub fn alarms(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.first == Verdict::Worse && row.why_not.is_none())
    }
}

/// Compares the two arms of the gate that `records` hold; `None` if they hold none.
pub fn gate(records: &Records) -> Option<Gate> {
    let gating: &Gating = records.runs.iter().find_map(|run| run.gate.as_ref())?;
    let margins = gating.margins;
    let measured = Samples::of(records, Stage::Measure);
    let confirming = Samples::of(records, Stage::Confirm);
    let spelling = |role| {
        let cells = records.runs.iter().flat_map(|run| &run.cells);
        cells.filter(|cell| cell.role == role).map(|cell| cell.spelling()).next()
    };

    let with_interval = measured.rows(Role::Candidate).filter(|(.., duel)| !duel.exact).count();
    let levels = Levels::of(with_interval, LOOKS.len());
    let judged = |role| -> Vec<Row> {
        let rows = measured.rows(role);
        rows.map(|(workload, quantity, duel)| row(workload, quantity, &duel, &margins, levels))
            .collect()
    };
    let (mut rows, repeats) = (judged(Role::Candidate), judged(Role::Repeat));
    for row in &mut rows {
        row.why_not = measured.base_failure(&row.workload).or_else(|| differs(row, &repeats));
    }
    confirm(&mut rows, &confirming, &margins);

    let mut gate = Gate {
        base: spelling(Role::Reference).unwrap_or_default(),
        new: spelling(Role::Candidate).unwrap_or_default(),
        controls: judged(Role::Control),
        failures: measured
            .failures(Role::Candidate)
            .chain(confirming.failures(Role::Candidate))
            .collect(),
        distrust: Vec::new(),
        notes: Vec::new(),
        rows,
        repeats,
        margins,
        levels,
        interleaved: true,
        equal: false,
    };
    gate.failures.dedup();
    gate.distrust = distrust(&gate, &measured);
    Some(gate)
}

fn row(workload: &str, quantity: Quantity, duel: &Duel, margins: &Margins, levels: Levels) -> Row {
    let (ratio, first) = duel.judge(quantity, margins, levels);
    Row {
        workload: workload.to_owned(),
        quantity,
        base: median(&duel.base),
        new: median(&duel.new),
        ratio,
        pairs: if duel.exact { duel.new.len() } else { duel.pairs.len() },
        exact: duel.exact,
        first,
        again: None,
        why_not: None,
    }
}

/// Why a difference on this row means nothing: the base differs from itself there.
/// Counts that never vary are above that.
fn differs(row: &Row, repeats: &[Row]) -> Option<String> {
    let same = |repeat: &&Row| {
        (&repeat.workload, repeat.quantity) == (&row.workload, row.quantity)
            && matches!(repeat.first, Verdict::Better | Verdict::Worse)
    };
    let repeat = repeats.iter().find(same).filter(|_| !row.exact)?;
    Some(format!("the A/A row reads {} here", shown(repeat.ratio)))
}

/// Judges what seemed to be worse by fresh samples alone.
fn confirm(rows: &mut [Row], confirming: &Samples<'_>, margins: &Margins) {
    let alarmed = |row: &Row| row.first == Verdict::Worse && row.why_not.is_none();
    let again: Vec<(usize, Duel)> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| alarmed(row))
        .filter_map(|(at, row)| {
            Some((at, confirming.duel(&row.workload, row.quantity, Role::Candidate)?))
        })
        .collect();
    let with_interval = again.iter().filter(|(_, duel)| !duel.exact).count();
    let levels = Levels::of(with_interval, LOOKS.len());
    for (at, duel) in again {
        let (ratio, verdict) = duel.judge(rows[at].quantity, margins, levels);
        let pairs = if duel.exact { duel.new.len() } else { duel.pairs.len() };
        rows[at].again = Some(Again { ratio, pairs, verdict });
    }
}

fn distrust(gate: &Gate, measured: &Samples<'_>) -> Vec<String> {
    let broken = measured.base_failures().map(|(workload, why)| {
        format!("nothing can be said of {}: {why}", units::clip(workload, 40))
    });
    let differs = |row: &&Row| matches!(row.first, Verdict::Better | Verdict::Worse);
    let repeats = gate.repeats.iter().filter(differs).map(|row| {
        format!("the base measured against itself reads {} in {}", shown(row.ratio), row.named())
    });
    let missed = gate.controls.iter().filter(|row| row.first != Verdict::Worse);
    let controls = missed.filter_map(|row| {
        Some(format!(
            "the positive control, {} more {}, was not found: it reads {} in {} pairs",
            units::percent(planted(row)?),
            row.named(),
            shown(row.ratio),
            row.pairs
        ))
    });
    let none = gate.controls.is_empty().then(|| "there is no positive control".to_owned());
    repeats.chain(controls).chain(none).chain(broken).collect()
}

/// By which share the positive control is worse than the base on this row, if the
/// gate must find that.
fn planted(row: &Row) -> Option<f64> {
    match row.quantity {
        Quantity::CpuTime => Some(CONTROL_TIME),
        Quantity::MinorFaults if row.exact => Some(CONTROL_FAULTS),
        _ => None,
    }
}

fn shown(ratio: Option<Estimate>) -> String {
    ratio.map_or_else(|| "no ratio".to_owned(), units::ratio_interval)
}
