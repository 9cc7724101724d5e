//! What is measured, as criterion's `Measurement`s.

use brkpoint_reports::record::{Metric, Pass};
use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter};

use crate::measure::Measured;
use crate::supervise::Call;

/// What a benchmark measures of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Elapsed time of the measured region.
    Time,
    /// Calls of `brk mmap munmap mremap madvise mprotect` from exec to the end:
    /// a region may have none, and criterion cannot hold a zero.
    Syscalls,
    /// Minor faults from exec to the end.
    Faults,
    /// Blow-up: the most resident bytes in the measured region, less those before
    /// it, over the most live bytes.
    Fragmentation,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 4] =
        [Measure::Time, Measure::Syscalls, Measure::Faults, Measure::Fragmentation];

    /// The name in criterion's groups.
    pub const fn name(self) -> &'static str {
        match self {
            Measure::Time => "time",
            Measure::Syscalls => "syscalls",
            Measure::Faults => "faults",
            Measure::Fragmentation => "fragmentation",
        }
    }

    /// The unit of the values that criterion keeps.
    pub const fn unit(self) -> &'static str {
        match self {
            Measure::Time => "ns",
            Measure::Syscalls => "calls",
            Measure::Faults => "faults",
            Measure::Fragmentation => "x live",
        }
    }

    pub(super) const fn pass(self) -> Pass {
        match self {
            Measure::Time => Pass::Time,
            Measure::Syscalls | Measure::Faults => Pass::Counts,
            Measure::Fragmentation => Pass::Memory,
        }
    }

    /// The value of a process: seconds for [`Measure::Time`], else in
    /// [`unit`](Self::unit).
    pub(super) fn value(self, measured: &Measured) -> Option<f64> {
        let of = |metric: Metric| measured.metrics.get(&metric).copied();
        match self {
            Measure::Time => of(Metric::WallS),
            Measure::Syscalls => crate::measure::CALLS
                .iter()
                .map(|(_, calls, _): &(Call, Metric, Metric)| measured.whole.get(calls))
                .sum(),
            Measure::Faults => measured.whole.get(&Metric::MinorFaults).copied(),
            Measure::Fragmentation => {
                let heap = of(Metric::PeakRssBytes)? - of(Metric::BaselineRssBytes)?;
                Some(heap / of(Metric::PeakLiveBytes)?)
            }
        }
    }
}

/// A measurement of anything but time: values come from `iter_custom` alone.
#[derive(Debug)]
pub(super) struct Counted(pub(super) Measure);

impl Measurement for Counted {
    type Intermediate = ();
    type Value = f64;

    fn start(&self) {}

    fn end(&self, (): ()) -> f64 {
        unreachable!("nothing in this process is measured")
    }

    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for Counted {
    fn format_value(&self, value: f64) -> String {
        format!("{value:.2} {}", self.0.unit())
    }

    fn scale_values(&self, _: f64, _: &mut [f64]) -> &'static str {
        self.0.unit()
    }

    fn scale_throughputs(&self, _: f64, _: &Throughput, _: &mut [f64]) -> &'static str {
        self.0.unit()
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        self.0.unit()
    }
}
