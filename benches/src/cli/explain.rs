//! `brkpoint explain`: the textbook on malloc, tried on this machine.

use std::path::PathBuf;

use anyhow::{Context, bail};
use brkpoint_reports::explain::{Book, Language};

use super::{INTERRUPTED, output, run};
use crate::engine::ArmSpec;
use crate::explain::{CHAPTERS, ExplainError, Lab};
use crate::machine;
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
  brkpoint explain -o malloc.html

Exit status: 0 told, also that something does not hold; 2 usage or set-up error;
130 interrupted.")]
pub struct Arguments {
    /// Chapters by number or name (space, threshold, touch, usable, free, mmap-only,
    /// brk-only, header); all if none is given
    #[arg(value_name = "CHAPTER")]
    chapters: Vec<String>,

    /// Engine that is explained, with settings if wanted
    #[arg(short, long, value_name = "ENGINE[:KNOB=VALUE,...]", default_value = "glibc")]
    engine: ArmSpec,

    /// Language: en or zh
    #[arg(long, value_name = "LANGUAGE", default_value = "en", value_parser = language)]
    lang: Language,

    /// Write a page with pictures instead of the text
    #[arg(short, long, visible_alias = "page", value_name = "FILE.html")]
    output: Option<PathBuf>,

    /// One JSON object a claim instead of the text
    #[arg(long, conflicts_with = "output")]
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
    let mut book = Book {
        chapters: Vec::new(),
        machine: machine::describe(),
        started: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        command_line: std::env::args_os().map(|arg| arg.to_string_lossy().into()).collect(),
    };
    for (at, chapter) in chapters.into_iter().enumerate() {
        let told = match CHAPTERS[chapter].1(&lab) {
            Err(ExplainError::Launch(LaunchError::Interrupted)) => return Ok(INTERRUPTED),
            told => told?,
        };
        if arguments.output.is_some() {
            book.chapters.push(told);
        } else if arguments.json {
            output::print(&told.to_json_lines())?;
        } else {
            let text = told.to_text(arguments.lang, output::width(), output::coloured());
            output::print(&format!("{}{text}", if at == 0 { "" } else { "\n\n" }))?;
        }
    }
    if let Some(path) = arguments.output {
        output::write(&path, &book.to_html(arguments.lang))
            .context("choose another file with -o")?;
        output::print(&format!("The page: {}\n", path.display()))?;
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
