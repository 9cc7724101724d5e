//! The joint picture of two knobs: a square for each pair of values.

use plotters::prelude::{Color, Rectangle};
use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::canvas::{FONT, Ink, Insets, fit, panel, text_width, units};

const ROW: f64 = 26.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 40.0;

/// A pair of values.
#[derive(Debug, Clone)]
pub(crate) struct Square {
    /// Index of the column and of the row.
    pub at: (usize, usize),
    /// The darker, the more.
    pub figure: f64,
    pub text: String,
    pub tip: String,
}

/// Draws the squares, the shade by the logarithm of the figure. Knobs come with
/// their name and the names of their values: across, then down.
pub(crate) fn heat(
    across: (&str, &[String]),
    down: (&str, &[String]),
    squares: &[Square],
) -> Option<String> {
    let shades = || squares.iter().map(|square| (square.figure + 1.0).ln());
    let (least, most) = (shades().reduce(f64::min)?, shades().reduce(f64::max)?);
    let height = down.1.len() as f64 * ROW + TOP + BOTTOM;
    let described = format!("{} against {}: lighter is less.", across.0, down.0);
    Some(panel((WIDTH, height), &described, |canvas| {
        let names = down.1.iter().map(|name| text_width(name)).fold(0.0, f64::max).min(90.0);
        let insets = Insets { left: names + 10.0, top: TOP, right: 6.0, bottom: BOTTOM };
        let frame =
            canvas.frame(insets, &Axis::slots(across.1.len()), &Axis::rows(down.1.len()))?;
        canvas.text(down.0, (2.0, 4.0), (HPos::Left, VPos::Top), Ink::Muted)?;
        let corner = (frame.x.1, height - 4.0);
        canvas.text(across.0, corner, (HPos::Right, VPos::Bottom), Ink::Muted)?;
        let width = (frame.x.1 - frame.x.0) / across.1.len() as f64;
        for (i, name) in across.1.iter().enumerate() {
            let middle = (frame.x.0 + (i as f64 + 0.5) * width, frame.y.1 + 6.0);
            canvas.text(&fit(name, width - 2.0), middle, (HPos::Center, VPos::Top), Ink::Text)?;
        }
        for (i, name) in down.1.iter().enumerate() {
            let middle = (frame.x.0 - 5.0, frame.y.0 + (i as f64 + 0.5) * ROW);
            canvas.text(&fit(name, names + 4.0), middle, (HPos::Right, VPos::Center), Ink::Text)?;
        }
        for square in squares {
            let shade = ((square.figure + 1.0).ln() - least) / (most - least).max(1e-9);
            let x = frame.x.0 + square.at.0 as f64 * width;
            let y = frame.y.0 + square.at.1 as f64 * ROW;
            let corners =
                [(units(x + 1.0), units(y + 1.0)), (units(x + width - 1.0), units(y + ROW - 1.0))];
            let fill = Ink::Series(0).rgb().mix(0.08 + 0.6 * shade).filled();
            canvas.area.draw(&Rectangle::new(corners, fill))?;
            let middle = (x + width / 2.0, y + ROW / 2.0);
            if text_width(&square.text) <= width + FONT {
                canvas.text(&square.text, middle, (HPos::Center, VPos::Center), Ink::Text)?;
            }
            canvas.tip((x, y), (width, ROW), &square.tip);
        }
        Ok(())
    }))
}
