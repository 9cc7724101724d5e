//! Which benchmarks a target has.

use std::fmt;
use std::path::Path;

use brkpoint_reports::criterion::group_id;
use brkpoint_workloads::synthetic::{self, Group, Workload};
use brkpoint_workloads::trace::replay::Options;

use super::Measure;
use crate::cli::run;
use crate::engine::{Arm, ArmSpec, Engines};
use crate::plan::Work;

/// A bench target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Wall time of each workload under each engine.
    Workloads,
    /// Memory calls of the same.
    Syscalls,
    /// Minor faults of the same.
    Faults,
    /// Blow-up, of the workloads with a working set.
    Fragmentation,
    /// Each measure against the mmap threshold.
    Threshold,
}

/// A cell, and what is measured of it.
#[derive(Debug)]
pub struct Benchmark {
    /// What is measured.
    pub measure: Measure,
    /// Criterion's group: the measure, its unit and the workload.
    pub group: String,
    /// Name of the engine.
    pub engine: String,
    /// The value on the x axis, where there is one.
    pub parameter: Option<String>,
    /// The engine under its settings.
    pub arm: Arm,
    /// What it runs.
    pub work: Work,
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} under {}", self.group, self.engine)?;
        match &self.parameter {
            Some(parameter) => write!(f, " at {parameter}"),
            None => Ok(()),
        }
    }
}

/// Workloads whose live bytes stay below 1 MiB, where the process itself is what
/// would be measured.
const TINY: [&str; 22] = [
    "pair-16",
    "pair-64",
    "pair-256",
    "pair-1k",
    "pair-8k",
    "pair-mixed",
    "batch-lifo",
    "batch-fifo",
    "batch-random",
    "burst-10k",
    "handoff",
    "small-program",
    "cache-scratch",
    "cache-thrash",
    "cfrac",
    "espresso",
    "glibc-simple",
    "glibc-thread",
    "mleak",
    "sh6bench",
    "sh8bench",
    "xmalloc",
];

/// Workloads with blocks on both sides of thresholds.
const STRADDLING: [&str; 8] =
    ["straddle", "large-touch", "medium", "large", "log-uniform", "bimodal", "ratchet", "append"];

/// The mmap threshold, from everything mapped to nothing.
const THRESHOLDS: [&str; 7] = ["0", "32K", "128K", "512K", "2M", "8M", "off"];
const QUICK_THRESHOLDS: [&str; 3] = ["0", "128K", "off"];

/// How much of each workload: where everything is mapped, all of it takes seconds.
const THRESHOLD_SCALE: f64 = 0.1;

/// The engines whose threshold can be set, with the spelling of one that is off.
const WITH_THRESHOLD: [(&str, &str); 2] =
    [("brkpoint", "mmap_threshold=off"), ("glibc", "mmap_max=0")];

/// The variable that names recorded programs to benchmark too, as `PATH` does; the
/// directory of `cargo bench` is `benches`.
const TRACES: &str = "BRKPOINT_BENCH_TRACES";

/// As little of a workload as there is: one block, allocated and freed.
const START_UP: (&str, f64) = ("pair-16", 1e-9);

impl Target {
    /// The name of the target.
    pub const fn name(self) -> &'static str {
        match self {
            Target::Workloads => "workloads",
            Target::Syscalls => "syscalls",
            Target::Faults => "faults",
            Target::Fragmentation => "fragmentation",
            Target::Threshold => "threshold",
        }
    }
}

/// The benchmarks of `target`, those of one measure and group side by side; a few
/// of them if `quick`.
pub(super) fn benchmarks(target: Target, quick: bool) -> anyhow::Result<Vec<Benchmark>> {
    let usual = |workload: &&Workload| match quick {
        true => workload.group == Group::Tour,
        false => !workload.idles(),
    };
    let ours = synthetic::ALL.iter().filter(usual);
    let ours = ours.map(|w| (w.name.to_owned(), Work::synthetic(w, 1.0)));
    let works = ours.chain(traces()?);
    let (name, scale) = START_UP;
    let work = synthetic::find(name).map(|workload| Work::synthetic(workload, scale));
    let start_up = work.into_iter().map(|work| ("start-up".to_owned(), work));
    let engines = || run::present(Engines::builtin(), Engines::builtin().usual());
    Ok(match target {
        Target::Workloads => over(Measure::Time, works, &engines()?),
        Target::Syscalls => over(Measure::Syscalls, start_up.chain(works), &engines()?),
        Target::Faults => over(Measure::Faults, start_up.chain(works), &engines()?),
        Target::Fragmentation => {
            let works = works.filter(|(name, _)| !TINY.contains(&name.as_str()));
            over(Measure::Fragmentation, works, &engines()?)
        }
        Target::Threshold => against_threshold(quick)?,
    })
}

/// The recorded programs that the environment names, by their files' names.
fn traces() -> anyhow::Result<Vec<(String, Work)>> {
    let files = std::env::var_os(TRACES).unwrap_or_default();
    let files = std::env::split_paths(&files).filter(|path| path != Path::new(""));
    let named = files.map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, Work::trace(&path, Options::default())?))
    });
    named.collect()
}

fn over(
    measure: Measure,
    works: impl Iterator<Item = (String, Work)>,
    arms: &[Arm],
) -> Vec<Benchmark> {
    let of = |(name, work): (String, Work)| {
        let group = group_id(measure.name(), measure.unit(), &name);
        let benchmark = move |arm: &Arm| Benchmark {
            measure,
            group: group.clone(),
            engine: arm.engine.clone(),
            parameter: None,
            arm: arm.clone(),
            work: work.clone(),
        };
        arms.iter().map(benchmark).collect::<Vec<_>>()
    };
    works.flat_map(of).collect()
}

fn against_threshold(quick: bool) -> anyhow::Result<Vec<Benchmark>> {
    let (thresholds, names) = match quick {
        true => (&QUICK_THRESHOLDS[..], &STRADDLING[..1]),
        false => (&THRESHOLDS[..], &STRADDLING[..]),
    };
    let mut points: Vec<(&str, Arm)> = Vec::new();
    for (engine, off) in WITH_THRESHOLD {
        let specs: Vec<ArmSpec> = thresholds
            .iter()
            .map(|threshold| match *threshold {
                "off" => format!("{engine}:{off}").parse(),
                _ => format!("{engine}:mmap_threshold={threshold}").parse(),
            })
            .collect::<Result<_, _>>()?;
        points.extend(thresholds.iter().copied().zip(run::named(Engines::builtin(), &specs)?));
    }
    let mut benchmarks = Vec::new();
    for measure in Measure::ALL {
        let title = format!("{} against the mmap threshold", measure.name());
        for workload in names.iter().filter_map(|name| synthetic::find(name)) {
            benchmarks.extend(points.iter().map(|(threshold, arm)| Benchmark {
                measure,
                group: group_id(&title, measure.unit(), workload.name),
                engine: arm.engine.clone(),
                parameter: Some((*threshold).to_owned()),
                arm: arm.clone(),
                work: Work::synthetic(workload, THRESHOLD_SCALE),
            }));
        }
    }
    Ok(benchmarks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_that_is_named_is_there() {
        let names = TINY.iter().chain(&STRADDLING).chain([&START_UP.0]);
        for name in names {
            assert!(synthetic::find(name).is_some(), "{name}");
        }
    }
}
