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

/// What `Trim::Decay` remembers of the top.
///
/// It gives back at once what exceeds the trim threshold. If the heap grows
/// again within `trim_decay`, that was a mistake: twice as much as was
/// given back is kept from then on, until nobody has needed it for that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retention {
    /// The smallest that the top has been since `since`, in bytes.
    pub(super) low: usize,
    /// When the period began, in milliseconds.
    since: u64,
    /// A top of this many bytes is kept for a period, whatever the threshold.
    keep: usize,
    /// When the break was last lowered, and by how many bytes in all since the
    /// heap last grew.
    lowered: u64,
    given: usize,
}

impl Retention {
    pub(super) const NONE: Retention =
        Retention { low: 0, since: 0, keep: 0, lowered: 0, given: 0 };

    /// How many bytes at the end of a top of `top` bytes should go back at the
    /// time `now`. At the end of each period a new one begins.
    pub(super) fn surplus(&mut self, config: &Config, top: usize, now: u64) -> usize {
        let pad = config.top_pad.0;
        if now.saturating_sub(self.since) >= config.trim_decay.0 as u64 {
            let unneeded = self.low.min(top).saturating_sub(pad);
            self.low = top;
            self.since = now;
            if unneeded >= RELEASE_LEAST {
                self.keep = top - unneeded;
                return unneeded;
            }
        }
        let surplus = top.saturating_sub(pad);
        if top <= config.trim_threshold.0.max(self.keep) || surplus < RELEASE_LEAST {
            return 0;
        }
        self.lowered = now;
        self.given += surplus;
        surplus
    }

    /// The heap grows at the time `now`.
    pub(super) fn regret(&mut self, config: &Config, now: u64) {
        if self.given > 0 && now.saturating_sub(self.lowered) < config.trim_decay.0 as u64 {
            self.keep = self.keep.max(2 * self.given);
        }
        self.given = 0;
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

    #[test]
    fn what_was_given_back_too_early_is_kept_the_next_time_until_unneeded() {
        let config = Config {
            top_pad: Bytes(0),
            trim_threshold: Bytes(1 << 20),
            trim_decay: Count(1000),
            ..Config::DEFAULT
        };
        let mut memory = Retention { since: 5000, ..Retention::NONE };
        assert_eq!(memory.surplus(&config, 1 << 20, 5001), 0, "below the threshold");
        assert_eq!(memory.surplus(&config, 3 << 20, 5002), 3 << 20);
        memory.regret(&config, 5500);
        assert_eq!(memory.surplus(&config, 6 << 20, 5600), 0);
        // A period ends in which the top was never less than 4 MiB.
        memory.low = 4 << 20;
        assert_eq!(memory.surplus(&config, 6 << 20, 6000), 4 << 20);
        assert_eq!(memory.surplus(&config, 3 << 20, 6001), 3 << 20, "and is not kept any more");
        memory.regret(&config, 7001);
        assert_eq!(memory.surplus(&config, 3 << 20, 6999), 3 << 20, "no regret a period later");
    }

    #[test]
    fn each_trim_policy_keeps_what_it_says() {
        let base =
            Config { trim_threshold: Bytes(1 << 20), top_pad: Bytes(128 << 10), ..Config::DEFAULT };
        let now = Thresholds::new(&base);
        let of = |trim, top| surplus(&Config { trim, ..base }, &now, top);
        assert_eq!(of(Trim::Never, usize::MAX), 0);
        assert_eq!(of(Trim::Eager, 5000), 5000);
        assert_eq!(of(Trim::Threshold, 1 << 20), 0);
        assert_eq!(of(Trim::Threshold, (1 << 20) + 16), (1 << 20) + 16 - (128 << 10));
        let close = Config { top_pad: Bytes(1 << 20), ..base };
        assert_eq!(surplus(&close, &now, (1 << 20) + 4096), 0);
    }
}
