//! Time against peak RSS, with the Pareto front.

use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::canvas::{FONT, Frame, Ink, Insets, Marker, fit, panel, text_width};
use super::place::{Rect, TETHERED, beside};
use crate::analysis::{Arm, Measured, Workload};
use crate::figure::Figure;
use crate::record::{Metric, Role};
use crate::units;

const HEIGHT: f64 = 300.0;
const LABEL_WIDTH: f64 = 146.0;

struct Point<'w> {
    cell: &'w Measured,
    time: &'w Figure,
    memory: &'w Figure,
}

/// Draws median wall time against median peak RSS, with the intervals of both.
pub(crate) fn scatter(workload: &Workload, arms: &[Arm]) -> Option<String> {
    let points: Vec<Point<'_>> = workload
        .cells
        .iter()
        .filter_map(|cell| {
            let (time, memory) = (cell.figure(Metric::WallS)?, cell.figure(Metric::PeakRssBytes)?);
            (time.median > 0.0 && memory.median > 0.0).then_some(Point { cell, time, memory })
        })
        .collect();
    let x = Axis::around(extent(&points, |p| p.time).into_iter(), Metric::WallS.unit(), 6)?;
    let y =
        Axis::around(extent(&points, |p| p.memory).into_iter(), Metric::PeakRssBytes.unit(), 6)?;
    let described = format!(
        "Time against peak memory of {} engines on {}: lower left is better. The figures are in the table.",
        points.len(),
        workload.name
    );
    Some(panel((WIDTH, HEIGHT), &described, |canvas| {
        let insets = Insets { left: 42.0, top: 24.0, right: 10.0, bottom: 40.0 };
        let frame = canvas.frame(insets, &x, &y)?;
        let title = y.title("peak RSS");
        canvas.text(&title, (2.0, 4.0), (HPos::Left, VPos::Top), Ink::Muted)?;
        let title = x.title("wall time");
        canvas.text(&title, (frame.x.1, HEIGHT - 6.0), (HPos::Right, VPos::Bottom), Ink::Muted)?;
        let at = |time: f64, memory: f64| frame.point(x.at(time), y.at(memory));
        let places: Vec<(f64, f64)> =
            points.iter().map(|p| at(p.time.median, p.memory.median)).collect();
        let mut lines = Vec::new();
        if points.len() > 1 {
            let front = border(&places, &frame);
            canvas.line(&front, Ink::Muted, 0.75)?;
            lines.extend(front.windows(2).map(|ends| Rect::along(ends[0], ends[1])));
        }
        for (point, &(px, py)) in points.iter().zip(&places) {
            let across =
                point.time.interval.map(|i| [(at(i.low, 1.0).0, py), (at(i.high, 1.0).0, py)]);
            let down =
                point.memory.interval.map(|i| [(px, at(1.0, i.low).1), (px, at(1.0, i.high).1)]);
            for ends in [across, down].into_iter().flatten() {
                canvas.line(&ends, Marker::of(arms, point.cell.arm).ink, 1.25)?;
                lines.push(Rect::along(ends[0], ends[1]));
            }
        }
        // The A/A row lies on the reference: its hollow marker says enough.
        let named = points.iter().map(|p| (p.cell.cell.role != Role::Repeat, p));
        let texts: Vec<String> = named
            .map(|(named, p)| match named {
                true => fit(&arms[p.cell.arm].label, LABEL_WIDTH),
                false => String::new(),
            })
            .collect();
        let sizes: Vec<(f64, f64)> = texts.iter().map(|t| (text_width(t), FONT + 2.0)).collect();
        let bounds = Rect {
            x: frame.x.0,
            y: frame.y.0,
            width: frame.x.1 - frame.x.0,
            height: frame.y.1 - frame.y.0,
        };
        let rects = beside(&places, &sizes, &lines, bounds);
        for ((rect, text), &(px, py)) in rects.iter().zip(&texts).zip(&places) {
            let Some(rect) = rect else {
                continue;
            };
            let (near, distance) = rect.nearest((px, py));
            if distance > TETHERED {
                canvas.line(&[(px, py), near], Ink::Muted, 0.5)?;
            }
            let middle = (rect.x, rect.y + rect.height / 2.0);
            canvas.text(text, middle, (HPos::Left, VPos::Center), Ink::Text)?;
        }
        // The reference is drawn last, on top.
        for (point, &place) in points.iter().zip(&places).rev() {
            canvas.marker(Marker::of(arms, point.cell.arm), place)?;
            let tip = tip(point, &arms[point.cell.arm].label);
            canvas.tip((place.0 - 8.0, place.1 - 8.0), (16.0, 16.0), &tip);
        }
        Ok(())
    }))
}

/// All values that an axis must hold.
fn extent<'w>(points: &[Point<'w>], of: impl Fn(&Point<'w>) -> &'w Figure) -> Vec<f64> {
    let figures = points.iter().map(of);
    let values = figures.flat_map(|f| {
        let ends = f.interval.map(|i| [i.low, i.high]);
        std::iter::once(f.median).chain(ends.into_iter().flatten())
    });
    // A metric that can touch zero in an interval still has positive medians.
    values.filter(|v| *v > 0.0).collect()
}

/// The border of what is beaten: nothing measured lies below and left of it.
pub(super) fn border(places: &[(f64, f64)], frame: &Frame) -> Vec<(f64, f64)> {
    let mut sorted = places.to_vec();
    // Pixels grow downwards: the most memory has the smallest y.
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut line: Vec<(f64, f64)> = Vec::new();
    let mut lowest = frame.y.0;
    for (x, y) in sorted {
        if line.is_empty() || y > lowest {
            line.push((x, lowest));
            line.push((x, y));
            lowest = y;
        }
    }
    line.push((frame.x.1, lowest));
    line
}

fn tip(point: &Point<'_>, label: &str) -> String {
    let one = |figure: &Figure, metric: Metric| {
        let value = units::human(figure.median, metric.unit());
        match figure.ratio {
            Some(ratio) => format!("{value}, {} the reference", units::ratio_interval(ratio)),
            None => value,
        }
    };
    format!(
        "{label}\nwall time: {}\npeak RSS: {}",
        one(point.time, Metric::WallS),
        one(point.memory, Metric::PeakRssBytes)
    )
}
