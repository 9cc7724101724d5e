//! `brkpoint replay`: a recorded program under any engine.

use std::path::PathBuf;
use std::time::Duration;

use brkpoint_reports::fidelity as shown;
use brkpoint_workloads::trace::replay::{Options, Touch};

use super::{BAD, compare, output, run, values};
use crate::engine::Engines;
use crate::fidelity::{self, Lab};
use crate::plan::{DEFAULT_ROUNDS, Plan, Work};

/// Replay a recorded program under engines, and compare them.
///
/// Each of the program's threads is a thread of the replay. They run freely, in
/// order only where a block passes from one to another. Of a trace with several
/// processes the one with most events is replayed (`brkpoint trace` lists them).
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  brkpoint replay git.trace
  brkpoint replay git.trace -e glibc -e glibc:mmap_threshold=1M,trim_threshold=8M
  brkpoint replay git.trace --fidelity
  brkpoint replay server.trace --gaps --process 2 -e glibc -e jemalloc --rounds 20

A replay shows what the allocator does: its time, its system calls, the faults and
the memory of what is touched. It cannot show what the program's own work does to
caches, nor what it never writes to.

Exit status of --fidelity: 1 if the replay differs by more than a bound.")]
pub struct Arguments {
    /// A trace that `brkpoint record` made
    #[arg(value_name = "FILE")]
    trace: PathBuf,

    /// Engine, with settings if wanted, or the path of a preload library
    #[arg(short, long = "engine", value_name = "ENGINE[:KNOB=VALUE,...]")]
    engine: Vec<String>,

    /// Which process of the trace, from 0
    #[arg(long, value_name = "N")]
    process: Option<u32>,

    /// What is written to each block: nothing, its first word and a byte of each
    /// further OS page, or all of it
    #[arg(long, value_name = "none|pages|all", default_value = "pages", value_parser = touch)]
    touch: Touch,

    /// Run the recorded command once more, and compare the replay with it under each
    /// engine (by default glibc): system calls, faults, memory
    #[arg(long, conflicts_with_all = ["why", "output"])]
    fidelity: bool,

    /// Make each call when it was made, not as soon as possible
    #[arg(long)]
    gaps: bool,

    /// Timed samples of each engine
    #[arg(
        short,
        long,
        default_value_t = DEFAULT_ROUNDS,
        value_parser = values::rounds,
        allow_negative_numbers = true
    )]
    rounds: u32,

    /// Kill a process that runs longer, and record that
    #[arg(
        long,
        value_name = "TIME",
        default_value = "10m",
        value_parser = values::duration,
        allow_hyphen_values = true
    )]
    timeout: Duration,

    /// Say what differs in the memory calls, from one more counted process each
    #[arg(long, conflicts_with = "json")]
    why: bool,

    /// One JSON object a line instead of the table
    #[arg(long)]
    json: bool,

    /// Record file to make
    #[arg(short, long, value_name = "FILE.jsonl")]
    output: Option<PathBuf>,
}

fn touch(text: &str) -> Result<Touch, String> {
    let known = Touch::ALL.into_iter().find(|touch| touch.name() == text);
    known.ok_or_else(|| "expected none, pages or all".to_owned())
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let options =
        Options { process: arguments.process, touch: arguments.touch, gaps: arguments.gaps };
    if arguments.fidelity {
        let specs = match arguments.engine.is_empty() {
            true => vec!["glibc".to_owned()],
            false => arguments.engine,
        };
        let arms = compare::arms(Engines::builtin(), &specs)?;
        let (executable, stop) = (run::executable()?, run::stop_on_signals()?);
        let (timeout, mut bad) = (arguments.timeout, false);
        for arm in &arms {
            let lab = Lab { executable: &executable, stop: &stop, timeout };
            let fidelity = fidelity::compare(&arguments.trace, options, arm, lab)?;
            bad |= !fidelity.holds();
            output::print(&match arguments.json {
                true => serde_json::to_string(&fidelity)? + "\n",
                false => shown::to_text(&fidelity),
            })?;
        }
        return Ok(if bad { BAD } else { 0 });
    }
    let work = Work::trace(&arguments.trace, options)?;
    let plan = Plan {
        arms: compare::arms(Engines::builtin(), &arguments.engine)?,
        works: vec![work],
        rounds: arguments.rounds,
        memory_rounds: arguments.rounds,
        detail_rounds: 0,
        budget: None,
        timeout: arguments.timeout,
        seed: 1,
        gate: None,
    };
    let path = arguments.output.unwrap_or_else(|| output::default_path("replay", "jsonl"));
    compare::compared(&plan, &path, arguments.json, arguments.why)
}
