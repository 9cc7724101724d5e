//! `brkpoint tune`: the settings that a program should run with.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use brkpoint_reports::record::{Cell, Line};
use brkpoint_reports::{Records, tuning};
use brkpoint_workloads::synthetic::Amount;
use indicatif::{ProgressBar, ProgressStyle};

use super::{INCONCLUSIVE, output, run, service, values};
use crate::engine::Engines;
use crate::journal::Journal;
use crate::plan::Work;
use crate::tune::{self, Objective, Request, Told, TuneError, Verdict};

/// Find the allocator settings that a program should run with, and prove them.
///
/// Every combination of the settings that matter together is counted (system
/// calls, faults, peak memory); those that counts do not rule out are timed in
/// interleaved fresh processes; the best are then measured again, against the
/// default and in rounds of their own, and only that decides. The answer is a
/// line to paste, "keep the default", or "undecided" and what would decide it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  brkpoint tune -- python3 script.py
  brkpoint tune --objective memory --max-slowdown 5% -- ./server --selftest
  brkpoint tune -e all --budget 20m -- ./program
  brkpoint tune --ready-when 'nc -z localhost 8080' --drive 'wrk -d 5 http://localhost:8080' \\
      --metric-regex 'Requests/sec: +([0-9.]+)' --better higher -- ./server

Exit status: 0 a recommendation, or the default is best; 2 nothing could be tuned;
3 undecided; 130 interrupted.")]
pub struct Arguments {
    /// Engine whose settings are tried; all: of every engine, against glibc
    #[arg(short, long = "engine", value_name = "ENGINE", default_value = "glibc")]
    engine: Vec<String>,

    /// What there should be less of
    #[arg(long, value_enum, default_value_t = Objective::Time)]
    objective: Objective,

    /// With --objective memory or faults: slowdown that is allowed
    #[arg(long, value_name = "SHARE", default_value = "2%", value_parser = values::share)]
    max_slowdown: f64,

    /// Leave out what takes more peak memory
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    max_memory: Option<u64>,

    /// How long the whole may take
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = values::duration)]
    budget: Duration,

    /// Kill a process that runs longer
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = values::duration)]
    timeout: Duration,

    /// Workload of ours (see `brkpoint list`), or a trace that `brkpoint record` made
    #[arg(short, long = "workload", value_name = "NAME|FILE", conflicts_with = "command")]
    workload: Option<String>,

    /// How much of the workload; 1 is the usual amount
    #[arg(long, default_value = "1", value_parser = values::scale)]
    scale: f64,

    #[command(flatten)]
    threads: values::Threads,

    /// Seed of the workload and of the orders
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Standard input of the command, which else reads /dev/null
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Record file to make
    #[arg(short, long, value_name = "FILE.jsonl")]
    output: Option<PathBuf>,

    /// The answer as a JSON object instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    service: service::Load,

    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let (engines, reference) = engines(&arguments.engine)?;
    let request = Request {
        engines,
        reference,
        work: work(&arguments)?,
        objective: arguments.objective,
        max_slowdown: arguments.max_slowdown,
        max_memory: arguments.max_memory,
        budget: arguments.budget,
        timeout: arguments.timeout,
        seed: arguments.seed,
    };
    let path = arguments.output.clone().unwrap_or_else(|| output::default_path("tune", "jsonl"));
    let page = path.with_extension("html");
    ensure!(page != path, "{} is to hold records, and the page goes beside it", path.display());
    let stop = run::stop_on_signals()?;
    let mut journal = Journal::create(&path)?;
    run::tell_strays();
    let mut bar = Bar::new(request.budget);
    let outcome = tune::tune(&request, &run::executable()?, &mut journal, &stop, &mut bar);
    bar.bar.finish_and_clear();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(TuneError::Interrupted) => {
            let path = path.display();
            output::tell(format_args!("brkpoint: interrupted; what was measured is in {path}"));
            return Ok(super::INTERRUPTED);
        }
        Err(TuneError::SetUp(why)) => {
            run::forget(&path);
            bail!(why);
        }
        Err(error) => return Err(error.into()),
    };
    let answer = tune::answer::answer(&request, &outcome);
    journal.append(&Line::Answer(Box::new(answer.clone())))?;
    output::print(&if arguments.json {
        serde_json::to_string(&answer)? + "\n"
    } else {
        tuning::to_text(&answer)
    })?;
    output::write(&page, &tuning::to_html(&answer, &Records::read(&[&path])?))?;
    output::tell(format_args!("The page: {}\nRecords: {}", page.display(), path.display()));
    Ok(match outcome.verdict {
        Verdict::Undecided(_) => INCONCLUSIVE,
        Verdict::Recommend(_) | Verdict::KeepDefault(_) => 0,
    })
}

/// The engines to tune, and the one at whose defaults they are compared.
fn engines(asked: &[String]) -> anyhow::Result<(Vec<String>, String)> {
    let known = Engines::builtin();
    if asked.iter().any(|name| name == "all") {
        ensure!(asked.len() == 1, "-e all stands for every engine: name no other beside it");
        let names = known.iter().map(|engine| engine.name.clone()).collect();
        return Ok((names, "glibc".to_owned()));
    }
    for name in asked {
        if known.iter().all(|engine| engine.name != *name) {
            bail!("there is no engine {name:?} to tune; `brkpoint list` shows those there are");
        }
    }
    Ok((asked.to_vec(), asked[0].clone()))
}

fn work(arguments: &Arguments) -> anyhow::Result<Work> {
    if let Some(name) = &arguments.workload {
        ensure!(arguments.input.is_none(), "--input is for a command: add -- COMMAND");
        if let Some(option) = arguments.service.given() {
            bail!("{option} is for a command: add -- COMMAND");
        }
        let amount = Amount { scale: arguments.scale, threads: arguments.threads.number };
        values::in_threads(std::slice::from_ref(name), amount.threads)?;
        let work = values::workload(name, amount)?;
        ensure!(!work.idles(), "{name} mostly sleeps: its time says nothing of the settings");
        return Ok(work);
    }
    // The parser asks for no workload where a command excludes it.
    ensure!(arguments.threads.number.is_none(), "--threads is for workloads: give --workload NAME");
    let Some((program, args)) = arguments.command.split_first() else {
        bail!("nothing to tune: give a command after --, or -w WORKLOAD (see `brkpoint list`)");
    };
    arguments.service.work(program, args, arguments.input.clone())
}

/// Bytes such as `512M`.
fn bytes(text: &str) -> Result<u64, String> {
    crate::engine::bytes(text)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "expected bytes, such as 512M or 2G".to_owned())
}

/// The stage, and the share of the time that is gone.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new(budget: Duration) -> Bar {
        let bar = ProgressBar::new(budget.as_secs());
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} s  {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Bar { bar }
    }
}

impl Told for Bar {
    fn step(&mut self, stage: &str, cell: &Cell, spent: Duration) {
        self.bar.set_position(spent.as_secs());
        self.bar.set_message(format!("{stage}: {}", cell.arm()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_stands_for_every_engine_against_glibc() {
        let (all, reference) = engines(&["all".to_owned()]).expect("all");
        assert!(all.len() > 3 && reference == "glibc");
        assert!(engines(&["all".to_owned(), "glibc".to_owned()]).is_err());
        assert!(engines(&["nosuch".to_owned()]).is_err());
    }
}
