//! How long single calls of the allocator take, by the time-stamp counter.
//!
//! Each call stands between two readings that wait for what came before them
//! (`lfence`, `rdtscp`), so out-of-order execution can hide nothing and overlap
//! nothing: figures are latencies, and their sum is more than the time pass
//! shows. What a reading itself takes is measured before and subtracted. All
//! threads enter their calls in one histogram, outside the time that is measured.

use std::arch::x86_64::{__rdtscp, _mm_lfence, _rdtsc};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Buckets of a doubling: neighbours are at most 1/64 apart, and below
/// 128 ticks every number has a bucket of its own.
const FINE: u64 = 64;
const EXACT: u64 = 2 * FINE;
/// Up to 2^40 ticks, some minutes; what takes longer is in the last bucket.
const DOUBLINGS: u64 = 40 - EXACT.ilog2() as u64;
const BUCKETS: usize = (EXACT + DOUBLINGS * FINE) as usize;

/// Empty calls timed to learn what a reading takes.
const EMPTY: usize = 20_000;

/// For how long the counter is compared with the system's clock.
const COMPARED: Duration = Duration::from_millis(20);

/// The latencies of a run. Large: it belongs in static memory or in a mapping.
#[derive(Debug)]
pub struct Latencies {
    pub(super) allocations: Histogram,
    pub(super) frees: Histogram,
}

/// Latencies of one kind of call, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantiles {
    /// Half of the calls took no longer.
    pub p50: f64,
    /// 99 of a hundred.
    pub p99: f64,
    /// 999 of a thousand.
    pub p999: f64,
    /// The longest: whatever interrupted it is a part of it.
    pub max: f64,
}

/// What the clock is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    /// Ticks that a call of nothing takes: subtracted from every call.
    pub own_ticks: u64,
    /// Ticks of the counter in a second.
    pub ticks_per_s: f64,
}

impl Clock {
    /// What a reading of the clock adds to what it measures, in seconds.
    pub fn own_s(self) -> f64 {
        self.own_ticks as f64 / self.ticks_per_s
    }
}

impl Latencies {
    /// Without a call.
    pub const fn new() -> Latencies {
        Latencies { allocations: Histogram::new(), frees: Histogram::new() }
    }

    /// Times calls of nothing and compares the counter with the system's clock,
    /// and leaves the histograms empty, their memory resident.
    pub fn calibrate(&self) -> Clock {
        let (began, tick) = (Instant::now(), now());
        for histogram in [&self.frees, &self.allocations] {
            for _ in 0..EMPTY {
                histogram.time(|| black_box(()));
            }
        }
        let own_ticks = self.allocations.at(0.5);
        while began.elapsed() < COMPARED {
            std::hint::spin_loop();
        }
        let ticks_per_s = (now() - tick) as f64 / began.elapsed().as_secs_f64();
        self.allocations.clear();
        self.frees.clear();
        Clock { own_ticks, ticks_per_s }
    }

    /// Of `malloc`, `calloc`, `realloc` and their like; `None` if there were none.
    pub fn allocations(&self, clock: Clock) -> Option<Quantiles> {
        self.allocations.quantiles(clock)
    }

    /// Of `free`.
    pub fn frees(&self, clock: Clock) -> Option<Quantiles> {
        self.frees.quantiles(clock)
    }
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies::new()
    }
}

/// How many calls took how many ticks.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: [AtomicU64; BUCKETS],
    max: AtomicU64,
}

impl Histogram {
    pub(super) const fn new() -> Histogram {
        Histogram { counts: [const { AtomicU64::new(0) }; BUCKETS], max: AtomicU64::new(0) }
    }

    #[inline(always)]
    pub(super) fn time<T>(&self, call: impl FnOnce() -> T) -> T {
        let before = now();
        let result = call();
        self.add(after() - before);
        result
    }

    /// Counts a call of so many ticks.
    pub(super) fn add(&self, ticks: u64) {
        self.counts[bucket(ticks)].fetch_add(1, Ordering::Relaxed);
        // Hardly ever: so the line stays shared.
        if ticks > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(ticks, Ordering::Relaxed);
        }
    }

    fn clear(&self) {
        for count in &self.counts {
            // Written, whatever it was: its memory is to be resident.
            count.store(0, Ordering::Relaxed);
        }
        self.max.store(0, Ordering::Relaxed);
    }

    pub(super) fn calls(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Ticks that `share` of the calls did not exceed: the lower end of a bucket.
    pub(super) fn at(&self, share: f64) -> u64 {
        let wanted = ((self.calls() as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count.load(Ordering::Relaxed);
            if seen >= wanted {
                return least(bucket);
            }
        }
        0
    }

    fn quantiles(&self, clock: Clock) -> Option<Quantiles> {
        let seconds = |ticks: u64| ticks.saturating_sub(clock.own_ticks) as f64 / clock.ticks_per_s;
        (self.calls() > 0).then(|| Quantiles {
            p50: seconds(self.at(0.5)),
            p99: seconds(self.at(0.99)),
            p999: seconds(self.at(0.999)),
            max: seconds(self.max.load(Ordering::Relaxed)),
        })
    }
}

/// The counter, when all before it is done and nothing after it has begun.
#[inline(always)]
fn now() -> u64 {
    // SAFETY: every x86-64 processor has these instructions (SSE2).
    unsafe {
        _mm_lfence();
        let ticks = _rdtsc();
        _mm_lfence();
        ticks
    }
}

/// The counter, when all before it is done.
#[inline(always)]
fn after() -> u64 {
    let mut processor = 0;
    // SAFETY: every x86-64 processor of the last fifteen years has `rdtscp`.
    unsafe {
        let ticks = __rdtscp(&mut processor);
        _mm_lfence();
        ticks
    }
}

/// Where so many ticks are counted.
fn bucket(ticks: u64) -> usize {
    if ticks < EXACT {
        return ticks as usize;
    }
    let doubling = u64::from(ticks.ilog2() - EXACT.ilog2());
    let within = (ticks >> (doubling + 1)) - FINE;
    ((EXACT + doubling * FINE + within) as usize).min(BUCKETS - 1)
}

/// The fewest ticks that are counted in `bucket`.
fn least(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return bucket;
    }
    let (doubling, within) = ((bucket - EXACT) / FINE, (bucket - EXACT) % FINE);
    (FINE + within) << (doubling + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_it_says_and_is_narrow() {
        let mut last = 0;
        for ticks in (0..100_000).chain((17..40).map(|power| (1 << power) + 12_345)) {
            let at = bucket(ticks);
            assert!(at >= last, "{ticks}");
            last = at;
            assert!(least(at) <= ticks && ticks < least(at + 1), "{ticks}: {at}");
            assert!((ticks - least(at)) * FINE <= ticks, "{ticks}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_calls_less_the_clock() {
        let latencies = Box::new(Latencies::new());
        let clock = Clock { own_ticks: 20, ticks_per_s: 1e9 };
        assert_eq!(latencies.frees(clock), None);
        for call in 0..1000 {
            latencies.frees.add(match call {
                0..600 => 30,
                600..995 => 50,
                995 => 1 << 20,
                _ => 120,
            });
        }
        let told = latencies.frees(clock).expect("calls");
        let expected = [10e-9, 30e-9, 100e-9, ((1 << 20) - 20) as f64 / 1e9];
        for (got, expected) in [told.p50, told.p99, told.p999, told.max].into_iter().zip(expected) {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
        assert_eq!(latencies.allocations(clock), None);
    }

    #[test]
    fn the_clock_runs_and_knows_its_own_cost() {
        let latencies = Box::new(Latencies::new());
        let clock = latencies.calibrate();
        // Counters run at 0.5 to 10 GHz.
        assert!((5e8..1e10).contains(&clock.ticks_per_s), "{clock:?}");
        assert!(clock.own_ticks < 100_000, "{clock:?}");
        assert_eq!((latencies.allocations.calls(), latencies.frees.calls()), (0, 0));
        latencies.allocations.time(|| ());
        assert_eq!(latencies.allocations.calls(), 1);
    }
}
