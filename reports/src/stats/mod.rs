//! Estimates and their intervals.
//!
//! Every function is pure, takes its samples in any order, and answers `None`
//! rather than inventing a figure: for no samples, for a value that is not
//! finite, and (intervals) for fewer samples than the confidence needs. At 99 %
//! every kind of interval needs [`MIN_SAMPLES`].
//!
//! | function | answers | source |
//! |---|---|---|
//! | [`median`], [`median_interval`] | middle of the samples | order statistics: Conover, *Practical Nonparametric Statistics*, 3.2 |
//! | [`signed_rank`] | shift of paired differences | Hodges and Lehmann 1963; interval after Tukey: Hollander and Wolfe, *Nonparametric Statistical Methods*, 3.3 |
//! | [`paired_ratio`] | ratio of paired samples | the same, on logarithms |
//! | [`bootstrap_ratio`] | ratio of medians without pairs | percentile bootstrap: Efron and Tibshirani, *An Introduction to the Bootstrap*, 13 |
//! | [`spread`] | the confidence of one of several intervals | Bonferroni |
//! | [`geometric_mean`] | average of ratios | Fleming and Wallace 1986 |

use serde::{Deserialize, Serialize};

mod bootstrap;
mod looks;
mod median;
mod paired;

pub use bootstrap::bootstrap_ratio;
pub use looks::{LOOKS, spread};
pub use median::{median, median_interval};
pub use paired::{paired_ratio, signed_rank};

/// Confidence of every interval that brkpoint prints.
pub const CONFIDENCE: f64 = 0.99;

/// Fewest samples, or pairs, from which an interval of [`CONFIDENCE`] can be had.
pub const MIN_SAMPLES: usize = 8;

/// A closed interval; `low <= high`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// The interval of a value that is known exactly.
    pub fn point(value: f64) -> Self {
        Self { low: value, high: value }
    }

    /// Both ends put through a growing function.
    pub fn map(self, grow: impl Fn(f64) -> f64) -> Self {
        Self { low: grow(self.low), high: grow(self.high) }
    }

    /// Whether any value lies in both.
    pub fn overlaps(self, other: Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// A value, and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The best single guess.
    pub value: f64,
    /// `None`: too few samples to say.
    pub interval: Option<Interval>,
}

impl Estimate {
    /// A value that is known exactly.
    pub fn exact(value: f64) -> Self {
        Self { value, interval: Some(Interval::point(value)) }
    }

    /// Of the inverse: a ratio of rates from one of costs.
    pub fn inverse(self) -> Self {
        let flip = |i: Interval| Interval { low: 1.0 / i.high, high: 1.0 / i.low };
        Self { value: 1.0 / self.value, interval: self.interval.map(flip) }
    }
}

/// The geometric mean; `None` for no values or one that is not positive and finite.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let usable = |v: &f64| v.is_finite() && *v > 0.0;
    if values.is_empty() || !values.iter().all(usable) {
        return None;
    }
    let logs: f64 = values.iter().map(|v| v.ln()).sum();
    Some((logs / values.len() as f64).exp())
}

/// A sorted copy; `None` if a value is not finite.
fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    if !values.iter().all(|v| v.is_finite()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

/// `(a + b) / 2` without overflow on the way.
fn mid(a: f64, b: f64) -> f64 {
    a / 2.0 + b / 2.0
}

/// How far in the standard normal distribution a tail of probability `tail`
/// (below 1/2) begins; off by less than 4.5e-4 (Abramowitz and Stegun 26.2.23).
fn normal_quantile(tail: f64) -> f64 {
    let t = (-2.0 * tail.ln()).sqrt();
    let up = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let down = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - up / down
}
