//! Pictures of the textbook: its words come with the figures.

use plotters::prelude::Polygon;
use plotters::style::text_anchor::{HPos, VPos};

use super::WIDTH;
use super::axis::Axis;
use super::canvas::{Ink, Insets, fit, panel, units};
use crate::record::Unit;
use crate::units as figures;

/// A part of an address space, or a gap in it.
pub(crate) struct Band {
    /// Where it begins; none for a gap.
    pub start: Option<u64>,
    /// What it is.
    pub name: String,
    /// How large it is, as people read it.
    pub size: String,
}

const BAND: f64 = 26.0;
const GAP: f64 = 24.0;

/// Draws bands, the highest first, each as high as any other.
pub(crate) fn space(bands: &[Band], described: &str) -> String {
    let high = |band: &Band| if band.start.is_some() { BAND } else { GAP };
    let height = bands.iter().map(high).sum::<f64>() + 4.0;
    panel((WIDTH, height), described, |canvas| {
        let (left, right) = (104.0, WIDTH - 2.0);
        let mut top = 2.0;
        for band in bands {
            let bottom = top + high(band);
            let middle = (top + bottom) / 2.0;
            match band.start {
                Some(start) => {
                    canvas.rect((left, top + 1.0), (right, bottom - 1.0), Ink::Wash)?;
                    canvas.rect((left, top + 1.0), (left + 3.0, bottom - 1.0), Ink::Series(0))?;
                    let address = format!("{start:x}");
                    canvas.text(
                        &address,
                        (left - 6.0, middle),
                        (HPos::Right, VPos::Center),
                        Ink::Muted,
                    )?;
                    let name = fit(&band.name, right - left - 80.0);
                    canvas.text(
                        &name,
                        (left + 10.0, middle),
                        (HPos::Left, VPos::Center),
                        Ink::Text,
                    )?;
                    let end = (right - 6.0, middle);
                    canvas.text(&band.size, end, (HPos::Right, VPos::Center), Ink::Text)?;
                }
                None => {
                    let text = format!("⋮ {} {}", band.size, band.name);
                    let at = (left + 10.0, middle);
                    canvas.text(&text, at, (HPos::Left, VPos::Center), Ink::Muted)?;
                }
            }
            top = bottom;
        }
        Ok(())
    })
}

const ROW: f64 = 32.0;

/// Draws bars beneath their names.
pub(crate) fn levels(rows: &[(String, f64)], unit: Unit, described: &str) -> String {
    let most = rows.iter().map(|row| row.1).fold(0.0, f64::max);
    let height = rows.len() as f64 * ROW + 4.0;
    panel((WIDTH, height), described, |canvas| {
        let room = WIDTH - 80.0;
        for (i, (name, value)) in rows.iter().enumerate() {
            let top = i as f64 * ROW;
            let name = fit(name, WIDTH - 4.0);
            canvas.text(&name, (2.0, top + 2.0), (HPos::Left, VPos::Top), Ink::Text)?;
            // What is not nothing shows.
            let long = if most > 0.0 { value / most * room } else { 0.0 };
            let long = if *value > 0.0 { long.max(1.5) } else { 0.0 };
            canvas.rect((2.0, top + 17.0), (2.0 + room, top + 27.0), Ink::Wash)?;
            canvas.rect((2.0, top + 17.0), (2.0 + long, top + 27.0), Ink::Series(0))?;
            let end = (WIDTH - 2.0, top + 22.0);
            let text = figures::short(*value, unit);
            canvas.text(&text, end, (HPos::Right, VPos::Center), Ink::Text)?;
        }
        Ok(())
    })
}

/// Names of the axes of a staircase.
pub(crate) struct StairNames<'a> {
    pub asked: &'a str,
    pub usable: &'a str,
}

/// Draws usable bytes over requests from 1 byte on; what lies between the stairs
/// and the diagonal is waste.
pub(crate) fn stairs(usable: &[u64], names: &StairNames<'_>, described: &str) -> String {
    const HEIGHT: f64 = 216.0;
    let asked = usable.len() as f64;
    let x = Axis::from_zero(std::iter::once(asked), Unit::Bytes, 4);
    let most = usable.iter().map(|bytes| *bytes as f64).fold(asked, f64::max);
    let y = Axis::from_zero(std::iter::once(most), Unit::Bytes, 4);
    panel((WIDTH, HEIGHT), described, |canvas| {
        let insets = Insets { left: 40.0, top: 24.0, right: 10.0, bottom: 40.0 };
        let frame = canvas.frame(insets, &x, &y)?;
        canvas.text(&y.title(names.usable), (2.0, 4.0), (HPos::Left, VPos::Top), Ink::Muted)?;
        let title = (frame.x.1, HEIGHT - 6.0);
        canvas.text(&x.title(names.asked), title, (HPos::Right, VPos::Bottom), Ink::Muted)?;
        // The corners alone.
        let mut path = Vec::new();
        let mut first = 1;
        for run in usable.chunk_by(|a, b| a == b) {
            let last = first + run.len();
            path.push(frame.point((first - 1) as f64, run[0] as f64));
            path.push(frame.point((last - 1) as f64, run[0] as f64));
            first = last;
        }
        let diagonal = [frame.point(0.0, 0.0), frame.point(asked, asked)];
        let area = path.iter().chain(diagonal.iter().rev());
        let area: Vec<(i32, i32)> = area.map(|p| (units(p.0), units(p.1))).collect();
        canvas.area.draw(&Polygon::new(area, Ink::Wash.fill()))?;
        canvas.line(&diagonal, Ink::Muted, 0.75)?;
        canvas.line(&path, Ink::Series(0), 1.5)
    })
}
