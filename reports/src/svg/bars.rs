//! Bars, one row an engine: system calls by kind, minor faults, and OS pages by how
//! full they are.

use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::canvas::{Canvas, Drawn, Ink, Insets, KINDS, Marker, fit, panel};
use crate::analysis::{Arm, Measured, Workload};
use crate::record::{Metric, Unit};
use crate::units;

/// Height of a row, and room for the names and the totals beside the bars.
pub(super) const ROW: f64 = 19.0;
pub(super) const NAMES: f64 = 166.0;
const TOTALS: f64 = 46.0;
const BOTTOM: f64 = 34.0;

/// A part of a bar.
struct Part {
    name: &'static str,
    value: f64,
    ink: Ink,
}

/// System calls by kind, stacked.
pub(crate) fn syscalls(workload: &Workload, arms: &[Arm]) -> Option<String> {
    bars(workload, arms, "system calls", |cell| {
        let part = |(i, metric): (usize, &Metric)| {
            Some(Part { name: KINDS[i], value: cell.figure(*metric)?.median, ink: Ink::Kind(i) })
        };
        Metric::MEMORY_CALLS.iter().enumerate().filter_map(part).collect()
    })
}

/// Minor faults.
pub(crate) fn faults(workload: &Workload, arms: &[Arm]) -> Option<String> {
    bars(workload, arms, "minor faults", |cell| {
        let part = |figure: &crate::Figure| Part {
            name: "minor faults",
            value: figure.median,
            ink: Marker::of(arms, cell.arm).ink,
        };
        cell.figure(Metric::MinorFaults).map(part).into_iter().collect()
    })
}

/// How full OS pages are, in the steps that are drawn: each with the first bin of
/// [`Occupancy`](crate::record::Occupancy) behind it.
pub(crate) const FULLNESS: [(&str, usize); 5] = [
    ("nothing live", 1),
    ("under 10 % (stranded)", 2),
    ("10 to 50 %", 6),
    ("50 to 90 %", 10),
    ("over 90 %", 11),
];

/// Resident OS pages of the heap by how full of live bytes they are.
pub(crate) fn occupancy(workload: &Workload, arms: &[Arm]) -> Option<String> {
    bars(workload, arms, "resident OS pages", |cell| {
        let Some(occupancy) = &cell.occupancy else { return Vec::new() };
        let mut from = 0;
        let part = |(kind, (name, end)): (usize, &(&'static str, usize))| {
            let value = occupancy.pages[from..*end].iter().sum();
            from = *end;
            Part { name, value, ink: Ink::Kind(kind) }
        };
        FULLNESS.iter().enumerate().map(part).collect()
    })
}

fn bars(
    workload: &Workload,
    arms: &[Arm],
    what: &str,
    parts_of: impl Fn(&Measured) -> Vec<Part>,
) -> Option<String> {
    let rows: Vec<(&Measured, Vec<Part>)> = workload
        .cells
        .iter()
        .map(|cell| (cell, parts_of(cell)))
        .filter(|(cell, parts)| cell.error.is_some() || !parts.is_empty())
        .collect();
    if rows.iter().all(|(_, parts)| parts.is_empty()) {
        return None;
    }
    let total = |parts: &[Part]| parts.iter().map(|p| p.value).sum::<f64>();
    let x = Axis::from_zero(rows.iter().map(|(_, parts)| total(parts)), Unit::Count, 3);
    let height = rows.len() as f64 * ROW + BOTTOM + 4.0;
    let described = format!(
        "The {what} of {} engines on {}, as bars: shorter is better. The figures are in the table.",
        rows.len(),
        workload.name
    );
    Some(panel((WIDTH, height), &described, |canvas| {
        let insets = Insets { left: NAMES, top: 4.0, right: TOTALS, bottom: BOTTOM };
        let frame = canvas.frame(insets, &x, &Axis::rows(rows.len()))?;
        let title = (frame.x.1, height - 3.0);
        canvas.text(&x.measure(what), title, (HPos::Right, VPos::Bottom), Ink::Muted)?;
        for (i, (cell, parts)) in rows.iter().enumerate() {
            let arm = &arms[cell.arm];
            let middle = frame.y.0 + (i as f64 + 0.5) * ROW;
            canvas.begin(cell.arm)?;
            name_row(canvas, arms, cell, middle)?;
            let mut start = 0.0;
            for part in parts.iter().filter(|part| part.value > 0.0) {
                let (from, to) =
                    (frame.point(start, 0.0).0, frame.point(start + part.value, 0.0).0);
                canvas.rect((from, middle - 6.0), (to, middle + 6.0), part.ink)?;
                start += part.value;
            }
            let end = (frame.point(start, 0.0).0 + 5.0, middle);
            let (text, ink) = match &cell.error {
                Some(_) => ("error".to_owned(), Ink::Muted),
                None => (units::short(start, Unit::Count), Ink::Text),
            };
            canvas.text(&text, end, (HPos::Left, VPos::Center), ink)?;
            let tip = tip(&arm.label, cell, parts);
            canvas.tip((0.0, middle - ROW / 2.0), (WIDTH, ROW), &tip);
            canvas.end()?;
        }
        Ok(())
    }))
}

/// Marker and name of an engine at the left of its row.
pub(super) fn name_row<'a>(
    canvas: &Canvas<'a, '_>,
    arms: &[Arm],
    cell: &Measured,
    middle: f64,
) -> Drawn<'a> {
    canvas.marker(Marker::of(arms, cell.arm), (7.0, middle))?;
    let name = fit(&arms[cell.arm].label, NAMES - 20.0);
    canvas.text(&name, (16.0, middle), (HPos::Left, VPos::Center), Ink::Text)
}

fn tip(label: &str, cell: &Measured, parts: &[Part]) -> String {
    let mut lines = vec![label.to_owned()];
    lines.extend(cell.error.clone());
    let value = |part: &Part| format!("{}: {}", part.name, units::human(part.value, Unit::Count));
    lines.extend(parts.iter().filter(|part| part.value > 0.0).map(value));
    lines.join("\n")
}
