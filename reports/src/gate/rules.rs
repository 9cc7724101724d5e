//! The rules by which two figures are judged; docs/gate.md tells them.

use crate::control::COUNT_FLOOR;
use crate::judge::{Verdict, judge, judge_twice};
use crate::quantity::Quantity;
use crate::record::{Margins, Pass};
use crate::stats::{CONFIDENCE, Estimate, Interval, median, paired_ratio, spread};

/// Counted processes of each arm, unless they vary: then each round has one.
pub const COUNTED: u32 = 3;

/// Peak RSS that was taken at different hours counts from this share on: more than twice what
/// one build was seen to differ by from hour to hour (docs/gate.md).
pub const APART: f64 = 0.20;

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
    /// How the two compare, and what that amounts to at `levels`.
    pub fn judge(
        &self,
        quantity: Quantity,
        margins: &Margins,
        levels: Levels,
    ) -> (Option<Estimate>, Verdict) {
        let Some(base) = median(&self.base) else { return (None, Verdict::Undecided) };
        let margin = margin(quantity, margins, base);
        if self.exact {
            return exactly(base, self.new[0], margin);
        }
        let pairs = self.positive(quantity);
        levels.judge(margin, |level| paired_ratio(&pairs, level))
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
pub(super) fn margin(quantity: Quantity, margins: &Margins, base: f64) -> f64 {
    let pass = quantity.pass();
    let relative = margins.of(pass);
    if pass == Pass::Counts { relative.max(COUNT_FLOOR / base.max(1.0)) } else { relative }
}

/// How sure the intervals of a gate are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// Of what finds a difference. A single row that errs is a false alarm, so the
    /// error of [`CONFIDENCE`] is spread over all looks at all rows.
    pub found: f64,
    /// Of what rules one out. A pass needs that on every row, so where one truly is
    /// worse, that row has to err: the error is spread over the looks alone, and it is
    /// that of the upper end alone.
    pub ruled_out: f64,
}

impl Levels {
    /// Of a gate in which `rows` rows have an interval, at each of `looks` looks.
    pub fn of(rows: usize, looks: usize) -> Levels {
        let both_ends = 1.0 - 2.0 * (1.0 - CONFIDENCE);
        Levels { found: spread(CONFIDENCE, rows * looks), ruled_out: spread(both_ends, looks) }
    }

    /// The ratio with the interval that the verdict comes from, and the verdict.
    pub(super) fn judge(
        self,
        margin: f64,
        ratio: impl Fn(f64) -> Option<Estimate>,
    ) -> (Option<Estimate>, Verdict) {
        let (wide, narrow) = (ratio(self.found), ratio(self.ruled_out));
        let interval = |ratio: Option<Estimate>| ratio.and_then(|ratio| ratio.interval);
        let verdict = judge_twice(interval(wide), interval(narrow), margin);
        match verdict {
            Verdict::Same | Verdict::NotWorse => (narrow, verdict),
            Verdict::Better | Verdict::Worse | Verdict::Undecided => (wide, verdict),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::LOOKS;

    fn exact(base: f64, new: f64) -> Verdict {
        let duel = Duel { base: vec![base; 6], new: vec![new; 3], pairs: Vec::new(), exact: true };
        duel.judge(Quantity::MinorFaults, &Margins::USUAL, Levels::of(1, 1)).1
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
    fn a_count_that_varies_is_judged_by_an_interval_and_its_own_margin() {
        let pairs: Vec<(f64, f64)> = (0..24).map(|i| (1000.0, 1004.0 + f64::from(i % 2))).collect();
        let judged = |pairs: &[(f64, f64)]| {
            let (base, new) = pairs.iter().copied().unzip();
            let duel = Duel { base, new, pairs: pairs.to_vec(), exact: false };
            duel.judge(Quantity::MinorFaults, &Margins::USUAL, Levels::of(1, LOOKS.len())).1
        };
        assert_eq!(judged(&pairs), Verdict::Same);
        let more: Vec<_> = pairs.iter().map(|(base, new)| (*base, new + 16.0)).collect();
        assert_eq!(judged(&more), Verdict::Worse);
        // From none to some, in most rounds.
        let some: Vec<_> = (0..24).map(|i| (0.0, 8.0 + f64::from(i % 3))).collect();
        assert_eq!(judged(&some), Verdict::Worse);
    }

    #[test]
    fn the_error_of_an_alarm_is_spread_over_rows_and_looks_and_that_of_a_pass_over_looks() {
        let Levels { found, ruled_out } = Levels::of(12, LOOKS.len());
        assert!((found - (1.0 - 0.01 / 72.0)).abs() < 1e-12);
        assert!((ruled_out - (1.0 - 2.0 * 0.01 / 6.0)).abs() < 1e-12);
    }
}
