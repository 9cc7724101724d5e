//! Text of plots: its font, and how wide it is.

use plotters::prelude::*;
use unicode_width::UnicodeWidthChar;

use super::canvas::PX;

/// Size of plot text in CSS pixels.
pub(super) const FONT: f64 = 11.0;

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
