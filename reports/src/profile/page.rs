//! The figures as a page.

use std::fmt::Write;

use super::Profile;
use crate::html::{escape, frame};
use crate::svg;

/// Writing into a string does not fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => { let _ = writeln!($out, $($arg)*); };
}

/// One HTML file: no network, no script.
pub fn to_html(profile: &Profile) -> String {
    let mut out = String::new();
    frame::head(&mut out, "en", "brkpoint: a recorded program", None);
    put!(
        out,
        "<header>\n<h1>What a program asked of malloc</h1>\n<p class=\"facts\">{}</p>\n</header>",
        escape(&profile.arguments.join(" "))
    );
    put!(out, "<section id=\"verdict\">\n<h2>In short</h2>");
    for (place, line) in profile.summary().iter().enumerate() {
        let class = if place == 0 { " class=\"first\"" } else { "" };
        put!(out, "<p{class}>{}</p>", escape(line));
    }
    put!(out, "</section>");
    put!(out, "<section id=\"plots\">\n<h2>Live bytes and sizes</h2>\n<div class=\"panels\">");
    for plot in [svg::live(&profile.live), svg::sizes(&profile.sizes)].into_iter().flatten() {
        put!(out, "<figure>{plot}</figure>");
    }
    put!(out, "</div>\n</section>");
    for table in profile.tables() {
        put!(out, "<section>\n<h2>{}</h2>\n<div class=\"scroll\"><table>", escape(table.title));
        let heads: String =
            table.columns.iter().map(|name| format!("<th>{}</th>", escape(name))).collect();
        put!(out, "<thead><tr>{heads}</tr></thead>\n<tbody>");
        for row in &table.rows {
            let cells: String =
                row.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
            put!(out, "<tr>{cells}</tr>");
        }
        put!(out, "</tbody></table></div>\n</section>");
    }
    frame::list(&mut out, "notes", "Notes", &profile.notes);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}
