//! Time against peak RSS, with the Pareto front.

use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::canvas::{FONT, Frame, Ink, Insets, Marker, fit, panel, text_width};
use super::place::{Rect, TETHERED, beside};
use crate::analysis::{Arm, Measured, Workload};
use crate::figure::Figure;
use crate::record::{Metric, Role, Unit};
use crate::units;

const HEIGHT: f64 = 300.0;
const LABEL_WIDTH: f64 = 146.0;

/// A figure with its interval, on one axis.
struct Span {
    value: f64,
    ends: Option<(f64, f64)>,
}

impl Span {
    fn of(figure: &Figure) -> Span {
        Span { value: figure.median, ends: figure.interval.map(|i| (i.low, i.high)) }
    }

    /// All values that an axis must hold; an interval can touch zero where the
    /// median is positive.
    fn values(&self) -> impl Iterator<Item = f64> {
        let ends = self.ends.map(|(low, high)| [low, high]);
        let all = std::iter::once(self.value).chain(ends.into_iter().flatten());
        all.filter(|value| *value > 0.0)
    }
}

struct Point {
    arm: usize,
    time: Span,
    memory: Span,
    tip: String,
}

/// Draws median wall time against median peak RSS, with the intervals of both.
pub(crate) fn scatter(workload: &Workload, arms: &[Arm]) -> Option<String> {
    let point = |cell: &Measured| {
        let (time, memory) = (cell.figure(Metric::WallS)?, cell.figure(Metric::PeakRssBytes)?);
        (time.median > 0.0 && memory.median > 0.0).then(|| Point {
            arm: cell.arm,
            time: Span::of(time),
            memory: Span::of(memory),
            tip: tip(&arms[cell.arm].label, time, memory),
        })
    };
    let points: Vec<Point> = workload.cells.iter().filter_map(point).collect();
    let described = format!(
        "Time against peak memory of {} engines on {}: lower left is better. The figures are in the table.",
        points.len(),
        workload.name
    );
    let units = (Metric::WallS.unit(), Metric::PeakRssBytes.unit());
    draw(&points, arms, units, ("wall time", "peak RSS"), &described)
}

/// Draws geometric means over workloads: of time and memory, as ratios to the
/// reference, by arm.
pub(crate) fn means(means: &[(usize, f64, f64)], arms: &[Arm]) -> Option<String> {
    let point = |&(arm, time, memory): &(usize, f64, f64)| Point {
        arm,
        time: Span { value: time, ends: None },
        memory: Span { value: memory, ends: None },
        tip: format!(
            "{}\nwall time: {}\npeak RSS: {}",
            arms[arm].label,
            units::ratio(time),
            units::ratio(memory)
        ),
    };
    let points: Vec<Point> = means.iter().map(point).collect();
    let described = format!(
        "Geometric means over all workloads, time against peak memory of {} engines as ratios to \
         the reference: lower left is better. The figures are in the tables of engines by workload.",
        points.len()
    );
    let names = ("wall time, ratio", "peak RSS, ratio");
    draw(&points, arms, (Unit::Count, Unit::Count), names, &described)
}

fn draw(
    points: &[Point],
    arms: &[Arm],
    units: (Unit, Unit),
    names: (&str, &str),
    described: &str,
) -> Option<String> {
    let along = |of: fn(&Point) -> &Span| -> Vec<f64> {
        points.iter().flat_map(|point| of(point).values()).collect()
    };
    let x = Axis::around(along(|p| &p.time).into_iter(), units.0, 6)?;
    let y = Axis::around(along(|p| &p.memory).into_iter(), units.1, 6)?;
    Some(panel((WIDTH, HEIGHT), described, |canvas| {
        let insets = Insets { left: 42.0, top: 24.0, right: 10.0, bottom: 40.0 };
        let frame = canvas.frame(insets, &x, &y)?;
        let title = y.measure(names.1);
        canvas.text(&title, (2.0, 4.0), (HPos::Left, VPos::Top), Ink::Muted)?;
        let title = x.measure(names.0);
        canvas.text(&title, (frame.x.1, HEIGHT - 6.0), (HPos::Right, VPos::Bottom), Ink::Muted)?;
        let at = |time: f64, memory: f64| frame.point(x.at(time), y.at(memory));
        let places: Vec<(f64, f64)> =
            points.iter().map(|p| at(p.time.value, p.memory.value)).collect();
        let mut lines = Vec::new();
        if points.len() > 1 {
            let front = border(&places, &frame);
            canvas.line(&front, Ink::Muted, 0.75)?;
            lines.extend(front.windows(2).map(|ends| Rect::along(ends[0], ends[1])));
        }
        for (point, &(px, py)) in points.iter().zip(&places) {
            canvas.begin(point.arm)?;
            let across = point.time.ends.map(|i| [(at(i.0, 1.0).0, py), (at(i.1, 1.0).0, py)]);
            let down = point.memory.ends.map(|i| [(px, at(1.0, i.0).1), (px, at(1.0, i.1).1)]);
            for ends in [across, down].into_iter().flatten() {
                canvas.line(&ends, Marker::of(arms, point.arm).ink, 1.25)?;
                lines.push(Rect::along(ends[0], ends[1]));
            }
            canvas.end()?;
        }
        // The A/A row lies on the reference: its hollow marker says enough.
        let text = |point: &Point| match arms[point.arm].role {
            Role::Repeat => String::new(),
            _ => fit(&arms[point.arm].label, LABEL_WIDTH),
        };
        let texts: Vec<String> = points.iter().map(text).collect();
        let sizes: Vec<(f64, f64)> = texts.iter().map(|t| (text_width(t), FONT + 2.0)).collect();
        let bounds = Rect {
            x: frame.x.0,
            y: frame.y.0,
            width: frame.x.1 - frame.x.0,
            height: frame.y.1 - frame.y.0,
        };
        let rects = beside(&places, &sizes, &lines, bounds);
        for (i, rect) in rects.iter().enumerate() {
            let (Some(rect), (px, py)) = (rect, places[i]) else {
                continue;
            };
            canvas.begin(points[i].arm)?;
            let (near, distance) = rect.nearest((px, py));
            if distance > TETHERED {
                canvas.line(&[(px, py), near], Ink::Muted, 0.5)?;
            }
            let middle = (rect.x, rect.y + rect.height / 2.0);
            canvas.text(&texts[i], middle, (HPos::Left, VPos::Center), Ink::Text)?;
            canvas.end()?;
        }
        // The reference is drawn last, on top.
        for (point, &place) in points.iter().zip(&places).rev() {
            canvas.begin(point.arm)?;
            canvas.marker(Marker::of(arms, point.arm), place)?;
            canvas.tip((place.0 - 8.0, place.1 - 8.0), (16.0, 16.0), &point.tip);
            canvas.end()?;
        }
        Ok(())
    }))
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

fn tip(label: &str, time: &Figure, memory: &Figure) -> String {
    let one = |figure: &Figure, metric: Metric| {
        let value = units::human(figure.median, metric.unit());
        match figure.ratio {
            Some(ratio) => format!("{value}, {} the reference", units::ratio_interval(ratio)),
            None => value,
        }
    };
    format!(
        "{label}\nwall time: {}\npeak RSS: {}",
        one(time, Metric::WallS),
        one(memory, Metric::PeakRssBytes)
    )
}
