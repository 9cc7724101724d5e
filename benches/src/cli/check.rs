//! `brkpoint check`: does an engine keep what an allocator promises?

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use brkpoint_workloads::conform::{CHAPTERS, Chapter, Tally};
use brkpoint_workloads::op::{Op, lines, text};
use brkpoint_workloads::shadow::Promise;
use brkpoint_workloads::storm::Storm;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{output, run, values};
use crate::conformance::{CheckError, Checker, Finding, Way};
use crate::engine::{Arm, ArmSpec, Engines};
use crate::supervise::{LaunchError, Stop};

/// Check that an engine keeps what an allocator promises.
///
/// Random programs of allocations are performed under it, each in a fresh
/// process, while an oracle watches alignment, overlap, contents, zeroing,
/// refusals and more. A program that fails is shrunk to the shortest that fails
/// in the same way, and kept as a file, in words and in C.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  brkpoint check -e mimalloc
  brkpoint check -e glibc:tcache_count=0 --time 10m
  brkpoint check --preload ./libmymalloc.so --chapter threads --chapter storm
  brkpoint check --preload ./libmymalloc.so --chapter small --program found.ops

Exit status: 0 every promise was kept; 1 one was broken; 2 usage or set-up error;
130 interrupted.")]
pub struct Arguments {
    /// Engine, with settings if wanted, or the path of a preload library
    #[arg(short, long = "engine", value_name = "ENGINE[:KNOB=VALUE,...]")]
    engine: Vec<String>,

    /// Library that defines the malloc family
    #[arg(long, value_name = "LIB.so")]
    preload: Vec<PathBuf>,

    /// How long to go on for each engine; every chapter is tried at least once
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1m",
        value_parser = values::duration,
        allow_hyphen_values = true
    )]
    time: Duration,

    /// A program that takes longer hangs; the slowest take a few seconds
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1m",
        value_parser = values::duration,
        allow_hyphen_values = true
    )]
    patience: Duration,

    /// Seed of the first programs
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,

    /// Only this kind of program (small, large, aligned, exhaustive, impossible, events,
    /// threads, fork, exhaustion, rounds, storm)
    #[arg(long, value_name = "NAME")]
    chapter: Vec<String>,

    /// Perform the program in this file, under the rules of one --chapter
    #[arg(long, value_name = "FILE.ops")]
    program: Option<PathBuf>,

    /// One JSON object a line instead of the text
    #[arg(long)]
    json: bool,
}

/// A chapter's outcome, as a line of JSON.
#[derive(Serialize)]
struct Row<'a> {
    engine: String,
    version: &'a str,
    chapter: &'a str,
    programs: u64,
    operations: u64,
    refused: u64,
    kept: bool,
    /// The promise's name, or how the process died.
    broken: Option<String>,
    what: Option<&'a str>,
    seed: Option<u64>,
    program: Option<String>,
}

/// What is known of a chapter under an engine.
struct Tried {
    name: &'static str,
    programs: u64,
    tally: Tally,
    finding: Option<Box<Finding>>,
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let chapters = chapters(&arguments.chapter)?;
    let program = match &arguments.program {
        Some(path) => Some(program(path, &chapters)?),
        None => None,
    };
    let worker = run::executable()?;
    let arms = arms(&arguments, &worker)?;
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&asked)).context("cannot handle signals")?;
    }
    let stop = Stop::new(asked);
    let mut status = 0;
    for arm in &arms {
        let checker = Checker::new(arm, &worker, &stop, arguments.patience);
        let done = match &program {
            Some(program) => once(&checker, chapters[0], program).map(|tried| vec![tried]),
            None => check(&checker, &chapters, arguments.seed, arguments.time),
        };
        let tried = match done {
            Err(CheckError::Launch(LaunchError::Interrupted)) => return Ok(super::INTERRUPTED),
            done => done?,
        };
        if tried.iter().any(|tried| tried.finding.is_some()) {
            status = super::BAD;
        }
        let text = if arguments.json { json(arm, &tried)? } else { tell(arm, &tried)? };
        output::print(&text)?;
    }
    Ok(status)
}

/// The names asked for, or all there are.
fn chapters(asked: &[String]) -> anyhow::Result<Vec<&'static str>> {
    let known = || CHAPTERS.iter().map(|chapter| chapter.name).chain([Storm::NAME]);
    if asked.is_empty() {
        return Ok(known().collect());
    }
    let mut chapters = Vec::new();
    for name in asked {
        match known().find(|chapter| chapter == name) {
            Some(chapter) => chapters.push(chapter),
            None => {
                let known: Vec<_> = known().collect();
                bail!("there is no chapter {name:?}; there are {}", known.join(", "));
            }
        }
    }
    Ok(chapters)
}

fn program(path: &Path, chapters: &[&str]) -> anyhow::Result<Vec<Op>> {
    if chapters.len() != 1 || chapters[0] == Storm::NAME {
        bail!(
            "--program needs one --chapter, other than {}, whose rules it is judged by",
            Storm::NAME
        );
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the program {}", path.display()))?;
    let program = lines::read(&text).with_context(|| path.display().to_string())?;
    if program.is_empty() {
        bail!("{} has no operation in it", path.display());
    }
    Ok(program)
}

fn arms(arguments: &Arguments, worker: &Path) -> anyhow::Result<Vec<Arm>> {
    let engines = Engines::builtin();
    let mut specs = Vec::new();
    for text in &arguments.engine {
        specs.push(text.parse::<ArmSpec>()?);
    }
    for library in &arguments.preload {
        // Without a slash, a name is an engine's.
        let path = Path::new(".").join(library);
        let engine = path.to_str().context("the library's path is not UTF-8")?.to_owned();
        specs.push(ArmSpec { engine, settings: Default::default() });
    }
    if specs.is_empty() {
        bail!("which engine? Give -e ENGINE (`brkpoint list` has them) or --preload LIB.so");
    }
    let mut arms = Vec::new();
    for spec in &specs {
        arms.push(engines.resolve(spec, worker)?);
    }
    Ok(arms)
}

fn once(checker: &Checker<'_>, name: &'static str, program: &[Op]) -> Result<Tried, CheckError> {
    let mut tried = Tried { name, programs: 1, tally: Tally::default(), finding: None };
    if let Some(chapter) = Chapter::named(name) {
        match checker.perform(chapter, None, program)? {
            Ok(tally) => tried.tally = tally,
            Err(finding) => tried.finding = Some(finding),
        }
    }
    Ok(tried)
}

/// Seed after seed goes through all chapters until the time is up. A chapter
/// ends with its first finding.
fn check(
    checker: &Checker<'_>,
    chapters: &[&'static str],
    seed: u64,
    time: Duration,
) -> Result<Vec<Tried>, CheckError> {
    let begun = Instant::now();
    let fresh = |&name| Tried { name, programs: 0, tally: Tally::default(), finding: None };
    let mut all: Vec<Tried> = chapters.iter().map(fresh).collect();
    for seed in seed.. {
        for tried in all.iter_mut().filter(|tried| tried.finding.is_none()) {
            if tried.programs > 0 && begun.elapsed() >= time {
                return Ok(all);
            }
            let done = match Chapter::named(tried.name) {
                Some(chapter) => checker.draw(chapter, seed)?,
                None => checker.storm(seed)?,
            };
            tried.programs += 1;
            match done {
                Ok(tally) => tried.tally = tried.tally.plus(tally),
                Err(finding) => tried.finding = Some(finding),
            }
        }
        if all.iter().all(|tried| tried.finding.is_some()) {
            break;
        }
    }
    Ok(all)
}

fn name(arm: &Arm) -> String {
    let mut name = arm.engine.clone();
    for (at, (knob, value)) in arm.settings.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(name, "{}{knob}={value}", if at == 0 { ":" } else { "," });
    }
    name
}

fn json(arm: &Arm, all: &[Tried]) -> anyhow::Result<String> {
    let mut text = String::new();
    for Tried { name: chapter, programs, tally, finding } in all {
        let row = Row {
            engine: name(arm),
            version: &arm.version,
            chapter,
            programs: *programs,
            operations: tally.performed,
            refused: tally.refused,
            kept: finding.is_none(),
            broken: finding.as_ref().map(|finding| match &finding.failure.way {
                Way::Promise(promise) => promise.clone(),
                way => way.to_string(),
            }),
            what: finding.as_ref().map(|finding| finding.failure.what.as_str()),
            seed: finding.as_ref().and_then(|finding| finding.seed),
            program: finding.as_ref().map(|finding| lines::write(&finding.program)),
        };
        text.push_str(&serde_json::to_string(&row)?);
        text.push('\n');
    }
    Ok(text)
}

/// The report of an engine; what was found goes to files, too.
fn tell(arm: &Arm, all: &[Tried]) -> anyhow::Result<String> {
    let mut text = format!("{} {} ({})\n", name(arm), arm.version, arm.object);
    for Tried { name, programs, tally, finding } in all {
        let state = if finding.is_some() { "BROKEN" } else { "kept" };
        let Tally { performed, refused } = tally;
        let _ = writeln!(
            text,
            "  {name:<11} {state:<6} {programs:>4} programs, {performed:>8} operations, {refused} refused"
        );
    }
    for Tried { name: chapter, finding, .. } in all {
        if let Some(finding) = finding {
            text.push_str(&explain(arm, chapter, finding)?);
        }
    }
    Ok(text)
}

fn explain(arm: &Arm, chapter: &str, finding: &Finding) -> anyhow::Result<String> {
    let Finding { failure, seed, from, program } = finding;
    let mut text = format!("\n{}, {chapter}: {}\n", name(arm), failure.way);
    if let Way::Promise(name) = &failure.way
        && let Some(promise) = Promise::ALL.iter().find(|promise| promise.name() == name)
    {
        let _ = writeln!(text, "  promised: {}", promise.text().trim());
    }
    let _ = writeln!(text, "  seen: {}", failure.what.replace('\n', "\n        "));
    let again = format!("brkpoint check -e {} --chapter {chapter}", name(arm));
    if program.is_empty() {
        let seed = seed.unwrap_or_default();
        let _ = writeln!(text, "  again (threads race: perhaps): {again} --seed {seed} --time 1s");
        return Ok(text);
    }
    let ops = output::default_path(&format!("check-{chapter}"), "ops");
    let c = ops.with_extension("c");
    output::write(&ops, &format!("# {again}: {}\n{}", failure.way, lines::write(program)))?;
    output::write(&c, &text::c(program))?;
    let _ = writeln!(
        text,
        "  {} of {from} operations are enough{}:\n{}  again: {again} --program {}\n  in C:  {}",
        program.len(),
        seed.map_or(String::new(), |seed| format!(" (seed {seed})")),
        text::words(program),
        ops.display(),
        c.display()
    );
    Ok(text)
}
