//! What the A/A row says: whether the run can be trusted, and how far.

use crate::analysis::Report;
use crate::judge::{Verdict, margin};
use crate::record::{Metric, Role};
use crate::stats::{Estimate, Interval, MIN_SAMPLES};
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

/// Said first: the reference differs from itself.
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
    None
}

/// What the A/A row says about small differences.
pub(super) fn noise(report: &Report) -> Option<String> {
    if distrust(report).is_some() {
        return None;
    }
    let off = |i: Interval| (i.high - 1.0).abs().max((1.0 - i.low).abs());
    let mut widest: Option<(f64, &str, Estimate)> = None;
    let mut without = false;
    for (workload, ratio, _) in repeats(report, Metric::WallS) {
        let Some(interval) = ratio.interval else {
            without = true;
            continue;
        };
        if widest.is_none_or(|(most, ..)| off(interval) > most) {
            widest = Some((off(interval), workload, ratio));
        }
    }
    match widest {
        Some((most, workload, ratio)) => {
            let on = match report.workloads.len() {
                1 => String::new(),
                _ => format!(" at its widest (on {})", units::clip(workload, 40)),
            };
            Some(format!(
                "The A/A row, the reference against itself, reads {}{on}: \
                 a difference in time below {} means nothing here.",
                units::ratio_interval(ratio),
                units::percent(most.max(margin(Metric::WallS)))
            ))
        }
        None if without => Some(format!(
            "The A/A row has too few rounds to tell noise from difference: {MIN_SAMPLES} are needed."
        )),
        None => None,
    }
}
