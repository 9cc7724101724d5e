//! The configurations of a tuning: cost against peak memory, with the Pareto front.

use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::canvas::{FONT, Ink, Insets, fit, panel, text_width, units};
use super::place::{Rect, TETHERED, beside};
use super::scatter::border;
use crate::record::Unit;

const HEIGHT: f64 = 300.0;
const LABEL_WIDTH: f64 = 170.0;

/// What a configuration is in the plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Reference,
    /// It was timed in the search only.
    Searched,
    Confirmed,
    Recommended,
}

/// A configuration.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    pub label: String,
    pub tip: String,
    pub kind: Kind,
    /// Cost to the reference's.
    pub cost: f64,
    /// Peak resident bytes.
    pub memory: f64,
}

/// Draws the spots; `cost` names the figure.
pub(crate) fn front(spots: &[Spot], cost: &str) -> Option<String> {
    let x = Axis::ratios(spots.iter().map(|spot| spot.cost));
    let y = Axis::around(spots.iter().map(|spot| spot.memory), Unit::Bytes, 6)?;
    let described = format!(
        "{cost} against peak memory of {} configurations: lower left is better.",
        spots.len()
    );
    Some(panel((WIDTH, HEIGHT), &described, |canvas| {
        let insets = Insets { left: 42.0, top: 24.0, right: 10.0, bottom: 40.0 };
        let frame = canvas.frame(insets, &x, &y)?;
        let title = y.title("peak RSS");
        canvas.text(&title, (2.0, 4.0), (HPos::Left, VPos::Top), Ink::Muted)?;
        let title = x.title(&format!("{cost} to the default's"));
        canvas.text(&title, (frame.x.1, HEIGHT - 6.0), (HPos::Right, VPos::Bottom), Ink::Muted)?;
        let places: Vec<(f64, f64)> =
            spots.iter().map(|s| frame.point(x.at(s.cost), y.at(s.memory))).collect();
        let line = border(&places, &frame);
        canvas.line(&line, Ink::Muted, 0.75)?;
        let lines: Vec<Rect> = line.windows(2).map(|e| Rect::along(e[0], e[1])).collect();
        let texts: Vec<String> = spots
            .iter()
            .map(|spot| match spot.kind {
                Kind::Searched => String::new(),
                _ => fit(&spot.label, LABEL_WIDTH),
            })
            .collect();
        let sizes: Vec<(f64, f64)> = texts.iter().map(|t| (text_width(t), FONT + 2.0)).collect();
        let bounds = Rect {
            x: frame.x.0,
            y: frame.y.0,
            width: frame.x.1 - frame.x.0,
            height: frame.y.1 - frame.y.0,
        };
        for (i, rect) in beside(&places, &sizes, &lines, bounds).iter().enumerate() {
            let Some(rect) = rect.filter(|_| !texts[i].is_empty()) else { continue };
            let (near, distance) = rect.nearest(places[i]);
            if distance > TETHERED {
                canvas.line(&[places[i], near], Ink::Muted, 0.5)?;
            }
            let middle = (rect.x, rect.y + rect.height / 2.0);
            canvas.text(&texts[i], middle, (HPos::Left, VPos::Center), Ink::Text)?;
        }
        for (spot, &(px, py)) in spots.iter().zip(&places) {
            let (ink, radius) = match spot.kind {
                Kind::Reference => (Ink::Reference, 4.5),
                Kind::Searched => (Ink::Muted, 2.0),
                Kind::Confirmed => (Ink::Series(0), 3.5),
                Kind::Recommended => (Ink::Series(1), 5.0),
            };
            let at = (units(px), units(py));
            let circle = plotters::prelude::Circle::new(at, units(radius), ink.fill());
            canvas.area.draw(&circle)?;
            canvas.tip((px - 6.0, py - 6.0), (12.0, 12.0), &spot.tip);
        }
        Ok(())
    }))
}
