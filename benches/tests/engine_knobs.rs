//! Knobs do what their table says: counted in the system calls that strace sees
//! in the measured region.

mod engine_support;

use std::fs;

use brkpoint::worker::marker::MAGIC;
use brkpoint::worker::run_arguments;
use brkpoint_reports::record::Pass;
use engine_support::{arm, printed, strace};

/// The memory calls of a workload under `spec`, as strace prints them.
struct Calls {
    /// Those in the measured region.
    region: Vec<String>,
    /// Those of the whole process.
    all: Vec<String>,
}

impl Calls {
    fn of(spec: &str, workload: &str) -> Calls {
        Calls::of_scale(spec, workload, 0.125)
    }

    fn of_scale(spec: &str, workload: &str, scale: f64) -> Calls {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        printed(strace(&arm(spec), &log).args(run_arguments(workload, Pass::Counts, 7, scale)));
        let text = fs::read_to_string(&log).expect("a log");
        // Each line begins with the number of the process.
        let call = |line: &str| Some(line.split_once(' ')?.1.trim().to_owned());
        let all: Vec<String> = text.lines().filter_map(call).collect();
        let mark = format!("prctl({MAGIC:#x}");
        let marks: Vec<usize> = (0..all.len()).filter(|&i| all[i].starts_with(&mark)).collect();
        let [first, last] = marks[..] else { panic!("{spec}: {} marks", marks.len()) };
        Calls { region: all[first + 1..last].to_vec(), all }
    }

    /// Calls of `name` in the region.
    fn count(&self, name: &str) -> usize {
        let call = format!("{name}(");
        self.region.iter().filter(|text| text.starts_with(&call)).count()
    }

    /// Calls in the region that mention `word`.
    fn mentions(&self, word: &str) -> usize {
        self.region.iter().filter(|text| text.contains(word)).count()
    }

    /// Whether any call of the process mentions `word`.
    fn ever(&self, word: &str) -> bool {
        self.all.iter().any(|text| text.contains(word))
    }

    /// How often the break falls in the region.
    fn falls(&self) -> usize {
        let breaks = self.region.iter().filter(|text| text.starts_with("brk(0x"));
        let results = breaks.filter_map(|text| text.rsplit_once("= 0x"));
        let tops: Vec<u64> =
            results.filter_map(|(_, top)| u64::from_str_radix(top.trim(), 16).ok()).collect();
        tops.windows(2).filter(|pair| pair[1] < pair[0]).count()
    }

    /// For messages.
    fn counts(&self) -> String {
        ["brk", "mmap", "munmap", "madvise"]
            .map(|name| format!("{name} {}", self.count(name)))
            .join(", ")
    }
}

#[test]
fn glibc_mmap_threshold_decides_what_is_mapped() {
    let default = Calls::of("glibc", "straddle");
    let low = Calls::of("glibc:mmap_threshold=64K", "straddle");
    let high = Calls::of("glibc:mmap_threshold=1G", "straddle");
    assert!(
        low.count("mmap") > 4 * default.count("mmap").max(10),
        "{} {}",
        low.counts(),
        default.counts()
    );
    assert_eq!(high.count("mmap"), 0, "{}", high.counts());
}

#[test]
fn glibc_mmap_max_of_zero_maps_nothing() {
    assert_eq!(Calls::of("glibc:mmap_max=0", "large-touch").count("mmap"), 0);
}

#[test]
fn glibc_trim_threshold_decides_how_often_the_break_falls() {
    let low = Calls::of("glibc:mmap_max=0,trim_threshold=128K", "straddle");
    let high = Calls::of("glibc:mmap_max=0,trim_threshold=4G", "straddle");
    assert!(low.falls() > 10, "{}", low.counts());
    assert_eq!(high.falls(), 0, "{}", high.counts());
}

#[test]
fn glibc_top_pad_makes_fewer_and_larger_steps() {
    let small = Calls::of("glibc:top_pad=16K", "small-churn");
    let large = Calls::of("glibc:top_pad=1M", "small-churn");
    assert!(small.count("brk") > 8 * large.count("brk"), "{} {}", small.counts(), large.counts());
    assert!(large.count("brk") > 0);
}

#[test]
fn brkpoint_presets_are_what_they_are_called() {
    let brk = Calls::of("brkpoint:preset=brk-only", "straddle");
    assert!(brk.count("brk") > 0 && brk.count("mmap") == 0, "{}", brk.counts());
    let mmap = Calls::of("brkpoint:preset=mmap-only", "straddle");
    let allocations = 200 + 3000;
    assert!(mmap.count("mmap") >= allocations && mmap.count("brk") == 0, "{}", mmap.counts());
    assert!(mmap.count("munmap") >= allocations, "{}", mmap.counts());
    let hybrid = Calls::of("brkpoint:preset=hybrid", "straddle");
    assert!(hybrid.count("brk") > 0 && hybrid.count("mmap") > 100, "{}", hybrid.counts());
    let dynamic = Calls::of("brkpoint:preset=hybrid-dynamic", "straddle");
    assert!(
        dynamic.count("mmap") < hybrid.count("mmap") / 4,
        "{} {}",
        dynamic.counts(),
        hybrid.counts()
    );
}

#[test]
fn brkpoint_knobs_refine_a_preset() {
    let base = "brkpoint:preset=brk-only,top_pad=64K";
    let small = Calls::of(&format!("{base},trim=never"), "small-churn");
    let large = Calls::of("brkpoint:preset=brk-only,top_pad=4M,trim=never", "small-churn");
    assert!(small.count("brk") > 4 * large.count("brk"), "{} {}", small.counts(), large.counts());
    let eager = Calls::of(&format!("{base},trim=eager"), "straddle");
    let never = Calls::of(&format!("{base},trim=never"), "straddle");
    assert!(eager.falls() > 10, "{}", eager.counts());
    assert_eq!(never.falls(), 0, "{}", never.counts());
    let threshold = Calls::of("brkpoint:preset=brk-only,trim_threshold=4G", "straddle");
    assert_eq!(threshold.falls(), 0, "{}", threshold.counts());
    let mapped = Calls::of("brkpoint:preset=brk-only,mmap_threshold=64K", "straddle");
    assert!(mapped.count("mmap") > 100, "{}", mapped.counts());
    let reserved = Calls::of("brkpoint:break=reserved", "straddle");
    assert_eq!(reserved.count("brk"), 0, "{}", reserved.counts());
}

#[test]
#[cfg(feature = "peers")]
fn mimalloc_purge_delay_decides_whether_memory_goes_back() {
    let at_once = Calls::of("mimalloc:purge_delay=0", "large-touch");
    let never = Calls::of("mimalloc:purge_delay=-1", "large-touch");
    assert!(at_once.count("madvise") > 10, "{}", at_once.counts());
    assert_eq!(never.mentions("MADV_DONTNEED"), 0, "{}", never.counts());
    let offered = Calls::of("mimalloc:purge_delay=0,purge_decommits=0", "large-touch");
    assert!(offered.mentions("MADV_FREE") > 10, "{}", offered.counts());
}

#[test]
#[cfg(feature = "peers")]
fn mimalloc_can_do_without_huge_pages() {
    let asks = "PR_GET_THP_DISABLE";
    assert!(!Calls::of("mimalloc", "straddle").ever(asks));
    assert!(Calls::of("mimalloc:allow_thp=0", "straddle").ever(asks));
}

#[test]
#[cfg(feature = "peers")]
fn jemalloc_decay_decides_whether_memory_goes_back() {
    let at_once = Calls::of("jemalloc:dirty_decay_ms=0,muzzy_decay_ms=0", "large-touch");
    let never = Calls::of("jemalloc:dirty_decay_ms=-1", "large-touch");
    assert!(at_once.mentions("MADV_DONTNEED") > 10, "{}", at_once.counts());
    assert_eq!(never.mentions("MADV_DONTNEED"), 0, "{}", never.counts());
    let muzzy = Calls::of_scale("jemalloc:dirty_decay_ms=1,muzzy_decay_ms=10000", "straddle", 0.75);
    let straight = Calls::of_scale("jemalloc:dirty_decay_ms=1,muzzy_decay_ms=0", "straddle", 0.75);
    assert!(muzzy.mentions("MADV_FREE") > 0, "{}", muzzy.counts());
    assert_eq!(straight.mentions("MADV_FREE"), 0, "{}", straight.counts());
}

#[test]
#[cfg(feature = "peers")]
fn jemalloc_thp_and_background_thread_take_effect() {
    let default = Calls::of("jemalloc", "large-touch");
    assert!(!default.ever("MADV_HUGEPAGE") && !default.ever("CLONE_THREAD"));
    assert!(Calls::of("jemalloc:thp=always", "large-touch").ever("MADV_HUGEPAGE"));
    assert!(Calls::of("jemalloc:background_thread=true", "large-touch").ever("CLONE_THREAD"));
}
