//! What the drivers of our workloads take of the time that is measured: each
//! workload on an allocator that does nothing.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use brkpoint_reports::record::Pass;
use brkpoint_workloads::synthetic::{self, Workload};

use crate::cli::{UNUSABLE, explained, output};
use crate::engine;
use crate::worker::{self, Answer};

/// Processes of each workload, of which the least says what the driver takes: all
/// else is the machine's.
const PROCESSES: u32 = 7;
const QUICK_PROCESSES: u32 = 1;

/// Calls without a driver: the row's name, and how many pairs of them.
const ALONE: &str = "calls alone";
const PAIRS: u64 = 10_000_000;

/// What a process takes on two idle cores, on average.
const PROCESS_S: f64 = 0.06;

/// Prints the table: `cargo bench --bench driver`.
pub fn main() -> ExitCode {
    let quick = std::env::args_os().any(|argument| argument == "--quick");
    match table(if quick { QUICK_PROCESSES } else { PROCESSES }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::tell(format_args!("driver: {}", explained(&error)));
            ExitCode::from(UNUSABLE)
        }
    }
}

fn table(processes: u32) -> anyhow::Result<()> {
    let nothing = engine::control("nothing").context("there is no worker on nothing")?;
    let all: Vec<&Workload> = synthetic::ALL.iter().filter(|w| !w.idles()).collect();
    output::tell(format_args!(
        "driver: {} workloads on an allocator that does nothing, {processes} processes each: \
         about {} on two idle cores",
        all.len(),
        output::minutes(f64::from(processes) * all.len() as f64 * PROCESS_S),
    ));
    let least = |what: &str, arguments: Vec<OsString>| {
        let mut least = f64::INFINITY;
        for _ in 0..processes {
            let answer = run(&nothing, what, &arguments)?;
            least = least.min((answer.user_s + answer.sys_s).max(0.0) / answer.ops as f64 * 1e9);
        }
        anyhow::Ok(least)
    };
    output::print(
        "ns of CPU time for each call of the allocator that does nothing, and what of it is the \
         driver's own: beyond that of the calls alone\n",
    )?;
    let calls = least(ALONE, worker::calls_arguments(PAIRS))?;
    output::print(&format!("{ALONE:<14} {calls:>8.2}\n"))?;
    for workload in all {
        let arguments = worker::run_arguments(workload.name, Pass::Time, 1, 1.0);
        let all = least(workload.name, arguments)?;
        output::print(&format!("{:<14} {all:>8.2} {:>8.2}\n", workload.name, all - calls))?;
    }
    Ok(())
}

fn run(nothing: &Path, what: &str, arguments: &[OsString]) -> anyhow::Result<Answer> {
    let output = std::process::Command::new(nothing)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {}", nothing.display()))?;
    ensure!(
        output.status.success(),
        "{what}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    serde_json::from_slice(&output.stdout).context("the worker's answer")
}
