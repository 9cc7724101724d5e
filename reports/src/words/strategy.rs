//! Why two settings of one engine differ: the calls they make.

use crate::analysis::{Measured, Report};
use crate::record::{Metric, Unit};
use crate::units;

/// What a strategy is explained by.
const CALLS: [(Metric, &str); 5] = [
    (Metric::SyscallsMmap, "mmap"),
    (Metric::SyscallsBrk, "brk"),
    (Metric::SyscallsMunmap, "munmap"),
    (Metric::SyscallsMadvise, "madvise"),
    (Metric::SyscallsMremap, "mremap"),
];

/// Fewer calls than this between two settings explain nothing.
const WORTH_TELLING: f64 = 100.0;

/// Two settings of one engine, told apart by the calls they make.
pub(super) fn strategy(report: &Report) -> Option<String> {
    let mut widest: Option<(f64, String)> = None;
    for workload in &report.workloads {
        for (metric, call) in CALLS {
            for most in &workload.cells {
                for least in &workload.cells {
                    let siblings = most.cell.engine == least.cell.engine
                        && most.cell.settings != least.cell.settings;
                    let (Some(a), Some(b)) = (most.figure(metric), least.figure(metric)) else {
                        continue;
                    };
                    let spread = a.median - b.median;
                    let told = widest.as_ref().is_some_and(|(so_far, _)| *so_far >= spread);
                    if !siblings || told || spread < WORTH_TELLING {
                        continue;
                    }
                    let label = |cell: &Measured| report.arms[cell.arm].label.clone();
                    widest = Some((
                        spread,
                        format!(
                            "On {}, {} makes {} {call} calls where {} makes {}{}.",
                            units::clip(&workload.name, 40),
                            label(most),
                            units::human(a.median, Unit::Count),
                            label(least),
                            units::human(b.median, Unit::Count),
                            times(most, least),
                        ),
                    ));
                }
            }
        }
    }
    widest.map(|(_, sentence)| sentence)
}

/// What two cells take against the reference, if that tells them apart.
fn times(a: &Measured, b: &Measured) -> String {
    let ratio = |cell: &Measured| cell.figure(Metric::WallS).and_then(|f| f.ratio);
    let (Some(a), Some(b)) = (ratio(a), ratio(b)) else {
        return String::new();
    };
    match (a.interval, b.interval) {
        (Some(i), Some(j)) if !i.overlaps(j) => format!(
            "; their times are {} and {} the reference’s",
            units::ratio(a.value),
            units::ratio(b.value)
        ),
        _ => String::new(),
    }
}
