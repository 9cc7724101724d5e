//! A recorded program: live bytes over time, and allocations by size.

use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::canvas::{FONT, Ink, Insets, panel};
use crate::profile::SizeBin;
use crate::record::Unit;
use crate::units as figures;

/// Live bytes (of seconds, calls so far, bytes); `None` for fewer than two points.
pub(crate) fn live(points: &[(f64, u64, u64)]) -> Option<String> {
    if points.len() < 2 || points.iter().any(|point| !point.0.is_finite()) {
        return None;
    }
    // Over calls: what a program waits for says nothing about its heap.
    let x = Axis::from_zero(points.last().map(|p| p.1 as f64).into_iter(), Unit::Count, 3);
    let y = Axis::from_zero(points.iter().map(|p| p.2 as f64), Unit::Bytes, 5);
    let height = 230.0;
    Some(panel((WIDTH, height), "Live bytes over the calls of the process.", |canvas| {
        let insets = Insets { left: 40.0, top: 24.0, right: 12.0, bottom: 40.0 };
        let frame = canvas.frame(insets, &x, &y)?;
        canvas.text(&y.title("live bytes"), (2.0, 4.0), (HPos::Left, VPos::Top), Ink::Muted)?;
        let below = (frame.x.1, height - 6.0);
        canvas.text(&x.title("calls"), below, (HPos::Right, VPos::Bottom), Ink::Muted)?;
        let path: Vec<(f64, f64)> =
            points.iter().map(|p| frame.point(p.1 as f64, p.2 as f64)).collect();
        canvas.line(&path, Ink::Series(0), 1.6)
    }))
}

/// Allocations of each bin of sizes; `None` where there are none.
pub(crate) fn sizes(bins: &[SizeBin]) -> Option<String> {
    let bins: Vec<&SizeBin> = bins.iter().filter(|bin| bin.calls > 0).collect();
    if bins.is_empty() {
        return None;
    }
    let row = FONT + 5.0;
    let (left, right, top) = (56.0, 64.0, 24.0);
    let height = top + row * bins.len() as f64 + 12.0;
    let most = bins.iter().map(|bin| bin.calls).max().unwrap_or(1) as f64;
    Some(panel((WIDTH, height), "Allocations by size.", |canvas| {
        canvas.text("allocations of up to", (2.0, 4.0), (HPos::Left, VPos::Top), Ink::Muted)?;
        for (place, bin) in bins.iter().enumerate() {
            let middle = top + row * (place as f64 + 0.5);
            let label = figures::human(bin.most as f64, Unit::Bytes);
            canvas.text(&label, (left - 5.0, middle), (HPos::Right, VPos::Center), Ink::Text)?;
            let width = (WIDTH - left - right) * bin.calls as f64 / most;
            let end = left + width.max(1.0);
            canvas.rect((left, middle - 5.0), (end, middle + 5.0), Ink::Series(0))?;
            let calls = figures::short(bin.calls as f64, Unit::Count);
            canvas.text(&calls, (end + 5.0, middle), (HPos::Left, VPos::Center), Ink::Muted)?;
            let tip = format!(
                "up to {label}\n{} allocations, {} in all, at most {} live",
                figures::human(bin.calls as f64, Unit::Count),
                figures::human(bin.bytes as f64, Unit::Bytes),
                figures::human(bin.peak_live_bytes as f64, Unit::Bytes)
            );
            canvas.tip((0.0, middle - row / 2.0), (WIDTH, row), &tip);
        }
        Ok(())
    }))
}
