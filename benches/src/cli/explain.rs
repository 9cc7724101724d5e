//! `brkpoint explain`: the textbook on malloc, tried on this machine.

use anyhow::bail;
use brkpoint_reports::explain::Language;

use super::{INTERRUPTED, output, run};
use crate::engine::ArmSpec;
use crate::explain::{CHAPTERS, ExplainError, Lab};
use crate::supervise::LaunchError;

/// Explain how malloc works, with every claim tried on this machine.
///
/// Each chapter makes its experiments in fresh processes, counts, and says which
/// sentences of the textbook hold here. Try other settings with -e: some
/// sentences then no longer hold, which is the point.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  brkpoint explain
  brkpoint explain 3
  brkpoint explain threshold -e glibc:mmap_threshold=1M
  brkpoint explain --lang zh

Exit status: 0 told, also that something does not hold; 2 usage or set-up error;
130 interrupted.")]
pub struct Arguments {
    /// Chapters by number or name (space, threshold, touch, usable); all if none
    /// is given
    #[arg(value_name = "CHAPTER")]
    chapters: Vec<String>,

    /// Engine that is explained, with settings if wanted
    #[arg(short, long, value_name = "ENGINE[:KNOB=VALUE,...]", default_value = "glibc")]
    engine: ArmSpec,

    /// Language: en or zh
    #[arg(long, value_name = "LANGUAGE", default_value = "en", value_parser = language)]
    lang: Language,

    /// One JSON object a claim instead of the text
    #[arg(long)]
    json: bool,
}

fn language(code: &str) -> Result<Language, String> {
    let found = Language::ALL.into_iter().find(|language| language.code() == code);
    found.ok_or_else(|| "expected en or zh".to_owned())
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let chapters = chapters(&arguments.chapters)?;
    let (stop, worker) = (run::stop_on_signals()?, run::executable()?);
    run::tell_strays();
    let lab = Lab::new(&arguments.engine, &worker, &stop)?;
    for (at, chapter) in chapters.into_iter().enumerate() {
        let told = match CHAPTERS[chapter].1(&lab) {
            Err(ExplainError::Launch(LaunchError::Interrupted)) => return Ok(INTERRUPTED),
            told => told?,
        };
        if arguments.json {
            output::print(&told.to_json_lines())?;
        } else {
            let text = told.to_text(arguments.lang, output::width(), output::coloured());
            output::print(&format!("{}{text}", if at == 0 { "" } else { "\n\n" }))?;
        }
    }
    Ok(0)
}

/// The chapters asked for, by their places in the table.
fn chapters(asked: &[String]) -> anyhow::Result<Vec<usize>> {
    if asked.is_empty() {
        return Ok((0..CHAPTERS.len()).collect());
    }
    let mut places = Vec::new();
    for text in asked {
        let is = |at: usize| text == CHAPTERS[at].0 || text.parse() == Ok(at + 1);
        match (0..CHAPTERS.len()).find(|at| is(*at)) {
            Some(at) => places.push(at),
            None => {
                let known: Vec<String> =
                    (1..).zip(CHAPTERS).map(|(n, (name, _))| format!("{n} {name}")).collect();
                bail!("there is no chapter {text:?}; there are {}", known.join(", "));
            }
        }
    }
    Ok(places)
}
