//! A gate as a section of the page.

use std::fmt::Write;

use super::words::{HEADINGS, cells};
use super::{Gate, Row};
use crate::html::escape;
use crate::judge::Verdict;

/// The table of all rows; what the answer is stands in the verdict above it.
pub(crate) fn section(out: &mut String, gate: &Gate) {
    let mut rows = String::new();
    for (mark, block) in gate.blocks() {
        for row in block {
            let cells: Vec<String> = cells(row, mark).iter().map(|cell| escape(cell)).collect();
            let (first, others) = cells.split_first().expect("a row has cells");
            let (last, middle) = others.split_last().expect("a row has cells");
            let middle: String = middle.iter().map(|cell| format!("<td>{cell}</td>")).collect();
            let _ = writeln!(
                rows,
                "<tr><th scope=\"row\">{first}</th>{middle}<td class=\"{}\">{last}</td></tr>",
                class(row, mark)
            );
        }
    }
    let headings: String =
        HEADINGS.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let _ = writeln!(
        out,
        "<section id=\"gate\">\n<h2>Base against new</h2>\n<p>{} is compared with {}. Lower is \
         better. {}{}</p>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Base against new\">\n\
         <table>\n<thead><tr>{headings}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n\
         </section>",
        escape(&gate.new),
        escape(&gate.base),
        if gate.interleaved { "A regression has been confirmed by fresh rounds. " } else { "" },
        gate.promise(),
    );
}

fn class(row: &Row, mark: &str) -> &'static str {
    match row.verdict() {
        _ if !mark.is_empty() => "",
        Verdict::Worse => "worse",
        Verdict::Better => "better",
        Verdict::Same | Verdict::NotWorse | Verdict::Undecided => "",
    }
}
