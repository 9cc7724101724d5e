//! Looking at samples while they are being taken, without finding what is not there.

/// Pairs of samples after which it is looked whether all is decided. There are no
/// other looks: an interval that is looked at again and again deceives ever more often.
pub const LOOKS: [u32; 6] = [12, 24, 48, 96, 192, 384];

/// The confidence of each interval of several, so that the chance that any of them
/// misses its truth is at most that of one interval of `confidence` (Bonferroni).
/// `intervals` counts every look at every figure.
pub fn spread(confidence: f64, intervals: usize) -> f64 {
    1.0 - (1.0 - confidence) / intervals.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_shared_out_evenly() {
        assert_eq!(spread(0.99, 1), 0.99);
        assert_eq!(spread(0.99, 0), 0.99);
        assert!((spread(0.99, 10) - 0.999).abs() < 1e-12);
    }
}
