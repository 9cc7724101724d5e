//! Whole programs under each preloaded engine: CPU time and peak RSS, over all of
//! them and against the best peer.
//!
//! ```text
//! cargo bench --bench programs                       12 rounds: about 20 minutes
//! cargo bench --bench programs -- --quick            whether all of it runs: under a minute
//! cargo bench --bench programs -- --programs xz,perl --engines glibc,brkpoint,./lib.so
//! ```
//!
//! - this file: the command line, the run, the verdict
//! - `programs`: which programs, and what each does
//! - `inputs`: the files that they read
//!
//! The runner is that of `brkpoint compare`, and so are the records; the figures
//! are `brkpoint_reports::overall`'s.

mod inputs;
mod programs;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use brkpoint::cli::{output, run, values};
use brkpoint::control::Control;
use brkpoint::engine::{Arm, Engines};
use brkpoint::plan::{Plan, Work};
use brkpoint::worker;
use brkpoint_reports::{Quantity, Records, analyse, overall};
use clap::Parser;
use programs::Program;

/// The engine that is ours.
const OURS: &str = "brkpoint";

/// The engines when nobody names them; the first is the reference.
const ENGINES: &str = "glibc,brkpoint,mimalloc,jemalloc,snmalloc,rpmalloc,tcmalloc,gperftools";

/// No program comes near this.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What a process takes on two idle cores, on average over the programs.
const PROCESS_S: f64 = 0.73;

/// Rounds that show that everything runs, but carry no interval, and their engines.
const QUICK: u32 = 1;
const QUICK_ENGINES: &str = "glibc,brkpoint";

#[derive(Parser)]
#[command(
    name = "programs",
    about = "Whole programs under each engine: CPU time and peak RSS",
    after_help = "Exit status: 0 fine; 1 a cell failed, or ours takes more than the best peer beyond\n\
                  doubt; 2 usage or set-up error; 130 interrupted."
)]
struct Arguments {
    /// Samples of each program under each engine; an interval takes 8
    #[arg(long, default_value_t = 12, value_parser = values::rounds)]
    rounds: u32,

    /// Whether everything runs: one round, of glibc and brkpoint unless engines are named
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,

    /// Programs, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    programs: Vec<String>,

    /// Engines as `brkpoint compare` takes them, separated by commas (a setting
    /// after a comma belongs to the engine before it); the first is the reference
    #[arg(long, value_name = "ENGINE,...")]
    engines: Option<String>,

    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    // Engines are probed in processes of this program.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|first| first == worker::VERB) {
        return worker::main(words);
    }
    match bench(&Arguments::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            output::tell(format_args!("programs: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn bench(arguments: &Arguments) -> anyhow::Result<u8> {
    // Where `brkpoint` is run, so that records and inputs lie where its own do.
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("benches lies in a folder")?;
    std::env::set_current_dir(root).context("cannot go to the workspace's folder")?;
    let programs = chosen(&arguments.programs)?;
    let arms = arms(arguments)?;
    let (names, works) = prepare(&programs)?;
    let rounds = if arguments.quick { QUICK } else { arguments.rounds };
    let plan = Plan {
        arms,
        works,
        rounds,
        memory_rounds: rounds,
        detail_rounds: 0,
        budget: None,
        timeout: TIMEOUT,
        seed: 1,
        control: Control::of_its_own(rounds),
        gate: None,
    };
    output::tell(format_args!(
        "programs: {} programs, {} engines, {rounds} rounds: about {} on two idle cores",
        plan.works.len(),
        plan.arms.len(),
        output::minutes(seconds(&plan)),
    ));
    let path = output::default_path("programs", "jsonl");
    let outcome = run::run(&plan, &path)?;
    let records = Records::from_lines(outcome.lines);
    let report = analyse(&records);
    output::print(&report.to_text(output::width(), output::coloured()))?;
    let mut lost = false;
    for quantity in [Quantity::CpuTime, Quantity::PeakRss] {
        let mut overall = overall(&records, &report, quantity);
        overall.workloads.clone_from(&names);
        output::print(&format!("\n{}", overall.to_text(OURS)))?;
        let contests = overall.contests(OURS);
        lost |= contests.iter().filter_map(|c| c.best_candidate()).any(|duel| duel.is_lost());
    }
    let status = run::finish(&report, outcome.interrupted, &path)?;
    Ok(if status == 0 && lost { 1 } else { status })
}

/// What the processes of `plan` take: time and memory in every round, counts in two.
fn seconds(plan: &Plan) -> f64 {
    let passes = 2 * plan.rounds + plan.rounds.min(2);
    PROCESS_S * f64::from(passes) * (plan.works.len() * plan.entries().len()) as f64
}

/// The programs with these names, or all.
fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Program>> {
    let known = |name: &String| programs::ALL.iter().any(|program| program.name == name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let all: Vec<_> = programs::ALL.iter().map(|program| program.name).collect();
        bail!("no program {name:?} here; there are {}", all.join(", "));
    }
    let asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    Ok(programs::ALL.iter().filter(|program| asked(program.name)).collect())
}

/// The engines asked for, which must all be here, or else those that are.
fn arms(arguments: &Arguments) -> anyhow::Result<Vec<Arm>> {
    let engines = Engines::builtin();
    let usual = if arguments.quick { QUICK_ENGINES } else { ENGINES };
    match &arguments.engines {
        None => run::present(engines, &values::engines(usual)?),
        Some(asked) => run::named(engines, &values::engines(asked)?),
    }
}

/// The work of each program that is here, and its name.
fn prepare(programs: &[&Program]) -> anyhow::Result<(Vec<String>, Vec<Work>)> {
    let folder = Path::new("target/brkpoint/programs");
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (mut names, mut works) = (Vec::new(), Vec::new());
    for program in programs {
        match program.work(folder)? {
            Some(work) => {
                names.push(program.name.to_owned());
                works.push(work);
            }
            None => output::tell(format_args!(
                "programs: left out: {} is not here, which BRKPOINT_SKIP allows",
                program.name
            )),
        }
    }
    ensure!(!works.is_empty(), "no program is left");
    Ok((names, works))
}
