//! The positive control: a known burden, and whether the run found it.
//!
//! The gate judges its own by its own rules (`gate`); here is the control of every
//! other run, which has a workload to itself ([`CONTROL`](crate::record::CONTROL)).

use std::collections::BTreeMap;

use crate::judge::{Verdict, judge};
use crate::quantity::Quantity;
use crate::read::Records;
use crate::record::{Exit, Margins, Role, Sample};
use crate::stats::{CONFIDENCE, Estimate, Interval, paired_ratio};

/// A count is not worse for fewer calls or faults than this, however few there are.
pub const COUNT_FLOOR: f64 = 4.0;

/// What the positive control spends beyond the reference: a share of its CPU time.
pub const CONTROL_TIME: f64 = 0.20;

/// And a share of its minor faults; [`COUNT_FLOOR`] and one more at the least.
pub const CONTROL_FAULTS: f64 = 0.02;

/// What was planted in one quantity, and what was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Control {
    /// What was made worse.
    pub quantity: Quantity,
    /// By which share.
    pub planted: f64,
    /// What was measured: burdened to unburdened, with its 99 % interval.
    pub ratio: Estimate,
    /// [`Verdict::Worse`]: it was found.
    pub verdict: Verdict,
}

/// The controls that `records` hold, one a quantity.
pub(crate) fn controls(records: &Records) -> Vec<Control> {
    let planted = [(Quantity::CpuTime, CONTROL_TIME), (Quantity::MinorFaults, CONTROL_FAULTS)];
    let found = planted.into_iter().filter_map(|(quantity, planted)| {
        let ratio = ratio(quantity, &pairs(records, quantity))?;
        let margin = Margins::USUAL.of(quantity.pass());
        Some(Control { quantity, planted, ratio, verdict: judge(ratio.interval, margin) })
    });
    found.collect()
}

/// Burdened and unburdened values of a round.
fn pairs(records: &Records, quantity: Quantity) -> Vec<(f64, f64)> {
    let good = |sample: &&Sample| sample.error.is_none() && sample.exit == Some(Exit::Code(0));
    let of = |role: Role| -> BTreeMap<(&str, u32), f64> {
        let own = records.controls.iter().filter(good).filter(|sample| sample.cell.role == role);
        own.filter_map(|sample| Some(((sample.run.as_str(), sample.round), quantity.of(sample)?)))
            .collect()
    };
    let base = of(Role::Reference);
    of(Role::Control)
        .into_iter()
        .filter_map(|(round, value)| Some((value, *base.get(&round)?)))
        .collect()
}

/// A count that never varies is exact.
fn ratio(quantity: Quantity, pairs: &[(f64, f64)]) -> Option<Estimate> {
    let ratio = paired_ratio(pairs, CONFIDENCE)?;
    let first = pairs.first()?;
    let exact = quantity == Quantity::MinorFaults
        && pairs.len() >= 2
        && pairs.iter().all(|pair| pair == first);
    let interval = if exact { Some(Interval::point(ratio.value)) } else { ratio.interval };
    Some(Estimate { interval, ..ratio })
}
