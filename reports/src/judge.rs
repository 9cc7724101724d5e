//! From an interval to a word.

use serde::{Deserialize, Serialize};

use crate::record::{Margins, Metric, Pass};
use crate::stats::Interval;

/// How a figure stands against the reference's. Less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Lower, by more than the margin.
    Better,
    /// Higher, by more than the margin.
    Worse,
    /// Within the margin.
    Same,
    /// Not higher by more than the margin; whether lower, is open. Of gates alone.
    NotWorse,
    /// The interval reaches across a margin, or there are too few samples.
    Undecided,
}

impl Verdict {
    /// The word for a change in time, as a gate says it.
    pub const fn change(self) -> &'static str {
        match self {
            Verdict::Better => "IMPROVEMENT",
            Verdict::Worse => "REGRESSION",
            Verdict::Same => "SAME",
            Verdict::NotWorse => "NOT WORSE",
            Verdict::Undecided => "INCONCLUSIVE",
        }
    }

    /// The word in tables and in `--json`.
    pub const fn word(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Same => "same",
            Verdict::NotWorse => "not worse",
            Verdict::Undecided => "undecided",
        }
    }
}

/// Judges the interval of a ratio to the reference: a difference counts if the
/// whole interval lies beyond the margin, and is ruled out if it lies within.
pub fn judge(ratio: Option<Interval>, margin: f64) -> Verdict {
    let (least, most) = (1.0 / (1.0 + margin), 1.0 + margin);
    match ratio {
        None => Verdict::Undecided,
        Some(ratio) if ratio.high < least => Verdict::Better,
        Some(ratio) if ratio.low > most => Verdict::Worse,
        Some(ratio) if ratio.low >= least && ratio.high <= most => Verdict::Same,
        Some(_) => Verdict::Undecided,
    }
}

/// Judges by two intervals of one ratio: `wide` must lie beyond the margin for a
/// difference to count, and `narrow` within it for one to be ruled out, which for a
/// pass is needed upwards only.
pub fn judge_twice(wide: Option<Interval>, narrow: Option<Interval>, margin: f64) -> Verdict {
    match (judge(wide, margin), narrow) {
        (found @ (Verdict::Better | Verdict::Worse), _) => found,
        (_, Some(narrow)) if narrow.high <= 1.0 + margin => match judge(Some(narrow), margin) {
            Verdict::Same => Verdict::Same,
            _ => Verdict::NotWorse,
        },
        _ => Verdict::Undecided,
    }
}

/// The smallest relative difference in a metric that is worth acting on.
pub const fn margin(metric: Metric) -> f64 {
    Margins::USUAL.of(metric.pass())
}

impl Margins {
    /// Those that hold where nobody says otherwise.
    pub const USUAL: Margins = Margins { time: 0.03, memory: 0.02, counts: 0.01 };

    /// That of what is measured in `pass`.
    pub const fn of(&self, pass: Pass) -> f64 {
        match pass {
            Pass::Time => self.time,
            Pass::Memory | Pass::Layout => self.memory,
            // A tick more or less is a good part of a short call.
            Pass::Latency => 0.05,
            Pass::Counts => self.counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_interval_beyond_or_within_the_margin_decides() {
        let judged = |low, high| judge(Some(Interval { low, high }), 0.03);
        assert_eq!(judged(0.80, 0.97), Verdict::Better);
        assert_eq!(judged(1.04, 2.0), Verdict::Worse);
        assert_eq!(judged(0.98, 1.02), Verdict::Same);
        assert_eq!(judged(0.96, 0.99), Verdict::Undecided);
        assert_eq!(judged(0.90, 1.10), Verdict::Undecided);
        assert_eq!(judge(None, 0.03), Verdict::Undecided);
    }

    #[test]
    fn a_wide_interval_finds_and_a_narrow_one_rules_out() {
        let judged = |wide: (f64, f64), narrow: (f64, f64)| {
            let of = |(low, high)| Some(Interval { low, high });
            judge_twice(of(wide), of(narrow), 0.03)
        };
        assert_eq!(judged((1.05, 1.30), (1.10, 1.20)), Verdict::Worse);
        assert_eq!(judged((0.80, 0.95), (0.85, 0.90)), Verdict::Better);
        assert_eq!(judged((0.96, 1.04), (0.98, 1.02)), Verdict::Same);
        // Whether it is better does not hold up a pass.
        assert_eq!(judged((0.90, 1.04), (0.94, 1.00)), Verdict::NotWorse);
        assert_eq!(judged((0.90, 1.01), (0.92, 0.96)), Verdict::NotWorse);
        assert_eq!(judged((0.98, 1.10), (1.00, 1.06)), Verdict::Undecided);
        assert_eq!(judged((1.01, 1.20), (1.04, 1.10)), Verdict::Undecided);
        assert_eq!(judge_twice(None, None, 0.03), Verdict::Undecided);
    }

    #[test]
    fn halving_and_doubling_are_judged_alike() {
        let ratio = Interval { low: 1.01, high: 1.2 };
        let inverse = Interval { low: 1.0 / 1.2, high: 1.0 / 1.01 };
        for (margin, up, down) in [
            (0.005, Verdict::Worse, Verdict::Better),
            (0.03, Verdict::Undecided, Verdict::Undecided),
            (0.3, Verdict::Same, Verdict::Same),
        ] {
            assert_eq!(judge(Some(ratio), margin), up);
            assert_eq!(judge(Some(inverse), margin), down);
        }
    }
}
