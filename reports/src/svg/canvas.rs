//! A drawing area of plotters, and what the page needs beyond it.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use unicode_width::UnicodeWidthChar;

use super::axis::Axis;
use crate::html::escape;

/// Drawing units in a CSS pixel.
const PX: f64 = 8.0;

/// Size of plot text in CSS pixels.
pub(super) const FONT: f64 = 11.0;

/// Name of each kind of system call, in the order of their colours.
pub(crate) const KINDS: [&str; 6] = ["brk", "mmap", "munmap", "mremap", "madvise", "mprotect"];

/// Colours of series before they repeat with other markers.
const HUES: usize = 8;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn<'a> =
    Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// A colour that the page's style sheet decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Text,
    Muted,
    Grid,
    Surface,
    /// Area of live bytes, band of the margin.
    Wash,
    /// The reference and its repeat.
    Reference,
    /// The n-th engine beside the reference.
    Series(usize),
    /// The n-th of [`KINDS`].
    Kind(usize),
}

impl Ink {
    fn code(self) -> u8 {
        match self {
            Ink::Text => 0,
            Ink::Muted => 1,
            Ink::Grid => 2,
            Ink::Surface => 3,
            Ink::Wash => 4,
            Ink::Reference => 5,
            Ink::Series(i) => 0x10 + (i % HUES) as u8,
            Ink::Kind(i) => 0x40 + (i % KINDS.len()) as u8,
        }
    }

    fn from_code(code: u8) -> Option<String> {
        Some(match code {
            0 => "var(--text)".into(),
            1 => "var(--muted)".into(),
            2 => "var(--grid)".into(),
            3 => "var(--surface)".into(),
            4 => "var(--wash)".into(),
            5 => "var(--reference)".into(),
            0x10..0x18 => format!("var(--series-{})", code - 0x10),
            0x40..0x46 => format!("var(--kind-{})", KINDS[usize::from(code - 0x40)]),
            _ => return None,
        })
    }

    /// The stand-in that plotters draws with.
    pub(super) fn rgb(self) -> RGBColor {
        RGBColor(0xb7, 0x0c, self.code())
    }

    pub(super) fn fill(self) -> ShapeStyle {
        self.rgb().filled()
    }

    pub(super) fn stroke(self, width: f64) -> ShapeStyle {
        self.rgb().stroke_width(units(width) as u32)
    }
}

/// A stand-in for the beginning of what belongs to an arm, and one for its end.
fn bracket(arm: Option<usize>) -> RGBColor {
    match arm {
        Some(arm) => RGBColor(0xb7, 0x0d, (arm % 256) as u8),
        None => RGBColor(0xb7, 0x0e, 0),
    }
}

/// CSS pixels to drawing units.
pub(super) fn units(px: f64) -> i32 {
    (px * PX).round() as i32
}

/// A panel being drawn. Coordinates are CSS pixels from its upper left corner.
pub(super) struct Canvas<'a, 'b> {
    pub area: &'b Area<'a>,
    tips: Vec<String>,
    arm: Option<usize>,
}

/// Draws a panel of `width` x `height` CSS pixels and returns its SVG.
/// `described` tells those who cannot see it what it shows.
pub(super) fn panel(
    (width, height): (f64, f64),
    described: &str,
    draw: impl for<'a, 'b> FnOnce(&mut Canvas<'a, 'b>) -> Drawn<'a>,
) -> String {
    let size = (units(width) as u32, units(height) as u32);
    let mut svg = String::new();
    let tips = {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut canvas = Canvas { area: &area, tips: Vec::new(), arm: None };
        draw(&mut canvas).expect("drawing into a string does not fail");
        canvas.tips
    };
    finish(&svg, size, described, &tips)
}

/// Turns what plotters wrote into what belongs in the page.
fn finish(svg: &str, (width, height): (u32, u32), described: &str, tips: &[String]) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let body = body.trim_end().strip_suffix("</svg>").unwrap_or(body);
    let mut out = format!(
        "<svg class=\"plot\" role=\"img\" viewBox=\"0 0 {width} {height}\" \
         aria-label=\"{0}\">\n<desc>{0}</desc>\n",
        escape(described)
    );
    let body = grouped(body);
    // Text is escaped by plotters, so a quote followed by a stand-in is one of
    // its own attributes.
    let mut rest = body.as_str();
    while let Some(at) = rest.find("\"#B70C") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = "\"#B70C00\"".len();
        let ink = from.get(end - 3..end - 1).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match ink.and_then(Ink::from_code) {
            Some(colour) => out.push_str(&format!("\"{colour}\"")),
            None => out.push_str(&from[..end]),
        }
        rest = &from[end..];
    }
    out.push_str(rest);
    for (long, short) in
        [(" opacity=\"1\"", ""), (" font-family=\"sans-serif\"", ""), (" stroke=\"none\"", "")]
    {
        out = out.replace(long, short);
    }
    for tip in tips {
        out.push_str(tip);
    }
    out.push_str("</svg>\n");
    out
}

/// Stand-ins for groups become groups. plotters writes a shape a line, and
/// escapes text, so that a line which begins like a shape is one.
fn grouped(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    for line in body.lines() {
        let shape = line.starts_with("<rect ");
        let arm = line
            .split_once("\"#B70D")
            .and_then(|(_, hex)| u8::from_str_radix(hex.get(..2)?, 16).ok());
        match arm {
            Some(arm) if shape => out.push_str(&format!("<g data-arm=\"{arm}\">")),
            _ if shape && line.contains("\"#B70E00") => out.push_str("</g>"),
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// Room round a plot for its labels, in CSS pixels.
pub(super) struct Insets {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

/// A plot with its axes drawn: figures to CSS pixels.
pub(super) struct Frame {
    pub x: (f64, f64),
    pub y: (f64, f64),
    x_range: (f64, f64),
    y_range: (f64, f64),
}

impl Frame {
    /// The point of two places on the axes.
    pub fn point(&self, x: f64, y: f64) -> (f64, f64) {
        let along = |v: f64, range: (f64, f64), px: (f64, f64)| {
            let share = ((v - range.0) / (range.1 - range.0)).clamp(0.0, 1.0);
            px.0 + share * (px.1 - px.0)
        };
        (along(x, self.x_range, self.x), along(y, self.y_range, (self.y.1, self.y.0)))
    }
}

impl<'a> Canvas<'a, '_> {
    /// Draws grid, ticks and labels.
    pub fn frame(
        &self,
        insets: Insets,
        x: &Axis,
        y: &Axis,
    ) -> Result<Frame, DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
        let mut chart = ChartBuilder::on(self.area)
            .margin_top(units(insets.top))
            .margin_right(units(insets.right.max(overhang(x))))
            .x_label_area_size(units(insets.bottom))
            .y_label_area_size(units(insets.left))
            .build_cartesian_2d(x.clone(), y.clone())?;
        let muted = Ink::Muted.rgb();
        let labels = TextStyle::from(font()).color(&muted);
        chart
            .configure_mesh()
            .bold_line_style(Ink::Grid.stroke(0.75))
            .axis_style(Ink::Grid.stroke(1.0))
            .label_style(labels)
            .set_all_tick_mark_size(units(3.0))
            .draw()?;
        let (across, down) = chart.plotting_area().get_pixel_range();
        let px =
            |range: std::ops::Range<i32>| (f64::from(range.start) / PX, f64::from(range.end) / PX);
        Ok(Frame { x: px(across), y: px(down), x_range: x.range, y_range: y.range })
    }

    /// What is drawn from here on, to [`end`](Self::end), belongs to an arm: the
    /// page can leave it out.
    pub fn begin(&mut self, arm: usize) -> Drawn<'a> {
        self.arm = Some(arm);
        self.area.draw(&Rectangle::new([(0, 0), (0, 0)], bracket(self.arm).filled()))
    }

    /// Ends what belongs to an arm.
    pub fn end(&mut self) -> Drawn<'a> {
        self.arm = None;
        self.area.draw(&Rectangle::new([(0, 0), (0, 0)], bracket(None).filled()))
    }

    /// Text at (x, y), which is its `anchor`.
    pub fn text(
        &self,
        text: &str,
        (x, y): (f64, f64),
        anchor: (HPos, VPos),
        ink: Ink,
    ) -> Drawn<'a> {
        let colour = ink.rgb();
        let style = TextStyle::from(font()).color(&colour).pos(Pos::new(anchor.0, anchor.1));
        self.area.draw(&Text::new(text.to_owned(), (units(x), units(y)), style))
    }

    pub fn line(&self, points: &[(f64, f64)], ink: Ink, width: f64) -> Drawn<'a> {
        self.area.draw(&PathElement::new(scaled(points), ink.stroke(width)))
    }

    pub fn rect(&self, from: (f64, f64), to: (f64, f64), ink: Ink) -> Drawn<'a> {
        let corners = scaled(&[from, to]);
        self.area.draw(&Rectangle::new([corners[0], corners[1]], ink.fill()))
    }

    /// The marker of a series; `hollow` for the A/A row.
    pub fn marker(&self, marker: Marker, (x, y): (f64, f64)) -> Drawn<'a> {
        let (outline, round) = marker.outline();
        let at = |r: f64| {
            scaled(&outline.iter().map(|p| (x + p.0 * r, y + p.1 * r)).collect::<Vec<_>>())
        };
        // A rim in the colour of the page keeps overlapping markers apart.
        let layers = [(6.2, Ink::Surface), (5.0, marker.ink), (3.2, Ink::Surface)];
        for (radius, ink) in &layers[..if marker.hollow { 3 } else { 2 }] {
            if round {
                let circle = Circle::new((units(x), units(y)), units(*radius * 0.9), ink.fill());
                self.area.draw(&circle)?;
            } else {
                self.area.draw(&Polygon::new(at(*radius), ink.fill()))?;
            }
        }
        Ok(())
    }

    /// Shows `text` while the pointer is within the rectangle.
    pub fn tip(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), text: &str) {
        let arm = self.arm.map(|arm| format!(" data-arm=\"{arm}\"")).unwrap_or_default();
        self.tips.push(format!(
            "<rect{arm} x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"transparent\"><title>{}</title></rect>\n",
            units(x),
            units(y),
            units(width),
            units(height),
            escape(text)
        ));
    }
}

/// How far the label of a tick at the right end of an axis reaches beyond it.
fn overhang(axis: &Axis) -> f64 {
    let widest = axis.ticks.iter().map(|&tick| text_width(&axis.label(tick))).fold(0.0, f64::max);
    widest / 2.0 + 1.0
}

fn scaled(points: &[(f64, f64)]) -> Vec<(i32, i32)> {
    points.iter().map(|p| (units(p.0), units(p.1))).collect()
}

/// plotters' SVG text is smaller than asked for by 1.24.
pub(super) fn font() -> FontDesc<'static> {
    ("sans-serif", FONT * PX * 1.24).into_font()
}

/// About how wide text is, in CSS pixels; rather too wide than too narrow, since
/// the font is whatever the reader's system has.
pub(super) fn text_width(text: &str) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 0.34,
        'f' | 't' | 'r' | ' ' | '(' | ')' | '[' | ']' | '/' | '-' | 'I' => 0.42,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '<' | '=' | '>' | '+' | '…' => 0.98,
        c if c.width() == Some(2) => 1.05,
        _ => 0.64,
    };
    text.chars().map(em).sum::<f64>() * FONT
}

/// Text cut to a width in CSS pixels.
pub(super) fn fit(text: &str, width: f64) -> String {
    let mut columns = (width / (FONT * 0.3)) as usize;
    loop {
        let clipped = crate::units::shorten(text, columns);
        if text_width(&clipped) <= width || columns <= 1 {
            return clipped;
        }
        columns -= 1;
    }
}

/// How a series is drawn; the same in every plot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marker {
    pub ink: Ink,
    shape: usize,
    pub hollow: bool,
}

impl Marker {
    /// Of an arm by its index and role: the reference is a circle in the colour
    /// of the text, its repeat the same, hollow.
    pub fn of(arms: &[crate::Arm], index: usize) -> Self {
        use crate::record::Role;
        match arms[index].role {
            Role::Candidate => {
                let before = &arms[..index];
                let nth = before.iter().filter(|a| a.role == Role::Candidate).count();
                Self {
                    ink: Ink::Series(nth),
                    // 8 hues and 5 shapes: 40 pairs.
                    shape: nth % 5 + 1,
                    hollow: false,
                }
            }
            role => Self { ink: Ink::Reference, shape: 0, hollow: role == Role::Repeat },
        }
    }

    /// Corners on a circle of radius 1; a round one has none.
    fn outline(&self) -> (Vec<(f64, f64)>, bool) {
        let cross = [
            (-0.35, -1.05),
            (0.35, -1.05),
            (0.35, -0.35),
            (1.05, -0.35),
            (1.05, 0.35),
            (0.35, 0.35),
            (0.35, 1.05),
            (-0.35, 1.05),
            (-0.35, 0.35),
            (-1.05, 0.35),
            (-1.05, -0.35),
            (-0.35, -0.35),
        ];
        let corners: &[(f64, f64)] = match self.shape {
            1 => &[(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
            2 => &[(0.0, -1.0), (1.0, 0.8), (-1.0, 0.8)],
            3 => &[(0.0, -1.15), (1.15, 0.0), (0.0, 1.15), (-1.15, 0.0)],
            4 => &[(-1.0, -0.8), (1.0, -0.8), (0.0, 1.0)],
            5 => &cross,
            _ => &[],
        };
        (corners.to_vec(), corners.is_empty())
    }
}

/// The marker of an arm, for legends.
pub(crate) fn swatch_series(arms: &[crate::Arm], index: usize) -> String {
    let marker = Marker::of(arms, index);
    swatch(&arms[index].label, |canvas| canvas.marker(marker, (7.0, 7.0)))
}

/// The colour of a kind of system call, for legends.
pub(crate) fn swatch_kind(kind: usize) -> String {
    swatch(KINDS[kind], |canvas| canvas.rect((2.0, 2.0), (12.0, 12.0), Ink::Kind(kind)))
}

fn swatch(name: &str, draw: impl for<'a, 'b> FnOnce(&mut Canvas<'a, 'b>) -> Drawn<'a>) -> String {
    let svg = panel((14.0, 14.0), name, draw);
    svg.replacen("class=\"plot\" role=\"img\"", "class=\"swatch\" aria-hidden=\"true\"", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_an_arm_is_a_group() {
        let hostile = "<rect \"#B70D01\"";
        let svg = panel((20.0, 20.0), "", |canvas| {
            canvas.begin(11)?;
            canvas.text(hostile, (0.0, 0.0), (HPos::Left, VPos::Top), Ink::Text)?;
            canvas.tip((0.0, 0.0), (5.0, 5.0), "tip");
            canvas.end()
        });
        assert_eq!((svg.matches("<g ").count(), svg.matches("</g>").count()), (1, 1), "{svg}");
        assert!(svg.contains("<g data-arm=\"11\">") && svg.contains("<rect data-arm=\"11\""));
    }

    #[test]
    fn the_label_of_a_tick_at_the_end_of_an_axis_is_within_the_panel() {
        let x = Axis::from_zero([1000.0 / 1.02].into_iter(), crate::record::Unit::Count, 2);
        assert_eq!(x.ticks.last().map(|t| x.label(*t)).as_deref(), Some("1000"));
        panel((100.0, 60.0), "", |canvas| {
            let insets = Insets { left: 10.0, top: 0.0, right: 2.0, bottom: 20.0 };
            let frame = canvas.frame(insets, &x, &Axis::rows(1))?;
            let end = frame.point(x.at(1000.0), 0.0).0 + text_width("1000") / 2.0;
            assert!(end <= 100.0, "the label ends at {end}");
            Ok(())
        });
    }
}
