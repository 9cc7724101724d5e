//! The page of a history: a panel a quantity, and a table of all points.

use std::fmt::Write;

use super::{History, Trend};
use crate::html::parts::put;
use crate::html::{escape, frame};
use crate::read::Records;
use crate::{svg, units};

impl History {
    /// The page; `records` are those that it was drawn from.
    pub fn to_html(&self, records: &Records) -> String {
        let mut out = String::new();
        frame::head(&mut out, "en", "brkpoint: history", None);
        put!(
            out,
            "<header>\n<h1>History</h1>\n<p class=\"facts\">Medians with their 99 % intervals, in \
             the order in which they were measured. Lower is better.</p>\n</header>\n\
             <p>Runs of different hours are side by side here, and what the machine did meanwhile \
             is in the times: whether a step is real, <code>brkpoint gate</code> tells, which \
             measures both sides in turns.</p>"
        );
        let same = |a: &Trend, b: &Trend| (&a.workload, &a.engine) == (&b.workload, &b.engine);
        for trends in self.trends.chunk_by(same) {
            section(&mut out, trends);
        }
        let problems: Vec<String> = records.problems.iter().map(|p| format!("{p}.")).collect();
        frame::list(&mut out, "problems", "Problems in the records", &problems);
        frame::machines(&mut out, records.runs.iter().map(|run| &run.machine));
        put!(out, "</main>\n</body>\n</html>");
        out
    }
}

/// The panels of an engine on a workload.
fn section(out: &mut String, trends: &[Trend]) {
    let title = format!("{} under {}", trends[0].workload, trends[0].engine);
    put!(out, "<section>\n<h2>{}</h2>\n<div class=\"panels\">", escape(&units::clip(&title, 120)));
    for trend in trends {
        if let Some(svg) = svg::trend(trend) {
            let name = escape(trend.quantity.name());
            put!(out, "<figure>\n<figcaption>{name}</figcaption>\n{svg}</figure>");
        }
    }
    put!(
        out,
        "</div>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n<table>\n\
         <thead><tr><th scope=\"col\">commit or version</th><th scope=\"col\">measured</th>\
         <th scope=\"col\">quantity</th><th scope=\"col\">median</th>\
         <th scope=\"col\">99 % interval</th><th scope=\"col\">samples</th></tr></thead>\n<tbody>",
        escape(&title)
    );
    for trend in trends {
        for point in &trend.points {
            let shown = |value| trend.quantity.shown(value);
            let interval = point.interval.map_or("–".to_owned(), |interval| {
                format!("{} to {}", shown(interval.low), shown(interval.high))
            });
            put!(
                out,
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{interval}</td><td>{}</td></tr>",
                escape(&point.commit),
                escape(&point.started),
                escape(trend.quantity.name()),
                shown(point.median),
                point.n
            );
        }
    }
    put!(out, "</tbody>\n</table>\n</div>\n</section>");
}
