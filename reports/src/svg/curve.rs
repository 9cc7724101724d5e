//! A measure against a setting: one line an engine, the settings side by side.

use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::canvas::{FONT, Ink, Insets, fit, panel};
use super::place::apart;
use crate::record::Unit;

const NAMES: f64 = 92.0;
const HEIGHT: f64 = 190.0;

/// What one engine came to: a value for each setting, where there is one.
pub(crate) struct Curve<'c> {
    pub engine: &'c str,
    pub values: Vec<Option<f64>>,
}

/// Draws `curves` over `settings`; `shown` is a value as people read it. `None` if
/// there is nothing that can be drawn.
pub(crate) fn curve(
    title: &str,
    settings: &[&str],
    curves: &[Curve<'_>],
    unit: Unit,
    shown: impl Fn(f64) -> String,
) -> Option<String> {
    let values = curves.iter().flat_map(|curve| curve.values.iter().flatten().copied());
    let y = Axis::around(values.collect::<Vec<f64>>().into_iter(), unit, 5)?;
    let x = Axis::slots(settings.len());
    let described =
        format!("{title} against {} settings, as a line for each engine.", settings.len());
    Some(panel((WIDTH, HEIGHT), &described, |canvas| {
        let insets = Insets { left: 46.0, top: 20.0, right: NAMES, bottom: 22.0 };
        let frame = canvas.frame(insets, &x, &y)?;
        canvas.text(&y.title(""), (2.0, 2.0), (HPos::Left, VPos::Top), Ink::Muted)?;
        for (at, setting) in settings.iter().enumerate() {
            let place = (frame.point(at as f64 + 0.5, y.range.0).0, HEIGHT - 6.0);
            canvas.text(setting, place, (HPos::Center, VPos::Bottom), Ink::Muted)?;
        }
        let mut ends = Vec::new();
        for (number, curve) in curves.iter().enumerate() {
            let ink = Ink::Series(number);
            let point = |(at, value): (usize, &Option<f64>)| {
                let value = (*value)?;
                Some((frame.point(at as f64 + 0.5, y.at(value)), at, value))
            };
            let points: Vec<_> = curve.values.iter().enumerate().filter_map(point).collect();
            let path: Vec<(f64, f64)> = points.iter().map(|(point, _, _)| *point).collect();
            canvas.line(&path, ink, 1.6)?;
            for ((px, py), at, value) in &points {
                canvas.rect((px - 2.5, py - 2.5), (px + 2.5, py + 2.5), ink)?;
                let tip = format!("{} at {}: {}", curve.engine, settings[*at], shown(*value));
                canvas.tip((px - 6.0, py - 6.0), (12.0, 12.0), &tip);
            }
            ends.extend(path.last().map(|end| (curve.engine, ink, *end)));
        }
        let wanted: Vec<f64> = ends.iter().map(|(_, _, end)| end.1).collect();
        let heights = apart(&wanted, FONT + 2.0, frame.y.0 + 2.0, frame.y.1 - 2.0);
        for ((engine, ink, end), middle) in ends.into_iter().zip(heights) {
            let beside = frame.x.1 + 6.0;
            canvas.line(&[end, (beside, middle)], Ink::Grid, 0.75)?;
            canvas.rect((beside, middle - 4.0), (beside + 8.0, middle + 4.0), ink)?;
            let name = fit(engine, NAMES - 20.0);
            canvas.text(&name, (beside + 12.0, middle), (HPos::Left, VPos::Center), Ink::Text)?;
        }
        Ok(())
    }))
}
