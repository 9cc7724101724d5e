//! The policies: small pure functions, one reason per early return.

use crate::config::{Config, MmapThreshold, Trim};

/// The thresholds in force. They differ from the settings only where the
/// mmap threshold is dynamic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thresholds {
    /// Requests of this many bytes or more are mapped; `None` if none is.
    pub(super) mmap: Option<usize>,
    /// A larger top gives memory back under `Trim::Threshold`.
    pub(super) trim: usize,
}

/// Less than this is not worth the system call, in bytes (not with
/// `Trim::Eager`).
pub(super) const RELEASE_LEAST: usize = 64 << 10;

impl Thresholds {
    pub(super) const fn new(config: &Config) -> Thresholds {
        let mmap = match config.mmap_threshold {
            MmapThreshold::Off => None,
            MmapThreshold::Fixed(size) | MmapThreshold::Dynamic(size) => Some(size),
        };
        Thresholds { mmap, trim: config.trim_threshold.0 }
    }

    /// After a mapping of `bytes` was freed: the program evidently makes and
    /// drops such blocks, so the next one should not pay for a mapping.
    pub(super) fn learn(&mut self, config: &Config, bytes: usize) {
        if !matches!(config.mmap_threshold, MmapThreshold::Dynamic(_)) {
            return;
        }
        if bytes > MmapThreshold::DYNAMIC_MOST || self.mmap.is_none_or(|now| bytes <= now) {
            return;
        }
        self.mmap = Some(bytes);
        self.trim = self.trim.max(2 * bytes);
    }
}

/// Whether a request that would take `bytes` from the heap is mapped.
pub(super) fn should_map(
    config: &Config,
    thresholds: &Thresholds,
    bytes: usize,
    mapped_blocks: usize,
) -> bool {
    let Some(threshold) = thresholds.mmap else {
        return false;
    };
    bytes >= threshold && mapped_blocks < config.mmap_max.0
}

/// How many bytes at the end of a top of `top` bytes should go back to the OS.
pub(super) fn surplus(config: &Config, thresholds: &Thresholds, top: usize) -> usize {
    match config.trim {
        Trim::Never | Trim::Decay => 0,
        Trim::Eager => top,
        Trim::Threshold => {
            if top <= thresholds.trim {
                return 0;
            }
            let surplus = top.saturating_sub(config.top_pad.0);
            if surplus < RELEASE_LEAST { 0 } else { surplus }
        }
    }
}

/// What `Trim::Decay` remembers of what was idle: free, and resident.
///
/// It gives back at once what exceeds the trim threshold and a good part of
/// what the heap holds, [`SHARE`]. If a good part of that, [`MISTAKE`], is
/// needed again within `trim_decay`, that was a mistake: all that the heap has
/// is kept from then on, until nobody has needed some of it for that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retention {
    /// The least that was idle since `since`, in bytes.
    pub(super) low: usize,
    /// When the period began, in milliseconds.
    since: u64,
    /// So many idle bytes are kept for a period, whatever the threshold.
    keep: usize,
    /// When something was last given back; how many bytes in all, and how
    /// many were needed again, since that was last judged.
    lowered: u64,
    given: usize,
    regained: usize,
    /// What is idle but cannot be given back does not count as an excess: with
    /// fewer idle bytes than this it is not tried again.
    retry: usize,
}

/// One part in so many.
const MISTAKE: usize = 8;
const SHARE: usize = 4;

/// What should go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surplus {
    /// How many bytes of what is idle.
    pub(super) bytes: usize,
    /// Whether nobody needed them for a whole period. If somebody did, what is
    /// given back may soon be wanted again, and huge pages had better stay whole.
    pub(super) is_old: bool,
}

impl Retention {
    pub(super) const NONE: Retention =
        Retention { low: 0, since: 0, keep: 0, lowered: 0, given: 0, regained: 0, retry: 0 };

    /// What of `idle` bytes, in a heap of `held`, should go back at the time `now`;
    /// `threshold` is the trim threshold in force. At the end of each period a new
    /// one begins.
    pub(super) fn surplus(
        &mut self,
        config: &Config,
        threshold: usize,
        idle: usize,
        held: usize,
        now: u64,
    ) -> Surplus {
        self.judge(config, held, now);
        self.retry = self.retry.min(Retention::retry_above(config, idle));
        let pad = config.top_pad.0;
        if now.saturating_sub(self.since) >= config.trim_decay.0 as u64 {
            let unneeded = self.low.min(idle).saturating_sub(pad);
            self.low = idle;
            self.since = now;
            if unneeded >= RELEASE_LEAST {
                self.keep = idle - unneeded;
                return Surplus { bytes: unneeded, is_old: true };
            }
        }
        let surplus = idle.saturating_sub(pad);
        let least = threshold.max(self.keep).max(held / SHARE);
        let is_kept = idle <= least || idle < self.retry || surplus < RELEASE_LEAST;
        Surplus { bytes: if is_kept { 0 } else { surplus }, is_old: false }
    }

    /// Of what `surplus` said, `bytes` went back, and `left` are still idle.
    pub(super) fn gave(&mut self, config: &Config, bytes: usize, left: usize, now: u64) {
        self.lowered = now;
        self.given += bytes;
        self.retry = Retention::retry_above(config, left);
    }

    /// The heap uses `bytes` that it did not have, or had given back.
    #[inline]
    pub(super) fn regain(&mut self, bytes: usize) {
        self.regained += bytes;
    }

    fn judge(&mut self, config: &Config, held: usize, now: u64) {
        let is_over = now.saturating_sub(self.lowered) >= config.trim_decay.0 as u64;
        let is_mistake = !is_over && self.given > 0 && self.regained >= self.given / MISTAKE;
        if is_mistake {
            self.keep = self.keep.max(held + self.given);
        }
        if is_over || is_mistake {
            self.given = 0;
        }
        if self.given == 0 {
            self.regained = 0;
        }
    }

    fn retry_above(config: &Config, idle: usize) -> usize {
        idle + (idle / 4).max(config.trim_threshold.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Bytes, Count, Preset};

    #[test]
    fn the_mmap_threshold_is_inclusive() {
        let config = Preset::Hybrid.config(&Config::DEFAULT);
        let now = Thresholds::new(&config);
        assert!(!should_map(&config, &now, (128 << 10) - 1, 0));
        assert!(should_map(&config, &now, 128 << 10, 0));
        let full = Config { mmap_max: Count(3), ..config };
        assert!(!should_map(&full, &now, 128 << 10, 3));
    }

    #[test]
    fn only_a_dynamic_threshold_learns_and_only_upwards() {
        let fixed = Preset::Hybrid.config(&Config::DEFAULT);
        let mut now = Thresholds::new(&fixed);
        now.learn(&fixed, 1 << 20);
        assert_eq!(now, Thresholds::new(&fixed));

        let dynamic = Preset::HybridDynamic.config(&Config::DEFAULT);
        let mut now = Thresholds::new(&dynamic);
        now.learn(&dynamic, 1 << 20);
        let raised = Thresholds { mmap: Some(1 << 20), trim: 2 << 20 };
        assert_eq!(now, raised);
        now.learn(&dynamic, 1 << 19);
        now.learn(&dynamic, (32 << 20) + 1);
        assert_eq!(now, raised);
        now.learn(&dynamic, 32 << 20);
        assert_eq!(now, Thresholds { mmap: Some(32 << 20), trim: 64 << 20 });
    }

    /// What should go back under the trim threshold that is set.
    fn surplus(
        memory: &mut Retention,
        config: &Config,
        idle: usize,
        held: usize,
        now: u64,
    ) -> Surplus {
        memory.surplus(config, config.trim_threshold.0, idle, held, now)
    }

    #[test]
    fn what_was_given_back_too_early_is_kept_the_next_time_until_unneeded() {
        let config = Config {
            top_pad: Bytes(0),
            trim_threshold: Bytes(1 << 20),
            trim_decay: Count(1000),
            ..Config::DEFAULT
        };
        let mut memory = Retention { since: 5000, ..Retention::NONE };
        assert_eq!(surplus(&mut memory, &config, 1 << 20, 0, 5001).bytes, 0, "below the threshold");
        assert_eq!(surplus(&mut memory, &config, 3 << 20, 0, 5002).bytes, 3 << 20);
        memory.gave(&config, 3 << 20, 0, 5002);
        memory.regain((3 << 20) / MISTAKE - 1);
        assert_eq!(
            surplus(&mut memory, &config, 2 << 20, 0, 5400).bytes,
            2 << 20,
            "too little was needed"
        );
        memory.regain(1);
        assert_eq!(surplus(&mut memory, &config, 3 << 20, 0, 5600).bytes, 0);
        // A period ends in which no less than 4 MiB were ever idle.
        memory.low = 4 << 20;
        assert_eq!(surplus(&mut memory, &config, 6 << 20, 0, 6000).bytes, 4 << 20);
        assert_eq!(memory.since, 6000, "another begins");
        memory.gave(&config, 4 << 20, 2 << 20, 6000);
        assert_eq!(
            surplus(&mut memory, &config, 3 << 20, 0, 6001).bytes,
            3 << 20,
            "and is not kept any more"
        );
        memory.gave(&config, 3 << 20, 0, 6001);
        memory.low = 0;
        memory.regain(100 << 20);
        assert_eq!(
            surplus(&mut memory, &config, 3 << 20, 0, 7001).bytes,
            3 << 20,
            "no regret a period later"
        );
    }

    #[test]
    fn what_cannot_be_given_back_is_not_tried_again_until_much_more_is_idle() {
        let config =
            Config { top_pad: Bytes(0), trim_threshold: Bytes(1 << 20), ..Config::DEFAULT };
        let mut memory = Retention::NONE;
        assert_eq!(surplus(&mut memory, &config, 8 << 20, 0, 1).bytes, 8 << 20);
        memory.gave(&config, 0, 8 << 20, 1);
        assert_eq!(surplus(&mut memory, &config, 9 << 20, 0, 2).bytes, 0);
        assert_eq!(surplus(&mut memory, &config, 10 << 20, 0, 3).bytes, 10 << 20, "a quarter more");
        memory.gave(&config, 0, 10 << 20, 3);
        assert_eq!(surplus(&mut memory, &config, 2 << 20, 0, 4).bytes, 0);
        assert_eq!(
            surplus(&mut memory, &config, 3 << 20, 0, 5).bytes,
            3 << 20,
            "more than the least since"
        );
    }

    #[test]
    fn at_the_end_of_a_period_goes_back_what_is_worth_a_call() {
        let config =
            Config { top_pad: Bytes(0), trim_threshold: Bytes(1 << 20), ..Config::DEFAULT };
        let after = |unneeded| {
            let mut memory = Retention { low: unneeded, ..Retention::NONE };
            surplus(&mut memory, &config, 1 << 20, 0, 1_000_000)
        };
        assert_eq!(after(RELEASE_LEAST), Surplus { bytes: RELEASE_LEAST, is_old: true });
        assert_eq!(after(RELEASE_LEAST - 1), Surplus { bytes: 0, is_old: false });
    }

    #[test]
    fn a_quarter_of_the_heap_may_be_idle() {
        let config =
            Config { top_pad: Bytes(0), trim_threshold: Bytes(1 << 20), ..Config::DEFAULT };
        let with = |idle| {
            let mut memory = Retention::NONE;
            surplus(&mut memory, &config, idle, 40 << 20, 1).bytes
        };
        assert_eq!((with(10 << 20), with(11 << 20)), (0, 11 << 20));
    }

    #[test]
    fn each_trim_policy_keeps_what_it_says() {
        let base =
            Config { trim_threshold: Bytes(1 << 20), top_pad: Bytes(128 << 10), ..Config::DEFAULT };
        let now = Thresholds::new(&base);
        let of = |trim, top| super::surplus(&Config { trim, ..base }, &now, top);
        assert_eq!(of(Trim::Never, usize::MAX), 0);
        assert_eq!(of(Trim::Eager, 5000), 5000);
        assert_eq!(of(Trim::Threshold, 1 << 20), 0);
        assert_eq!(of(Trim::Threshold, (1 << 20) + 16), (1 << 20) + 16 - (128 << 10));
        let close = Config { top_pad: Bytes(1 << 20), ..base };
        assert_eq!(super::surplus(&close, &now, (1 << 20) + 4096), 0);
    }
}
