//! One quantity over the commits that were measured.

use plotters::prelude::Circle;
use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::canvas::{FONT, Ink, Insets, fit, panel, units};
use crate::history::Trend;
use crate::stats::Interval;

const HEIGHT: f64 = 190.0;

/// Names of commits that fit beneath the plot.
const NAMES: usize = 5;

/// Draws a line through the medians, each with its interval.
pub(crate) fn trend(trend: &Trend) -> Option<String> {
    let count = trend.points.len();
    let unit = trend.quantity.unit();
    let ends = trend.points.iter().flat_map(|point| {
        let interval = point.interval.unwrap_or(Interval::point(point.median));
        [interval.low, interval.high]
    });
    let y = Axis::around(ends.clone(), unit, 5).unwrap_or_else(|| Axis::from_zero(ends, unit, 5));
    if count == 0 {
        return None;
    }
    let x = Axis::slots(count);
    let described = format!(
        "{} on {} over {count} measurements: lower is better.",
        trend.quantity.name(),
        trend.workload
    );
    Some(panel((WIDTH, HEIGHT), &described, |canvas| {
        let insets = Insets { left: 46.0, top: 24.0, right: 10.0, bottom: 26.0 };
        let frame = canvas.frame(insets, &x, &y)?;
        let title = y.title(trend.quantity.name());
        canvas.text(&title, (2.0, 4.0), (HPos::Left, VPos::Top), Ink::Muted)?;
        let at = |slot: usize, value: f64| frame.point(slot as f64 + 0.5, y.at(value));
        let every = count.div_ceil(NAMES);
        let room = (frame.x.1 - frame.x.0) / count as f64 * every as f64 - 4.0;
        for (slot, point) in trend.points.iter().enumerate().step_by(every) {
            let middle = (at(slot, point.median).0, frame.y.1 + 6.0);
            let name = fit(&point.commit, room);
            canvas.text(&name, middle, (HPos::Center, VPos::Top), Ink::Text)?;
        }
        let line: Vec<(f64, f64)> =
            (0..).zip(&trend.points).map(|(slot, point)| at(slot, point.median)).collect();
        canvas.line(&line, Ink::Series(0), 1.25)?;
        for (slot, point) in trend.points.iter().enumerate() {
            let middle = line[slot];
            if let Some(Interval { low, high }) = point.interval {
                canvas.line(&[at(slot, low), at(slot, high)], Ink::Series(0), 1.0)?;
            }
            let dot = (units(middle.0), units(middle.1));
            canvas.area.draw(&Circle::new(dot, units(3.0), Ink::Series(0).fill()))?;
            let shown = |value| trend.quantity.shown(value);
            let interval = point.interval.map_or(String::new(), |interval| {
                format!("\n99 % interval {} to {}", shown(interval.low), shown(interval.high))
            });
            let tip = format!(
                "{}\n{}{interval}\n{} samples, {}",
                point.commit,
                shown(point.median),
                point.n,
                point.started
            );
            canvas.tip((middle.0 - FONT / 2.0, frame.y.0), (FONT, frame.y.1 - frame.y.0), &tip);
        }
        Ok(())
    }))
}
