//! `brkpoint compare`: engines side by side on one piece of work.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, ensure};
use brkpoint_reports::Records;
use brkpoint_reports::record::Pass;
use brkpoint_workloads::synthetic::{self, Amount, Workload};

use super::{output, run, service, values};
use crate::control::Control;
use crate::engine::{Arm, ArmSpec, Engines};
use crate::measure::{self, Failure};
use crate::plan::{DEFAULT_ROUNDS, Plan, Work};
use crate::programs;
use crate::tune;

/// Compare engines on a command or on workloads.
///
/// The first engine is the reference. It is also measured a second time, as the
/// A/A row: what that row differs by is noise. Samples are fresh processes, the
/// engines interleaved in an order drawn anew for each round.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  brkpoint compare -- python3 script.py
  brkpoint compare -e glibc -e mimalloc -e jemalloc --rounds 20 -- git log --stat
  brkpoint compare -e glibc -e glibc:mmap_threshold=1M,trim_threshold=8M -w straddle
  brkpoint compare -w larson -w larson:threads=4 -w larson:threads=8
  brkpoint compare -e glibc -e ./libmymalloc.so --json -- xz -k -T2 big.tar")]
pub struct Arguments {
    /// Workload of ours (see `brkpoint list`), group:NAME, program:NAME, all, or a trace that
    /// `brkpoint record` made
    #[arg(short, long = "workload", value_name = "NAME|FILE")]
    workload: Vec<String>,

    /// How much of each workload of ours; 1 is the usual amount
    #[arg(long, default_value = "1", value_parser = values::scale, allow_negative_numbers = true)]
    scale: f64,

    #[command(flatten)]
    threads: values::Threads,

    /// Seed of the workloads and of the order of the engines
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,

    /// Standard input of the command, which else reads /dev/null
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    #[command(flatten)]
    how: How,

    #[command(flatten)]
    service: service::Load,

    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How engines are compared, whatever they run.
#[derive(Debug, clap::Args)]
pub struct How {
    /// Engine, with settings if wanted, or the path of a preload library
    #[arg(short, long = "engine", value_name = "ENGINE[:KNOB=VALUE,...]")]
    pub(super) engine: Vec<String>,

    /// Timed samples of each engine on each piece of work
    #[arg(
        short,
        long,
        default_value_t = DEFAULT_ROUNDS,
        value_parser = values::rounds,
        allow_negative_numbers = true
    )]
    pub(super) rounds: u32,

    /// Kill a process that runs longer, and record that
    #[arg(
        long,
        value_name = "TIME",
        default_value = "10m",
        value_parser = values::duration,
        allow_hyphen_values = true
    )]
    pub(super) timeout: Duration,

    /// Say what differs in the memory calls, from one more counted process each
    #[arg(long, conflicts_with = "json")]
    pub(super) why: bool,

    /// One JSON object a line instead of the table
    #[arg(long)]
    pub(super) json: bool,

    /// Record file to make
    #[arg(short, long, value_name = "FILE.jsonl")]
    pub(super) output: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let path = arguments.how.records("compare");
    let works = works(&arguments, &path)?;
    arguments.how.compare(works, arguments.seed, &path)
}

impl How {
    /// Where the records go that `verb` makes.
    pub(super) fn records(&self, verb: &str) -> PathBuf {
        self.output.clone().unwrap_or_else(|| output::default_path(verb, "jsonl"))
    }

    /// Runs `works` under the engines, leaving the records in `path`, and prints how they
    /// compare.
    pub(super) fn compare(&self, works: Vec<Work>, seed: u64, path: &Path) -> anyhow::Result<u8> {
        let plan = Plan {
            arms: arms(Engines::builtin(), &self.engine)?,
            works,
            rounds: self.rounds,
            memory_rounds: self.rounds,
            detail_rounds: self.rounds,
            budget: None,
            timeout: self.timeout,
            seed,
            control: Control::of_its_own(self.rounds),
            gate: None,
        };
        let outcome = run::run(&plan, path)?;
        let report = brkpoint_reports::analyse(&Records::from_lines(outcome.lines));
        output::print(&if self.json {
            report.to_json_lines()
        } else {
            report.to_text(output::width(), output::coloured()) + &spellings(&plan.arms)
        })?;
        if self.why && !outcome.interrupted {
            output::print(&why(&plan)?)?;
        }
        run::finish(&report, outcome.interrupted, path)
    }
}

/// What the memory calls of each engine tell, beside those of the reference.
fn why(plan: &Plan) -> anyhow::Result<String> {
    let (stop, executable) = (run::stop_on_signals()?, run::executable()?);
    let mut text = String::from("\nWhy (one more counted process each):\n");
    for work in plan.works.iter().filter(|work| work.passes().contains(&Pass::Counts)) {
        let conditions = plan.conditions();
        let count =
            |arm: &Arm| measure::one(arm, work, Pass::Counts, conditions, &executable, &stop);
        let mut reference = None;
        for arm in &plan.arms {
            let measured = match count(arm) {
                Ok(measured) => measured,
                Err(Failure::Interrupted) => return Ok(text),
                Err(Failure::SetUp(why)) => bail!(why),
            };
            if let Some(error) = measured.error {
                text.push_str(&format!(
                    "  {} on {}: nothing, since it failed: {error}\n",
                    tune::named(arm),
                    work.label()
                ));
                continue;
            }
            let seen = (tune::counted(&measured), measured.syscalls.unwrap_or_default());
            let Some((facts, calls)) = &reference else {
                reference = Some(seen);
                continue;
            };
            text.push_str(&format!(
                "  {} on {}, from {}: {}\n",
                tune::named(arm),
                work.label(),
                tune::named(&plan.arms[0]),
                tune::answer::why(facts, &seen.0)
            ));
            for line in tune::answer::story((&plan.arms[0], calls), (arm, &seen.1)) {
                text.push_str(&format!("    {line}\n"));
            }
        }
    }
    Ok(text)
}

/// The engines asked for, or the usual ones, each proven to load.
pub(super) fn arms(engines: &Engines, asked: &[String]) -> anyhow::Result<Vec<Arm>> {
    if asked.is_empty() {
        return run::present(engines, engines.usual());
    }
    let specs: Vec<ArmSpec> = asked.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    run::named(engines, &specs)
}

fn works(arguments: &Arguments, records: &Path) -> anyhow::Result<Vec<Work>> {
    let mut works = Vec::new();
    // The command comes first: if it cannot be started, that is known at once.
    match arguments.command.split_first() {
        Some((program, args)) => {
            if arguments.input.is_none() && fed() {
                output::tell(
                    "brkpoint: the command reads /dev/null, not this program's standard input; \
                     give it a file with --input",
                );
            }
            works.push(arguments.service.work(program, args, arguments.input.clone())?);
        }
        None => {
            ensure!(arguments.input.is_none(), "--input is for a command: add -- COMMAND");
            if let Some(option) = arguments.service.given() {
                bail!("{option} is for a command: add -- COMMAND");
            }
        }
    }
    let amount = Amount { scale: arguments.scale, threads: arguments.threads.number };
    values::in_threads(&arguments.workload, amount.threads)?;
    for name in &arguments.workload {
        for work in named(name, amount, records)? {
            let twice = works.iter().any(|other: &Work| other.label() == work.label());
            ensure!(!twice, "workload {} is given twice", work.label());
            works.push(work);
        }
    }
    ensure!(
        !works.is_empty(),
        "nothing to run: give a command after --, or -w WORKLOAD (see `brkpoint list`)"
    );
    Ok(works)
}

/// What a name stands for: one of ours or several, a program, a trace.
fn named(name: &str, amount: Amount, records: &Path) -> anyhow::Result<Vec<Work>> {
    if let Some(program) = name.strip_prefix(values::PROGRAM) {
        let found = programs::find(program).filter(|program| program.is_here());
        let Some(program) = found else {
            bail!("there is no {name} here; `brkpoint list` shows those there are");
        };
        return Ok(vec![run::program(program, records)?]);
    }
    let ours = |wanted: &dyn Fn(&Workload) -> bool| -> anyhow::Result<Vec<Work>> {
        let all = synthetic::ALL.iter().filter(|workload| wanted(workload));
        all.map(|workload| values::checked(workload, amount)).collect()
    };
    // What sleeps for seconds is asked for by name.
    let works = match name.strip_prefix("group:") {
        Some(group) => ours(&|workload| workload.group.name() == group)?,
        None if name == "all" => ours(&|workload| !workload.idles())?,
        None => vec![values::workload(name, amount)?],
    };
    ensure!(!works.is_empty(), "there is no {name}; `brkpoint list` shows the groups there are");
    Ok(works)
}

/// Whether something is piped or redirected into this program.
fn fed() -> bool {
    let kind = fs::metadata("/proc/self/fd/0").map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| kind.is_fifo() || kind.is_file())
}

/// How a user's own shell takes the settings that were measured.
fn spellings(arms: &[Arm]) -> String {
    let set = arms.iter().filter(|arm| !arm.paste.is_empty());
    let mut text: String = set.map(|arm| format!("  {} COMMAND\n", arm.paste)).collect();
    if !text.is_empty() {
        text.insert_str(0, "\nIn your own shell:\n");
    }
    text
}
