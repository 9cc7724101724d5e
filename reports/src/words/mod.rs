//! The verdict in words. Whether engines differ is read off the 99 % intervals,
//! never off the medians.

mod field;
mod noise;
mod strategy;

use crate::analysis::{Arm, Measured, Report};
use field::Field;

/// The findings, the most important first.
pub(crate) fn verdict(report: &Report) -> Vec<String> {
    if report.is_empty() {
        return vec![nothing_measured(report)];
    }
    let mut said = Vec::new();
    said.extend(noise::distrust(report));
    let field = Field::new(report);
    match &field {
        Some(field) => {
            said.push(field.time());
            said.extend(field.memory(report));
            said.extend(field.front());
        }
        None => said.push(
            "No reference engine was measured, so there is nothing to compare with: \
             the tables hold medians only."
                .into(),
        ),
    }
    said.extend(strategy::strategy(report));
    said.extend(failures(report));
    said.extend(noise::noise(report));
    said
}

fn nothing_measured(report: &Report) -> String {
    let failed = report.workloads.iter().map(|w| w.cells.len()).sum::<usize>();
    match failed {
        0 if !report.criterion.benchmarks.is_empty() => {
            "No verdict: there are only criterion's benchmarks here, which tell nothing certain \
             of differences between engines; `brkpoint compare` makes records that do."
                .into()
        }
        0 => "Nothing was measured: the records hold no samples.".into(),
        n => format!(
            "Nothing was measured: none of {n} cells has figures; their errors are listed below."
        ),
    }
}

fn failures(report: &Report) -> Option<String> {
    let cells = || report.workloads.iter().flat_map(|w| &w.cells);
    let failed: Vec<&Measured> = cells().filter(|cell| cell.error.is_some()).collect();
    let mut arms: Vec<usize> = failed.iter().map(|cell| cell.arm).collect();
    arms.sort_unstable();
    arms.dedup();
    (!failed.is_empty()).then(|| {
        format!(
            "{} of {} cells {} no figures ({}): the errors are listed below.",
            failed.len(),
            cells().count(),
            if failed.len() == 1 { "has" } else { "have" },
            names(arms.iter().map(|&arm| &report.arms[arm])),
        )
    })
}

fn is(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// `a, b and c`; beyond four, `a, b, c and 5 others`.
fn names<'a>(arms: impl Iterator<Item = &'a Arm>) -> String {
    let labels: Vec<String> = arms.map(|arm| arm.label.clone()).collect();
    match &labels[..] {
        [first, second, third, rest @ ..] if rest.len() > 1 => {
            format!("{first}, {second}, {third} and {} others", rest.len())
        }
        labels => join(labels),
    }
}

fn all_names<'a>(arms: impl Iterator<Item = &'a Arm>) -> String {
    join(&arms.map(|arm| arm.label.clone()).collect::<Vec<_>>())
}

fn join(labels: &[String]) -> String {
    match labels {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
