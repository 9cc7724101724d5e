//! `brkpoint diff`: two record files, of different hours.

use std::path::PathBuf;

use anyhow::ensure;
use brkpoint_reports::record::Margins;
use brkpoint_reports::{Records, gate};

use super::{UNUSABLE, gate as verb, output, values};

/// Compare two record files: what became worse from BASE to NEW?
///
/// Counts that never vary are compared exactly. Times were taken at different hours
/// and are shown, but not judged: `brkpoint gate` measures both sides now.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  brkpoint diff old.jsonl new.jsonl
  brkpoint diff old.jsonl new.jsonl --markdown summary.md --json

Exit status: 0 nothing became worse; 1 something did, or failed; 2 usage error, damaged
records, other machines, or nothing in common; 3 not decided.")]
pub struct Arguments {
    /// Record file of what was there before
    base: PathBuf,

    /// Record file of what is judged
    new: PathBuf,

    /// Compare even if the machines differ
    #[arg(long)]
    across_machines: bool,

    /// Smallest difference in resident memory that counts, if it is more than what hours
    /// make
    #[arg(long, value_name = "SHARE", default_value_t = Margins::USUAL.memory, value_parser = values::share)]
    memory_margin: f64,

    /// Smallest difference that counts in system calls and faults
    #[arg(long, value_name = "SHARE", default_value_t = Margins::USUAL.counts, value_parser = values::share)]
    count_margin: f64,

    /// One JSON object instead of the table
    #[arg(long)]
    json: bool,

    /// Write a summary for a pull request
    #[arg(long, value_name = "FILE.md")]
    markdown: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let read = |path: &PathBuf| -> anyhow::Result<Records> {
        let records = Records::read(&[path])?;
        for problem in &records.problems {
            output::tell(format_args!("brkpoint: {problem}"));
        }
        ensure!(!records.samples.is_empty(), "there is no record in {}", path.display());
        Ok(records)
    };
    let (base, new) = (read(&arguments.base)?, read(&arguments.new)?);
    let margins = Margins {
        time: Margins::USUAL.time,
        memory: arguments.memory_margin,
        counts: arguments.count_margin,
    };
    let gate = gate::diff(&base, &new, margins, arguments.across_machines)?;
    let status = verb::summary(&gate, arguments.json, arguments.markdown.as_deref())?;
    // The rest was compared, but somebody should look at these files.
    let damaged = |records: &Records| records.problems.iter().any(|p| p.line.is_some());
    Ok(if damaged(&base) || damaged(&new) { UNUSABLE } else { status })
}
