//! The configurations of a tuning by the values of one knob.

use plotters::prelude::Circle;
use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::canvas::{Ink, Insets, fit, panel, units};
use crate::record::Unit;

const HEIGHT: f64 = 190.0;

/// A configuration.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// Index of its value of the knob; 0 leaves the knob alone.
    pub slot: usize,
    pub figure: f64,
    /// No other knob is set.
    pub alone: bool,
    pub tip: String,
}

/// Draws the marks over the values; a line joins the least of each value.
pub(crate) fn sweep(values: &[String], marks: &[Mark], figure: &str) -> Option<String> {
    let y = Axis::around(marks.iter().map(|mark| mark.figure), Unit::Count, 5)?;
    let x = Axis::slots(values.len());
    let described = format!(
        "{figure} of {} configurations by the values of a knob: lower is better.",
        marks.len()
    );
    Some(panel((WIDTH, HEIGHT), &described, |canvas| {
        let insets = Insets { left: 46.0, top: 24.0, right: 10.0, bottom: 26.0 };
        let frame = canvas.frame(insets, &x, &y)?;
        canvas.text(&y.title(figure), (2.0, 4.0), (HPos::Left, VPos::Top), Ink::Muted)?;
        let width = (frame.x.1 - frame.x.0) / values.len() as f64;
        let at = |slot: usize, value: f64| frame.point(slot as f64 + 0.5, y.at(value));
        let mut best = Vec::new();
        for (slot, value) in values.iter().enumerate() {
            let middle = (at(slot, 1.0).0, frame.y.1 + 6.0);
            let text = fit(value, width - 2.0);
            canvas.text(&text, middle, (HPos::Center, VPos::Top), Ink::Text)?;
            let here = marks.iter().filter(|mark| mark.slot == slot).map(|mark| mark.figure);
            best.extend(here.reduce(f64::min).map(|least| at(slot, least)));
        }
        canvas.line(&best, Ink::Series(0), 1.25)?;
        for mark in marks {
            let (px, py) = at(mark.slot, mark.figure);
            let (radius, ink) = if mark.alone { (4.5, Ink::Series(1)) } else { (2.5, Ink::Muted) };
            canvas.area.draw(&Circle::new((units(px), units(py)), units(radius), ink.fill()))?;
            canvas.tip((px - 6.0, py - 6.0), (12.0, 12.0), &mark.tip);
        }
        Ok(())
    }))
}
