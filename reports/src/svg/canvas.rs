//! A drawing area of plotters, and what the page needs beyond it.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use super::compact::compact;
pub(super) use super::marker::Marker;
use super::text::font;
pub(super) use super::text::{FONT, fit, text_width};
use crate::html::escape;
use crate::record::Metric;

/// Drawing units in a CSS pixel.
pub(super) const PX: f64 = 8.0;

/// Name of each of [`Metric::MEMORY_CALLS`], in the order of their colours.
pub(crate) const KINDS: [&str; Metric::MEMORY_CALLS.len()] =
    ["brk", "mmap", "munmap", "mremap", "madvise", "mprotect"];

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
         aria-label=\"{}\">\n",
        escape(described)
    );
    let body = resolved(body);
    // Text is escaped by plotters, so a quote followed by a stand-in is one of
    // its own attributes.
    let mut drawn = String::with_capacity(body.len());
    let mut rest = body.as_str();
    while let Some(at) = rest.find("\"#B70C") {
        let (before, from) = rest.split_at(at);
        drawn.push_str(before);
        let end = "\"#B70C00\"".len();
        let ink = from.get(end - 3..end - 1).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match ink.and_then(Ink::from_code) {
            Some(colour) => drawn.push_str(&format!("\"{colour}\"")),
            None => drawn.push_str(&from[..end]),
        }
        rest = &from[end..];
    }
    drawn.push_str(rest);
    for (long, short) in
        [(" opacity=\"1\"", ""), (" font-family=\"sans-serif\"", ""), (" stroke=\"none\"", "")]
    {
        drawn = drawn.replace(long, short);
    }
    out.push_str(&compact(&drawn));
    for tip in tips {
        out.push_str(tip);
    }
    out.push_str("</svg>\n");
    out
}

/// Stand-ins for groups and markers become such. plotters writes a shape a line,
/// and escapes text, so that a line which begins like a shape is one.
fn resolved(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    for line in body.lines() {
        match Some(line).filter(|line| line.starts_with("<rect ")).and_then(stood_for) {
            Some(meant) => out.push_str(&meant),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// What a rectangle stands for, if it is a stand-in.
fn stood_for(line: &str) -> Option<String> {
    let value = |name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}=\""))?;
        Some(rest.split_once('"')?.0)
    };
    let code = value("fill")?.strip_prefix("#B70")?;
    let last = u8::from_str_radix(code.get(1..)?, 16).ok()?;
    match code.get(..1)? {
        "D" => Some(format!("<g data-arm=\"{last}\">")),
        "E" => Some("</g>".to_owned()),
        "F" => {
            let shape =
                Marker::of_size(value("width")?.parse().ok()?, value("height")?.parse().ok()?)?;
            let (x, y, ink) = (value("x")?, value("y")?, Ink::from_code(last)?);
            Some(format!("<use href=\"#{shape}\" x=\"{x}\" y=\"{y}\" fill=\"{ink}\"/>"))
        }
        _ => None,
    }
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
        let (x, y) = (units(x), units(y));
        let (width, height) = marker.size();
        let stand_in = RGBColor(0xb7, 0x0f, marker.ink.code()).filled();
        self.area.draw(&Rectangle::new([(x, y), (x + width, y + height)], stand_in))
    }

    /// Shows `text` while the pointer is within the rectangle.
    pub fn tip(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), text: &str) {
        let arm = self.arm.map(|arm| format!(" data-arm=\"{arm}\"")).unwrap_or_default();
        self.tips.push(format!(
            "<rect{arm} x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"t\"><title>{}</title></rect>\n",
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

/// The marker of an arm, for legends.
pub(crate) fn swatch_series(arms: &[crate::Arm], index: usize) -> String {
    let marker = Marker::of(arms, index);
    swatch(&arms[index].label, |canvas| canvas.marker(marker, (7.0, 7.0)))
}

/// The colour of a kind of system call, for legends.
pub(crate) fn swatch_kind(kind: usize) -> String {
    format!("<span class=\"shade\" style=\"background:var(--kind-{})\"></span>", KINDS[kind])
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
