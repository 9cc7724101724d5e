//! The ratio of two medians whose samples have no pairs.

use super::{Estimate, Interval, MIN_SAMPLES, median};

/// Resamples drawn: 50 of them lie beyond each end at 99 %.
const RESAMPLES: usize = 10_000;

/// The ratio of the median of `a` to that of `b`; interval by the percentile
/// bootstrap. The same `seed` gives the same interval, so that a page made twice
/// from the same records is the same page. No interval from fewer than
/// [`MIN_SAMPLES`] on either side: the resampled medians then take too few values. `None` if a value is not positive.
pub fn bootstrap_ratio(a: &[f64], b: &[f64], confidence: f64, seed: u64) -> Option<Estimate> {
    if !a.iter().chain(b).all(|&v| v > 0.0) {
        return None;
    }
    let value = median(a)? / median(b)?;
    if a.len().min(b.len()) < MIN_SAMPLES {
        return Some(Estimate { value, interval: None });
    }
    // Sorted, so that the order of the samples has no influence.
    let (a, b) = (super::sorted(a)?, super::sorted(b)?);
    let mut random = SplitMix(seed);
    let mut drawn = vec![0.0; a.len().max(b.len())];
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| random.median(&a, &mut drawn) / random.median(&b, &mut drawn))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let outside = ((1.0 - confidence) / 2.0 * RESAMPLES as f64).floor() as usize;
    Some(Estimate {
        value,
        interval: Some(Interval { low: ratios[outside], high: ratios[RESAMPLES - 1 - outside] }),
    })
}

/// SplitMix64 (Steele, Lea and Flood 2014): small, and the same in every release.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The median of as many samples as there are, drawn with replacement.
    fn median(&mut self, samples: &[f64], drawn: &mut [f64]) -> f64 {
        let n = samples.len();
        let drawn = &mut drawn[..n];
        for slot in drawn.iter_mut() {
            *slot = samples[((u128::from(self.next()) * n as u128) >> 64) as usize];
        }
        let (below, &mut upper, _) = drawn.select_nth_unstable_by(n / 2, f64::total_cmp);
        if n % 2 == 1 {
            return upper;
        }
        let lower = below.iter().copied().fold(f64::MIN, f64::max);
        super::mid(lower, upper)
    }
}
