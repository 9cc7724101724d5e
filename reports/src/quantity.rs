//! What engines and commits are compared by: metrics, and sums of metrics.

use serde::{Deserialize, Serialize};

use crate::record::{Metric, Pass, Sample, Unit};
use crate::units;

/// What is compared. Less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Quantity {
    /// User and system time of the whole process tree.
    #[serde(rename = "cpu_s")]
    CpuTime,
    /// Elapsed time.
    #[serde(rename = "wall_s")]
    WallTime,
    /// Peak resident bytes of the largest process.
    #[serde(rename = "peak_rss_bytes")]
    PeakRss,
    /// Minor faults.
    #[serde(rename = "minor_faults")]
    MinorFaults,
    /// Calls of `brk mmap munmap mremap madvise mprotect`, all together.
    #[serde(rename = "memory_calls")]
    MemoryCalls,
}

impl Quantity {
    /// All of them, in the order of tables.
    pub const ALL: [Quantity; 5] = [
        Quantity::CpuTime,
        Quantity::WallTime,
        Quantity::PeakRss,
        Quantity::MinorFaults,
        Quantity::MemoryCalls,
    ];

    /// What it is, as a table says it.
    pub const fn name(self) -> &'static str {
        match self {
            Quantity::CpuTime => "CPU time (user + system)",
            Quantity::WallTime => "elapsed time",
            Quantity::PeakRss => "Peak RSS",
            Quantity::MinorFaults => "minor faults",
            Quantity::MemoryCalls => "memory calls",
        }
    }

    /// The unit of its values.
    pub const fn unit(self) -> Unit {
        match self {
            Quantity::CpuTime | Quantity::WallTime => Unit::Seconds,
            Quantity::PeakRss => Unit::Bytes,
            Quantity::MinorFaults | Quantity::MemoryCalls => Unit::Count,
        }
    }

    /// The pass that measures it.
    pub const fn pass(self) -> Pass {
        match self {
            Quantity::CpuTime | Quantity::WallTime => Pass::Time,
            Quantity::PeakRss => Pass::Memory,
            Quantity::MinorFaults | Quantity::MemoryCalls => Pass::Counts,
        }
    }

    /// Its value in one sample, which may be of another pass.
    pub(crate) fn of(self, sample: &Sample) -> Option<f64> {
        if sample.pass != self.pass() {
            return None;
        }
        let get = |metric: &Metric| sample.metrics.get(metric).copied();
        let sum = |metrics: &[Metric]| metrics.iter().map(get).sum::<Option<f64>>();
        match self {
            Quantity::CpuTime => sum(&[Metric::UserS, Metric::SysS]),
            Quantity::WallTime => get(&Metric::WallS),
            Quantity::PeakRss => get(&Metric::PeakRssBytes),
            Quantity::MinorFaults => get(&Metric::MinorFaults),
            Quantity::MemoryCalls => sum(&Metric::MEMORY_CALLS),
        }
    }

    /// A value of it as people read it.
    pub fn shown(self, value: f64) -> String {
        units::human(value, self.unit())
    }
}
