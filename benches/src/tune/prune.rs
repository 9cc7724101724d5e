//! Which configurations need not be timed, by what was counted of them.

/// Counts and peak memory of a configuration, from one process each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// System calls that manage memory.
    pub calls: f64,
    /// Of these, `brk`.
    pub brk_calls: f64,
    /// Minor faults.
    pub faults: f64,
    /// Bytes asked of the kernel, by `brk` and `mmap`.
    pub asked_bytes: f64,
    /// Peak resident bytes; `None` where memory was not measured.
    pub peak_bytes: Option<f64>,
}

/// Relative difference below which two counts are taken for equal.
const SAME: f64 = 0.01;
/// As many calls or faults may differ by chance (threads, the clock).
const CHANCE: f64 = 16.0;
/// Bytes that may differ by chance.
const CHANCE_BYTES: f64 = 256.0 * 1024.0;

const COUNTS: usize = 4;

impl Facts {
    /// Whether no count tells the two apart.
    pub fn same_counts(&self, other: &Facts) -> bool {
        self.counts().iter().zip(other.counts()).all(|(a, b)| close(a.0, b.0, a.1))
    }

    /// Whether there are as many calls, but others.
    pub fn calls_of_another_kind(&self, other: &Facts) -> bool {
        close(self.calls, other.calls, CHANCE) && !close(self.brk_calls, other.brk_calls, CHANCE)
    }

    /// Whether by some count all of `these` lie beyond all of `those`, by more than
    /// chance.
    pub fn tell_apart(these: &[Facts], those: &[Facts]) -> bool {
        (0..COUNTS).any(|axis| {
            let values = |facts: &[Facts]| -> Vec<f64> {
                facts.iter().map(|facts| facts.counts()[axis].0).collect()
            };
            let chance = these.first().map_or(0.0, |facts| facts.counts()[axis].1);
            let (a, b) = (values(these), values(those));
            let above = |a: &[f64], b: &[f64]| {
                let least = a.iter().copied().fold(f64::INFINITY, f64::min);
                let most = b.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                least > most && !close(least, most, chance)
            };
            above(&a, &b) || above(&b, &a)
        })
    }

    /// What was counted, and how much of each may differ by chance.
    fn counts(&self) -> [(f64, f64); COUNTS] {
        [
            (self.calls, CHANCE),
            (self.brk_calls, CHANCE),
            (self.faults, CHANCE),
            (self.asked_bytes, CHANCE_BYTES),
        ]
    }

    /// Whether `other` calls, faults and holds at least as much, and one of these
    /// clearly more: then nothing speaks for it.
    pub fn dominates(&self, other: &Facts) -> bool {
        self.gains_on(other) && !other.gains_on(self)
    }

    /// Whether it calls, faults or holds clearly less than `other`.
    pub fn gains_on(&self, other: &Facts) -> bool {
        let peak = |facts: &Facts| facts.peak_bytes.unwrap_or(0.0);
        let axes = [
            (self.calls, other.calls, CHANCE),
            (self.faults, other.faults, CHANCE),
            (peak(self), peak(other), CHANCE_BYTES),
        ];
        axes.iter().any(|&(mine, theirs, chance)| mine < theirs && !close(mine, theirs, chance))
    }
}

fn close(a: f64, b: f64, chance: f64) -> bool {
    (a - b).abs() <= chance.max(SAME * a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(calls: f64, faults: f64, peak: f64) -> Facts {
        Facts { calls, brk_calls: 0.0, faults, asked_bytes: 1e8, peak_bytes: Some(peak * 1e6) }
    }

    #[test]
    fn a_few_faults_do_not_tell_two_apart_but_a_storm_does() {
        assert!(facts(100.0, 4218.0, 5.0).same_counts(&facts(101.0, 4224.0, 5.0)));
        assert!(!facts(100.0, 4218.0, 5.0).same_counts(&facts(100.0, 30_000.0, 5.0)));
        assert!(!facts(100.0, 4218.0, 5.0).same_counts(&facts(900.0, 4218.0, 5.0)));
    }

    #[test]
    fn only_what_is_worse_somewhere_and_better_nowhere_is_dominated() {
        let (best, storm) = (facts(100.0, 1300.0, 5.0), facts(9000.0, 30_000.0, 5.0));
        assert!(best.dominates(&storm) && !storm.dominates(&best));
        // Fewer faults for more memory is a choice.
        let fat = facts(90.0, 900.0, 50.0);
        assert!(!best.dominates(&fat) && !fat.dominates(&best));
        assert!(!best.dominates(&best));
    }
}
