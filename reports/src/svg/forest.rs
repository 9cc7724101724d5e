//! Ratios to the reference with their intervals, one row an engine.

use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::bars::{NAMES, ROW, name_row};
use super::canvas::{Ink, Insets, Marker, panel};
use crate::analysis::{Arm, Measured, Workload};
use crate::judge::margin;
use crate::record::{Metric, Role};
use crate::units;

const FIGURES: f64 = 46.0;
const BOTTOM: f64 = 34.0;

/// Draws the ratios of one metric; the band is the margin within which a
/// difference is not worth acting on.
pub(crate) fn forest(
    workload: &Workload,
    arms: &[Arm],
    metric: Metric,
    what: &str,
) -> Option<String> {
    let compared = |cell: &&Measured| {
        let known = cell.figure(metric).is_some_and(|f| f.ratio.is_some_and(|r| r.value > 0.0));
        cell.cell.role != Role::Reference && (known || cell.error.is_some())
    };
    let rows: Vec<&Measured> = workload.cells.iter().filter(compared).collect();
    let ratios = || rows.iter().filter_map(|cell| cell.figure(metric)?.ratio);
    ratios().next()?;
    let ends = ratios().flat_map(|r| {
        let ends = r.interval.map(|i| [i.low, i.high]);
        std::iter::once(r.value).chain(ends.into_iter().flatten())
    });
    let x = Axis::ratios(ends);
    let height = rows.len() as f64 * ROW + BOTTOM + 4.0;
    let reference = workload.reference().map_or("the reference", |r| arms[r.arm].label.as_str());
    let described = format!(
        "{what} of {} engines on {} as a ratio to {reference}, with 99 % intervals: \
         left is better. The figures are in the table.",
        rows.len(),
        workload.name
    );
    Some(panel((WIDTH, height), &described, |canvas| {
        let insets = Insets { left: NAMES, top: 4.0, right: FIGURES, bottom: BOTTOM };
        let frame = canvas.frame(insets, &x, &Axis::rows(rows.len()))?;
        let at = |ratio: f64| frame.point(x.at(ratio), 0.0).0;
        let band = margin(metric);
        let (top, bottom) = frame.y;
        canvas.rect((at(1.0 / (1.0 + band)), top), (at(1.0 + band), bottom), Ink::Wash)?;
        canvas.line(&[(at(1.0), top), (at(1.0), bottom)], Ink::Muted, 1.0)?;
        let title = x.measure(&format!("ratio to {}", units::clip(reference, 12)));
        canvas.text(&title, (frame.x.1, height - 3.0), (HPos::Right, VPos::Bottom), Ink::Muted)?;
        for (i, cell) in rows.iter().enumerate() {
            let middle = top + (i as f64 + 0.5) * ROW;
            canvas.begin(cell.arm)?;
            name_row(canvas, arms, cell, middle)?;
            let label = &arms[cell.arm].label;
            let figure = cell.figure(metric);
            let Some(ratio) = figure.and_then(|f| f.ratio) else {
                let error = cell.error.as_deref().unwrap_or("no figures");
                let right = (WIDTH - 2.0, middle);
                canvas.text("error", right, (HPos::Right, VPos::Center), Ink::Muted)?;
                canvas.tip((0.0, middle - ROW / 2.0), (WIDTH, ROW), &format!("{label}\n{error}"));
                canvas.end()?;
                continue;
            };
            let marker = Marker::of(arms, cell.arm);
            if let Some(i) = ratio.interval {
                canvas.line(&[(at(i.low), middle), (at(i.high), middle)], marker.ink, 2.0)?;
            }
            canvas.marker(marker, (at(ratio.value), middle))?;
            let right = (WIDTH - 2.0, middle);
            canvas.text(
                &units::ratio(ratio.value),
                right,
                (HPos::Right, VPos::Center),
                Ink::Text,
            )?;
            let word = figure.and_then(|f| f.verdict).map_or("", |v| v.word());
            let tip = format!("{label}\n{} {reference}: {word}", units::ratio_interval(ratio));
            canvas.tip((0.0, middle - ROW / 2.0), (WIDTH, ROW), &tip);
            canvas.end()?;
        }
        Ok(())
    }))
}
