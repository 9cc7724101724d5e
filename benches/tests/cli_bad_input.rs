//! Bad input is told with its remedy, ends with status 2 and leaves nothing behind.

mod cli_support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use cli_support::{Lab, Ran};

const TRACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../workloads/traces/xz.trace");

/// The program refuses `arguments`, naming each of `words`, and makes no file.
#[track_caller]
fn refuses(arguments: &[&str], words: &[&str]) {
    let lab = Lab::new();
    refuses_in(&lab, arguments, words);
    assert!(lab.holds_only(&[]), "it left a file behind");
}

#[track_caller]
fn refuses_in(lab: &Lab, arguments: &[&str], words: &[&str]) -> Ran {
    lab.run(arguments).exits(2).complains_of(words)
}

/// The program refuses `compare` with `options` for `true`.
#[track_caller]
fn refuses_to_compare(options: &[&str], words: &[&str]) {
    refuses(&[&["compare"], options, &["--", "true"]].concat(), words);
}

#[test]
fn an_unknown_engine_is_told_with_those_there_are() {
    refuses_to_compare(&["-e", "mimaloc"], &["\"mimaloc\"", "did you mean mimalloc", "glibc"]);
    refuses_to_compare(&["-e", "hoard"], &["\"hoard\"", "brkpoint", "path of a library"]);
    refuses_to_compare(&["-e", ""], &["names no engine", "ENGINE:knob=value"]);
}

#[test]
fn an_unknown_knob_is_told_with_those_there_are() {
    let words = ["glibc", "\"top_padd\"", "did you mean top_pad", "mmap_threshold"];
    refuses_to_compare(&["-e", "glibc:top_padd=1M"], &words);
    refuses_to_compare(&["-e", "glibc:top_pad"], &["\"top_pad\"", "knob=value"]);
}

#[test]
fn a_value_that_a_knob_does_not_take_is_told_with_what_it_takes() {
    refuses_to_compare(&["-e", "glibc:top_pad=much"], &["top_pad=much", "a size in bytes"]);
    refuses_to_compare(&["-e", "brkpoint:preset=brk"], &["preset=brk", "brk-only", "mmap-only"]);
    refuses_to_compare(&["-e", "glibc:tcache_count=128"], &["tcache_count=128", "from 0 to 127"]);
    refuses_to_compare(&["-e", "glibc:top_pad=1M,top_pad=2M"], &["top_pad is set twice"]);
}

#[test]
fn a_library_that_is_not_there_is_told() {
    refuses_to_compare(&["-e", "./no.so"], &["./no.so", "No such file"]);
    refuses_to_compare(&["-e", "/"], &["cannot read the library /", "no file"]);
}

#[test]
fn a_file_that_is_no_library_is_never_measured_as_glibc() {
    let lab = Lab::new();
    lab.write("text.so", "this is no library\n");
    let arguments = ["compare", "-e", "glibc", "-e", "./text.so", "--", "true"];
    refuses_in(&lab, &arguments, &["text.so does not load", "file too short"]);
    lab.write("long.so", "this is no library\n".repeat(500));
    let arguments = ["compare", "-e", "glibc", "-e", "./long.so", "--", "true"];
    refuses_in(&lab, &arguments, &["long.so does not load", "invalid ELF header"]);
    assert!(lab.holds_only(&["text.so", "long.so"]), "it left a file behind");
}

#[test]
fn a_library_without_a_malloc_is_never_measured_as_glibc() {
    let maps = fs::read_to_string("/proc/self/maps").expect("reading the own mappings");
    let libc = maps.lines().find_map(|line| line.ends_with("/libc.so.6").then(|| line.split(' ')));
    let libc = libc.and_then(|mut fields| fields.next_back()).expect("a C library");
    let libm = libc.replace("libc.so.6", "libm.so.6");
    refuses_to_compare(&["-e", "glibc", "-e", &libm], &[&libm, "does not answer", "libc.so.6"]);
}

#[test]
fn a_command_that_does_not_exist_is_told() {
    let engines = ["compare", "-e", "glibc", "-e", "brkpoint"];
    let refuses = |command: &[&str], words: &[&str]| refuses(&[&engines, command].concat(), words);
    refuses(&["--", "no-such-command"], &["no-such-command: command not found", "PATH"]);
    refuses(&["--", "./no-such-command"], &["./no-such-command: command not found", "the path"]);
    refuses(&["--", ""], &["command not found"]);
    // Before the workloads are measured, not after.
    refuses(&["-w", "small-churn", "--", "no-such-command"], &["no-such-command", "PATH"]);
}

#[test]
fn a_command_that_cannot_be_executed_is_told() {
    let lab = Lab::new();
    lab.write("plain", "echo hello\n");
    lab.write("odd", "neither a script nor a program\n");
    lab.write("orphan", "#!/no/such/interpreter\n");
    for name in ["odd", "orphan"] {
        fs::set_permissions(lab.path(name), Permissions::from_mode(0o755)).expect("chmod");
    }
    fs::create_dir(lab.path("directory")).expect("mkdir");
    for (command, why) in [
        ("./plain", "not an executable file"),
        ("./directory", "not an executable file"),
        ("./odd", "neither a program for this machine nor a script"),
        ("./orphan", "interpreter"),
    ] {
        refuses_in(&lab, &["compare", "-e", "glibc", "--", command], &[command, why]);
    }
    assert!(lab.holds_only(&["plain", "odd", "orphan", "directory"]), "it left a file behind");
}

#[test]
fn an_unknown_workload_is_told() {
    refuses(&["compare", "-w", "small-chrun"], &["\"small-chrun\"", "brkpoint list"]);
}

#[test]
fn absurd_rounds_are_told_with_what_is_sensible() {
    for rounds in ["0", "-1", "99999999", "1e3", "x", ""] {
        let given = format!("'{rounds}'");
        refuses_to_compare(&["--rounds", rounds], &[&given, "--rounds", "from 1 to 10000"]);
    }
}

#[test]
fn absurd_times_and_scales_are_told_with_what_is_sensible() {
    for time in ["0s", "-3s", "10", "soon"] {
        let given = format!("'{time}'");
        refuses_to_compare(&["--timeout", time], &[&given, "--timeout", "30s"]);
    }
    for scale in ["0", "-1", "nan", "inf", "1e9", "much"] {
        let given = format!("'{scale}'");
        let arguments = ["compare", "-w", "small-churn", "--scale", scale];
        refuses(&arguments, &[&given, "--scale", "from 0.001 to 1000"]);
    }
}

#[test]
fn threads_that_there_cannot_be_are_told_with_what_is_sensible() {
    let gate = ["gate", "--base", "glibc", "--new", "glibc:top_pad=1M"];
    for verb in [&["compare"][..], &["tune"], &gate] {
        for threads in ["0", "-1", "257", "1.5", "many", ""] {
            let given = format!("'{threads}'");
            let asked = [verb, &["-w", "larson", "--threads", threads]].concat();
            refuses(&asked, &[&given, "--threads", "from 1 to 256"]);
        }
        let words = ["small-churn runs in one thread", "larson", "mstress", "xmalloc"];
        refuses(&[verb, &["-w", "small-churn", "--threads", "2"]].concat(), &words);
        refuses(&[verb, &["-w", "small-churn:threads=2"]].concat(), &words);
        refuses(&[verb, &["-w", "larson:threads=0"]].concat(), &["larson:threads=0", "from 1 to"]);
        refuses(&[verb, &["--threads", "2", "--", "true"]].concat(), &["--workload"]);
        let words = ["is a trace", "leave --threads out"];
        refuses(&[verb, &["-w", TRACE, "--threads", "4"]].concat(), &words);
    }
    refuses(&["compare", "-w", "all", "--threads", "2"], &["small-churn runs in one thread"]);
    refuses(&["compare", "-w", "larson:thread=2"], &["\"larson:thread=2\"", "brkpoint list"]);
    let instead = format!("in place of --threads, give -w larson:threads=4 -w {TRACE}");
    for verb in [&["compare"][..], &gate] {
        let asked = [verb, &["-w", "larson", "-w", TRACE, "--threads", "4"]].concat();
        refuses(&asked, &["is a trace", &instead]);
    }
}

#[test]
fn an_input_that_cannot_be_read_is_told() {
    refuses_to_compare(&["--input", "no-such-file"], &["no-such-file", "standard input"]);
    refuses(&["compare", "-w", "small-churn", "--input", "file"], &["--input", "-- COMMAND"]);
}

#[test]
fn the_same_thing_twice_is_told() {
    refuses_to_compare(&["-e", "glibc", "-e", "glibc"], &["glibc is given twice", "A/A"]);
    // However it is spelled.
    let twice = ["-e", "glibc:top_pad=1M", "-e", "glibc:top_pad=1024K"];
    refuses_to_compare(&twice, &["glibc:top_pad=1024K is given twice"]);
    let twice = ["compare", "-w", "straddle", "-w", "straddle"];
    refuses(&twice, &["workload straddle is given twice"]);
    // As many threads as by default are no other workload.
    let twice = ["compare", "-w", "larson", "-w", "larson:threads=2"];
    refuses(&twice, &["workload larson is given twice"]);
}

#[test]
fn nothing_to_run_is_told() {
    refuses(&["compare"], &["nothing to run", "-w WORKLOAD", "brkpoint list"]);
    refuses(&["compare", "-e", "glibc", "--"], &["nothing to run"]);
}

#[test]
fn slips_of_the_finger_are_recognised() {
    refuses(&["compare", "--enigne", "glibc"], &["'--enigne'", "'--engine'"]);
    refuses(&["comapre"], &["'comapre'", "'compare'"]);
    refuses(&["report"], &["<RECORDS>"]);
    // A command without `--` before it.
    refuses(&["compare", "-e", "glibc", "true"], &["'true'", "-- <COMMAND>"]);
}

#[test]
fn a_record_file_is_never_overwritten() {
    let lab = Lab::new();
    lab.write("kept.jsonl", "what was measured before\n");
    let arguments = ["compare", "-e", "glibc", "-o", "kept.jsonl", "--", "true"];
    refuses_in(&lab, &arguments, &["kept.jsonl", "File exists", "-o"]);
    assert_eq!(lab.read("kept.jsonl"), "what was measured before\n");
    // Nor is it when the command cannot be started.
    let arguments = ["compare", "-e", "glibc", "-o", "kept.jsonl", "--", "no-such-command"];
    refuses_in(&lab, &arguments, &["kept.jsonl"]);
    assert_eq!(lab.read("kept.jsonl"), "what was measured before\n");
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_anything_runs() {
    let lab = Lab::new();
    lab.write("file", "no directory\n");
    let command = ["--", "sh", "-c", "echo ran > ran"];
    for place in ["file/records.jsonl", "/proc/records.jsonl"] {
        let arguments = [&["compare", "-e", "glibc", "-o", place], &command[..]].concat();
        refuses_in(&lab, &arguments, &["cannot write the record file", place, "-o"]);
    }
    // The usual place, where something is in the way.
    lab.write("target", "no directory\n");
    let arguments = [&["compare", "-e", "glibc"], &command[..]].concat();
    refuses_in(&lab, &arguments, &["cannot write the record file target/brkpoint/", "-o"]);
    assert!(!lab.path("ran").exists());
}

#[test]
fn an_error_is_told_once() {
    let lab = Lab::new();
    let missing = refuses_in(&lab, &["compare", "-e", "./no.so", "--", "true"], &["No such file"]);
    let unread = refuses_in(&lab, &["report", "no.jsonl"], &["no.jsonl", "No such file"]);
    for ran in [missing, unread] {
        assert_eq!(ran.stderr.matches("No such file").count(), 1, "{ran}");
    }
}

#[test]
fn a_page_never_replaces_records_a_link_or_a_device() {
    let lab = Lab::new();
    lab.compare(&["glibc"], &["--rounds", "1", "--", "true"]).exits(0);
    let records = lab.read("records.jsonl");
    let report = ["report", "records.jsonl", "-o"];
    let onto = |place| [&report[..], &[place]].concat();
    refuses_in(&lab, &onto("records.jsonl"), &["records.jsonl", "holds records", "-o"]);
    refuses_in(&lab, &onto("./records.jsonl"), &["holds records"]);
    assert_eq!(lab.read("records.jsonl"), records);

    let link = |to: &str, from| symlink(to, lab.path(from)).expect("making a link");
    link("/dev/null", "device");
    link("elsewhere.html", "page.html");
    lab.write("elsewhere.html", "old");
    for place in ["device", "page.html"] {
        lab.run(&onto(place)).exits(0);
        assert!(lab.path(place).is_symlink(), "{place} was replaced");
    }
    assert!(lab.read("elsewhere.html").contains("</html>"));
    refuses_in(&lab, &onto("/proc/page.html"), &["cannot write /proc/page.html", "-o"]);
    refuses_in(&lab, &onto("."), &["cannot write .", "-o"]);
}
