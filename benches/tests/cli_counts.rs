//! What `brkpoint compare` counts is what happened.

mod cli_support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use brkpoint_workloads::synthetic;
use cli_support::{Lab, PRESETS, Rows, has, our_library, run};

const CALLS: [&str; 6] = ["brk", "mmap", "munmap", "mremap", "madvise", "mprotect"];
const NOBODY: u32 = 65534;

fn counts(rows: &Rows, engine: &str) -> [u64; 6] {
    CALLS.map(|call| rows.median(engine, &format!("syscalls_{call}")) as u64)
}

/// The calls that strace counts below `command`, the log of which goes to `lab`.
fn strace(lab: &Lab, command: &[&str], prepare: impl Fn(&mut Command)) -> [u64; 6] {
    let trace = format!("trace={}", CALLS.join(","));
    let options = ["-R", "strace", "-f", "-c", "-e", &trace, "-o", "summary"];
    let mut strace = lab.command("setarch", &[&options, command].concat());
    prepare(&mut strace);
    run(&mut strace).exits(0);
    let summary = lab.read("summary");
    let mut counts = [0; 6];
    for line in summary.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [_, _, _, calls, .., name] = fields[..]
            && let Some(call) = CALLS.iter().position(|call| *call == name)
        {
            counts[call] = calls.parse().expect("a number of calls");
        }
    }
    assert!(counts.iter().sum::<u64>() > 0, "nothing in strace's summary: {summary}");
    counts
}

/// `program`'s counts of a few commands under glibc are strace's, both started as
/// `prepare` wants it.
fn equal_strace(lab: &Lab, program: &Path, prepare: impl Fn(&mut Command)) {
    if !has("strace") || !has("setarch") {
        return;
    }
    let shell = ["sh", "-c", "ls / | sort; for i in 1 2 3; do /bin/true; done; exit 0"];
    for command in [&["/bin/true"][..], &["ls", "-l", "/"], &shell] {
        let expected = strace(lab, command, &prepare);
        let arguments = ["compare", "--json", "-e", "glibc", "--rounds", "1", "--"];
        let mut compare = lab.command(program, &[&arguments, command].concat());
        prepare(&mut compare);
        let rows = run(&mut compare).exits(0).rows();
        assert_eq!(counts(&rows, "glibc"), expected, "{command:?}: {CALLS:?}");
        assert_eq!(rows.repeat().len(), rows.of("glibc").len());
        for row in rows.repeat().iter().filter(|row| row.metric.starts_with("syscalls_")) {
            assert_eq!(row.median, Some(rows.median("glibc", &row.metric)), "{row:?}");
        }
    }
}

#[test]
fn counts_equal_strace_exactly() {
    let lab = Lab::new();
    equal_strace(&lab, env!("CARGO_BIN_EXE_brkpoint").as_ref(), |_| ());
}

#[test]
fn counts_equal_strace_exactly_for_an_unprivileged_user_too() {
    // SAFETY: takes no arguments.
    if unsafe { libc::geteuid() } != 0 {
        // The test above has run as one.
        return;
    }
    let lab = Lab::new();
    let program = installed(&lab);
    let give = |path: &Path| chown(path, Some(NOBODY), Some(NOBODY)).expect("giving it away");
    give(lab.dir());
    let as_nobody = |command: &mut Command| {
        command.uid(NOBODY).gid(NOBODY).env("TMPDIR", lab.dir());
    };
    equal_strace(&lab, &program, as_nobody);
    let arguments = ["compare", "--json", "-e", "glibc", "-e", "brkpoint", "--rounds", "1"];
    let mut compare = lab.command(&program, &[&arguments[..], &["--", "true"]].concat());
    as_nobody(&mut compare);
    run(&mut compare).exits(0).rows().are_sound(&["glibc", "brkpoint"]);
}

/// A copy of the program and of our library that everybody may use.
fn installed(lab: &Lab) -> PathBuf {
    let built: &Path = env!("CARGO_BIN_EXE_brkpoint").as_ref();
    let library = our_library();
    let open = |path: &Path| {
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("opening it to all");
    };
    open(lab.dir());
    for file in [built, &library] {
        let copy = lab.dir().join(file.file_name().expect("a name"));
        fs::copy(file, &copy).expect("copying");
        open(&copy);
    }
    lab.path("brkpoint")
}

#[test]
fn presets_do_on_a_workload_what_their_names_say() {
    const SCALE: f64 = 0.05;
    let lab = Lab::new();
    let options = ["-w", "small-churn", "--scale", &SCALE.to_string(), "--rounds", "2"];
    let engines = [&["glibc", "brkpoint"], &PRESETS[..]].concat();
    let rows = lab.compare(&engines, &options).exits(0).rows();
    rows.are_sound(&engines);

    let [brk_only, mmap_only, hybrid, dynamic] = PRESETS;
    let workload = synthetic::find("small-churn").expect("the workload");
    let prepared = workload.prepare(1, SCALE).expect("prepared");
    let allocations = prepared.operations() / 2;
    let [brk, mmap, munmap, mremap, madvise, mprotect] = counts(&rows, mmap_only);
    assert_eq!((mmap, munmap), (allocations, allocations), "one of each an allocation");
    assert_eq!([brk, mremap, madvise, mprotect], [0; 4]);

    for preset in [brk_only, hybrid, dynamic] {
        let [brk, mmap, munmap, ..] = counts(&rows, preset);
        assert_eq!((mmap, munmap), (0, 0), "{preset}: every object is small");
        assert!(brk > 0, "{preset}");
    }
    // Whoever allocated, the same was computed.
    let samples = lab.samples();
    assert!(samples.iter().all(|sample| sample.digest == samples[0].digest));
    assert!(samples[0].digest.is_some());
    // Live bytes are the workload's own and the same everywhere; baseline is below the peak.
    for engine in &engines {
        let of = |metric| rows.median(engine, metric);
        assert_eq!(of("peak_live_bytes"), rows.median("glibc", "peak_live_bytes"));
        assert!(of("peak_rss_bytes") > of("baseline_rss_bytes"), "{engine}");
    }
}

#[test]
fn above_the_threshold_only_brk_only_uses_no_mapping() {
    let lab = Lab::new();
    let options = ["-w", "large-touch", "--scale", "0.05", "--rounds", "1"];
    let rows = lab.compare(&[&["glibc"], &PRESETS[..]].concat(), &options).exits(0).rows();
    let [brk_only, mmap_only, hybrid, dynamic] = PRESETS;
    let mmaps = |engine| counts(&rows, engine)[1];
    assert_eq!(mmaps(brk_only), 0);
    assert_eq!(mmaps(hybrid), mmaps(mmap_only), "all of it is large");
    assert!(mmaps(dynamic) < mmaps(hybrid), "the threshold rises with what is freed");
    let [brk, ..] = counts(&rows, brk_only);
    assert!(brk > 0);
}
