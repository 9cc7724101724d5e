//! No process of a measured tree outlives its run, and none of anybody else's is touched.

mod probe_common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use brkpoint::supervise::{Launch, LaunchError, Stop, Tracer, run};
use brkpoint_reports::record::{Exit, Pass};
use probe_common::{launch, observe, temp_dir, worker};

const SETTINGS: [(Pass, Tracer); 4] = [
    (Pass::Time, Tracer::Auto),
    (Pass::Counts, Tracer::Notify),
    (Pass::Counts, Tracer::Ptrace),
    (Pass::Memory, Tracer::Auto),
];

/// The process id in a file that another process writes.
fn pid_in(file: &Path) -> i32 {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(pid) = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()) {
            return pid;
        }
        assert!(Instant::now() < patience, "no process id in {}", file.display());
        thread::sleep(Duration::from_millis(5));
    }
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; it only waits for whoever reaps orphans.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn assert_gone(pid: i32) {
    let patience = Instant::now() + Duration::from_secs(10);
    while is_alive(pid) {
        assert!(Instant::now() < patience, "process {pid} is still there");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_daemon_that_the_program_leaves_is_killed() {
    let dir = temp_dir();
    let Some(worker) = worker(dir.path()) else { return };
    for (pass, tracer) in SETTINGS {
        let file = dir.path().join("pid");
        let _ = fs::remove_file(&file);
        let command = launch(&worker, &["daemon", file.to_str().expect("a path")]);
        let seen = observe(&command, pass, tracer);
        assert_eq!(seen.exit, Exit::Code(0), "{pass:?} {tracer:?}");
        assert_eq!(seen.killed_descendants, 1, "{pass:?} {tracer:?}");
        assert!(!is_alive(pid_in(&file)), "{pass:?} {tracer:?}");
    }
}

#[test]
fn a_program_whose_time_is_up_is_killed_with_its_descendants() {
    let dir = temp_dir();
    for (pass, tracer) in SETTINGS {
        let file = dir.path().join("pid");
        let _ = fs::remove_file(&file);
        let script =
            format!("setsid sh -c 'echo $$ > {}; exec sleep 1000' & sleep 1000", file.display());
        let mut command = launch("sh", &["-c", &script]);
        command.timeout = Some(Duration::from_millis(700));
        let seen = observe(&command, pass, tracer);
        assert_eq!(seen.exit, Exit::TimedOut, "{pass:?} {tracer:?}");
        assert!(seen.wall_s >= 0.5 && seen.wall_s < 30.0, "{pass:?} {tracer:?}: {}", seen.wall_s);
        assert!(!is_alive(pid_in(&file)), "{pass:?} {tracer:?}");
    }
}

#[test]
fn a_request_to_stop_kills_all_and_is_an_error() {
    let dir = temp_dir();
    for (pass, tracer) in SETTINGS {
        let file = dir.path().join("pid");
        let _ = fs::remove_file(&file);
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let command = Launch { tracer, ..launch("sh", &["-c", &script]) };
        let asked = Arc::new(AtomicBool::new(false));
        let stop = Stop::new(Arc::clone(&asked));
        let result = thread::scope(|scope| {
            let run = scope.spawn(|| run(&command, pass, &stop));
            let pid = pid_in(&file);
            asked.store(true, SeqCst);
            let result = run.join().expect("no panic");
            assert!(!is_alive(pid), "{pass:?} {tracer:?}");
            result
        });
        assert!(matches!(result, Err(LaunchError::Interrupted)), "{pass:?} {tracer:?}: {result:?}");
        let again = run(&command, pass, &stop);
        assert!(matches!(again, Err(LaunchError::Interrupted)), "{again:?}");
    }
}

#[test]
fn descendants_that_are_about_to_end_may_do_so() {
    let seen = observe(&launch("sh", &["-c", "sleep 0.02 & exit 3"]), Pass::Time, Tracer::Auto);
    assert_eq!((seen.exit, seen.killed_descendants), (Exit::Code(3), 0));
}

#[test]
fn processes_that_keep_forking_are_caught() {
    // Each ends as soon as it has started the next: there is never one to wait for.
    let script = "f() { (f) & }; f; sleep 0.05";
    let seen = observe(&launch("sh", &["-c", script]), Pass::Time, Tracer::Auto);
    assert_eq!(seen.exit, Exit::Code(0));
}

const HARNESS: &str = "BRKPOINT_TEST_HARNESS";

#[test]
fn when_the_harness_is_killed_the_tree_dies() {
    if let Some(script) = std::env::var_os(HARNESS) {
        let command = launch("sh", &["-c", script.to_str().expect("text")]);
        for (pass, tracer) in SETTINGS {
            if std::env::var("BRKPOINT_TEST_SETTING").as_deref()
                == Ok(&format!("{pass:?}{tracer:?}"))
            {
                observe(&command, pass, tracer);
            }
        }
        panic!("the harness was to be killed");
    }
    let dir = temp_dir();
    for (pass, tracer) in SETTINGS {
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let _ = fs::remove_file(&first);
        let _ = fs::remove_file(&second);
        let script = format!(
            "setsid sh -c 'echo $$ > {}; exec sleep 1000' & echo $$ > {}; sleep 1000",
            second.display(),
            first.display()
        );
        let mut harness = Command::new(std::env::current_exe().expect("finding this program"))
            .args(["--exact", "when_the_harness_is_killed_the_tree_dies"])
            .env(HARNESS, script)
            .env("BRKPOINT_TEST_SETTING", format!("{pass:?}{tracer:?}"))
            .spawn()
            .expect("starting the harness");
        let pids = [pid_in(&first), pid_in(&second)];
        harness.kill().expect("killing the harness");
        harness.wait().expect("waiting for the harness");
        pids.into_iter().for_each(assert_gone);
    }
}

#[test]
fn children_of_the_harness_that_are_not_the_programs_are_left_alone() {
    let mut quick = Command::new("true").spawn().expect("starting true");
    let mut slow = Command::new("sleep").arg("1000").spawn().expect("starting sleep");
    for (pass, tracer) in SETTINGS {
        observe(&launch("sh", &["-c", "true & true"]), pass, tracer);
    }
    assert!(quick.wait().expect("its status is still to be had").success());
    assert!(slow.try_wait().expect("it can be waited for").is_none(), "it was killed");
    slow.kill().expect("killing it");
    slow.wait().expect("waiting for it");
}

#[test]
fn runs_at_the_same_time_do_not_disturb_each_other() {
    thread::scope(|scope| {
        for i in 0..8 {
            scope.spawn(move || {
                for (pass, tracer) in SETTINGS {
                    let script = format!("(sleep 0.0{i}; exit 7) & wait $!; echo {i}; exit {i}");
                    let seen = observe(&launch("sh", &["-c", &script]), pass, tracer);
                    assert_eq!(seen.exit, Exit::Code(i), "{pass:?} {tracer:?}");
                    assert_eq!(seen.stdout.read().expect("output"), format!("{i}\n").as_bytes());
                    assert_eq!(seen.killed_descendants, 0, "{pass:?} {tracer:?}");
                }
            });
        }
    });
}
