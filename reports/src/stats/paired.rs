//! Paired samples: the Hodges-Lehmann estimate and its signed-rank interval.

use super::{Estimate, Interval, mid, normal_quantile, sorted};

/// Beyond this many pairs the signed-rank distribution is taken for normal.
const EXACT_UP_TO: usize = 50;

/// The shift of `differences` from zero: the median of the averages of all
/// pairs of differences, each also with itself (Walsh averages).
///
/// The interval runs from the k-th smallest to the k-th largest of these, where
/// k - 1 is the largest value of Wilcoxon's statistic that the null hypothesis
/// exceeds downwards with at most (1 - `confidence`) / 2. It supposes that a
/// difference is as likely above the shift as below by the same amount, which
/// pairs measured in random order within a round give. Zeros and ties are kept:
/// they enter the averages like any other value and only make the interval
/// conservative.
pub fn signed_rank(differences: &[f64], confidence: f64) -> Option<Estimate> {
    let sorted = sorted(differences)?;
    if sorted.is_empty() {
        return None;
    }
    let averages = count_averages(sorted.len());
    let value =
        mid(nth_average(&sorted, averages.div_ceil(2)), nth_average(&sorted, averages / 2 + 1));
    let interval = rank(sorted.len(), (1.0 - confidence) / 2.0).map(|k| Interval {
        low: nth_average(&sorted, k),
        high: nth_average(&sorted, averages + 1 - k),
    });
    Some(Estimate { value, interval })
}

/// The ratio of the first to the second of each pair: [`signed_rank`] of the
/// logarithms. `None` if a value is not positive: a ratio to zero says nothing.
pub fn paired_ratio(pairs: &[(f64, f64)], confidence: f64) -> Option<Estimate> {
    if !pairs.iter().all(|&(a, b)| a > 0.0 && b > 0.0) {
        return None;
    }
    let logs: Vec<f64> = pairs.iter().map(|(a, b)| a.ln() - b.ln()).collect();
    let shift = signed_rank(&logs, confidence)?;
    Some(Estimate { value: shift.value.exp(), interval: shift.interval.map(|i| i.map(f64::exp)) })
}

fn count_averages(n: usize) -> usize {
    n * (n + 1) / 2
}

/// The largest k with P(W <= k - 1) <= `tail`, for W the signed-rank statistic
/// of n differences that are symmetric about zero.
fn rank(n: usize, tail: f64) -> Option<usize> {
    if n > EXACT_UP_TO {
        let n = n as f64;
        let mean = n * (n + 1.0) / 4.0;
        let deviation = (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt();
        return Some((mean - normal_quantile(tail) * deviation).floor() as usize);
    }
    exact_rank(n, tail)
}

fn exact_rank(n: usize, tail: f64) -> Option<usize> {
    let mut below = 0.0;
    let mut rank = 0;
    for term in distribution(n) {
        below += term;
        if below > tail {
            break;
        }
        rank += 1;
    }
    (rank > 0).then_some(rank)
}

/// P(W = w) by w: each rank 1..=n is in the sum or not, with equal chance.
fn distribution(n: usize) -> Vec<f64> {
    let mut chance = vec![0.0; count_averages(n) + 1];
    chance[0] = 1.0;
    for rank in 1..=n {
        for w in (0..chance.len()).rev() {
            let with = if w >= rank { chance[w - rank] } else { 0.0 };
            chance[w] = mid(chance[w], with);
        }
    }
    chance
}

/// The k-th smallest (from 1) Walsh average of `sorted`.
///
/// There are n (n + 1) / 2 of them, too many to list for a large n. How many
/// are at most t is counted in O(n), so t is found by bisection over the bit
/// patterns of `f64`, in at most 64 steps.
fn nth_average(sorted: &[f64], k: usize) -> f64 {
    let n = sorted.len();
    let mut low = to_order(sorted[0]);
    let mut high = to_order(sorted[n - 1]);
    while low < high {
        let middle = low + (high - low) / 2;
        if averages_up_to(sorted, from_order(middle)) >= k {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    from_order(low)
}

/// How many pairs i <= j average to at most `limit`.
fn averages_up_to(sorted: &[f64], limit: f64) -> usize {
    // `end` only falls as i rises: averages grow with either index.
    let mut end = sorted.len();
    let mut count = 0;
    for (i, &low) in sorted.iter().enumerate() {
        while end > i && mid(low, sorted[end - 1]) > limit {
            end -= 1;
        }
        if end <= i {
            break;
        }
        count += end - i;
    }
    count
}

/// Integers in the order of the numbers they stand for (as `f64::total_cmp`).
fn to_order(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn from_order(order: u64) -> f64 {
    let bits = if order >> 63 == 1 { order & !(1 << 63) } else { !order };
    f64::from_bits(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Tables of the signed-rank statistic at 1 % (two-sided), e.g. Wilcoxon and
    // Wilcox 1964: the critical values are 0, 1, 3, 5, 7, 9, 12, 15, 19, 37, 68.
    #[test]
    fn ranks_are_those_of_the_published_tables() {
        let table = [
            (8, 0),
            (9, 1),
            (10, 3),
            (11, 5),
            (12, 7),
            (13, 9),
            (14, 12),
            (15, 15),
            (16, 19),
            (20, 37),
            (25, 68),
            (50, 373),
        ];
        for (n, critical) in table {
            assert_eq!(rank(n, 0.005), Some(critical + 1), "n = {n}");
        }
        assert_eq!(rank(7, 0.005), None);
    }

    #[test]
    fn the_normal_ranks_are_a_little_wider_than_the_exact_ones() {
        for n in EXACT_UP_TO + 1..EXACT_UP_TO + 20 {
            let (normal, exact) = (rank(n, 0.005).unwrap(), exact_rank(n, 0.005).unwrap());
            assert!(normal <= exact && exact - normal <= 5, "{n}: {normal}, {exact}");
        }
    }

    #[test]
    fn every_average_is_found_by_bisection() {
        let sorted = [-3.0, -1.0, -1.0, 0.0, 0.5, 2.0, 7.0];
        let mut averages = Vec::new();
        for i in 0..sorted.len() {
            for j in i..sorted.len() {
                averages.push(mid(sorted[i], sorted[j]));
            }
        }
        averages.sort_by(f64::total_cmp);
        for (k, average) in averages.iter().enumerate() {
            assert_eq!(nth_average(&sorted, k + 1), *average, "k = {}", k + 1);
        }
    }
}
