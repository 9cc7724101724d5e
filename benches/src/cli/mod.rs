//! The command line: one verb a file.

pub mod allocators;
mod check;
mod compare;
mod diff;
mod explain;
mod gate;
mod lint;
mod list;
pub mod output;
mod record;
mod replay;
mod report;
pub mod run;
mod service;
mod tour;
mod trace;
mod tune;
pub mod values;

use std::process::ExitCode;

use brkpoint_reports::Report;
use clap::{Parser, Subcommand};

/// Measures programs under memory allocators: time, system calls, faults and memory.
///
/// Without a command: the tour. It runs allocation strategies and well-known
/// allocators over a handful of workloads, each in fresh processes, and writes
/// an HTML page with the verdict first.
#[derive(Debug, Parser)]
#[command(name = "brkpoint", version = crate::version::VERSION, max_term_width = 100)]
#[command(after_help = "\
Examples:
  brkpoint
  brkpoint compare -- python3 script.py
  brkpoint tune -- python3 script.py
  brkpoint gate --base main --new HEAD
  brkpoint report target/brkpoint/compare-*.jsonl -o compare.html

Exit status: 0 fine; 1 the answer is bad (a cell failed, something
became worse, a promise was broken); 2 usage or set-up error, or nothing was measured; 3 undecided; 130 interrupted. What was measured is kept in any case.")]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Arguments),
    Compare(compare::Arguments),
    Diff(diff::Arguments),
    Explain(explain::Arguments),
    Gate(gate::Arguments),
    Lint(lint::Arguments),
    List(list::Arguments),
    Record(record::Arguments),
    Replay(replay::Arguments),
    Report(report::Arguments),
    Trace(trace::Arguments),
    Tune(tune::Arguments),
}

/// The answer is bad: a cell failed, a promise was broken.
pub(crate) const BAD: u8 = 1;
/// Usage or set-up error, or nothing was measured.
pub(crate) const UNUSABLE: u8 = 2;
/// The answer is not decided, or not to be trusted.
pub(crate) const INCONCLUSIVE: u8 = 3;
/// As shells report a program that SIGINT ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// The exit status that `report` deserves.
fn status(report: &Report) -> u8 {
    if report.is_empty() {
        UNUSABLE
    } else if report.failures() > 0 {
        BAD
    } else {
        0
    }
}

/// The error with its causes, but for those that it tells already.
pub(crate) fn explained(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Runs the command line and says how it went.
pub fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        None => tour::run(),
        Some(Verb::Check(arguments)) => check::run(arguments),
        Some(Verb::Compare(arguments)) => compare::run(arguments),
        Some(Verb::Diff(arguments)) => diff::run(arguments),
        Some(Verb::Explain(arguments)) => explain::run(arguments),
        Some(Verb::Gate(arguments)) => gate::run(arguments),
        Some(Verb::Lint(arguments)) => lint::run(arguments),
        Some(Verb::List(arguments)) => list::run(arguments),
        Some(Verb::Record(arguments)) => record::run(arguments),
        Some(Verb::Replay(arguments)) => replay::run(arguments),
        Some(Verb::Report(arguments)) => report::run(arguments),
        Some(Verb::Trace(arguments)) => trace::run(arguments),
        Some(Verb::Tune(arguments)) => tune::run(arguments),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            output::tell(format_args!("brkpoint: {}", explained(&error)));
            ExitCode::from(UNUSABLE)
        }
    }
}
