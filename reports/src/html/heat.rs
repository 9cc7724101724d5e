//! The heat map: a table of engines and workloads for each of some metrics.

use std::fmt::Write;

use super::escape;
use super::parts::put;
use crate::analysis::{Measured, Report, Workload};
use crate::judge::Verdict;
use crate::record::{Metric, Role};
use crate::units;

/// What is shown, the first of it unfolded; the last may not be in the records.
const METRICS: [(Metric, &str); 3] = [
    (Metric::WallS, "Wall time"),
    (Metric::PeakRssBytes, "Peak memory (RSS)"),
    (Metric::MinorFaults, "Minor faults"),
];

/// A ratio of two or a half has this share of its colour, in percent.
const DOUBLED: f64 = 26.0;
/// More would make the text hard to read.
const DEEPEST: f64 = 46.0;

/// Writes the section, if anything is compared.
pub(super) fn section(out: &mut String, report: &Report) {
    let reference = report.arms.iter().find(|arm| arm.role == Role::Reference);
    let Some(reference) = reference else { return };
    let tables: Vec<String> =
        METRICS.iter().filter_map(|(metric, title)| table(report, *metric, title)).collect();
    if tables.is_empty() {
        return;
    }
    put!(
        out,
        "<section id=\"heat\">\n<h2>Engines by workload</h2>\n\
         <p class=\"about\">Ratio to {}; lower is better. <span class=\"cell better\" style=\"--d:40%\">Blue</span> \
         is better beyond the margin and with 99 % confidence, \
         <span class=\"cell worse\" style=\"--d:40%\">orange</span> worse, uncoloured the same or \
         undecided (?). The best of a row is <b>bold</b>; an engine that failed has no figure.</p>",
        escape(&reference.label)
    );
    for (i, table) in tables.iter().enumerate() {
        let open = if i == 0 { " open" } else { "" };
        put!(out, "<details{open}>\n{table}</details>");
    }
    put!(out, "</section>");
}

fn table(report: &Report, metric: Metric, title: &str) -> Option<String> {
    let known = |w: &&Workload| w.cells.iter().any(|cell| ratio(cell, metric).is_some());
    let rows: Vec<(usize, &Workload)> =
        report.workloads.iter().enumerate().filter(|(_, w)| known(w)).collect();
    if rows.is_empty() {
        return None;
    }
    let mut out = format!("<summary>{title}</summary>\n");
    put!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}: engines by workload\">\n\
         <table class=\"heat sortable\">\n<caption>{title}, ratio (×); lower is better</caption>\n\
         <thead><tr><th scope=\"col\">workload</th>"
    );
    for (i, arm) in report.arms.iter().enumerate() {
        let _ = write!(out, "<th scope=\"col\" data-arm=\"{i}\">{}</th>", escape(&arm.label));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (w, workload) in &rows {
        let _ = write!(
            out,
            "<tr data-workload=\"{w}\"><th scope=\"row\"><a href=\"#w{w}\">{}</a></th>",
            escape(&units::clip(&workload.name, 60))
        );
        let best = best(workload, metric);
        for arm in 0..report.arms.len() {
            let of_arm = workload.cells.iter().find(|cell| cell.arm == arm);
            cell(&mut out, of_arm, arm, metric, best);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n");
    if rows.len() > 1 {
        let workloads: Vec<&Workload> = rows.iter().map(|row| row.1).collect();
        out.push_str("<tfoot><tr><th scope=\"row\">geometric mean</th>");
        for arm in 0..report.arms.len() {
            let mean = mean(&workloads, arm, metric).map_or("–".into(), units::ratio);
            let _ = write!(out, "<td data-arm=\"{arm}\">{mean}</td>");
        }
        out.push_str("</tr></tfoot>\n");
    }
    out.push_str("</table>\n</div>\n");
    Some(out)
}

fn ratio(cell: &Measured, metric: Metric) -> Option<f64> {
    Some(cell.figure(metric)?.ratio?.value)
}

/// The arm with the lowest ratio, as that is what is shown, or of those without one the
/// lowest median; the repeat is the reference again, whose ratio is 1.
fn best(workload: &Workload, metric: Metric) -> Option<usize> {
    let cells = workload.cells.iter().filter(|cell| cell.cell.role != Role::Repeat);
    let known = cells.filter_map(|cell| {
        let median = cell.figure(metric)?.median;
        Some((cell.arm, ratio(cell, metric).unwrap_or(1.0), median))
    });
    let least = known.min_by(|a, b| a.1.total_cmp(&b.1).then(a.2.total_cmp(&b.2)));
    least.map(|(arm, ..)| arm)
}

/// Over workloads, if the arm has a ratio in each of them.
pub(super) fn mean(workloads: &[&Workload], arm: usize, metric: Metric) -> Option<f64> {
    let ratios = workloads.iter().map(|w| {
        let cell = w.cells.iter().find(|cell| cell.arm == arm)?;
        ratio(cell, metric).filter(|ratio| *ratio > 0.0)
    });
    let logs: Option<Vec<f64>> = ratios.map(|ratio| ratio.map(f64::ln)).collect();
    let logs = logs?;
    Some((logs.iter().sum::<f64>() / logs.len() as f64).exp())
}

fn cell(
    out: &mut String,
    cell: Option<&Measured>,
    arm: usize,
    metric: Metric,
    best: Option<usize>,
) {
    let Some(cell) = cell else {
        let _ = write!(out, "<td data-arm=\"{arm}\">–</td>");
        return;
    };
    if let Some(error) = &cell.error {
        let title = escape(error);
        let _ = write!(
            out,
            "<td data-arm=\"{arm}\" data-v=\"\" class=\"failed\" title=\"{title}\">failed</td>"
        );
        return;
    }
    let Some(figure) = cell.figure(metric) else {
        let _ = write!(out, "<td data-arm=\"{arm}\">–</td>");
        return;
    };
    let value = units::human(figure.median, metric.unit());
    let (mut text, order, title, depth) = match figure.ratio {
        Some(ratio) => (
            units::ratio(ratio.value),
            ratio.value,
            format!("{} the reference; median {value}", units::ratio_interval(ratio)),
            (ratio.value.log2().abs() * DOUBLED).clamp(8.0, DEEPEST),
        ),
        None => (value.clone(), 1.0, format!("median {value}"), DEEPEST),
    };
    let class = match figure.verdict {
        Some(Verdict::Undecided) => {
            text.push_str(" ?");
            "undecided"
        }
        Some(verdict) => verdict.word(),
        None => "same",
    };
    let tint = match figure.verdict {
        Some(Verdict::Better | Verdict::Worse) => format!(" style=\"--d:{depth:.0}%\""),
        _ => String::new(),
    };
    if best == Some(arm) {
        text = format!("<b>{text}</b>");
    }
    let _ = write!(
        out,
        "<td data-arm=\"{arm}\" data-v=\"{order:.4}\" class=\"cell {class}\"{tint} title=\"{}\">{text}</td>",
        escape(&title)
    );
}
