//! The worker measures what it says it measures, and proves who answered.

mod engine_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use brkpoint::engine::{Arm, Engines};
use brkpoint::worker::{Answer, run_arguments};
use brkpoint_reports::record::Pass;
use brkpoint_workloads::synthetic::{self, Amount};
use engine_support::{arm, arms, linked_arms, output, printed, strace, strace_of, under, worker};

/// Little of everything: debug builds are slow.
const LITTLE: f64 = 0.01;

const PASSES: [Pass; 3] = [Pass::Time, Pass::Counts, Pass::Memory];

fn answer(command: &mut Command) -> Answer {
    serde_json::from_str(&printed(command)).expect("an answer")
}

fn run(name: &str, pass: Pass, amount: impl Into<Amount>) -> Command {
    let mut command = under(&arm("glibc"), worker());
    command.args(run_arguments(name, pass, 7, amount));
    command
}

fn run_under(engine: &str) -> Answer {
    let mut command = under(&arm(engine), worker());
    answer(command.args(run_arguments("pair-64", Pass::Time, 7, LITTLE)))
}

#[test]
fn a_thousand_pages_touched_are_a_thousand_minor_faults() {
    for _ in 0..20 {
        let touched =
            answer(Command::new(worker()).args(["worker", "touch", "1000", "--pass", "counts"]));
        assert_eq!((touched.minor_faults, touched.major_faults), (1000, 0));
    }
}

#[test]
fn so_they_are_for_an_unprivileged_user() {
    // SAFETY: geteuid takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        // Then the test above has shown it.
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("opened");
    let copy = directory.path().join("brkpoint");
    // By another process: a file that is open for writing, if only in a child
    // that a neighbouring test just forked, cannot be executed.
    printed(Command::new("cp").arg(worker()).arg(&copy));
    let nobody = 65_534;
    let mut touch = Command::new(copy);
    touch
        .args(["worker", "touch", "1000", "--pass", "counts"])
        .uid(nobody)
        .gid(nobody)
        .current_dir("/");
    assert_eq!(answer(&mut touch).minor_faults, 1000);
}

#[test]
fn the_digest_is_the_same_under_every_engine_and_in_every_pass() {
    let arms: Vec<Arm> = arms().into_iter().chain(linked_arms()).collect();
    for workload in synthetic::ALL {
        let usual = Amount::from(LITTLE);
        let in_three = workload.threads.map(|_| Amount { threads: Some(3), ..usual });
        for amount in [usual].into_iter().chain(in_three) {
            let reference = answer(&mut run(workload.name, Pass::Time, amount));
            // Every pass, but not every pass of every cell: there are hundreds.
            for (arm, pass) in arms.iter().zip(PASSES.into_iter().cycle()) {
                let mut command = under(arm, arm.program.as_deref().unwrap_or(worker()));
                let got = answer(command.args(run_arguments(workload.name, pass, 7, amount)));
                let at = format!("{} {amount:?}, {} {}", workload.name, arm.engine, arm.version);
                assert_eq!(
                    (got.digest.as_str(), got.ops),
                    (reference.digest.as_str(), reference.ops),
                    "{at}"
                );
                assert_eq!(arm.contradicted_by(&got), None, "{at}");
            }
        }
    }
}

#[test]
fn an_answer_of_another_allocator_contradicts_its_arm() {
    let glibc = answer(&mut run("small-churn", Pass::Time, 0.01));
    let why = arm("brkpoint").contradicted_by(&glibc).expect("a contradiction");
    assert!(why.contains("brkpoint") && why.contains("libc"), "{why}");
}

#[test]
fn a_linked_worker_tells_which_allocator_is_in_it() {
    let linked = linked_arms();
    let named = |name: &str| linked.iter().find(|arm| arm.engine == name).expect("is built");
    let (ours, glibc) = (named("brkpoint"), named("glibc"));
    let small = |arm: &Arm| {
        let mut command = under(arm, arm.program.as_deref().expect("is linked"));
        answer(command.args(run_arguments("pair-64", Pass::Time, 7, LITTLE)))
    };
    // The C library's own version, whichever way it comes in.
    assert_eq!(glibc.version, arm("glibc").version);
    assert_eq!(ours.version, arm("brkpoint").version);
    let answer = small(ours);
    assert_eq!(ours.contradicted_by(&answer), None);
    let why = glibc.contradicted_by(&answer).expect("another allocator");
    assert!(why.contains("glibc") && why.contains("brkpoint"), "{why}");
    // Neither passes for a preloaded one.
    assert!(arm("glibc").contradicted_by(&small(glibc)).is_some());
    assert!(glibc.contradicted_by(&run_under("glibc")).is_some());
}

#[test]
fn a_linked_allocator_takes_its_settings_from_the_environment() {
    let spec = "brkpoint:preset=mmap-only".parse().expect("a spec");
    let mapped = Engines::builtin().resolve_linked(&spec).expect("ours is built");
    let calls = |arm: &Arm| {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let mut strace = strace_of(arm, &log, arm.program.as_deref().expect("is linked"));
        printed(strace.args(run_arguments("pair-64", Pass::Time, 7, 0.0001)));
        names(&fs::read_to_string(&log).expect("a log")).iter().filter(|n| *n == "mmap").count()
    };
    let default = Engines::builtin().resolve_linked(&"brkpoint".parse().expect("a spec"));
    let (mapped, default) = (calls(&mapped), calls(&default.expect("ours is built")));
    assert!(mapped > default + 400, "each of 400 blocks is mapped: {mapped}, {default}");
}

#[test]
fn nobody_mistakes_a_linked_worker_for_a_program() {
    for arm in linked_arms() {
        let program = arm.program.as_deref().expect("is linked");
        let output = output(Command::new(program).arg("run"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains(&arm.engine), "{said}");
    }
}

#[test]
fn another_seed_is_another_run() {
    let one = answer(&mut run("straddle", Pass::Time, 0.01));
    let mut other = under(&arm("glibc"), worker());
    let other = answer(other.args(run_arguments("straddle", Pass::Time, 8, 0.01)));
    assert_ne!(one.digest, other.digest);
}

#[test]
fn the_timed_region_holds_the_work_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let calls = |pass: &str| {
        let log = directory.path().join(pass);
        printed(strace(&arm("glibc"), &log).args(["worker", "touch", "50", "--pass", pass]));
        names(&fs::read_to_string(&log).expect("a log"))
    };
    // The work is one mapping, touched; getrusage stands on either side of it,
    // and once before to warm up.
    let work = ["mmap", "madvise", "munmap"];
    let region = |calls: Vec<String>| -> Vec<String> {
        let after = calls.iter().rposition(|name| name == "getrusage").expect("after");
        let before = calls[..after].iter().rposition(|name| name == "getrusage").expect("before");
        calls[before + 1..after].to_vec()
    };
    assert_eq!(region(calls("time")), work);
    assert_eq!(region(calls("counts")), work);
    assert!(!calls("time").contains(&"prctl".to_owned()), "the timed pass marks nothing");
    let counted = calls("counts");
    let marks: Vec<usize> = (0..counted.len()).filter(|&i| counted[i] == "prctl").collect();
    assert_eq!(marks.len(), 2, "{counted:?}");
    let marked: Vec<&str> = counted[marks[0] + 1..marks[1]]
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "getrusage")
        .collect();
    assert_eq!(marked, work);
}

/// The names of the calls in a log of strace.
fn names(log: &str) -> Vec<String> {
    // Each line begins with the number of the process.
    let name = |line: &str| Some(line.split_once(' ')?.1.trim().split('(').next()?.to_owned());
    log.lines().filter(|line| line.contains('(')).filter_map(name).collect()
}

#[test]
fn the_memory_pass_sees_what_is_live_and_what_is_kept() {
    let seen = answer(&mut run("large-touch", Pass::Memory, 0.05));
    let series = seen.series.expect("a series");
    assert!((50..=202).contains(&series.x.len()), "{}", series.x.len());
    assert!(series.x.is_sorted_by(|a, b| a < b));
    assert_eq!(series.x.last().copied(), Some(seen.ops as f64));
    assert_eq!(series.live_bytes.last(), Some(&0));
    let largest = |values: &[u64]| values.iter().copied().max().expect("points");
    assert!(seen.peak_live_bytes >= largest(&series.live_bytes));
    assert!(seen.peak_rss_bytes >= largest(&series.rss_bytes));
    // Every page of it is touched: what is live is resident. The kernel's mark may
    // be some pages behind on each CPU.
    let behind = 2 << 20;
    let resident = seen.peak_rss_bytes - seen.baseline_rss_bytes;
    assert!(resident + behind >= seen.peak_live_bytes, "{resident} {}", seen.peak_live_bytes);
    assert!(seen.baseline_rss_bytes < 16 << 20, "{}", seen.baseline_rss_bytes);
    assert_eq!(Some(&seen.kept_rss_bytes), series.rss_bytes.last());
    assert!(seen.table_bytes > 0 && seen.table_bytes < seen.baseline_rss_bytes);
    assert!(seen.notes.is_empty(), "{:?}", seen.notes);
}

#[test]
fn known_pages_show_in_the_memory_pass() {
    let touched =
        answer(Command::new(worker()).args(["worker", "touch", "1000", "--pass", "memory"]));
    let grown = touched.peak_rss_bytes - touched.baseline_rss_bytes;
    // And what code ran for the first time, in whole runs of pages.
    assert!((4_096_000..4_096_000 + (512 << 10)).contains(&grown), "{grown}");
    assert!(touched.notes.is_empty(), "{:?}", touched.notes);
}

#[test]
fn nonsense_is_refused_with_status_2() {
    for (words, part) in [
        (vec![], "is missing"),
        (vec!["walk"], "walk"),
        (vec!["run"], "a workload is missing"),
        (vec!["run", "no-such"], "no workload"),
        (vec!["run", "straddle", "--pass", "all"], "none of time"),
        (vec!["run", "straddle", "--scale", "0"], "above 0"),
        (vec!["run", "straddle", "--scale", "nan"], "above 0"),
        (vec!["run", "straddle", "--threads", "2"], "straddle runs in one thread"),
        (vec!["run", "larson", "--threads", "0"], "1 to 256"),
        (vec!["run", "straddle", "--seed", "-1"], "-1"),
        (vec!["run", "straddle", "--seed"], "lacks its value"),
        (vec!["run", "straddle", "--sed", "1"], "--sed"),
        (vec!["touch", "many"], "many"),
    ] {
        let output = output(Command::new(worker()).arg("worker").args(&words));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(part) && output.stdout.is_empty(), "{words:?}: {said}");
    }
}

#[test]
fn more_pages_than_there_are_is_no_crash() {
    let pages = (1_u64 << 50).to_string();
    let none = answer(Command::new(worker()).args(["worker", "touch", &pages]));
    assert_eq!(none.ops, 0);
    assert!(Path::new(&none.malloc_object).exists());
}
