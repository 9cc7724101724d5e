//! What criterion keeps is what the supervised run counted, and twice works.

mod engine_support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use brkpoint::bench::{Benchmark, Measure, Runner, measure};
use brkpoint::measure::one;
use brkpoint::plan::{Conditions, Work};
use brkpoint::supervise::{Call, Stop};
use brkpoint_reports::Records;
use brkpoint_reports::criterion::group_id;
use brkpoint_reports::record::{Metric, Pass};
use brkpoint_workloads::synthetic;
use engine_support::{arm, worker};

/// Little of everything: debug builds are slow.
const LITTLE: f64 = 0.01;

const ENGINES: [&str; 2] = ["glibc", "brkpoint"];

fn work(name: &str) -> Work {
    Work::synthetic(synthetic::find(name).expect(name), LITTLE)
}

fn stop() -> Stop {
    Stop::new(Arc::new(AtomicBool::new(false)))
}

fn benchmarks(of: Measure, name: &str) -> Vec<Benchmark> {
    let benchmark = |engine: &str| Benchmark {
        measure: of,
        group: group_id(of.name(), of.unit(), name),
        engine: engine.to_owned(),
        parameter: None,
        arm: arm(engine),
        work: work(name),
    };
    ENGINES.map(benchmark).into()
}

/// Runs them, and reads criterion's medians and intervals back, by engine.
fn kept(benchmarks: &[Benchmark], directory: &Path) -> Vec<(String, [f64; 3])> {
    let runner = Runner::new(worker().to_owned(), stop());
    assert_eq!(measure(benchmarks, &runner, Some(directory)), 0, "cells failed");
    let records = Records::read(&[directory]).expect("read");
    assert_eq!(records.problems, []);
    let of = |b: brkpoint_reports::criterion::Benchmark| {
        assert_eq!((b.samples, b.unit.as_str()), (10, benchmarks[0].measure.unit()));
        (b.engine, [b.interval[0], b.median, b.interval[1]])
    };
    records.criterion.benchmarks.into_iter().map(of).collect()
}

/// What a supervised process of its own shows, from exec to the end.
fn supervised(engine: &str, name: &str) -> (f64, f64) {
    let conditions = Conditions { timeout: Duration::from_secs(60), seed: 1 };
    let measured = one(&arm(engine), &work(name), Pass::Counts, conditions, worker(), &stop());
    let measured = measured.unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(measured.error, None);
    let of_region = &measured.metrics;
    let mut calls = 0.0;
    for call in Call::ALL {
        let metric = Metric::ALL.iter().find(|m| m.name() == format!("syscalls_{}", call.name()));
        let metric = metric.expect("a metric for each call");
        assert!(measured.whole[metric] >= of_region[metric], "{metric}");
        calls += measured.whole[metric];
    }
    assert!(measured.whole[&Metric::MinorFaults] >= of_region[&Metric::MinorFaults]);
    (calls, measured.whole[&Metric::MinorFaults])
}

#[test]
fn the_calls_that_criterion_keeps_are_those_of_a_supervised_run_and_twice_works() {
    let directory = tempfile::tempdir().expect("a directory");
    let benchmarks = benchmarks(Measure::Syscalls, "straddle");
    let first = kept(&benchmarks, directory.path());
    assert_eq!(first.len(), ENGINES.len());
    for (engine, values) in &first {
        let (calls, _) = supervised(engine, "straddle");
        assert_eq!(*values, [calls; 3], "{engine}");
    }
    // Samples without variance, compared with such samples.
    assert_eq!(kept(&benchmarks, directory.path()), first);
}

#[test]
fn the_faults_that_criterion_keeps_are_those_of_a_supervised_run() {
    let directory = tempfile::tempdir().expect("a directory");
    for (engine, [_, faults, _]) in kept(&benchmarks(Measure::Faults, "straddle"), directory.path())
    {
        let (_, expected) = supervised(&engine, "straddle");
        // What the kernel maps around a fault depends on the page cache.
        assert!((faults - expected).abs() <= 0.02 * expected, "{engine}: {faults}, {expected}");
    }
}

#[test]
fn times_and_blow_up_are_positive_and_twice_works() {
    for of in [Measure::Time, Measure::Fragmentation] {
        let directory = tempfile::tempdir().expect("a directory");
        for _ in 0..2 {
            for (engine, values) in kept(&benchmarks(of, "straddle"), directory.path()) {
                assert!(values.iter().all(|value| *value > 0.0), "{engine}: {values:?}");
            }
        }
    }
}

#[test]
fn a_cell_that_fails_is_counted_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let runner = Runner::new("/no/such/worker".into(), stop());
    let failed =
        measure(&benchmarks(Measure::Syscalls, "straddle"), &runner, Some(directory.path()));
    assert_eq!(failed, ENGINES.len());
    Records::read(&[directory.path()]).expect_err("nothing is there");
}
