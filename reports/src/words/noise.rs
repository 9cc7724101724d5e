//! What the A/A row says: whether the run can be trusted, and how far.

use crate::analysis::Report;
use crate::control::Control;
use crate::judge::{Verdict, margin};
use crate::record::{Metric, Role};
use crate::stats::{Estimate, Interval, MIN_SAMPLES, median};
use crate::units;

/// The A/A rows in time, with their workloads.
fn repeats(report: &Report, metric: Metric) -> impl Iterator<Item = (&str, Estimate, Verdict)> {
    report.workloads.iter().flat_map(move |w| {
        w.cells.iter().filter(|cell| cell.cell.role == Role::Repeat).filter_map(move |cell| {
            let figure = cell.figure(metric)?;
            Some((w.name.as_str(), figure.ratio?, figure.verdict?))
        })
    })
}

/// Said first: the reference differs from itself, or a known difference is not seen.
pub(super) fn distrust(report: &Report) -> Option<String> {
    for (metric, what) in [(Metric::WallS, "time"), (Metric::PeakRssBytes, "peak memory")] {
        for (workload, ratio, verdict) in repeats(report, metric) {
            if matches!(verdict, Verdict::Better | Verdict::Worse) {
                return Some(format!(
                    "This run cannot be trusted: on {}, the reference measured against itself \
                     reads {} in {what}. Repeat it on a quiet machine.",
                    units::clip(workload, 40),
                    units::ratio_interval(ratio)
                ));
            }
        }
    }
    // Without an interval there are too few rounds to find anything, which is said elsewhere.
    let missed = |c: &&Control| c.ratio.interval.is_some() && c.verdict != Verdict::Worse;
    let missed = report.controls.iter().find(missed)?;
    Some(format!(
        "This run cannot be trusted: the positive control, {} more {} planted on purpose, was not \
         found: it reads {}. Repeat it on a quiet machine.",
        units::percent(missed.planted),
        missed.quantity.name(),
        units::ratio_interval(missed.ratio)
    ))
}

/// What the A/A rows say about small differences, each on its own workload.
pub(super) fn noise(report: &Report) -> Option<String> {
    if distrust(report).is_some() {
        return None;
    }
    let least =
        |i: Interval| (i.high - 1.0).abs().max((1.0 - i.low).abs()).max(margin(Metric::WallS));
    let mut known: Vec<(f64, &str, Estimate)> = repeats(report, Metric::WallS)
        .filter_map(|(workload, ratio, _)| Some((least(ratio.interval?), workload, ratio)))
        .collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some(&(most, workload, ratio)) = known.last() else {
        return repeats(report, Metric::WallS).next().map(|_| {
            format!(
                "The A/A row has too few rounds to tell noise from difference: \
                 {MIN_SAMPLES} are needed."
            )
        });
    };
    let row = "The A/A row, the reference against itself, reads";
    let (reads, most) = (units::ratio_interval(ratio), units::percent(most));
    if report.workloads.len() == 1 {
        return Some(format!(
            "{row} {reads}: a difference in time below {most} means nothing here."
        ));
    }
    let typical = median(&known.iter().map(|(least, ..)| *least).collect::<Vec<_>>())?;
    let typical = match known.len() {
        1 => String::new(),
        n => {
            format!("; the median of this limit over {n} workloads is {}", units::percent(typical))
        }
    };
    Some(format!(
        "{row} {reads} at its widest, on {}: a difference in time below {most} means nothing \
         there{typical}.",
        units::clip(workload, 40)
    ))
}
