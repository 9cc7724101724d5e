//! `brkpoint` alone: the tour.

use std::path::Path;
use std::time::Duration;

use brkpoint_reports::Records;
use brkpoint_workloads::synthetic::Group;

use super::{output, run};
use crate::control::Control;
use crate::engine::Engines;
use crate::plan::{Plan, Work};
use crate::programs;

/// Timed samples of each cell: the fewest that carry a 99 % interval of the median.
const ROUNDS: u32 = 8;

/// Latency and layout are looked at so often: they take time, and no verdict.
const DETAIL_ROUNDS: u32 = 2;

/// No round starts after this long; what is undecided then is said to be so.
const BUDGET: Duration = Duration::from_secs(150);

/// No process of the tour comes near this.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The programs of the tour: the first, and the first of the others that is here.
const COMPILER: &str = "gcc";
const SCRIPTS: [&str; 2] = ["perl", "python3"];

/// Strategies and peers over a handful of workloads, and the page of it.
pub fn run() -> anyhow::Result<u8> {
    let records = output::default_path("tour", "jsonl");
    let plan = Plan {
        arms: run::present(Engines::builtin(), Engines::builtin().tour())?,
        works: works(&records)?,
        rounds: ROUNDS,
        memory_rounds: ROUNDS,
        detail_rounds: DETAIL_ROUNDS,
        budget: Some(BUDGET),
        timeout: TIMEOUT,
        seed: 1,
        control: Control::of_its_own(ROUNDS),
        gate: None,
    };
    let outcome = run::run(&plan, &records)?;
    let report = brkpoint_reports::analyse(&Records::from_lines(outcome.lines));
    let page = records.with_extension("html");
    output::write(&page, &report.to_html())?;
    output::print(&format!("{}\nThe page: {}\n", output::findings(&report), page.display()))?;
    run::finish(&report, outcome.interrupted, &records)
}

/// Three workloads of the registry, and commands that such a machine has.
fn works(records: &Path) -> anyhow::Result<Vec<Work>> {
    let mut works: Vec<Work> = brkpoint_workloads::synthetic::ALL
        .iter()
        .filter(|workload| workload.group == Group::Tour)
        .map(|workload| Work::synthetic(workload, 1.0))
        .collect();
    let here = |name: &&str| programs::find(name).filter(|program| program.is_here());
    let script = SCRIPTS.iter().find_map(here);
    for program in [here(&COMPILER), script].into_iter().flatten() {
        works.push(run::program(program, records)?);
    }
    Ok(works)
}
