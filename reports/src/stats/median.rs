//! The median and its interval by order statistics.

use super::{Interval, mid, normal_quantile, sorted};

/// Beyond this many samples the binomial distribution is taken for normal.
const EXACT_UP_TO: usize = 1000;

/// The middle sample, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values)?;
    let n = sorted.len();
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(sorted[n / 2]),
        _ => Some(mid(sorted[n / 2 - 1], sorted[n / 2])),
    }
}

/// The interval of the median whose coverage is at least `confidence`, whatever
/// the distribution: from the k-th smallest to the k-th largest sample.
///
/// How many samples lie below the true median is binomial (n, 1/2), so k is the
/// largest rank with 2 P(B <= k - 1) <= 1 - `confidence`. Ties only widen the
/// coverage. `None` if even the extremes do not reach `confidence`.
pub fn median_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let sorted = sorted(values)?;
    let rank = rank(sorted.len(), (1.0 - confidence) / 2.0)?;
    Some(Interval { low: sorted[rank - 1], high: sorted[sorted.len() - rank] })
}

/// The largest k with P(B <= k - 1) <= `tail` for B binomial (n, 1/2).
fn rank(n: usize, tail: f64) -> Option<usize> {
    if n > EXACT_UP_TO {
        let n = n as f64;
        let rank = n / 2.0 - normal_quantile(tail) * n.sqrt() / 2.0;
        return Some(rank.floor() as usize);
    }
    // P(B = 0) is 2^-n, no less than 1e-302 here.
    let mut term = 0.5f64.powi(n as i32);
    let mut below = 0.0;
    let mut rank = 0;
    while rank < n {
        below += term;
        if below > tail {
            break;
        }
        term *= (n - rank) as f64 / (rank + 1) as f64;
        rank += 1;
    }
    (rank > 0).then_some(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Tables of the sign test at 1 % (two-sided), e.g. Conover table A3.
    #[test]
    fn ranks_are_those_of_the_sign_test() {
        for (n, k) in [(8, 1), (11, 1), (12, 2), (15, 3), (20, 4), (25, 6), (48, 15)] {
            assert_eq!(rank(n, 0.005), Some(k), "n = {n}");
        }
        assert_eq!(rank(7, 0.005), None);
        assert_eq!(rank(0, 0.005), None);
    }

    #[test]
    fn the_normal_ranks_join_the_exact_ones_without_a_step() {
        let exact = rank(EXACT_UP_TO, 0.005).unwrap();
        let normal = rank(EXACT_UP_TO + 1, 0.005).unwrap();
        assert!(normal.abs_diff(exact) <= 1, "{exact} and {normal}");
    }
}
