//! The statistics against figures worked out by hand or published, and against
//! simulation.

mod fixture;

use brkpoint_reports::stats::{
    CONFIDENCE, Interval, bootstrap_ratio, geometric_mean, median, median_interval, paired_ratio,
    signed_rank,
};
use fixture::Noise;
use proptest::prelude::*;

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * a.abs().max(b.abs()).max(1e-300)
}

#[test]
fn the_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[3.0]), Some(3.0));
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(median(&[1.0, f64::NAN]), None);
    assert_eq!(median(&[f64::MAX, f64::MAX]), Some(f64::MAX));
}

#[test]
fn fewer_than_eight_samples_give_no_interval() {
    let values: Vec<f64> = (0..8).map(f64::from).collect();
    for n in 0..8 {
        assert_eq!(median_interval(&values[..n], CONFIDENCE), None);
        let shift = signed_rank(&values[..n], CONFIDENCE);
        assert!(shift.is_none_or(|s| s.interval.is_none()));
    }
    // With 8 the extremes cover the median with 1 - 2 / 2^8 = 99.2 %.
    let all = Some(Interval { low: 0.0, high: 7.0 });
    assert_eq!(median_interval(&values, CONFIDENCE), all);
    assert_eq!(signed_rank(&values, CONFIDENCE).unwrap().interval, all);
}

#[test]
fn equal_samples_give_an_interval_without_width() {
    assert_eq!(median_interval(&[5.0; 8], CONFIDENCE), Some(Interval::point(5.0)));
    let shift = signed_rank(&[5.0; 30], CONFIDENCE).unwrap();
    assert_eq!((shift.value, shift.interval), (5.0, Some(Interval::point(5.0))));
}

// Depression scores of nine patients before and after treatment (Hollander and
// Wolfe, table 3.1). Their example gives the estimate -0.46; with nine pairs the
// 99 % interval leaves out one Walsh average on each side, so it runs from the
// second smallest to the second largest of the 45.
#[test]
fn the_published_example_of_the_signed_rank_estimate_is_reproduced() {
    // In hundredths: 3.14 would be taken for an attempt at pi.
    let before = [183.0, 50.0, 162.0, 248.0, 168.0, 188.0, 155.0, 306.0, 130.0];
    let after = [87.8, 64.7, 59.8, 205.0, 106.0, 129.0, 106.0, 314.0, 129.0];
    let differences: Vec<f64> = after.iter().zip(before).map(|(a, b)| (a - b) / 100.0).collect();
    let shift = signed_rank(&differences, CONFIDENCE).unwrap();
    assert!((shift.value + 0.46).abs() < 1e-9, "{}", shift.value);
    // Their interval, at 96.1 %.
    let interval = signed_rank(&differences, 0.95).unwrap().interval.unwrap();
    assert!((interval.low + 0.786).abs() < 1e-9, "{interval:?}");
    assert!((interval.high + 0.010).abs() < 1e-9, "{interval:?}");
    // Sorted: -1.022 -0.952 -0.62 -0.59 -0.49 -0.43 -0.01 0.08 0.147. The second
    // smallest average is that of the two smallest, and so at the other end.
    let interval = shift.interval.unwrap();
    assert!((interval.low - (-1.022 - 0.952) / 2.0).abs() < 1e-9, "{interval:?}");
    assert!((interval.high - (0.08 + 0.147) / 2.0).abs() < 1e-9, "{interval:?}");
}

#[test]
fn a_ratio_of_pairs_does_not_see_noise_that_both_share() {
    let pairs: Vec<(f64, f64)> = fixture::rounds(12, 3).iter().map(|r| (0.5 * r, *r)).collect();
    let ratio = paired_ratio(&pairs, CONFIDENCE).unwrap();
    assert!(close(ratio.value, 0.5));
    let interval = ratio.interval.unwrap();
    assert!(interval.high - interval.low < 1e-12);
    assert_eq!(paired_ratio(&[(1.0, 0.0)], CONFIDENCE), None);
    assert_eq!(paired_ratio(&[(0.0, 1.0)], CONFIDENCE), None);
    assert_eq!(paired_ratio(&[], CONFIDENCE), None);
}

#[test]
fn the_geometric_mean_of_inverse_ratios_is_one() {
    assert!(close(geometric_mean(&[0.5, 2.0]).unwrap(), 1.0));
    assert!(close(geometric_mean(&[1.0, 10.0, 100.0]).unwrap(), 10.0));
    for bad in [&[][..], &[0.0, 1.0], &[-1.0], &[f64::NAN], &[f64::INFINITY]] {
        assert_eq!(geometric_mean(bad), None);
    }
}

/// How many of `tries` intervals hold `truth`.
fn coverage(tries: u32, truth: f64, mut interval: impl FnMut() -> Interval) -> f64 {
    let holds = |i: Interval| i.low <= truth && truth <= i.high;
    (0..tries).filter(|_| holds(interval())).count() as f64 / f64::from(tries)
}

// Coverage is simulated with fixed seeds. Of 4,000 intervals that cover with
// 99 %, fewer than 98.5 % hold the truth once in 1,000 such tests.
#[test]
fn intervals_of_the_median_cover_skewed_noise() {
    for n in [8, 12, 24, 96] {
        let mut noise = Noise::new(n);
        // Log-normal: its median is 1, its mean is not.
        let share = coverage(4_000, 1.0, || {
            let values: Vec<f64> = (0..n).map(|_| noise.factor(0.8)).collect();
            median_interval(&values, CONFIDENCE).unwrap()
        });
        assert!(share >= 0.985, "n = {n}: {share}");
    }
}

#[test]
fn intervals_of_paired_ratios_cover_and_are_not_needlessly_wide() {
    for n in [8, 12, 24, 60] {
        let mut noise = Noise::new(n);
        let mut width = 0.0;
        let share = coverage(4_000, 0.8, || {
            let pairs: Vec<(f64, f64)> = (0..n)
                .map(|_| {
                    let shared = noise.factor(0.3);
                    (0.8 * shared * noise.factor(0.02), shared * noise.factor(0.02))
                })
                .collect();
            let interval = paired_ratio(&pairs, CONFIDENCE).unwrap().interval.unwrap();
            width += (interval.high / interval.low).ln() / 4_000.0;
            interval
        });
        assert!(share >= 0.985, "n = {n}: {share}");
        // The normal-theory interval of the same differences is 5.15 sigma /
        // sqrt(n) wide for large n; few pairs pay up to twice that.
        let ideal = 5.15 * 0.02 * 2f64.sqrt() / (n as f64).sqrt();
        assert!(width < 2.0 * ideal, "n = {n}: {width} against {ideal}");
    }
}

#[test]
fn bootstrapped_ratios_cover() {
    let mut noise = Noise::new(5);
    let share = coverage(150, 1.25, || {
        let a: Vec<f64> = (0..20).map(|_| 1.25 * noise.factor(0.05)).collect();
        let b: Vec<f64> = (0..16).map(|_| noise.factor(0.05)).collect();
        bootstrap_ratio(&a, &b, CONFIDENCE, 1).unwrap().interval.unwrap()
    });
    assert!(share >= 0.97, "{share}");
}

#[test]
fn a_bootstrap_is_the_same_every_time_and_needs_eight_samples() {
    let values: Vec<f64> = fixture::rounds(9, 1);
    let other: Vec<f64> = fixture::rounds(9, 2);
    let once = bootstrap_ratio(&values, &other, CONFIDENCE, 7);
    assert_eq!(once, bootstrap_ratio(&values, &other, CONFIDENCE, 7));
    let few = bootstrap_ratio(&values[..7], &other, CONFIDENCE, 7).unwrap();
    assert_eq!(few.interval, None);
    assert_eq!(bootstrap_ratio(&[0.0; 9], &other, CONFIDENCE, 7), None);
    assert_eq!(bootstrap_ratio(&[], &other, CONFIDENCE, 7), None);
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(0.001f64..1e6, 8..70)
}

proptest! {
    #[test]
    fn intervals_hold_their_estimate_and_do_not_depend_on_the_order(mut values in values()) {
        let (middle, interval) = (median(&values), median_interval(&values, CONFIDENCE).unwrap());
        let shift = signed_rank(&values, CONFIDENCE).unwrap();
        prop_assert!(interval.low <= middle.unwrap() && middle.unwrap() <= interval.high);
        let of_shift = shift.interval.unwrap();
        prop_assert!(of_shift.low <= shift.value && shift.value <= of_shift.high);
        values.reverse();
        let third = values.len() / 3;
        values.rotate_left(third);
        prop_assert_eq!(median(&values), middle);
        prop_assert_eq!(median_interval(&values, CONFIDENCE), Some(interval));
        prop_assert_eq!(signed_rank(&values, CONFIDENCE), Some(shift));
    }

    #[test]
    fn estimates_move_with_their_samples(values in values(), by in -1e3f64..1e3) {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        let moved: Vec<f64> = values.iter().map(|v| v + by).collect();
        let (a, b) = (signed_rank(&values, CONFIDENCE).unwrap(), signed_rank(&moved, CONFIDENCE).unwrap());
        prop_assert!(near(a.value + by, b.value));
        prop_assert!(near(a.interval.unwrap().low + by, b.interval.unwrap().low));
        prop_assert!(near(a.interval.unwrap().high + by, b.interval.unwrap().high));
    }

    #[test]
    fn swapping_the_sides_inverts_the_ratio(values in values(), factor in 0.1f64..10.0) {
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
        let noisy = |i: usize| factor * (1.0 + (i % 7) as f64 / 50.0);
        let there: Vec<(f64, f64)> = values.iter().enumerate().map(|(i, v)| (v * noisy(i), *v)).collect();
        let back: Vec<(f64, f64)> = there.iter().map(|p| (p.1, p.0)).collect();
        let (a, b) = (paired_ratio(&there, CONFIDENCE).unwrap(), paired_ratio(&back, CONFIDENCE).unwrap());
        prop_assert!(near(a.value, 1.0 / b.value));
        prop_assert!(near(a.interval.unwrap().low, 1.0 / b.interval.unwrap().high));
    }

    #[test]
    fn no_input_makes_them_panic(values in proptest::collection::vec(any::<f64>(), 0..40)) {
        let pairs: Vec<(f64, f64)> = values.iter().copied().zip(values.iter().rev().copied()).collect();
        median(&values);
        median_interval(&values, CONFIDENCE);
        signed_rank(&values, CONFIDENCE);
        paired_ratio(&pairs, CONFIDENCE);
        geometric_mean(&values);
    }
}
