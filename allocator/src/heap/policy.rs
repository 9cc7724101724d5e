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

/// What of the top nobody has needed for a while: its low-water mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Water {
    /// The smallest that the top has been since then, in bytes.
    pub(super) low: usize,
    /// When that was, in milliseconds.
    pub(super) since: u64,
}

impl Water {
    /// How many bytes of a top of `top` bytes should go back at the time `now`
    /// under `Trim::Decay`. At the end of each period a new one begins.
    pub(super) fn unneeded(&mut self, config: &Config, top: usize, now: u64) -> usize {
        if now.saturating_sub(self.since) < config.trim_decay.0 as u64 {
            return 0;
        }
        let surplus = self.low.min(top).saturating_sub(config.top_pad.0);
        *self = Water { low: top, since: now };
        if surplus < RELEASE_LEAST { 0 } else { surplus }
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
    fn what_was_needed_within_the_time_is_not_given_back() {
        let config = Config { top_pad: Bytes(0), trim_decay: Count(1000), ..Config::DEFAULT };
        let mut water = Water { low: 3 << 20, since: 0 };
        assert_eq!(water.unneeded(&config, 9 << 20, 999), 0);
        assert_eq!(water.unneeded(&config, 9 << 20, 1000), 3 << 20);
        assert_eq!(water, Water { low: 9 << 20, since: 1000 });
        assert_eq!(water.unneeded(&config, 6 << 20, 2000), 6 << 20, "no more than there is");
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
