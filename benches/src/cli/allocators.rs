//! The benchmark of allocators: every row under ours and under the peers, linked
//! into the worker and preloaded into it, and how they rank.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use brkpoint_reports::Records;
use brkpoint_reports::ranking::{self, Contest, Kind, Row};
use brkpoint_reports::record::Pass;
use brkpoint_workloads::synthetic::{self, Group, Workload};
use clap::{Parser, ValueEnum};

use super::{BAD, INTERRUPTED, UNUSABLE, explained, output, run, values};
use crate::control::Control;
use crate::engine::{Arm, ArmSpec, EngineError, Engines};
use crate::plan::{Plan, Work};

/// Enough for a 99 % interval.
const ROUNDS: u32 = 8;
const QUICK_ROUNDS: u32 = 2;

/// Memory hardly varies: three samples tell if it does.
const MEMORY_ROUNDS: u32 = 3;
const QUICK_MEMORY_ROUNDS: u32 = 1;

/// A quick look takes so much of every row; working sets keep their sizes.
const QUICK_SCALE: f64 = 0.4;

/// What a process takes on two idle cores, on average over the rows, for the
/// announcement: seconds at scale 1, apart from setting it up.
const PROCESS_S: f64 = 0.09;
const SET_UP_S: f64 = 0.025;
/// The idle row: all its processes at once.
const IDLE_S: f64 = 14.0;

/// Rows that the limit does not bound: what it frees in another thread never comes
/// back, and it copies what the OS could move.
const UNBOUNDED: [&str; 4] = ["handoff", "threads", "grow", "grow-four"];

/// No process comes near this.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Rank memory allocators over the rows of the benchmark.
///
/// Each row is a workload of `brkpoint list`. A sample is a fresh process, the
/// allocators in an order drawn anew for each row and round; the first is the
/// reference, and is measured twice (A/A). Linked: the allocator is Rust's global
/// allocator of the process. Preloaded: the process calls malloc, through
/// LD_PRELOAD. The limit, thread-local free lists and nothing else, is only linked.
#[derive(Debug, Parser)]
#[command(name = "allocators", version = crate::version::VERSION, max_term_width = 100)]
#[command(after_help = "\
Examples:
  cargo bench --bench allocators
  cargo bench --bench allocators -- --quick --rows pair,steady
  cargo bench --bench allocators -- --mode linked --engines glibc brkpoint:preset=default mimalloc

Exit status: 0 fine; 1 a cell failed; 2 usage or set-up error; 130 interrupted.")]
struct Arguments {
    /// A first answer: few rounds, less of each row, and only linked
    #[arg(long)]
    quick: bool,

    /// Timed samples of each allocator on each row [default: 8; with --quick 2]
    #[arg(short, long, value_parser = values::rounds, allow_negative_numbers = true)]
    rounds: Option<u32>,

    /// Only rows whose name holds one of these
    #[arg(long, value_name = "PATTERN,...", value_delimiter = ',')]
    rows: Vec<String>,

    /// Allocators; the first is the reference
    #[arg(short, long, value_name = "ENGINE[:KNOB=VALUE,...]", num_args = 1..)]
    engines: Vec<String>,

    /// How the allocators come into the processes [default: both; with --quick linked]
    #[arg(long)]
    mode: Option<Modes>,

    /// Seed of the workloads and of the order of the allocators
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,

    /// What cargo gives every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Modes {
    Linked,
    Preloaded,
    Both,
}

/// How an allocator comes into a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Linked,
    Preloaded,
}

impl Modes {
    fn list(self) -> &'static [Mode] {
        match self {
            Modes::Linked => &[Mode::Linked],
            Modes::Preloaded => &[Mode::Preloaded],
            Modes::Both => &[Mode::Linked, Mode::Preloaded],
        }
    }
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Linked => "linked",
            Mode::Preloaded => "preloaded",
        }
    }
}

/// Runs the benchmark and says how it went.
pub fn main() -> ExitCode {
    match bench(&Arguments::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            output::tell(format_args!("allocators: {}", explained(&error)));
            ExitCode::from(UNUSABLE)
        }
    }
}

fn bench(arguments: &Arguments) -> anyhow::Result<u8> {
    let rows = rows(&arguments.rows)?;
    let specs = specs(&arguments.engines)?;
    let mut plans = Vec::new();
    let usual = if arguments.quick { Modes::Linked } else { Modes::Both };
    for &mode in arguments.mode.unwrap_or(usual).list() {
        plans.push((
            mode,
            plan(arguments, arms(mode, &specs, !arguments.engines.is_empty())?, &rows),
        ));
    }
    announce(&plans, rows.len());
    let mut status = 0;
    for (mode, plan) in &plans {
        status = status.max(one(*mode, plan, &rows)?);
        if status == INTERRUPTED {
            break;
        }
    }
    Ok(status)
}

/// The workloads that are rows, as far as they are asked for.
fn rows(patterns: &[String]) -> anyhow::Result<Vec<&'static Workload>> {
    let all: Vec<&Workload> =
        synthetic::ALL.iter().filter(|workload| workload.group.is_ranked()).collect();
    for pattern in patterns {
        let names = || all.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        ensure!(
            !pattern.is_empty() && all.iter().any(|row| row.name.contains(pattern.as_str())),
            "no row's name holds {pattern:?}; there are {}",
            names()
        );
    }
    let asked = |row: &&Workload| {
        patterns.is_empty() || patterns.iter().any(|pattern| row.name.contains(pattern.as_str()))
    };
    Ok(all.into_iter().filter(asked).collect())
}

fn specs(asked: &[String]) -> anyhow::Result<Vec<ArmSpec>> {
    if asked.is_empty() {
        return Ok(Engines::builtin().bench().to_vec());
    }
    let mut specs: Vec<ArmSpec> = Vec::with_capacity(asked.len());
    for text in asked {
        let spec: ArmSpec = text.parse()?;
        ensure!(
            !specs.contains(&spec),
            "engine {text} is given twice; the first of all is measured twice by itself"
        );
        specs.push(spec);
    }
    Ok(specs)
}

/// The arms of `mode`, each proven to answer. What is not here is left out by
/// name, unless it was asked for; what cannot be in this mode is left out.
fn arms(mode: Mode, specs: &[ArmSpec], asked: bool) -> anyhow::Result<Vec<Arm>> {
    let (engines, executable) = (Engines::builtin(), run::executable()?);
    let mut arms = Vec::with_capacity(specs.len());
    for spec in specs {
        let arm = match mode {
            Mode::Linked => engines.resolve_linked(spec),
            Mode::Preloaded => engines.resolve(spec, &executable),
        };
        match arm {
            Ok(arm) => arms.push(arm),
            Err(EngineError::OnlyLinked { .. }) => {}
            Err(absent @ EngineError::Absent { .. }) if !asked => {
                output::tell(format_args!("allocators: left out: {absent}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(!arms.is_empty(), "no allocator is left to be {}", mode.name());
    Ok(arms)
}

fn plan(arguments: &Arguments, arms: Vec<Arm>, rows: &[&Workload]) -> Plan {
    let (rounds, memory_rounds, scale) = match arguments.quick {
        true => (QUICK_ROUNDS, QUICK_MEMORY_ROUNDS, QUICK_SCALE),
        false => (ROUNDS, MEMORY_ROUNDS, 1.0),
    };
    let rounds = arguments.rounds.unwrap_or(rounds);
    let work = |row: &&Workload| Work::Synthetic {
        name: row.name,
        label: row.name.to_owned(),
        // What is kept depends on how long it sleeps.
        amount: if row.idles() { 1.0 } else { scale }.into(),
        passes: passes(row),
        burden: None,
    };
    Plan {
        arms,
        works: rows.iter().map(work).collect(),
        rounds,
        memory_rounds: memory_rounds.min(rounds),
        detail_rounds: 0,
        budget: None,
        timeout: TIMEOUT,
        seed: arguments.seed,
        control: Control::NONE,
        gate: None,
    }
}

/// What is asked of a row: faults only where blocks are large.
fn passes(row: &Workload) -> &'static [Pass] {
    match kind(row) {
        Kind::Idle => &[Pass::Memory],
        Kind::Large => &Pass::OF_COMMANDS,
        Kind::Timed => &[Pass::Memory, Pass::Time],
    }
}

fn kind(row: &Workload) -> Kind {
    match row.group {
        Group::Idle => Kind::Idle,
        Group::Large => Kind::Large,
        _ => Kind::Timed,
    }
}

/// Says what will be done, and about how long it takes.
fn announce(plans: &[(Mode, Plan)], rows: usize) {
    let modes: Vec<&str> = plans.iter().map(|(mode, _)| mode.name()).collect();
    let seconds: f64 = plans.iter().map(|(_, plan)| seconds(plan)).sum();
    let Some((_, plan)) = plans.first() else { return };
    output::tell(format_args!(
        "{rows} rows, {} allocators, {}, {} rounds: about {} on two idle cores",
        plan.arms.len(),
        modes.join(" and "),
        plan.rounds,
        output::minutes(seconds),
    ));
}

fn seconds(plan: &Plan) -> f64 {
    let arms = plan.entries().len() as f64;
    let of = |work: &Work| {
        if work.idles() {
            return IDLE_S * f64::from(plan.memory_rounds);
        }
        let Work::Synthetic { amount, passes, .. } = work else { return 0.0 };
        let rounds = |pass: &Pass| match pass {
            Pass::Time => plan.rounds,
            Pass::Memory => plan.memory_rounds,
            Pass::Counts => plan.rounds.min(2),
            Pass::Latency | Pass::Layout => plan.detail_rounds,
        };
        let processes = arms * f64::from(passes.iter().map(rounds).sum::<u32>());
        processes * (PROCESS_S * amount.scale + SET_UP_S)
    };
    plan.works.iter().map(of).sum()
}

/// Runs the plan of one mode and prints its tables; the exit status.
fn one(mode: Mode, plan: &Plan, rows: &[&Workload]) -> anyhow::Result<u8> {
    let path = output::default_path(&format!("allocators-{}", mode.name()), "jsonl");
    let outcome = run::run(plan, &path)?;
    let row = |row: &&Workload| Row {
        name: row.name.to_owned(),
        kind: kind(row),
        bounded: !UNBOUNDED.contains(&row.name),
    };
    let rows: Vec<Row> = rows.iter().map(row).collect();
    let contest = Contest { ours: "brkpoint", limit: "limit", rows: &rows };
    let ranking = ranking::rank(&Records::from_lines(outcome.lines), &contest);
    output::print(&ranking.to_text(mode.name(), output::coloured()))?;
    Ok(finish(outcome.interrupted, !ranking.failures.is_empty(), &path))
}

fn finish(interrupted: bool, failed: bool, records: &Path) -> u8 {
    let path = records.display();
    if interrupted {
        output::tell(format_args!("allocators: interrupted; what was measured is in {path}"));
        return INTERRUPTED;
    }
    output::tell(format_args!("Records: {path}"));
    if failed { BAD } else { 0 }
}

#[cfg(test)]
mod tests {
    use brkpoint_workloads::synthetic::Amount;

    use super::*;

    fn parsed(words: &[&str]) -> Result<Arguments, String> {
        // cargo adds `--bench` to what it is given.
        let words = ["allocators", "--bench"].iter().chain(words);
        Arguments::try_parse_from(words).map_err(|error| error.to_string())
    }

    fn told(result: anyhow::Result<impl Sized>) -> String {
        result.err().map(|error| error.to_string()).expect("an error")
    }

    #[test]
    fn bad_options_are_refused_by_name() {
        for (words, part) in [
            (&["--rounds", "0"][..], "from 1 to"),
            (&["--rounds", "-3"], "from 1 to"),
            (&["--mode", "static"], "preloaded"),
            (&["--seed", "x"], "invalid"),
            (&["--engines"], "value is required"),
            (&["--scale", "2"], "--scale"),
            (&["pair"], "pair"),
        ] {
            let said = parsed(words).expect_err("refused");
            assert!(said.contains(part), "{words:?}: {said}");
        }
    }

    #[test]
    fn a_pattern_that_no_row_holds_is_refused_with_the_names_there_are() {
        let patterns = |text: &str| parsed(&["--rows", text]).expect("parsed").rows;
        let names = |text: &str| -> Vec<&str> {
            rows(&patterns(text)).expect("rows").iter().map(|row| row.name).collect()
        };
        assert_eq!(names("grow"), ["grow", "grow-four"]);
        assert_eq!(names("larson,burst-1"), ["burst-10k", "burst-100k", "larson"]);
        for wrong in ["no-such", "pair,no-such", "straddle"] {
            let said = told(rows(&patterns(wrong)));
            assert!(said.contains("holds") && said.contains("steady-1m"), "{said}");
        }
        assert!(told(rows(&[String::new()])).contains("\"\""));
    }

    #[test]
    fn engines_that_are_not_there_or_twice_are_refused() {
        let engines = |words: &[&str]| {
            let words: Vec<&str> = ["--engines"].iter().chain(words).copied().collect();
            specs(&parsed(&words).expect("parsed").engines)
        };
        assert!(told(engines(&["glibc", "glibc"])).contains("twice"));
        assert!(told(engines(&["glibc:"])).contains("no setting"));
        let linked = |text: &str| arms(Mode::Linked, &engines(&[text]).expect("a spec"), true);
        assert!(told(linked("malloc")).contains("there is no engine \"malloc\""));
        assert!(told(linked("brkpoint:preset=huge")).contains("preset"));
        assert!(told(linked("gperftools")).contains("only be preloaded"));
        let limit = engines(&["limit"]).expect("a spec");
        assert!(told(arms(Mode::Preloaded, &limit, true)).contains("no allocator is left"));
    }

    #[test]
    fn every_row_that_the_limit_does_not_bound_is_a_row() {
        let rows = rows(&[]).expect("rows");
        assert!(UNBOUNDED.iter().all(|name| rows.iter().any(|row| row.name == *name)));
    }

    #[test]
    fn a_quick_look_takes_less_and_the_sleep_is_never_cut_short() {
        let rows = rows(&[]).expect("rows");
        let time = |words: &[&str]| {
            let plan = plan(&parsed(words).expect("parsed"), Vec::new(), &rows);
            let slept = plan.works.iter().find(|work| work.idles()).expect("an idle row");
            let Work::Synthetic { amount, passes, .. } = slept else { panic!("{slept:?}") };
            assert_eq!((*amount, *passes), (Amount::from(1.0), &[Pass::Memory][..]));
            assert_eq!(
                plan.works.iter().filter(|work| work.passes().contains(&Pass::Counts)).count(),
                3
            );
            (plan.rounds, plan.memory_rounds)
        };
        assert_eq!(time(&[]), (ROUNDS, MEMORY_ROUNDS));
        assert_eq!(time(&["--quick"]), (QUICK_ROUNDS, QUICK_MEMORY_ROUNDS));
        assert_eq!(time(&["--quick", "--rounds", "1"]), (1, 1));
        assert_eq!(time(&["--rounds", "20"]), (20, MEMORY_ROUNDS));
    }
}
