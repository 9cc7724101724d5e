//! Pages: each is one file that needs no network, and says everything without a
//! script.

mod book;
mod criterion;
mod detail;
pub(crate) mod frame;
mod heat;
mod maps;
mod page;
pub(crate) mod parts;
mod tables;

use crate::units::is_unprintable;

/// Text as HTML, in content and in attributes. Control characters, which a page
/// may not hold, become spaces.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push('\n'),
            c if is_unprintable(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
