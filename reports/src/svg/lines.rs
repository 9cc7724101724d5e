//! Memory over time: resident bytes of each engine, live bytes beneath.

use plotters::prelude::Polygon;
use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::canvas::{FONT, Ink, Insets, Marker, fit, panel, units};
use super::place::apart;
use crate::analysis::{Arm, Workload};
use crate::record::{self, Series, Unit};
use crate::units as figures;

const NAMES: f64 = 168.0;
/// Columns into which a long series is thinned: more than there are pixels
/// would only make the page larger.
const COLUMNS: usize = 64;

/// Draws the series of all cells whose axis is the first one's.
pub(crate) fn memory(workload: &Workload, arms: &[Arm]) -> Option<String> {
    let all = workload.cells.iter().filter_map(|cell| Some((cell.arm, cell.series.as_ref()?)));
    let axis = all.clone().next()?.1.axis;
    let series: Vec<(usize, &Series)> = all.filter(|(_, s)| s.axis == axis).collect();
    let unit = match axis {
        record::Axis::Operations => Unit::Count,
        record::Axis::Seconds => Unit::Seconds,
    };
    let x = Axis::from_zero(series.iter().flat_map(|(_, s)| s.x.last().copied()), unit, 3);
    let bytes = series.iter().flat_map(|(_, s)| s.rss_bytes.iter().chain(&s.live_bytes));
    let y = Axis::from_zero(bytes.map(|b| *b as f64), Unit::Bytes, 5);
    let live = series.iter().map(|(_, s)| *s).find(|s| !s.live_bytes.is_empty());
    let height = (series.len() as f64 * (FONT + 2.0) + 66.0).max(230.0);
    let described = format!(
        "Resident memory of {} engines over the run of {}: lower is better.",
        series.len(),
        workload.name
    );
    Some(panel((WIDTH, height), &described, |canvas| {
        let insets = Insets { left: 40.0, top: 24.0, right: NAMES, bottom: 40.0 };
        let frame = canvas.frame(insets, &x, &y)?;
        let title = y.measure(if live.is_some() { "RSS (lines), live (area)" } else { "RSS" });
        canvas.text(&title, (2.0, 4.0), (HPos::Left, VPos::Top), Ink::Muted)?;
        let title = match axis {
            record::Axis::Operations => x.title("operations"),
            record::Axis::Seconds => x.title("time"),
        };
        canvas.text(&title, (frame.x.1, height - 6.0), (HPos::Right, VPos::Bottom), Ink::Muted)?;
        let path = |xs: &[f64], bytes: &[u64]| -> Vec<(f64, f64)> {
            let thin = thinned(xs, bytes);
            let points: Vec<(f64, f64)> =
                thin.iter().map(|&(at, b)| frame.point(at, b as f64)).collect();
            straightened(&points)
        };
        if let Some(live) = live {
            let mut outline = path(&live.x, &live.live_bytes);
            let (first, last) = (outline[0].0, outline[outline.len() - 1].0);
            outline.extend([(last, frame.y.1), (first, frame.y.1)]);
            let outline: Vec<(i32, i32)> =
                outline.iter().map(|p| (units(p.0), units(p.1))).collect();
            canvas.area.draw(&Polygon::new(outline, Ink::Wash.fill()))?;
        }
        let mut ends = Vec::new();
        // The reference is drawn last, on top.
        for (arm, s) in series.iter().rev() {
            let path = path(&s.x, &s.rss_bytes);
            let marker = Marker::of(arms, *arm);
            canvas.begin(*arm)?;
            canvas.line(&path, marker.ink, if marker.hollow { 1.0 } else { 1.6 })?;
            canvas.end()?;
            ends.push((*arm, *s, path[path.len() - 1]));
        }
        let wanted: Vec<f64> = ends.iter().map(|(_, _, end)| end.1).collect();
        let heights = apart(&wanted, FONT + 2.0, frame.y.0 + 2.0, frame.y.1 - 2.0);
        for ((arm, s, end), middle) in ends.into_iter().zip(heights) {
            let marker = Marker::of(arms, arm);
            let beside = frame.x.1 + 12.0;
            canvas.begin(arm)?;
            canvas.line(&[end, (beside - 6.0, middle)], Ink::Grid, 0.75)?;
            canvas.marker(marker, (beside, middle))?;
            let label = &arms[arm].label;
            let name = fit(label, NAMES - 22.0);
            canvas.text(&name, (beside + 8.0, middle), (HPos::Left, VPos::Center), Ink::Text)?;
            let peak = s.rss_bytes.iter().copied().max().unwrap_or(0);
            let tip = format!(
                "{label}\npeak RSS {}, {} at the end",
                figures::human(peak as f64, Unit::Bytes),
                figures::human(s.rss_bytes.last().copied().unwrap_or(0) as f64, Unit::Bytes)
            );
            canvas.tip((beside - 7.0, middle - FONT / 2.0), (NAMES - 5.0, FONT + 1.0), &tip);
            canvas.end()?;
        }
        Ok(())
    }))
}

/// The series in few points: the least and the most of each column, in the
/// order in which they came, so that no peak is lost.
fn thinned(xs: &[f64], bytes: &[u64]) -> Vec<(f64, u64)> {
    let points: Vec<(f64, u64)> = xs.iter().copied().zip(bytes.iter().copied()).collect();
    if points.len() <= 2 * COLUMNS {
        return points;
    }
    let mut thin = vec![points[0]];
    for chunk in points.chunks(points.len().div_ceil(COLUMNS)) {
        let most = (0..chunk.len()).max_by_key(|&i| chunk[i].1).unwrap_or(0);
        let least = (0..chunk.len()).min_by_key(|&i| chunk[i].1).unwrap_or(0);
        thin.extend([chunk[most.min(least)], chunk[most.max(least)]]);
    }
    thin.push(points[points.len() - 1]);
    thin
}

/// Nobody sees a line that is so far from where it should be, in CSS pixels.
const UNSEEN: f64 = 0.35;

/// The line without the points that nobody would miss (after Douglas and Peucker).
fn straightened(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let [first, between @ .., last] = points else { return points.to_vec() };
    let (across, down) = (last.0 - first.0, last.1 - first.1);
    let length = across.hypot(down).max(f64::MIN_POSITIVE);
    let off = |p: &(f64, f64)| ((p.0 - first.0) * down - (p.1 - first.1) * across).abs() / length;
    let farthest =
        (0..between.len()).max_by(|&a, &b| off(&between[a]).total_cmp(&off(&between[b])));
    match farthest.filter(|&at| off(&between[at]) > UNSEEN) {
        None => vec![*first, *last],
        Some(at) => {
            let mut line = straightened(&points[..at + 2]);
            line.pop();
            line.extend(straightened(&points[at + 1..]));
            line
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straightened_line_keeps_its_corners() {
        let corner = [(0.0, 0.0), (1.0, 0.1), (2.0, 0.0), (2.1, 9.0), (5.0, 9.0), (9.0, 9.0)];
        assert_eq!(straightened(&corner), [(0.0, 0.0), (2.0, 0.0), (2.1, 9.0), (9.0, 9.0)]);
        assert_eq!(straightened(&corner[..1]), corner[..1]);
        assert_eq!(straightened(&[]), []);
    }

    #[test]
    fn thinning_keeps_the_ends_and_every_peak() {
        let xs: Vec<f64> = (0..100_000).map(f64::from).collect();
        let mut bytes = vec![10u64; xs.len()];
        bytes[54_321] = 999;
        bytes[77_777] = 1;
        let thin = thinned(&xs, &bytes);
        assert!(thin.len() <= 2 * COLUMNS + 4);
        assert_eq!(thin.first(), Some(&(0.0, 10)));
        assert_eq!(thin.last(), Some(&(99_999.0, 10)));
        assert!(thin.contains(&(54_321.0, 999)) && thin.contains(&(77_777.0, 1)));
        assert!(thin.is_sorted_by(|a, b| a.0 <= b.0));
    }
}
