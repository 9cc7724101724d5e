//! Peaks and series of resident memory are the program's own.

mod probe_common;

use std::hint::black_box;

use brkpoint::supervise::{MAX_POINTS, Observation, Tracer};
use brkpoint_reports::record::{Exit, Pass};
use probe_common::{again_as_nobody, launch, observe, temp_dir, worker};

const MIB: u64 = 1 << 20;

fn peak(seen: &Observation) -> u64 {
    seen.peak_rss_bytes.unwrap_or_else(|| panic!("{:?}", seen.instrument))
}

/// 0 for a process that ended before the timer's first look.
fn highest(seen: &Observation) -> u64 {
    let rss = seen.series.iter().flat_map(|series| &series.rss_bytes);
    rss.copied().max().unwrap_or(0)
}

#[test]
fn the_peak_is_what_was_touched() {
    let dir = temp_dir();
    let Some(worker) = worker(dir.path()) else { return };
    for tracer in [Tracer::Notify, Tracer::Ptrace] {
        let seen = |args: &[&str]| {
            let seen = observe(&launch(&worker, args), Pass::Memory, tracer);
            assert_eq!(seen.exit, Exit::Code(0), "{}", seen.stderr_tail);
            peak(&seen)
        };
        let touched = seen(&["rss", "64"]);
        assert!((64 * MIB..67 * MIB).contains(&touched), "{tracer:?}: {touched}");
        // Of one process, the largest; the memory that a parent has is not its child's.
        let largest = seen(&["tree-rss"]);
        assert!((32 * MIB..35 * MIB).contains(&largest), "{tracer:?}: {largest}");
        // One that a signal ends is seen by sampling, or by ptrace as it ends.
        let killed = seen(&["killed-rss"]);
        assert!((48 * MIB..51 * MIB).contains(&killed), "{tracer:?}: {killed}");
    }
    let seen = observe(&launch(&worker, &["rss", "8"]), Pass::Memory, Tracer::None);
    assert_eq!(seen.peak_rss_bytes, None);
    assert!(seen.instrument.note().is_some());
    again_as_nobody("the_peak_is_what_was_touched");
}

#[test]
fn nothing_of_a_fat_harness_is_in_the_figures() {
    let dir = temp_dir();
    let Some(worker) = worker(dir.path()) else { return };
    let small = launch(&worker, &["rss", "1"]);
    let faults = |pass, tracer| {
        (0..24).map(|_| observe(&small, pass, tracer).minor_faults).min().expect("several runs")
    };
    let thin = [faults(Pass::Counts, Tracer::Auto), faults(Pass::Counts, Tracer::None)];
    let fat = black_box(vec![1_u8; 300 * MIB as usize]);
    for tracer in [Tracer::Notify, Tracer::Ptrace] {
        let seen = observe(&small, Pass::Memory, tracer);
        assert!(peak(&seen) < 5 * MIB, "{tracer:?}: {}", peak(&seen));
        assert!(highest(&seen) < 5 * MIB, "{tracer:?}: {}", highest(&seen));
    }
    let under_fat = [faults(Pass::Counts, Tracer::Auto), faults(Pass::Counts, Tracer::None)];
    assert_eq!(thin, under_fat);
    drop(fat);
}

#[test]
fn the_series_sums_the_tree_and_counts_shared_memory_once() {
    let dir = temp_dir();
    let Some(worker) = worker(dir.path()) else { return };
    let tree = highest(&observe(&launch(&worker, &["tree-rss"]), Pass::Memory, Tracer::Auto));
    assert!((64 * MIB..72 * MIB).contains(&tree), "{tree}");
    let shared = highest(&observe(&launch(&worker, &["vfork-rss"]), Pass::Memory, Tracer::Auto));
    assert!((64 * MIB..68 * MIB).contains(&shared), "{shared}");
}

#[test]
fn a_long_run_keeps_a_bounded_series() {
    let seen = observe(&launch("sleep", &["0.9"]), Pass::Memory, Tracer::Auto);
    let series = seen.series.expect("the memory pass has a series");
    assert!(series.x.len() > MAX_POINTS / 8 && series.x.len() < MAX_POINTS, "{}", series.x.len());
    assert_eq!(series.x.len(), series.rss_bytes.len());
    assert!(series.x.is_sorted());
    assert!(series.x[0] < 0.5 && *series.x.last().expect("points") > 0.4, "{:?}", series.x);
}
