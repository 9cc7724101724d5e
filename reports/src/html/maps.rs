//! Heap maps: the OS pages of each engine's heap at some moments.

use std::fmt::Write;

use super::escape;
use super::parts::{Table, behind, put};
use crate::analysis::{Arm, Measured, Workload};
use crate::record::{Area, HeapMap, Moment, PageState, Role, Source, Unit};
use crate::{svg, units};

/// Rows of a map: a page may hold a thousand of them.
const ROWS: usize = 10;

/// All maps of a workload, folded; nothing where there are none.
pub(super) fn of(workload: &Workload, arms: &[Arm]) -> String {
    let mut out = String::new();
    // The reference once more shows nothing that the reference does not.
    let known = |cell: &&Measured| !cell.heap.is_empty() && cell.cell.role != Role::Repeat;
    let cells: Vec<&Measured> = workload.cells.iter().filter(known).collect();
    if cells.is_empty() {
        return out;
    }
    put!(
        out,
        "<details class=\"maps\">\n<summary>Heap maps</summary>\n\
         <p class=\"about\">The OS pages of the heap, lowest address first: where most bytes are live, \
         when half of them are freed, and when all is. What is resident without a live block costs \
         memory: less of it is better. Of a long run that is not resident, only the beginning is drawn; \
         where there are many pages, a square stands for several, and shows a live one if there is one.</p>"
    );
    put!(out, "<ul class=\"legend\">");
    for (state, class) in svg::SHADES {
        put!(out, "<li><span class=\"shade {class}\"></span>{}</li>", meaning(state));
    }
    put!(out, "</ul>\n<div class=\"panels\">");
    for cell in cells {
        figure(&mut out, &arms[cell.arm].label, cell);
    }
    put!(out, "</div>\n</details>");
    out
}

fn meaning(state: PageState) -> &'static str {
    match state {
        PageState::Live => "a live block lies in it",
        PageState::Cached => {
            "free, and in a thread's cache: told by our allocator alone, of others a part of the next"
        }
        PageState::Kept => "free, and resident",
        PageState::Returned => "not resident: never touched, or given back",
    }
}

fn figure(out: &mut String, engine: &str, cell: &Measured) {
    put!(out, "<figure data-arm=\"{}\">\n<figcaption>{}</figcaption>", cell.arm, escape(engine));
    let mut rows = Vec::new();
    for map in &cell.heap {
        let when = when(map);
        let operation = units::human(map.operations as f64, Unit::Count);
        put!(out, "<p class=\"note\"><b>{when}</b>, operation {operation}</p>");
        if map.areas.is_empty() {
            put!(out, "<p class=\"note\">nothing is left</p>");
        }
        for area in &map.areas {
            let name = name(area.source);
            let about = format!("{name}: {}", told(area));
            let described = format!("{engine}, {when}, {name}");
            let Some(runs) = area.runs() else { continue };
            put!(out, "<p class=\"note\">{about}</p>{}", svg::pages(&runs, ROWS, &described));
            let size = |bytes: u64| units::human(bytes as f64, Unit::Bytes);
            rows.push(vec![
                when.to_owned(),
                name.to_owned(),
                size(map.live_bytes),
                size(area.live_bytes),
                area.cached_bytes.map_or_else(|| "not known".to_owned(), size),
                size(area.kept_bytes),
                size(area.returned_bytes),
            ]);
        }
    }
    let columns = [
        "moment",
        "from",
        "live bytes",
        "pages with live blocks",
        "cached",
        "free, resident",
        "not resident",
    ];
    let table =
        Table { label: "Heap maps", class: "", columns: columns.map(str::to_owned).into(), rows };
    put!(out, "{}</figure>", behind("As a table", &table));
}

fn when(map: &HeapMap) -> &'static str {
    match map.moment {
        Moment::Fullest => "most is live",
        Moment::Half => "half is freed",
        Moment::End => "all is freed",
    }
}

fn name(source: Source) -> &'static str {
    match source {
        Source::Break => "brk heap",
        Source::Mappings => "mappings",
    }
}

fn told(area: &Area) -> String {
    let size = |bytes: u64| units::human(bytes as f64, Unit::Bytes);
    let square = match area.pages_a_square {
        1 => String::new(),
        pages => format!(", {pages} OS pages a square"),
    };
    let cached = area
        .cached_bytes
        .filter(|bytes| *bytes > 0)
        .map(|bytes| format!(" and {} cached", size(bytes)));
    format!(
        "{} resident, {} of it free{}{square}",
        size(area.live_bytes + area.kept_bytes + area.cached_bytes.unwrap_or(0)),
        size(area.kept_bytes),
        cached.unwrap_or_default()
    )
}
