//! `brkpoint trace`: what is in a trace, a part of it, another tool's.

use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use brkpoint_reports::profile as shown;
use brkpoint_workloads::trace::import::Format;
use brkpoint_workloads::trace::{Header, Process, Writer};

use super::{UNUSABLE, output};
use crate::profile::{self, Contents, Filter};
use crate::version;

/// Show what a recorded program asks of its allocator; cut traces; import others.
///
/// Sizes, lifetimes, live bytes over time, what lies above an mmap threshold, blocks
/// that pass between threads, and what each scheme of size classes would waste.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  brkpoint trace git.trace
  brkpoint trace git.trace -o git.html
  brkpoint trace gcc.trace --process 1 --sizes 128K.. 
  brkpoint trace gcc.trace --process 1 --events ..1000000 -o begin.trace
  brkpoint trace --import mtrace mtrace.out -o program.trace

Exit status: 2 if the trace is damaged; what precedes the damage is shown.")]
pub struct Arguments {
    /// A trace that `brkpoint record` made, or the text to import
    #[arg(value_name = "FILE")]
    trace: PathBuf,

    /// Which process, from 0; by default the one with most events
    #[arg(long, value_name = "N")]
    process: Option<u32>,

    /// Only these events, counted from 0
    #[arg(long, value_name = "FROM..TO", value_parser = numbers)]
    events: Option<Range<u64>>,

    /// Only blocks that were allocated with so many bytes
    #[arg(long, value_name = "FROM..TO", value_parser = numbers)]
    sizes: Option<Range<u64>>,

    /// Make a trace of another tool's text
    #[arg(
        long,
        value_name = "mtrace|malloc-lab",
        value_parser = format,
        requires = "output",
        conflicts_with_all = ["process", "events", "sizes", "json"]
    )]
    import: Option<Format>,

    /// Make a page (.html), or a trace of what is chosen (any other name)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

fn format(text: &str) -> Result<Format, String> {
    let known = Format::ALL.into_iter().find(|format| format.name() == text);
    known.ok_or_else(|| "expected mtrace or malloc-lab".to_owned())
}

/// A range such as `10..200`, `128K..` or `..1M`.
fn numbers(text: &str) -> Result<Range<u64>, String> {
    let end = |text: &str, open: u64| match text {
        "" => Some(open),
        text => crate::engine::bytes(text),
    };
    let range =
        text.split_once("..").and_then(|(from, to)| Some(end(from, 0)?..end(to, u64::MAX)?));
    range.filter(|range| !range.is_empty()).ok_or_else(|| {
        "expected a range such as 10..200, 128K.. or ..1M, the end not included".to_owned()
    })
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let path = &arguments.trace;
    if let (Some(format), Some(target)) = (arguments.import, &arguments.output) {
        import(path, format, target)?;
        return Ok(0);
    }
    let at = || path.display().to_string();
    let contents = Contents::of(path).with_context(at)?;
    let known = contents.header.processes.len();
    let process = arguments.process.unwrap_or_else(|| contents.largest());
    ensure!(
        (process as usize) < known,
        "there is no process {process}: there are {known}, from 0 on"
    );
    let mut filter = Filter::default();
    filter.events = arguments.events.unwrap_or(filter.events);
    filter.sizes = arguments.sizes.unwrap_or(filter.sizes);
    let mut problem = contents.problem;
    match &arguments.output {
        Some(target) if target.extension().is_none_or(|extension| extension != "html") => {
            let same =
                target.canonicalize().is_ok_and(|it| path.canonicalize().is_ok_and(|p| p == it));
            ensure!(!same, "{} is the trace that is read", target.display());
            let reader = profile::open(path).with_context(at)?;
            let (closing, damage) =
                output::make(target, |out| Ok(profile::cut(reader, process, &filter, out)?))?;
            problem = problem.or(damage);
            output::tell(format_args!("{}: {} events", target.display(), closing.events));
        }
        page => {
            let profile = profile::profile(path, process, &filter).with_context(at)?;
            match page {
                Some(target) => {
                    output::write(target, &shown::to_html(&profile))?;
                    output::tell(format_args!("The page: {}", target.display()));
                }
                None if arguments.json => {
                    output::print(&(serde_json::to_string(&profile)? + "\n"))?;
                }
                None => output::print(&shown::to_text(&profile))?,
            }
        }
    }
    Ok(match problem {
        None => 0,
        Some(problem) => {
            output::tell(format_args!("brkpoint: {}: {problem}", path.display()));
            UNUSABLE
        }
    })
}

fn import(path: &Path, format: Format, target: &Path) -> anyhow::Result<()> {
    let text = File::open(path).with_context(|| path.display().to_string())?;
    let name = path.display().to_string();
    let process = Process { program: name.clone(), arguments: vec![name], ..Process::default() };
    let header = Header {
        maker: format!("brkpoint {} (imported from {})", version::VERSION, format.name()),
        processes: vec![process],
        ..Header::default()
    };
    let events = output::make(target, |out| {
        let mut writer = Writer::new(out, &header)?;
        let closing = format.import(BufReader::new(text), &mut writer);
        let events = closing.with_context(|| path.display().to_string())?.events;
        writer.finish()?;
        Ok(events)
    })?;
    if events == 0 {
        bail!(
            "{}: there is no call in it; {} is made all the same",
            path.display(),
            target.display()
        );
    }
    output::tell(format_args!("{}: {events} events", target.display()));
    Ok(())
}
