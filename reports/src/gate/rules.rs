//! The rules by which two figures are judged; docs/gate.md tells them.

use crate::judge::{Verdict, judge};
use crate::quantity::Quantity;
use crate::record::{Margins, Pass};
use crate::stats::{CONFIDENCE, Estimate, Interval, LOOKS, median, paired_ratio, spread};

/// A count is not worse for fewer calls or faults than this, however few there are.
pub const COUNT_FLOOR: f64 = 4.0;

/// Counted processes of each arm, unless they vary: then each round has one.
pub const COUNTED: u32 = 3;

/// Times that were taken at different hours differ by as much as this without any
/// reason in the program.
pub const APART: f64 = 0.30;

/// What the positive control spends beyond the reference: a share of its CPU time.
pub const CONTROL_TIME: f64 = 0.20;

/// And a share of its minor faults; [`COUNT_FLOOR`] and one more at the least.
pub const CONTROL_FAULTS: f64 = 0.02;

/// Whether the gate goes on until it is decided. Elapsed time is judged, but how
/// long it stays open depends on what else the machine does.
pub(super) const fn decides(quantity: Quantity) -> bool {
    !matches!(quantity, Quantity::WallTime)
}

/// The samples of two arms: pairs are of one round.
#[derive(Debug, Clone, Default)]
pub(super) struct Duel {
    pub base: Vec<f64>,
    pub new: Vec<f64>,
    pub pairs: Vec<(f64, f64)>,
    /// All samples of base and its repeat are the same, and so are those of new.
    pub exact: bool,
}

impl Duel {
    /// How the two compare, and what that amounts to at `confidence`.
    pub fn judge(
        &self,
        quantity: Quantity,
        margins: &Margins,
        confidence: f64,
    ) -> (Option<Estimate>, Verdict) {
        let Some(base) = median(&self.base) else { return (None, Verdict::Undecided) };
        let margin = margin(quantity, self.exact, margins, base);
        if self.exact {
            return exactly(base, self.new[0], margin);
        }
        let ratio = paired_ratio(&self.positive(quantity), confidence);
        (ratio, judge(ratio.and_then(|ratio| ratio.interval), margin))
    }

    /// The pairs, new first. A count may be 0, to which there is no ratio: then one
    /// is added to all.
    fn positive(&self, quantity: Quantity) -> Vec<(f64, f64)> {
        let counted = quantity.pass() == Pass::Counts;
        let zero = self.pairs.iter().any(|(base, new)| *base <= 0.0 || *new <= 0.0);
        let more = if counted && zero { 1.0 } else { 0.0 };
        self.pairs.iter().map(|(base, new)| (new + more, base + more)).collect()
    }
}

pub(super) fn exactly(base: f64, new: f64, margin: f64) -> (Option<Estimate>, Verdict) {
    if base > 0.0 {
        let interval = Some(Interval::point(new / base));
        return (Some(Estimate { value: new / base, interval }), judge(interval, margin));
    }
    (None, if new > COUNT_FLOOR { Verdict::Worse } else { Verdict::Same })
}

/// The margin of a quantity of which `base` is the usual value.
pub(super) fn margin(quantity: Quantity, exact: bool, margins: &Margins, base: f64) -> f64 {
    let counted = quantity.pass() == Pass::Counts;
    let relative = match quantity.pass() {
        Pass::Memory => margins.memory,
        Pass::Counts if exact => margins.counts,
        _ => margins.time,
    };
    if counted { relative.max(COUNT_FLOOR / base.max(1.0)) } else { relative }
}

/// The confidence of each interval of a gate of which `rows` rows have one: the
/// error of [`CONFIDENCE`] is spread over these rows and all looks.
pub fn confidence(rows: usize) -> f64 {
    spread(CONFIDENCE, rows * LOOKS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(base: f64, new: f64) -> Verdict {
        let duel = Duel { base: vec![base; 6], new: vec![new; 3], pairs: Vec::new(), exact: true };
        duel.judge(Quantity::MinorFaults, &Margins::USUAL, 0.99).1
    }

    #[test]
    fn counts_that_never_vary_gate_at_one_per_cent_and_a_floor() {
        assert_eq!(exact(10_000.0, 10_100.0), Verdict::Same);
        assert_eq!(exact(10_000.0, 10_101.0), Verdict::Worse);
        assert_eq!(exact(10_000.0, 9_900.0), Verdict::Better);
        assert_eq!(exact(20.0, 24.0), Verdict::Same);
        assert_eq!(exact(20.0, 25.0), Verdict::Worse);
        assert_eq!(exact(0.0, 0.0), Verdict::Same);
        assert_eq!(exact(0.0, 4.0), Verdict::Same);
        assert_eq!(exact(0.0, 5.0), Verdict::Worse);
        // Down to nothing.
        assert_eq!(exact(20.0, 0.0), Verdict::Better);
    }

    #[test]
    fn a_count_that_varies_is_judged_like_a_time() {
        let pairs: Vec<(f64, f64)> = (0..24).map(|i| (1000.0, 1020.0 + f64::from(i % 2))).collect();
        let judged = |pairs: &[(f64, f64)]| {
            let (base, new) = pairs.iter().copied().unzip();
            let duel = Duel { base, new, pairs: pairs.to_vec(), exact: false };
            duel.judge(Quantity::MinorFaults, &Margins::USUAL, 0.999).1
        };
        assert_eq!(judged(&pairs), Verdict::Same);
        let more: Vec<_> = pairs.iter().map(|(base, new)| (*base, new + 20.0)).collect();
        assert_eq!(judged(&more), Verdict::Worse);
        // From none to some, in most rounds.
        let some: Vec<_> = (0..24).map(|i| (0.0, 8.0 + f64::from(i % 3))).collect();
        assert_eq!(judged(&some), Verdict::Worse);
    }

    #[test]
    fn the_error_is_spread_over_rows_and_looks() {
        assert!((confidence(12) - (1.0 - 0.01 / 48.0)).abs() < 1e-12);
    }
}
