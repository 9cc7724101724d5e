//! The criterion targets that measure fresh processes: workloads x engines.
//!
//! - this file: a target, from its command line to its exit status
//! - `plan`: which benchmarks a target has
//! - `measure`: what is measured, as criterion's `Measurement`s
//! - `cell`: one process -> one value
//! - [`driver`]: what the workloads' drivers take themselves; no target of criterion
//!
//! Criterion runs all samples of one benchmark before those of the next, so these
//! figures carry no verdict between engines; see `docs/method.md`.

mod cell;
pub mod driver;
mod measure;
mod plan;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use criterion::measurement::{Measurement, WallTime};
use criterion::{BenchmarkId, Criterion, SamplingMode};

use crate::cli::{BAD, UNUSABLE, explained, output, run};
use crate::worker;
pub use cell::{Failed, Runner};
use measure::Counted;
pub use measure::Measure;
pub use plan::{Benchmark, Target};

/// The fewest that criterion takes.
const SAMPLES: usize = 10;

/// One process: criterion plans by how long it took.
const WARM_UP: Duration = Duration::from_nanos(1);

/// A sample is the mean of so many processes as fit into a tenth of this; one, if
/// that alone takes longer. Counts hardly differ from one process to the next.
const TIMED: Duration = Duration::from_secs(1);
const COUNTED: Duration = Duration::from_millis(1);

/// Counts vary little or not at all, and there are few samples.
const RESAMPLES: usize = 10_000;

/// What a benchmark takes on two idle cores, for the announcement: all samples of
/// times or of anything else, or what `--quick` takes.
const TIMED_S: f64 = 1.5;
const COUNTED_S: f64 = 0.9;
const QUICK_S: f64 = 0.4;

/// Runs `target` and says how it went. Exit status 1: a cell failed.
pub fn main(target: Target) -> ExitCode {
    // First of all, and without the parser: a worker's heap is to be untouched.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == worker::VERB) {
        return worker::main(arguments);
    }
    match bench(target) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(BAD),
        Err(error) => {
            output::tell(format_args!("{}: {}", target.name(), explained(&error)));
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Runs `target` as the command line wants it; the number of cells that failed.
fn bench(target: Target) -> anyhow::Result<usize> {
    // Criterion reads it too, but does not tell.
    let quick = std::env::args_os().any(|argument| argument == "--quick");
    let benchmarks = plan::benchmarks(target, quick)?;
    let each = |benchmark: &Benchmark| match benchmark.measure {
        _ if quick => QUICK_S,
        Measure::Time => TIMED_S,
        _ => COUNTED_S,
    };
    output::tell(format_args!(
        "{}: {} benchmarks of fresh processes, if none is filtered out: about {} on two idle cores",
        target.name(),
        benchmarks.len(),
        output::minutes(benchmarks.iter().map(each).sum()),
    ));
    run::tell_strays();
    let runner = Runner::new(run::executable()?, run::stop_on_signals()?);
    let groups = benchmarks.chunk_by(|a, b| a.measure == b.measure);
    Ok(groups.map(|group| measure(group, &runner, None)).sum())
}

/// Runs `benchmarks`, which are of one measure; the number of cells that failed,
/// each of which is named on standard error. The results lie where criterion's
/// command line says, or else, without a look at that, in `directory`.
pub fn measure(benchmarks: &[Benchmark], runner: &Runner, directory: Option<&Path>) -> usize {
    match benchmarks.first().map(|benchmark| benchmark.measure) {
        None => 0,
        Some(Measure::Time) => {
            let criterion = configured(WallTime, TIMED, directory);
            under(criterion, benchmarks, runner, Duration::from_secs_f64)
        }
        Some(measure) => {
            let criterion = configured(Counted(measure), COUNTED, directory);
            under(criterion, benchmarks, runner, |value| value)
        }
    }
}

fn configured<M: Measurement + 'static>(
    measurement: M,
    time: Duration,
    directory: Option<&Path>,
) -> Criterion<M> {
    let criterion = Criterion::default()
        .with_measurement(measurement)
        // Its plots of two samples without variance panic.
        .without_plots()
        .sample_size(SAMPLES)
        .warm_up_time(WARM_UP)
        .measurement_time(time)
        .nresamples(RESAMPLES);
    match directory {
        None => criterion.configure_from_args(),
        Some(directory) => criterion.output_directory(directory),
    }
}

fn under<M: Measurement>(
    mut criterion: Criterion<M>,
    benchmarks: &[Benchmark],
    runner: &Runner,
    value: fn(f64) -> M::Value,
) -> usize {
    let mut failed = 0;
    for of_group in benchmarks.chunk_by(|a, b| a.group == b.group) {
        let mut group = criterion.benchmark_group(&of_group[0].group);
        group.sampling_mode(SamplingMode::Flat);
        for benchmark in of_group {
            let id = match &benchmark.parameter {
                Some(parameter) => BenchmarkId::new(&benchmark.engine, parameter),
                None => BenchmarkId::from_parameter(&benchmark.engine),
            };
            let bench = || {
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|processes| {
                        value((0..processes).map(|_| runner.value(benchmark)).sum())
                    });
                });
            };
            // Out of criterion there is no other way than to unwind.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(bench)) {
                match panic.downcast::<Failed>() {
                    Ok(why) => output::tell(why),
                    Err(other) => resume_unwind(other),
                }
                failed += 1;
            }
        }
        group.finish();
    }
    criterion.final_summary();
    failed
}
