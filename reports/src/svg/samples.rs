//! Every sample as a dot, one row an engine, with the median and its interval.

use plotters::prelude::Circle;
use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::bars::{NAMES, name_row};
use super::canvas::{Ink, Insets, Marker, panel, units};
use crate::analysis::{Arm, Measured, Workload};
use crate::record::{Metric, Unit};

const ROW: f64 = 22.0;
const BOTTOM: f64 = 34.0;
/// A row holds no more dots than can be told apart; beyond, every n-th is drawn.
const DOTS: usize = 60;

/// Draws the wall times of all samples.
pub(crate) fn samples(workload: &Workload, arms: &[Arm]) -> Option<String> {
    let rows: Vec<&Measured> =
        workload.cells.iter().filter(|cell| !cell.wall_s.is_empty()).collect();
    let values = rows.iter().flat_map(|cell| cell.wall_s.iter().copied());
    let values: Vec<f64> = values.collect();
    let x = Axis::around(values.into_iter(), Unit::Seconds, 4)?;
    let height = rows.len() as f64 * ROW + BOTTOM + 4.0;
    let described = format!(
        "The wall time of each sample of {} engines on {}, as dots, with the median and its 99 % \
         interval: lower (left) is better. The table beneath has the figures.",
        rows.len(),
        workload.name
    );
    Some(panel((WIDTH, height), &described, |canvas| {
        let insets = Insets { left: NAMES, top: 4.0, right: 12.0, bottom: BOTTOM };
        let frame = canvas.frame(insets, &x, &Axis::rows(rows.len()))?;
        let title = x.measure("wall time");
        canvas.text(&title, (frame.x.1, height - 3.0), (HPos::Right, VPos::Bottom), Ink::Muted)?;
        for (i, cell) in rows.iter().enumerate() {
            let middle = frame.y.0 + (i as f64 + 0.5) * ROW;
            let marker = Marker::of(arms, cell.arm);
            let at = |value: f64| frame.point(x.at(value), 0.0).0;
            canvas.begin(cell.arm)?;
            name_row(canvas, arms, cell, middle)?;
            let every = cell.wall_s.len().div_ceil(DOTS);
            for (n, value) in cell.wall_s.iter().step_by(every).enumerate() {
                // Beside each other, in the order in which they came.
                let y = middle - 6.0 + (n % 5) as f64 * 3.0;
                let place = (units(at(*value)), units(y));
                canvas.area.draw(&Circle::new(place, units(1.6), marker.ink.fill()))?;
            }
            if let Some(figure) = cell.figure(Metric::WallS) {
                if let Some(i) = figure.interval {
                    canvas.line(&[(at(i.low), middle), (at(i.high), middle)], Ink::Text, 1.0)?;
                }
                let median = at(figure.median);
                canvas.line(&[(median, middle - 9.0), (median, middle + 9.0)], Ink::Text, 2.0)?;
            }
            canvas.end()?;
        }
        Ok(())
    }))
}
