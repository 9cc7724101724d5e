//! Tables that scroll, and those behind plots.

use std::fmt::Write;

use super::escape;

/// Writing into a string does not fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => { let _ = writeln!($out, $($arg)*); };
}
pub(crate) use put;

/// A table in a frame that scrolls, and that the keyboard can reach.
pub(super) struct Table<'a> {
    /// What it is, for those who cannot see where it stands.
    pub label: &'a str,
    /// Class of the table; may be empty.
    pub class: &'a str,
    /// Headings of the columns, as text.
    pub columns: Vec<String>,
    /// Cells of each row, as text; the first is the row's heading.
    pub rows: Vec<Vec<String>>,
}

impl Table<'_> {
    /// The table as HTML.
    pub fn html(&self) -> String {
        let mut out = format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n<table class=\"{}\">\n<thead><tr>",
            escape(self.label),
            self.class
        );
        for column in &self.columns {
            let _ = write!(out, "<th scope=\"col\">{}</th>", escape(column));
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            out.push_str("<tr>");
            for (i, cell) in row.iter().enumerate() {
                let _ = match i {
                    0 => write!(out, "<th scope=\"row\">{}</th>", escape(cell)),
                    _ => write!(out, "<td>{}</td>", escape(cell)),
                };
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n</table>\n</div>\n");
        out
    }
}

/// The table behind a plot, folded away beneath it.
pub(super) fn behind(summary: &str, table: &Table<'_>) -> String {
    format!(
        "<details class=\"data\"><summary>{}</summary>\n{}</details>\n",
        escape(summary),
        table.html()
    )
}
