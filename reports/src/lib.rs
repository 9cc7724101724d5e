//! Records in; statistics, verdicts, tables, SVG and HTML out.
//!
//! Everything here is a pure function of records: nothing is run or measured,
//! and the same records always give the same page.
//!
//! ```text
//! record  what one line of a record file holds; heap_map: a heap at a moment
//! read    record files -> Records: every good line, and what was wrong
//! control the positive control of a run: was it found?
//! criterion  criterion's output directory -> its medians, beside the records
//! check   which samples count: exits and digests against the reference's
//! stats   medians, paired ratios, and their 99 % intervals
//! judge   an interval -> better, worse, same, undecided
//! labels  a short name for each engine with its settings
//! quantity what is compared: metrics and sums of them
//! gate    two commits (or engines, or programs): did it become worse?
//! history records of many commits: a line per quantity
//! figure  the samples of one metric of one cell -> Figure
//! analysis, notes, words    Records -> Report: figures, notes, a verdict in words
//! ranking Records -> how allocators rank over rows, and tables of it
//! overall engines over several workloads: geometric means, ours against the best peer's
//! rows    Report -> JSON lines     text  Report -> a terminal's tables
//! svg     Report -> plots          html  Report -> the page
//! tuning  what a tuning concluded -> text and a page, with the records behind it
//! explain what the experiments of `brkpoint explain` showed, told in a language
//! fidelity a recorded program beside its replay
//! profile a recorded program in figures: text and page
//! units   figures as people read them
//! ```
//!
//! ```
//! use brkpoint_reports::{Records, analyse};
//!
//! let records = Records::from_reader("nothing.jsonl", &b""[..])?;
//! let report = analyse(&records);
//! assert!(report.is_empty());
//! assert!(report.to_html().contains("Nothing was measured"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod analysis;
mod check;
pub mod control;
pub mod criterion;
pub mod explain;
pub mod fidelity;
mod figure;
pub mod gate;
mod heap_map;
pub mod history;
mod html;
mod judge;
mod labels;
mod notes;
mod overall;
pub mod profile;
mod quantity;
pub mod ranking;
mod read;
pub mod record;
mod rows;
pub mod stats;
mod svg;
mod text;
pub mod tuning;
mod units;
mod words;

pub use analysis::{Arm, Measured, Report, Workload};
pub use figure::Figure;
pub use judge::{Verdict, judge, margin};
pub use overall::{Contest, Duel, Overall, Standing, overall};
pub use quantity::Quantity;
pub use read::{Problem, ReadError, Records};
pub use rows::Row;
pub use units::{human, ratio_interval};

/// Computes every figure of the records, and the verdict in words.
pub fn analyse(records: &Records) -> Report {
    let mut report = analysis::group(records);
    report.controls = control::controls(records);
    report.gate = gate::gate(records);
    if let Some(gate) = &mut report.gate {
        gate.notes.extend(report.uncompared.iter().cloned());
    }
    report.verdict = match &report.gate {
        Some(gate) => gate.headline(),
        None => words::verdict(&report),
    };
    report
}
