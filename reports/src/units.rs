//! Figures as people read them.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::record::Unit;

/// A value in its metric's unit: `71.3 ms`, `4.77 MiB`, `40,012`.
pub fn human(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Ratio => return ratio(value),
        Unit::Share => return format!("{} %", digits(value * 100.0)),
        _ => {}
    }
    let (scale, name) = scale(value, unit);
    let number = match unit {
        Unit::Count => grouped(value),
        Unit::Bytes if scale == 1.0 => grouped(value),
        _ => digits(value / scale),
    };
    if name.is_empty() { number } else { format!("{number} {name}") }
}

/// The same in fewer letters, for plots and narrow tables: `40.0k`.
pub(crate) fn short(value: f64, unit: Unit) -> String {
    if unit != Unit::Count || value < 10_000.0 {
        return human(value, unit);
    }
    let (scale, letter) = match value {
        v if v < 999_500.0 => (1e3, "k"),
        v if v < 999.5e6 => (1e6, "M"),
        _ => (1e9, "G"),
    };
    format!("{}{letter}", digits(value / scale))
}

/// The step of a unit in which `value` reads best, and that step's name.
pub(crate) fn scale(value: f64, unit: Unit) -> (f64, &'static str) {
    let steps: &[(f64, &str)] = match unit {
        Unit::Count => &[(1.0, "")],
        Unit::Seconds => &[(1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")],
        Unit::Ratio => &[(1.0, "×")],
        Unit::Share => &[(0.01, "%")],
        Unit::Bytes => {
            &[(1.0, "B"), (1024.0, "KiB"), (1_048_576.0, "MiB"), (1_073_741_824.0, "GiB")]
        }
    };
    let fits = |step: &&(f64, &'static str)| value >= step.0 * 0.9995;
    *steps.iter().rev().find(fits).unwrap_or(&steps[0])
}

/// A ratio: `0.71×`.
pub(crate) fn ratio(value: f64) -> String {
    format!("{}×", ratio_number(value))
}

/// A ratio and its interval: `0.71× [0.69, 0.74]`.
pub fn ratio_interval(estimate: crate::stats::Estimate) -> String {
    match estimate.interval {
        Some(i) if i.low == i.high => ratio(estimate.value),
        Some(i) => {
            format!("{} [{}, {}]", ratio(estimate.value), ratio_number(i.low), ratio_number(i.high))
        }
        None => format!("{} [?]", ratio(estimate.value)),
    }
}

pub(crate) fn ratio_number(value: f64) -> String {
    match value {
        v if v >= 99.95 => grouped(v),
        v if v >= 9.995 => format!("{v:.1}"),
        v if v >= 0.0995 || v == 0.0 => format!("{v:.2}"),
        v if v >= 0.00995 => format!("{v:.3}"),
        v if v >= 0.0001 => format!("{v:.4}"),
        v => format!("{v:.0e}"),
    }
}

/// A relative difference in per cent, rounded up so that it never promises
/// more than is known.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", (share * 100.0 - 1e-9).ceil())
}

/// At most `columns` columns of a terminal; what is cut off becomes `…`. Control
/// characters, which a hostile name may hold, become spaces.
pub(crate) fn clip(text: &str, columns: usize) -> String {
    let mut clipped = String::new();
    let mut used = 0;
    for c in text.chars() {
        let c = if is_unprintable(c) { ' ' } else { c };
        used += c.width().unwrap_or(0);
        if used > columns {
            // Room for the ellipsis.
            while clipped.width() >= columns && clipped.pop().is_some() {}
            clipped.push('…');
            break;
        }
        clipped.push(c);
    }
    clipped
}

/// [`clip`], but what is cut out is nearer the beginning: the ends of names tell
/// more of them apart.
pub(crate) fn shorten(text: &str, columns: usize) -> String {
    let text = clip(text, usize::MAX);
    if text.width() <= columns {
        return text;
    }
    let Some(room) = columns.checked_sub(1) else {
        return String::new();
    };
    let within = |columns: usize| {
        let mut used = 0;
        move |c: &char| {
            used += c.width().unwrap_or(0);
            used <= columns
        }
    };
    let end: String = text.chars().rev().take_while(within(room * 2 / 3)).collect();
    let begin: String = text.chars().take_while(within(room - room * 2 / 3)).collect();
    format!("{begin}…{}", end.chars().rev().collect::<String>())
}

/// Characters that do something to the text around them instead of showing.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// Three digits that matter.
fn digits(value: f64) -> String {
    match value {
        v if v >= 999.5 => grouped(v),
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        0.0 => "0".into(),
        v => format!("{v:.2}"),
    }
}

/// A whole number with a comma at every thousand; a half is kept.
fn grouped(value: f64) -> String {
    if value >= 1e15 {
        return format!("{value:.2e}");
    }
    let half = value.fract() != 0.0 && value < 100.0;
    let whole = if half { value.trunc() } else { value.round() };
    let plain = format!("{whole:.0}");
    let mut text = String::new();
    for (i, digit) in plain.chars().enumerate() {
        if i > 0 && (plain.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if half {
        text.push_str(&format!("{:.1}", value.fract())[1..]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_name_keeps_its_ends_and_its_width() {
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(shorten("abcdefghijklmnop", 10), "abc…klmnop");
        assert_eq!(shorten("割り当て割り当て", 8), "割…当て");
        assert_eq!((shorten("abc", 1), shorten("abc", 0)), ("…".into(), String::new()));
        assert_eq!(shorten("a\u{1b}b", 5), "a b");
        for columns in 0..40 {
            assert!(shorten("a割b り-当=て".repeat(3).as_str(), columns).width() <= columns);
        }
    }

    #[test]
    fn figures_read_well_over_their_whole_range() {
        let cases = [
            (0.0713, Unit::Seconds, "71.3 ms"),
            (1.0, Unit::Seconds, "1.00 s"),
            (0.9996, Unit::Seconds, "1.00 s"),
            (312.0, Unit::Seconds, "312 s"),
            (0.0, Unit::Seconds, "0 ns"),
            (21.4e-9, Unit::Seconds, "21.4 ns"),
            (0.123, Unit::Share, "12.3 %"),
            (1.3, Unit::Ratio, "1.30×"),
            (4.77 * 1_048_576.0, Unit::Bytes, "4.77 MiB"),
            (512.0, Unit::Bytes, "512 B"),
            (40_012.0, Unit::Count, "40,012"),
            (12.5, Unit::Count, "12.5"),
            (0.0, Unit::Count, "0"),
        ];
        for (value, unit, text) in cases {
            assert_eq!(human(value, unit), text);
        }
        assert_eq!(short(40_012.0, Unit::Count), "40.0k");
        assert_eq!(short(9_999.0, Unit::Count), "9,999");
        assert_eq!(short(1_234_567.0, Unit::Count), "1.23M");
        assert_eq!(ratio(0.7123), "0.71×");
        assert_eq!(ratio(1600.48), "1,600×");
        assert_eq!(ratio(0.075), "0.075×");
        assert_eq!(ratio(0.0), "0.00×");
        assert_eq!(percent(0.0301), "4 %");
        assert_eq!(percent(0.03), "3 %");
    }
}
