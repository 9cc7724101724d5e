//! An interrupted run keeps its records and leaves no process behind.

mod cli_support;

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};

use brkpoint_reports::record::Pass;
use cli_support::{Lab, Ran, Started, until};

/// A variable that every process of a command inherits, and its value here.
const MARK: &str = "CLI_TEST_MARK";

/// A command whose first runs end, and whose next one stays, with a child, one in
/// a session of its own, and one that ignores signals: `$1` says how many end.
const STAYS: &str = "echo x >> runs
[ $(wc -l < runs) -gt $1 ] || exit 0
sleep 1000 &
setsid sleep 1000 &
(trap '' INT TERM HUP; sleep 1000; sleep 1000) &
wait";
/// How many sleep then.
const SLEEPERS: usize = 3;

/// `compare` of a command that stays after `runs` of its processes, started.
fn start(lab: &Lab, runs: usize) -> Started {
    let runs = runs.to_string();
    let arguments = ["compare", "-e", "glibc", "-o", "records.jsonl", "--rounds", "1", "--"];
    let command = ["sh", "-c", STAYS, "sh", &runs];
    let mut command = lab.brkpoint(&[&arguments[..], &command].concat());
    command.env(MARK, mark(lab));
    heeding_signals(&mut command);
    let started = Started::new(&mut command);
    let sleeps = |pid: &&String| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    };
    let all = || marked(lab).iter().filter(sleeps).count() == SLEEPERS;
    assert!(until(all), "only {:?} run", marked(lab));
    started
}

/// Has `command` started with signals as on a terminal, though the tests may run in
/// the background of a script, where SIGINT is ignored.
fn heeding_signals(command: &mut Command) {
    disposed(command, libc::SIG_DFL);
}

fn disposed(command: &mut Command, disposition: libc::sighandler_t) {
    let set = move || {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            // SAFETY: the disposition is SIG_DFL or SIG_IGN, which run no code.
            unsafe { libc::signal(signal, disposition) };
        }
        Ok(())
    };
    // SAFETY: between fork and exec `set` makes nothing but system calls.
    unsafe { command.pre_exec(set) };
}

fn mark(lab: &Lab) -> String {
    format!("{}-{}", process::id(), lab.dir().display())
}

/// The processes that carry this test's mark. (A zombie carries nothing.)
fn marked(lab: &Lab) -> Vec<String> {
    let wanted = format!("{MARK}={}", mark(lab));
    let has_mark = |pid: &String| {
        let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        variables.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let processes = fs::read_dir("/proc").expect("listing processes").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter(has_mark).collect()
}

fn signal(started: &Started, signal: i32) {
    let pid = libc::pid_t::try_from(started.child.id()).expect("a process id");
    // SAFETY: sends a signal to a child that is not yet waited for, so that its id
    // is no other process's.
    let sent = unsafe { libc::kill(pid, signal) };
    assert_eq!(sent, 0, "sending signal {signal}");
}

/// Starts, interrupts by `with`, and checks what is left.
#[track_caller]
fn interrupted(lab: &Lab, runs: usize, with: i32) -> Ran {
    let started = start(lab, runs);
    signal(&started, with);
    let ran = started.wait().exits(130);
    assert_eq!(marked(lab), [""; 0], "processes are left: {ran}");
    assert!(ran.stderr.contains("interrupted; what was measured is in records.jsonl"), "{ran}");
    assert_eq!(lab.samples().len(), runs, "records of all processes that ended, and no other");
    ran
}

#[test]
fn ctrl_c_keeps_the_records_and_leaves_no_process() {
    let lab = Lab::new();
    // The reference and the A/A arm have been counted, and their memory taken.
    interrupted(&lab, 4, libc::SIGINT);
    assert!(lab.samples().iter().all(|sample| sample.pass != Pass::Time));
    let rows = lab.run(&["report", "--json", "records.jsonl"]).exits(0).rows();
    for metric in ["syscalls_brk", "minor_faults", "peak_rss_bytes"] {
        assert!(rows.median("glibc", metric) > 0.0);
    }
    lab.run(&["report", "records.jsonl", "-o", "page.html"]).exits(0);
    assert!(lab.read("page.html").contains("</html>"));
}

#[test]
fn a_request_to_terminate_does_the_same_in_any_pass() {
    for (runs, with) in [(1, libc::SIGTERM), (3, libc::SIGHUP)] {
        let lab = Lab::new();
        interrupted(&lab, runs, with);
        lab.run(&["report", "records.jsonl", "-o", "page.html"]);
        assert!(lab.read("page.html").contains("</html>"));
    }
}

#[test]
fn an_interruption_before_the_first_record_is_told_as_such() {
    let lab = Lab::new();
    let ran = interrupted(&lab, 0, libc::SIGINT);
    assert!(ran.stdout.contains("Nothing was measured"), "{ran}");
    let ran = lab.run(&["report", "records.jsonl", "-o", "page.html"]).exits(2);
    assert!(ran.stdout.contains("Nothing was measured"), "{ran}");
}

#[test]
fn a_program_killed_outright_leaves_no_process_either() {
    for runs in [0, 2, 4] {
        let lab = Lab::new();
        let started = start(&lab, runs);
        signal(&started, libc::SIGKILL);
        assert_eq!(started.wait().code, None);
        assert!(until(|| marked(&lab).is_empty()), "{:?} are left", marked(&lab));
        assert_eq!(lab.samples().len(), runs);
    }
}

#[test]
fn signals_that_were_ignored_from_the_start_stay_ignored() {
    // As under nohup, and in the background of a script.
    let lab = Lab::new();
    let script = "echo x >> started; while [ ! -e go ]; do sleep 0.05; done";
    let arguments = ["compare", "-e", "glibc", "-o", "records.jsonl", "--rounds", "1", "--"];
    let mut command = lab.brkpoint(&[&arguments[..], &["sh", "-c", script]].concat());
    disposed(&mut command, libc::SIG_IGN);
    let started = Started::new(&mut command);
    assert!(until(|| lab.path("started").exists()));
    signal(&started, libc::SIGHUP);
    signal(&started, libc::SIGINT);
    lab.write("go", "");
    started.wait().exits(0);
    assert_eq!(lab.samples().len(), 6);
}
