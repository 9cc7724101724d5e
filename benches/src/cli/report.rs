//! `brkpoint report`: the page of record files.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use brkpoint_reports::tuning::{self, Answer};
use brkpoint_reports::{Records, history};

use super::output;

/// Write the HTML page of one or more record files, and of criterion's benchmarks.
///
/// Records may come from several runs and machines; a directory is what criterion
/// left of `cargo bench`. Of the records of a tuning, the page is that of its answer.
/// Damaged lines and files are named and passed over: the
/// page is made of the rest, and the exit status is 2.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  brkpoint report target/brkpoint/compare-*.jsonl -o compare.html
  brkpoint report target/brkpoint/compare-*.jsonl target/criterion
  brkpoint report --history target/brkpoint/gate-*.jsonl -o history.html")]
pub struct Arguments {
    /// Record files, and directories of criterion's output
    #[arg(required = true, value_name = "RECORDS")]
    records: Vec<PathBuf>,

    /// The page to write
    #[arg(short, long, value_name = "FILE.html")]
    output: Option<PathBuf>,

    /// Draw each quantity over the commits that the records hold, as of one `brkpoint gate`
    /// after another
    #[arg(long)]
    history: bool,

    /// One JSON object a line on standard output instead of a page
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let records = Records::read(&arguments.records)?;
    for problem in &records.problems {
        output::tell(format_args!("brkpoint: {problem}"));
    }
    if arguments.history {
        return drawn(&arguments, &records);
    }
    if let (Some(answer), false) = (records.answers.last(), arguments.json) {
        return tuned(&arguments, &records, answer);
    }
    let report = brkpoint_reports::analyse(&records);
    ensure!(
        !report.rows().is_empty() || !report.criterion.benchmarks.is_empty(),
        "there is no record in {}; `brkpoint compare` makes such files",
        records.sources.join(", ")
    );
    if arguments.json {
        output::print(&report.to_json_lines())?;
    } else {
        let path = page(&arguments, &report.to_html())?;
        output::print(&format!("{}\nThe page: {}\n", output::findings(&report), path.display()))?;
    }
    let only_criterion = report.rows().is_empty();
    Ok(match damaged(&records) {
        true => super::UNUSABLE,
        false if only_criterion => 0,
        false => super::status(&report),
    })
}

/// The history of what was measured.
fn drawn(arguments: &Arguments, records: &Records) -> anyhow::Result<u8> {
    let history = history::history(records);
    ensure!(
        !history.trends.is_empty(),
        "there is no sample without an error in {}",
        records.sources.join(", ")
    );
    if arguments.json {
        output::print(&history.to_json_lines())?;
    } else {
        let path = page(arguments, &history.to_html(records))?;
        output::print(&format!("The page: {}\n", path.display()))?;
    }
    Ok(if damaged(records) { super::UNUSABLE } else { 0 })
}

/// The page of the latest of the tunings in the records.
fn tuned(arguments: &Arguments, records: &Records, answer: &Answer) -> anyhow::Result<u8> {
    let path = page(arguments, &tuning::to_html(answer, records))?;
    output::print(&format!("{}\nThe page: {}\n", tuning::to_text(answer), path.display()))?;
    Ok(if damaged(records) { super::UNUSABLE } else { 0 })
}

/// The rest was used, but somebody should look at these files.
fn damaged(records: &Records) -> bool {
    records.problems.iter().any(|problem| problem.line.is_some())
}

/// Writes the page; where it is.
fn page(arguments: &Arguments, html: &str) -> anyhow::Result<PathBuf> {
    let path = arguments.output.clone();
    let path = path.unwrap_or_else(|| output::default_path("report", "html"));
    ensure!(
        !arguments.records.iter().any(|records| same_file(records, &path)),
        "{} holds records, which a page would replace; name another file with -o",
        path.display()
    );
    output::write(&path, html).context("choose another file with -o")?;
    Ok(path)
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
