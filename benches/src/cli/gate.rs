//! `brkpoint gate`: did it become worse?

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use brkpoint_reports::Records;
use brkpoint_reports::gate::{Answer, Gate};
use brkpoint_reports::record::{Margins, Pass};
use brkpoint_workloads::synthetic::Amount;

use super::{BAD, INCONCLUSIVE, INTERRUPTED, UNUSABLE, output, run, values};
use crate::engine::{Arm, ArmSpec};
use crate::gate::{Request, Scratch, Side, usual_amount, usual_workloads};
use crate::journal::Journal;
use crate::plan::Work;

/// Say whether something became worse: two commits, libraries, settings or commands.
///
/// Both are measured now, in turns, in fresh processes, on workloads of ours or on a
/// command. Looks at 12, 24, 48, 96, 192 and 384 rounds; what seems worse is measured again in
/// fresh rounds before it is called a regression. The base against itself (A/A) and
/// with a known burden (the positive control) show whether the answer can be trusted.
/// docs/gate.md says exactly how.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
BASE and NEW are each a revision of the repository here (its library to preload is
built; `.` is the working tree), the path of such a library, or an engine with settings.

Examples:
  brkpoint gate --base main --new HEAD --markdown summary.md
  brkpoint gate --base HEAD --new . --counts-only -w straddle -w phases
  brkpoint gate --base ./old.so --new ./new.so -- python3 script.py
  brkpoint gate --base glibc --new glibc:mmap_threshold=1M -- ./program
  brkpoint gate --base-command './old --bench' --new-command './new --bench'

Exit status: 0 nothing became worse; 1 something did, or failed; 2 usage or set-up
error, such as a revision that does not build; 3 not decided, or not to be trusted;
130 interrupted.")]
pub struct Arguments {
    /// What was there before
    #[arg(long, value_name = "BASE", required_unless_present = "base_command")]
    base: Option<String>,

    /// What is judged
    #[arg(long, value_name = "NEW", required_unless_present = "new_command")]
    new: Option<String>,

    /// A command that was there before, in place of --base
    #[arg(long, value_name = "COMMAND", conflicts_with = "base", requires = "new_command")]
    base_command: Option<String>,

    /// A command that is judged, in place of --new
    #[arg(long, value_name = "COMMAND", conflicts_with = "new", requires = "base_command")]
    new_command: Option<String>,

    /// With commands: the engine under which both run
    #[arg(short, long, value_name = "ENGINE[:KNOB=VALUE,...]", default_value = "glibc")]
    engine: ArmSpec,

    /// With revisions: the package whose library is preloaded, if there are several
    #[arg(long, value_name = "NAME")]
    package: Option<String>,

    /// Workload of ours (see `brkpoint list`), or a trace that `brkpoint record` made; if none
    /// and no command is given: four that vary little
    #[arg(short, long = "workload", value_name = "NAME|FILE")]
    workload: Vec<String>,

    /// How much of each workload of ours, that of the positive control among them; 1 is
    /// what a gate usually takes, and more varies less
    #[arg(long, default_value = "1", value_parser = values::scale)]
    scale: f64,

    #[command(flatten)]
    threads: values::Threads,

    /// Compare system calls and faults only: within seconds, and on a machine that is
    /// too busy for times
    #[arg(long)]
    counts_only: bool,

    /// Smallest difference in time that counts
    #[arg(long, value_name = "SHARE", default_value_t = Margins::USUAL.time, value_parser = values::share)]
    time_margin: f64,

    /// Smallest difference in resident memory that counts
    #[arg(long, value_name = "SHARE", default_value_t = Margins::USUAL.memory, value_parser = values::share)]
    memory_margin: f64,

    /// Smallest difference that counts in system calls and faults
    #[arg(long, value_name = "SHARE", default_value_t = Margins::USUAL.counts, value_parser = values::share)]
    count_margin: f64,

    /// No round starts after this long
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    budget: Option<Duration>,

    /// Kill a process that runs longer, and record that
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = values::duration)]
    timeout: Duration,

    /// Seed of the workloads and of the orders
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Standard input of the commands, which else read /dev/null
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Measure even if two revisions are built to the same bytes
    #[arg(long)]
    always: bool,

    /// Measure so many rounds of everything and judge nothing: what
    /// `scripts/gate-batches` resamples gates from
    #[arg(long, value_name = "ROUNDS", value_parser = values::rounds, conflicts_with = "budget")]
    record: Option<u32>,

    /// One JSON object instead of the table
    #[arg(long)]
    json: bool,

    /// Write a summary for a pull request
    #[arg(long, value_name = "FILE.md")]
    markdown: Option<PathBuf>,

    /// Record file to make; the page is put beside it
    #[arg(short, long, value_name = "FILE.jsonl")]
    output: Option<PathBuf>,

    /// A command that both sides run, and its arguments
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "base_command")]
    command: Vec<OsString>,
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let works = works(&arguments)?;
    let (base_side, new_side) = sides(&arguments)?;
    let path = arguments.output.clone().unwrap_or_else(|| output::default_path("gate", "jsonl"));
    let page = path.with_extension("html");
    ensure!(page != path, "{} would hold the page; name the records otherwise", path.display());
    let worker = run::executable()?;
    let scratch = Scratch::new("target/brkpoint/gate".into());
    // A slip in the second is told before the first is built.
    base_side.find()?;
    new_side.find()?;
    let resolve = |side: &Side| -> anyhow::Result<Arm> {
        if let Side::Revision(revision) = side {
            output::tell(format_args!("brkpoint: the library of {revision} ..."));
        }
        Ok(side.resolve(&scratch, arguments.package.as_deref(), &worker)?)
    };
    let (base, new) = (resolve(&base_side)?, resolve(&new_side)?);
    let revisions = matches!((&base_side, &new_side), (Side::Revision(_), Side::Revision(_)));
    if revisions && !arguments.always && arguments.record.is_none() && same_bytes(&base, &new)? {
        return finish(&arguments, &Gate::of_equals(&base.engine, &new.engine));
    }

    let request = Request {
        base,
        new,
        works,
        scale: arguments.scale,
        margins: Margins {
            time: arguments.time_margin,
            memory: arguments.memory_margin,
            counts: arguments.count_margin,
        },
        passes: if arguments.counts_only {
            &[Pass::Counts]
        } else {
            &[Pass::Counts, Pass::Memory, Pass::Time]
        },
        budget: arguments.budget,
        timeout: arguments.timeout,
        seed: arguments.seed,
        recording: arguments.record,
    };
    let stop = run::stop_on_signals()?;
    let mut journal = Journal::create(&path)?;
    run::tell_strays();
    let outcome = run::shown(arguments.budget, |bar| {
        crate::gate::run(request, &worker, &mut journal, &stop, bar)
    });
    let outcome = run::kept(outcome, &path)?;
    let records = path.display();
    if outcome.interrupted {
        output::tell(format_args!("brkpoint: interrupted; what was measured is in {records}"));
        return Ok(INTERRUPTED);
    }
    if arguments.record.is_some() {
        output::tell(format_args!("Records: {records} (`scripts/gate-batches` resamples them)"));
        return Ok(0);
    }
    let report = brkpoint_reports::analyse(&Records::from_lines(outcome.lines));
    output::write(&page, &report.to_html())?;
    let gate = report.gate.as_ref().context("the records of the gate are damaged")?;
    output::tell(format_args!("The page: {}\nRecords: {records}", page.display()));
    finish(&arguments, gate)
}

/// Prints and writes the answer, which is the exit status.
fn finish(arguments: &Arguments, gate: &Gate) -> anyhow::Result<u8> {
    summary(gate, arguments.json, arguments.markdown.as_deref())
}

/// Prints `gate` and writes its summary; the exit status.
pub(super) fn summary(gate: &Gate, json: bool, markdown: Option<&Path>) -> anyhow::Result<u8> {
    output::print(&match json {
        true => gate.to_json() + "\n",
        false => gate.to_text(output::width(), output::coloured()),
    })?;
    // After the answer: what was measured is not lost with a path that cannot be written.
    if let Some(path) = markdown {
        output::write(path, &gate.to_markdown())?;
    }
    Ok(match gate.answer() {
        Answer::Passes => 0,
        Answer::Worse => BAD,
        Answer::Open if gate.rows.is_empty() => UNUSABLE,
        Answer::Open => INCONCLUSIVE,
    })
}

fn sides(arguments: &Arguments) -> anyhow::Result<(Side, Side)> {
    let side = |side: &Option<String>, command: &Option<String>| -> anyhow::Result<Side> {
        match (side, command) {
            (Some(text), _) => Ok(Side::read(text)?),
            (None, Some(command)) => {
                let words = shlex::split(command).filter(|words| !words.is_empty());
                let words = words.with_context(|| {
                    format!("{command:?} is no command: a quote is open, or nothing is there")
                })?;
                Ok(Side::Command { engine: arguments.engine.clone(), words })
            }
            (None, None) => bail!("give both --base and --new, or both commands"),
        }
    };
    Ok((
        side(&arguments.base, &arguments.base_command)?,
        side(&arguments.new, &arguments.new_command)?,
    ))
}

fn works(arguments: &Arguments) -> anyhow::Result<Vec<Work>> {
    let mut works = Vec::new();
    if let Some((program, args)) = arguments.command.split_first() {
        works.push(Work::command(program.clone(), args.to_vec(), arguments.input.clone()));
    } else if arguments.base_command.is_some() {
        ensure!(arguments.workload.is_empty(), "-w has no part in comparing two commands");
        works.push(Work::Command {
            label: "the command".to_owned(),
            program: OsString::new(),
            args: Vec::new(),
            stdin: arguments.input.clone(),
            service: None,
            printed: None,
        });
    } else {
        ensure!(arguments.input.is_none(), "--input is for a command: add -- COMMAND");
    }
    values::in_threads(&arguments.workload, arguments.threads.number)?;
    let usual = works.is_empty() && arguments.workload.is_empty();
    let named = arguments.workload.iter().map(String::as_str);
    let names: Vec<&str> = if usual { usual_workloads().collect() } else { named.collect() };
    for name in names {
        let scale = arguments.scale * usual_amount(name);
        let work = values::workload(name, Amount { scale, threads: arguments.threads.number })?;
        let twice = works.iter().any(|other: &Work| other.label() == work.label());
        ensure!(!twice, "workload {name} is given twice");
        works.push(work);
    }
    Ok(works)
}

/// Whether the libraries are the same, so that nothing can differ but the noise.
fn same_bytes(base: &Arm, new: &Arm) -> anyhow::Result<bool> {
    let read = |arm: &Arm| match &arm.library {
        Some(path) => {
            fs::read(path).with_context(|| format!("cannot read {}", path.display())).map(Some)
        }
        None => Ok(None),
    };
    Ok(read(base)? == read(new)?)
}
