//! One metric of one cell: its median, its ratio to the reference, its verdict.

use crate::judge::{Verdict, judge, margin};
use crate::record::{Metric, Pass};
use crate::stats::{
    CONFIDENCE, Estimate, Interval, bootstrap_ratio, median, median_interval, paired_ratio,
};

/// The resampling of unpaired ratios starts here, so that pages can be made again.
const SEED: u64 = 0x6272_6b70_6f69_6e74;

/// One metric of one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// Median of the samples, in the metric's unit.
    pub median: f64,
    /// Its 99 % interval; `None`: too few samples.
    pub interval: Option<Interval>,
    /// Samples.
    pub n: usize,
    /// Ratio to the reference, with its 99 % interval. `None` for the reference
    /// itself, and where the reference has no sample or a zero.
    pub ratio: Option<Estimate>,
    /// What the ratio amounts to; `None` where there is nothing to compare with.
    pub verdict: Option<Verdict>,
}

/// The other side of a comparison.
pub(crate) struct Side {
    /// Own and reference's value, measured in the same round.
    pub pairs: Vec<(f64, f64)>,
    /// All values of the reference; empty if they must not be compared.
    pub reference: Vec<f64>,
}

/// The figure of `own` samples; `None` if there are none.
pub(crate) fn figure(metric: Metric, own: &[f64], side: &Side) -> Option<Figure> {
    let median = median(own)?;
    let (ratio, verdict) = compare(metric, own, side);
    Some(Figure {
        median,
        interval: match exact(metric, own) {
            Some(value) => Some(Interval::point(value)),
            None => median_interval(own, CONFIDENCE),
        },
        n: own.len(),
        ratio,
        verdict,
    })
}

fn compare(metric: Metric, own: &[f64], side: &Side) -> (Option<Estimate>, Option<Verdict>) {
    if side.pairs.is_empty() && side.reference.is_empty() {
        return (None, None);
    }
    // The reference as it was in the rounds of these samples, if there are such.
    let reference: Vec<f64> = match side.pairs.is_empty() {
        true => side.reference.clone(),
        false => side.pairs.iter().map(|pair| pair.1).collect(),
    };
    if let (Some(own), Some(reference)) = (exact(metric, own), exact(metric, &reference)) {
        return compare_exact(metric, own, reference);
    }
    let ratio = match side.pairs.is_empty() {
        true => bootstrap_ratio(own, &reference, CONFIDENCE, SEED),
        false => paired_ratio(&side.pairs, CONFIDENCE),
    };
    // Judged as what there is less of where it is better.
    let judged = if metric.more_is_better() { ratio.map(Estimate::inverse) } else { ratio };
    (ratio, Some(judge(judged.and_then(|ratio| ratio.interval), margin(metric))))
}

fn compare_exact(metric: Metric, own: f64, reference: f64) -> (Option<Estimate>, Option<Verdict>) {
    if reference == 0.0 {
        let verdict = if own == 0.0 { Verdict::Same } else { Verdict::Worse };
        return (None, Some(verdict));
    }
    let interval = Interval::point(own / reference);
    let ratio = Estimate { value: own / reference, interval: Some(interval) };
    (Some(ratio), Some(judge(Some(interval), margin(metric))))
}

/// The value that all samples share, for a metric that is counted and not
/// timed: two equal counts are no accident, two equal times are a coarse clock.
fn exact(metric: Metric, values: &[f64]) -> Option<f64> {
    let (first, rest) = values.split_first()?;
    let counted = !matches!(metric.pass(), Pass::Time | Pass::Latency);
    (counted && !rest.is_empty() && rest.iter().all(|v| v == first)).then_some(*first)
}
