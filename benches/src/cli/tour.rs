//! `brkpoint` alone: the tour.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use brkpoint_reports::Records;
use brkpoint_workloads::synthetic::Group;

use super::{output, run};
use crate::engine::Engines;
use crate::plan::{Plan, Work};
use crate::supervise;

/// Timed samples of each cell: the fewest that carry a 99 % interval of the median.
const ROUNDS: u32 = 8;

/// No round starts after this long; what is undecided then is said to be so.
const BUDGET: Duration = Duration::from_secs(150);

/// No process of the tour comes near this.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What the compiler of the tour compiles.
const PROGRAM: &str = include_str!("../../tour/program.c");

/// Strings in arrays in a hash.
const PERL: &[&str] = &[
    "perl",
    "-e",
    r#"my %h; push @{$h{$_ % 997}}, "v" x ($_ % 200) for 1..100000; my $n; $n += length join ",", @{$h{$_}} for sort keys %h; print "$n\n""#,
];

/// Objects, and one large string made of them, where there is no perl.
const PYTHON: &[&str] = &[
    "python3",
    "-c",
    r#"import json; rows = [{"id": i, "name": "n%d" % i} for i in range(20000)]; print(len(json.dumps(rows)))"#,
];

/// Strategies and peers over a handful of workloads, and the page of it.
pub fn run() -> anyhow::Result<u8> {
    let records = output::default_path("tour", "jsonl");
    let plan = Plan {
        arms: run::present(Engines::builtin(), Engines::builtin().tour())?,
        works: works(&records)?,
        rounds: ROUNDS,
        memory_rounds: ROUNDS,
        budget: Some(BUDGET),
        timeout: TIMEOUT,
        seed: 1,
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
    let source = records.with_file_name("tour.c");
    output::write(&source, PROGRAM)
        .context("the tour writes to target/brkpoint here; start it in a directory of yours")?;
    let source = source.to_string_lossy();
    let compile: &[&str] = &["gcc", "-O1", "-S", "-o", "/dev/null", &source];
    let here = |command: &&[&str]| supervise::can_find(OsStr::new(command[0]));
    let script = [PERL, PYTHON].into_iter().find(here);
    for command in [Some(compile), script].into_iter().flatten().filter(here) {
        let mut words = command.iter().map(OsString::from);
        works.push(Work::command(words.next().unwrap_or_default(), words.collect(), None));
    }
    Ok(works)
}
