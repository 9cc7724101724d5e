//! Resident memory of a tree over time.

use brkpoint_reports::record::{Axis, Series};

use super::process;
use super::sys::{self, Pid};

/// Most points that a series keeps.
pub const MAX_POINTS: usize = 256;
/// The first distance of two samples; it doubles whenever the series is full.
const FIRST_PERIOD_NS: u64 = 1_000_000;

/// Samples the resident bytes of all processes below one, which is not counted.
///
/// OS pages shared by processes count in each of them.
#[derive(Debug)]
pub(super) struct Sampler {
    period_ns: u64,
    next_ns: u64,
    /// (ns since start, bytes), ascending.
    points: Vec<(u64, u64)>,
    /// The largest `VmHWM` of one process that was seen.
    pub(super) peak_rss_bytes: u64,
}

impl Sampler {
    pub(super) fn new() -> Sampler {
        let (period_ns, next_ns) = (FIRST_PERIOD_NS, 0);
        Sampler { period_ns, next_ns, points: Vec::new(), peak_rss_bytes: 0 }
    }

    /// How long to wait for the next sample, `now_ns` after the start.
    pub(super) fn due_in(&self, now_ns: u64) -> u64 {
        self.next_ns.saturating_sub(now_ns)
    }

    /// Takes a sample if one is due.
    pub(super) fn sample(&mut self, root: Pid, now_ns: u64) {
        if now_ns < self.next_ns {
            return;
        }
        let bytes = self.tree(root);
        if bytes > 0 {
            self.points.push((now_ns, bytes));
        }
        if self.points.len() == MAX_POINTS {
            self.points = halve(&self.points);
            self.period_ns *= 2;
        }
        self.next_ns = now_ns + self.period_ns;
    }

    fn tree(&mut self, root: Pid) -> u64 {
        let mut sum = 0;
        let below = |parent| process::children(parent).into_iter().map(move |pid| (pid, parent));
        let mut queue: Vec<(Pid, Pid)> = below(root).collect();
        while let Some((pid, parent)) = queue.pop() {
            let Some(status) = process::status(pid) else { continue };
            queue.extend(below(pid));
            // A child of `vfork` shares its parent's memory until it execs.
            if sys::same_memory(pid, parent) {
                continue;
            }
            sum += status.rss_bytes;
            self.peak_rss_bytes = self.peak_rss_bytes.max(status.peak_rss_bytes);
        }
        sum
    }

    /// The series; none if the tree was gone before its first sample.
    pub(super) fn finish(self) -> Option<Series> {
        (!self.points.is_empty()).then(|| Series {
            axis: Axis::Seconds,
            x: self.points.iter().map(|p| p.0 as f64 / 1e9).collect(),
            rss_bytes: self.points.iter().map(|p| p.1).collect(),
            live_bytes: Vec::new(),
        })
    }
}

/// Of each two neighbours the larger one, so that peaks stay.
fn halve(points: &[(u64, u64)]) -> Vec<(u64, u64)> {
    points.chunks(2).filter_map(|pair| pair.iter().copied().max_by_key(|p| p.1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_keeps_peaks_and_order() {
        assert_eq!(halve(&[(1, 5), (2, 9), (3, 9), (4, 1), (5, 2)]), [(2, 9), (3, 9), (5, 2)]);
    }
}
