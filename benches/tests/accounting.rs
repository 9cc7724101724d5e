//! The accounting against known truths: allocators whose overhead is known, from
//! outside and from inside.

mod engine_support;

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::LazyLock;

use brkpoint::engine::control;
use brkpoint::supervise::fixed_addresses;
use brkpoint::worker::{Answer, Compared, Layout, run_arguments};
use brkpoint_reports::record::{Metric, Moment, Pass};
use brkpoint_workloads::synthetic;
use engine_support::{arm, linked_arms, printed, under, worker};

const OS_PAGE: u64 = 4096;

/// Pages that code which runs for the first time in the region may add: of stacks,
/// of data that is written.
const STRAY: u64 = 16 * OS_PAGE;

/// Faults that code and data of the program may add or save where their addresses are
/// not fixed.
const STRAY_FAULTS: u64 = 2;

/// Whether processes are counted as the harness counts, at fixed addresses: then where
/// data lies in its pages is the same in each. Where it may not fix them, it goes on.
static FIXED: LazyLock<bool> = LazyLock::new(|| {
    let mut any = Command::new(worker());
    // SAFETY: it allocates nothing and takes no lock.
    unsafe { any.pre_exec(fixed_addresses) };
    let Err(error) = any.arg("--version").output() else { return true };
    // Not by a macro: what those print of a test that passes is not shown.
    let told = writeln!(
        std::io::stderr(),
        "accounting: addresses may not be fixed here ({error}): faults are held to {STRAY_FAULTS} \
         more or less, and not to what is computed"
    );
    told.expect("stderr is open");
    false
});

fn answer(command: &mut Command) -> Answer {
    serde_json::from_str(&printed(command)).expect("an answer")
}

fn bump(workload: &str, pass: Pass, scale: f64) -> Answer {
    let mut command = Command::new(control("bump").expect("is built"));
    if pass == Pass::Counts && *FIXED {
        // SAFETY: it allocates nothing and takes no lock.
        unsafe { command.pre_exec(fixed_addresses) };
    }
    answer(command.args(run_arguments(workload, pass, 7, scale)))
}

fn layout(answer: Answer) -> Layout {
    answer.layout.expect("the layout pass tells the layout")
}

/// Pairs of 1 KiB on the allocator that uses nothing twice: of the n-th block the
/// page is fresh if it is the first of its four.
#[test]
fn known_blocks_on_an_allocator_of_known_overhead_cost_what_is_computed() {
    // 4,000 pairs: 4,000 KiB, 1,000 pages.
    let (scale, pages) = (0.001, 1000);
    let counted = bump("pair-1k", Pass::Counts, scale);
    assert_eq!(counted.ops, 8_000);
    // One is for the workload's code, which runs for the first time; no more of that comes
    // with more pairs. And the first block may lie on a page that is there already.
    let of_pages = counted.minor_faults - 1;
    let stray = if *FIXED { 0 } else { STRAY_FAULTS };
    assert!(of_pages.abs_diff(pages) <= 1 + stray, "{of_pages}");
    let more = bump("pair-1k", Pass::Counts, 2.0 * scale).minor_faults - counted.minor_faults;
    assert!(more.abs_diff(pages) <= stray, "{more}");

    let seen = bump("pair-1k", Pass::Memory, scale);
    let heap = seen.peak_rss_bytes - seen.baseline_rss_bytes;
    assert_eq!(seen.peak_live_bytes, 1024);
    // RSS has pages of files too: code, in whole runs of pages.
    assert!((pages * OS_PAGE..pages * OS_PAGE + (512 << 10)).contains(&heap), "{heap}");
    assert!((seen.kept_rss_bytes - seen.baseline_rss_bytes).abs_diff(heap) <= STRAY, "{seen:?}");

    // Nothing is live at any look but between the two calls of a pair.
    let kept = layout(bump("pair-1k", Pass::Layout, scale)).kept_heap_bytes;
    assert!(kept.abs_diff(pages * OS_PAGE) <= STRAY, "{kept}");
}

/// 400 blocks of 128 bytes at a time, each batch behind the one before it.
#[test]
fn fragmentation_on_an_allocator_of_known_overhead_is_the_computed_one() {
    let batches = 40_u32;
    let seen = layout(bump("glibc-simple", Pass::Layout, f64::from(batches) / 5000.0));
    // The 32 looks are spread evenly over the operations, two of a block each.
    let (batch, operations) = (400 * 128_u64, u64::from(batches) * 800);
    let every = operations.div_ceil(32);
    let (mut looks, mut live, mut heap, mut stranded) = (0.0, 0.0, 0.0, 0.0);
    for at in (every..=operations).step_by(every as usize) {
        let (batch_number, within) = (at / 800, at % 800);
        // Allocated first, then freed first in first out.
        let (allocated, freed) = (within.min(400) * 128, within.saturating_sub(400) * 128);
        if allocated == freed {
            continue;
        }
        let end = batch_number * batch + allocated;
        let begins = batch_number * batch + freed;
        looks += 1.0;
        live += (end - begins) as f64;
        heap += (end.div_ceil(OS_PAGE) * OS_PAGE) as f64;
        let of_page =
            |page: u64| end.min((page + 1) * OS_PAGE).saturating_sub(begins.max(page * OS_PAGE));
        let pages = (0..end.div_ceil(OS_PAGE)).filter(|&page| of_page(page) * 10 < OS_PAGE);
        stranded += (pages.count() as u64 * OS_PAGE) as f64;
    }
    let near = |got: f64, expected: f64, bound: f64| {
        assert!((got - expected).abs() <= bound, "{got}, but {expected} was computed; {seen:?}");
    };
    // Where in its page the first block lies depends on what the runtime asked for.
    near(seen.heap_bytes, heap / looks, 2.0 * OS_PAGE as f64 + STRAY as f64);
    near(seen.external, 1.0 - live / heap, 0.02);
    near(seen.stranded_bytes, stranded / looks, 3.0 * OS_PAGE as f64 + STRAY as f64);
    let pages: f64 = seen.occupancy.pages.iter().sum();
    near(pages * OS_PAGE as f64, seen.heap_bytes, 0.5);
    assert_eq!(seen.internal, None, "it tells no usable sizes");
    let Compared { told, live, .. } = seen.inside.expect("it tells its accounts");
    assert_eq!(told.live, live);
}

/// What glibc may use of a request is known: 8 bytes of overhead, chunks of 16.
#[test]
fn internal_fragmentation_of_glibc_is_that_of_its_rule() {
    let seen = answer(under(&arm("glibc"), worker()).args(run_arguments(
        "glibc-simple",
        Pass::Layout,
        7,
        0.01,
    )));
    let usable = f64::from(((128_u32 + 8 + 15) & !15) - 8);
    let internal = layout(seen).internal.expect("glibc tells usable sizes");
    assert!((internal - (1.0 - 128.0 / usable)).abs() < 1e-9, "{internal}");
}

/// Ours from inside and from outside: live bytes are equal; what is resident lies
/// between what it holds less what it never touched, and what it holds.
#[test]
fn what_ours_says_of_itself_is_what_is_seen_from_outside() {
    let arms = linked_arms();
    let ours = arms.iter().find(|arm| arm.engine == "brkpoint").expect("is built");
    for preset in ["default", "hybrid"] {
        for workload in ["steady-10k", "medium", "robson", "service-3", "aligned"] {
            let mut command = under(ours, ours.program.as_deref().expect("is linked"));
            // Huge pages come as they are at hand.
            command.env("BRKPOINT_PRESET", preset).env("BRKPOINT_THP", "0");
            let seen = answer(command.args(run_arguments(workload, Pass::Layout, 7, 0.1)));
            let Compared { told, live, heap } =
                layout(seen).inside.expect("ours tells its accounts");
            let at = format!("{workload} under {preset}: {told:?}, {live}, {heap}");
            // What the runtime allocated meanwhile is counted inside alone.
            assert!(told.live.abs_diff(live) <= 4096, "{at}");
            // The pages at either end of what is held, threads' caches, and what is
            // touched of the map of units.
            let slack = 256 << 10;
            assert!(heap <= told.held + slack, "{at}");
            assert!(heap + told.untouched + slack >= told.held, "{at}");
        }
    }
}

/// Which OS pages hold nothing but what caches keep, only an allocator itself can tell.
#[test]
fn maps_tell_what_caches_keep_where_the_allocator_does() {
    let end = |engine: &str, cache: Option<&str>| {
        let mut command = under(&arm(engine), worker());
        command.env_remove("BRKPOINT_THREAD_CACHE").env("BRKPOINT_THP", "0");
        command.envs(cache.map(|cache| ("BRKPOINT_THREAD_CACHE", cache)));
        let seen = answer(command.args(run_arguments("glibc-simple", Pass::Layout, 7, 0.01)));
        let map = layout(seen).heap.pop().expect("a map of the end");
        assert_eq!((map.moment, map.live_bytes), (Moment::End, 0));
        map.areas
    };
    let ours = end("brkpoint", None);
    let cached = ours.iter().map(|area| area.cached_bytes.expect("told")).sum::<u64>();
    assert!(cached > 0 && ours.iter().any(|area| area.squares.contains('C')), "{ours:?}");
    let without = end("brkpoint", Some("0"));
    assert!(without.iter().all(|area| area.cached_bytes == Some(0)), "{without:?}");
    assert!(end("glibc", None).iter().all(|area| area.cached_bytes.is_none()));
}

#[test]
fn every_workload_has_a_latency_and_a_layout() {
    for workload in synthetic::ALL.iter().filter(|workload| !workload.idles()) {
        let run = |pass| {
            let mut command = under(&arm("glibc"), worker());
            answer(command.args(run_arguments(workload.name, pass, 7, 0.01)))
        };
        let latency = run(Pass::Latency).latency.expect("a latency");
        for quantiles in [latency.allocations, latency.frees] {
            let quantiles = quantiles.expect("calls of either kind");
            assert!(quantiles.is_sorted(), "{}: {quantiles:?}", workload.name);
            assert!(quantiles[3] > 0.0 && latency.clock_s > 0.0, "{}", workload.name);
        }
        let layout = layout(run(Pass::Layout));
        assert!((0.0..1.0).contains(&layout.internal.expect("known")), "{layout:?}");
        assert!(layout.external <= 1.0 && layout.occupancy.is_usable(), "{layout:?}");
    }
}

/// The metrics that a cell's samples have, by pass.
#[test]
fn latency_and_layout_become_metrics_of_their_passes() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use brkpoint::measure::one;
    use brkpoint::plan::{Conditions, Work};
    use brkpoint::supervise::Stop;

    let work = Work::synthetic(synthetic::find("small-churn").expect("there"), 0.01);
    let conditions = Conditions { timeout: Duration::from_secs(60), seed: 1 };
    let stop = Stop::new(Arc::new(AtomicBool::new(false)));
    for pass in [Pass::Memory, Pass::Latency, Pass::Layout] {
        let measured = one(&arm("glibc"), &work, pass, conditions, worker(), &stop);
        let measured = measured.unwrap_or_else(|failure| panic!("{failure:?}"));
        assert_eq!(measured.error, None);
        for metric in Metric::ALL.iter().filter(|metric| metric.pass() == pass) {
            assert!(measured.metrics.contains_key(metric), "{metric} in {}", pass.name());
        }
        assert_eq!(measured.occupancy.is_some(), pass == Pass::Layout);
    }
}
