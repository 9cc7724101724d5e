//! Latencies of single calls, one row an engine: malloc above, free below.

use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::bars::{NAMES, name_row};
use super::canvas::{Ink, Insets, Marker, panel};
use crate::analysis::{Arm, Measured, Workload};
use crate::record::{Metric, Unit};
use crate::units;

const ROW: f64 = 24.0;
const BOTTOM: f64 = 34.0;

/// The two lines of a row, each from p50 to the maximum.
const LINES: [(&str, f64, [Metric; 4]); 2] = [
    ("malloc", -4.0, [Metric::AllocP50S, Metric::AllocP99S, Metric::AllocP999S, Metric::AllocMaxS]),
    ("free", 4.0, [Metric::FreeP50S, Metric::FreeP99S, Metric::FreeP999S, Metric::FreeMaxS]),
];

/// Shorter than any call: what is left of one when the clock's cost is gone.
const SHORTEST: f64 = 0.5e-9;

/// Draws p50, p99, p99.9 and the maximum of both kinds of call.
pub(crate) fn latency(workload: &Workload, arms: &[Arm]) -> Option<String> {
    let all = |cell: &Measured| LINES.map(|(_, _, metrics)| values(cell, metrics));
    let rows: Vec<_> = workload.cells.iter().map(|cell| (cell, all(cell))).collect();
    let rows: Vec<_> =
        rows.into_iter().filter(|(_, lines)| lines.iter().any(Option::is_some)).collect();
    let known = rows.iter().flat_map(|(_, lines)| lines.iter().flatten().flatten().copied());
    let x = Axis::around(known.collect::<Vec<f64>>().into_iter(), Unit::Seconds, 5)?;
    let height = rows.len() as f64 * ROW + BOTTOM + 4.0;
    let described = format!(
        "Latencies of single calls under {} engines on {}, from the median to the longest: further \
         left is better. The figures are in the table.",
        rows.len(),
        workload.name
    );
    Some(panel((WIDTH, height), &described, |canvas| {
        let insets = Insets { left: NAMES, top: 4.0, right: 12.0, bottom: BOTTOM };
        let frame = canvas.frame(insets, &x, &Axis::rows(rows.len()))?;
        let title = x.title("a call");
        canvas.text(&title, (frame.x.1, height - 3.0), (HPos::Right, VPos::Bottom), Ink::Muted)?;
        for (i, (cell, lines)) in rows.iter().enumerate() {
            let middle = frame.y.0 + (i as f64 + 0.5) * ROW;
            name_row(canvas, arms, cell, middle)?;
            let ink = Marker::of(arms, cell.arm).ink;
            for ((_, offset, _), values) in LINES.iter().zip(lines) {
                let Some(values) = values else { continue };
                let y = middle + offset;
                let place = |value: f64| frame.point(x.at(value), 0.0).0;
                canvas.line(&[(place(values[0]), y), (place(values[3]), y)], ink, 1.0)?;
                for (value, half) in values.iter().zip([3.0, 2.4, 1.8, 1.2]) {
                    let at = place(*value);
                    canvas.rect((at - half, y - half), (at + half, y + half), ink)?;
                }
            }
            let tip = tip(&arms[cell.arm].label, lines);
            canvas.tip((0.0, middle - ROW / 2.0), (WIDTH, ROW), &tip);
        }
        Ok(())
    }))
}

fn values(cell: &Measured, metrics: [Metric; 4]) -> Option<[f64; 4]> {
    let mut values = [0.0; 4];
    for (value, metric) in values.iter_mut().zip(metrics) {
        *value = cell.figure(metric)?.median.max(SHORTEST);
    }
    Some(values)
}

fn tip(label: &str, lines: &[Option<[f64; 4]>; 2]) -> String {
    let mut text = label.to_owned();
    for ((name, _, _), values) in LINES.iter().zip(lines) {
        let Some(values) = values else { continue };
        let shown = values.map(|value| units::human(value, Unit::Seconds));
        text += &format!(
            "\n{name}: p50 {}, p99 {}, p99.9 {}, longest {}",
            shown[0], shown[1], shown[2], shown[3]
        );
    }
    text
}
