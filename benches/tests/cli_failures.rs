//! What goes wrong under one engine is an error in its row; the others go on.

mod cli_support;

use std::process::Command;

use brkpoint_reports::record::{Exit, Pass, Sample};
use cli_support::{Lab, Ran, has, run};

/// Two that are told apart by a variable of the engine's.
const GOOD: &str = "brkpoint:preset=brk-only";
const BAD: &str = "brkpoint:preset=mmap-only";

/// Compares `script` under glibc and both presets; `$BAD` is set under one of them.
fn compare(lab: &Lab, options: &[&str], script: &str) -> Ran {
    let script = format!("case $BRKPOINT_PRESET in mmap-only) BAD=1;; esac; {script}");
    let command = ["--rounds", "1", "--", "sh", "-c", &script];
    lab.compare(&["glibc", GOOD, BAD], &[options, &command].concat())
}

fn of<'s>(samples: &'s [Sample], engine: &str) -> Vec<&'s Sample> {
    let own: Vec<_> = samples.iter().filter(|sample| sample.cell.spelling() == engine).collect();
    assert!(!own.is_empty(), "{engine} has no sample");
    own
}

#[test]
fn an_exit_status_that_differs_under_one_engine_is_its_error() {
    let lab = Lab::new();
    let rows = compare(&lab, &[], "test -z \"$BAD\" || exit 3").exits(1).rows();
    rows.are_sound(&["glibc", GOOD]);
    assert_eq!(rows.error(BAD), "exit status 3, where glibc has exit status 0");
    let samples = lab.samples();
    for (engine, code) in [("glibc", 0), (GOOD, 0), (BAD, 3)] {
        for sample in of(&samples, engine) {
            assert_eq!(sample.exit, Some(Exit::Code(code)), "{engine}");
        }
    }
}

#[test]
fn an_exit_status_that_is_the_same_everywhere_is_no_error() {
    let lab = Lab::new();
    let rows = compare(&lab, &[], "echo seven; exit 7").exits(0).rows();
    rows.are_sound(&["glibc", GOOD, BAD]);
    assert!(lab.samples().iter().all(|sample| sample.exit == Some(Exit::Code(7))));
}

#[test]
fn output_that_differs_under_one_engine_is_its_error() {
    let lab = Lab::new();
    let rows = compare(&lab, &[], "echo output$BAD").exits(1).rows();
    rows.are_sound(&["glibc", GOOD]);
    let error = rows.error(BAD);
    assert!(error.contains("output differs") && error.contains("glibc"), "{error}");
}

#[test]
fn output_that_varies_under_the_reference_is_a_note() {
    let lab = Lab::new();
    compare(&lab, &[], "echo $$").exits(0).rows().are_sound(&["glibc", GOOD, BAD]);
    let told = lab.run(&["report", "records.jsonl", "-o", "page.html"]).exits(0);
    assert_eq!(told.stderr, "", "{told}");
    assert!(lab.read("page.html").contains("the output varies from run to run under glibc itself"));
}

#[test]
fn a_crash_under_one_engine_is_its_error() {
    let lab = Lab::new();
    let rows = compare(&lab, &[], "test -z \"$BAD\" || kill -SEGV $$; echo alive").exits(1).rows();
    rows.are_sound(&["glibc", GOOD]);
    assert!(rows.error(BAD).contains("killed by signal 11"), "{}", rows.error(BAD));
    let samples = lab.samples();
    let crashed = of(&samples, BAD);
    assert_eq!(crashed.len(), 1, "a cell that failed is not run again");
    assert_eq!(crashed[0].exit, Some(Exit::Signal(libc::SIGSEGV)));
}

#[test]
fn the_last_words_of_a_crash_are_in_its_error() {
    let lab = Lab::new();
    let script = "test -z \"$BAD\" || { echo 'corrupted top size' >&2; kill -ABRT $$; }";
    let error = compare(&lab, &[], script).exits(1).rows().error(BAD);
    assert!(error.contains("signal 6") && error.contains("corrupted top size"), "{error}");
}

#[test]
fn a_time_out_under_one_engine_is_its_error() {
    let lab = Lab::new();
    let script = "test -z \"$BAD\" || sleep 1000; echo done";
    let rows = compare(&lab, &["--timeout", "8s"], script).exits(1).rows();
    rows.are_sound(&["glibc", GOOD]);
    assert_eq!(rows.error(BAD), "timed out");
    assert_eq!(of(&lab.samples(), BAD)[0].exit, Some(Exit::TimedOut));
}

#[test]
fn a_crash_under_every_engine_leaves_nothing_measured() {
    let lab = Lab::new();
    let rows = compare(&lab, &[], "kill -SEGV $$").exits(2).rows();
    for engine in ["glibc", GOOD, BAD] {
        assert!(rows.error(engine).contains("killed by signal 11"), "{engine}");
    }
}

#[test]
fn a_program_that_vanishes_meanwhile_is_an_error_of_what_comes_after() {
    let lab = Lab::new();
    lab.write("tool", "#!/bin/sh\nrm tool\n");
    run(&mut lab.command("chmod", &["+x", "tool"])).exits(0);
    let ran = lab.compare(&["glibc", GOOD], &["--rounds", "1", "--", "./tool"]).exits(2);
    assert!(ran.rows().error("glibc").contains("./tool: command not found"), "{ran}");
    let samples = lab.samples();
    assert_eq!(samples.iter().filter(|sample| sample.error.is_none()).count(), 1);
    assert!(samples.iter().all(|sample| sample.exit.is_some() == sample.error.is_none()));
}

/// A static program that allocates, beside the tests; `None` if it cannot be made
/// and that is allowed.
fn static_program(lab: &Lab) -> Option<()> {
    if !has("gcc") {
        return None;
    }
    lab.write("static.c", "#include <stdlib.h>\nint main(void) { return !malloc(100000); }\n");
    let made = Command::new("gcc")
        .args(["-static", "-O0", "-o", "static", "static.c"])
        .current_dir(lab.dir())
        .output()
        .expect("starting gcc");
    if made.status.success() {
        return Some(());
    }
    let allowed = std::env::var("BRKPOINT_SKIP").unwrap_or_default();
    assert!(
        allowed.split(',').any(|name| name == "libc.a"),
        "no static programs here: install libc.a, or set BRKPOINT_SKIP=libc.a; gcc says {}",
        String::from_utf8_lossy(&made.stderr)
    );
    None
}

#[test]
fn a_static_program_is_never_a_result_of_a_preloaded_engine() {
    let lab = Lab::new();
    let Some(()) = static_program(&lab) else { return };
    let ran = lab.compare(&["glibc", "brkpoint"], &["--rounds", "1", "--", "./static"]).exits(1);
    let rows = ran.rows();
    rows.are_sound(&["glibc"]);
    let error = rows.error("brkpoint");
    assert!(
        error.contains("static") && error.contains("brkpoint was not in the command's process"),
        "{error}"
    );
    for sample in of(&lab.samples(), "brkpoint") {
        assert_eq!(sample.pass, Pass::Counts);
        assert!(sample.not_covered[0].contains("/static (statically linked"), "{sample:?}");
    }
}

#[test]
fn a_static_child_of_a_covered_shell_is_listed() {
    let lab = Lab::new();
    let Some(()) = static_program(&lab) else { return };
    let command = ["--rounds", "1", "--", "sh", "-c", "./static; ./static; echo $?"];
    lab.compare(&["glibc", "brkpoint"], &command).exits(0).rows().are_sound(&["glibc", "brkpoint"]);
    let samples = lab.samples();
    for sample in of(&samples, "brkpoint").iter().filter(|sample| sample.pass != Pass::Time) {
        let [only] = &sample.not_covered[..] else { panic!("{sample:?}") };
        assert!(only.contains("/static (statically linked"), "{only}");
    }
    for sample in of(&samples, "glibc") {
        assert_eq!(sample.not_covered, [""; 0], "glibc is in a static program too");
    }
    lab.run(&["report", "records.jsonl", "-o", "page.html"]).exits(0);
    assert!(lab.read("page.html").contains("not covered"), "the page does not say so");
}

#[test]
fn a_command_that_turns_into_a_static_program_is_not_covered() {
    let lab = Lab::new();
    let Some(()) = static_program(&lab) else { return };
    let command = ["--rounds", "1", "--", "sh", "-c", "exec ./static"];
    let rows = lab.compare(&["glibc", "brkpoint"], &command).exits(1).rows();
    let error = rows.error("brkpoint");
    assert!(error.contains("was not in the command's process"), "{error}");
}
