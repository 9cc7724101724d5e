//! What the program shows: lists, help, tables and JSON, on a terminal and off it.

mod cli_support;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::ptr;

use brkpoint::engine::Engines;
use brkpoint_workloads::synthetic;
use cli_support::{Lab, OF_COMMANDS, Ran, our_library, run};
use serde_json::{Map, Value};

const ESCAPE: char = '\x1b';
const COMPARE: [&str; 7] = ["compare", "-e", "glibc", "--rounds", "1", "--", "true"];

/// The first line of `records.jsonl`.
fn begun(lab: &Lab) -> Value {
    let records = lab.read("records.jsonl");
    serde_json::from_str(records.lines().next().expect("a run")).expect("JSON")
}

#[test]
fn list_shows_every_engine_and_every_workload() {
    let lab = Lab::new();
    let text = lab.run(&["list"]).exits(0).stdout;
    let entries: Vec<Map<String, Value>> = lab.run(&["list", "--json"]).exits(0).json();
    let listed = |kind: &str| -> Vec<&str> {
        let of_kind = entries.iter().filter(|entry| entry["type"] == kind);
        of_kind.map(|entry| entry["name"].as_str().expect("a name")).collect()
    };
    let engines: Vec<&str> = Engines::builtin().iter().map(|e| e.name.as_str()).collect();
    let workloads: Vec<&str> = synthetic::ALL.iter().map(|workload| workload.name).collect();
    assert_eq!(listed("engine"), engines);
    assert_eq!(listed("workload"), workloads);
    for name in engines.iter().chain(&workloads) {
        assert!(text.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name}");
    }
    for workload in synthetic::ALL {
        let entry = entries.iter().find(|entry| entry["name"] == workload.name).expect("listed");
        assert_eq!(entry["threads"], Value::from(workload.threads), "{entry:?}");
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(workload.name));
        let shown = workload.threads.map(|threads| format!("(--threads {threads})"));
        let end = shown.as_deref().unwrap_or(workload.about);
        assert!(line.is_some_and(|line| line.ends_with(end)), "{line:?}");
    }
    for entry in entries.iter().filter(|entry| entry["type"] == "engine") {
        // It is here, or it is said why not and what to do.
        assert_ne!(entry["version"].is_string(), entry["error"].is_string(), "{entry:?}");
    }
}

#[test]
fn another_number_of_threads_is_another_workload_in_records_and_diffs() {
    let lab = Lab::new();
    let little = ["-w", "larson", "--scale", "0.01", "--rounds", "1"];
    let both = [&little[..], &["-w", "larson:threads=3"]].concat();
    let rows = lab.compare(&["glibc"], &both).exits(0).rows();
    let mut digests = BTreeMap::new();
    for sample in lab.samples() {
        let digest = sample.digest.expect("a digest");
        let known = digests.entry(sample.cell.workload).or_insert_with(|| digest.clone());
        assert_eq!(*known, digest);
    }
    let workloads: Vec<&str> = digests.keys().map(String::as_str).collect();
    assert_eq!(workloads, ["larson", "larson:threads=3"]);
    assert_ne!(digests["larson"], digests["larson:threads=3"]);
    assert!(workloads.iter().all(|name| rows.0.iter().any(|row| row.workload == *name)));
    // What the page says that they do.
    let run = begun(&lab);
    let (usual, three) = (&run["about"]["larson"], &run["about"]["larson:threads=3"]);
    assert!(usual.as_str().is_some_and(|about| about.starts_with("two threads")), "{run}");
    assert!(three.as_str().is_some_and(|about| about.ends_with("here threads=3, not 2")), "{run}");

    let measured = |threads, file| {
        let engine = ["compare", "-e", "glibc", "-o", file, "--threads", threads];
        lab.run(&[&engine[..], &little].concat()).exits(0);
    };
    measured("2", "usual.jsonl");
    measured("3", "three.jsonl");
    let diff = |base| lab.run(&["diff", base, "three.jsonl"]);
    let words = ["larson under glibc", "larson:threads=3 under glibc"];
    diff("usual.jsonl").exits(2).complains_of(&words);
    let common = diff("records.jsonl");
    assert!(common.stdout.contains("larson:threads=3"), "{common}");
}

#[test]
fn nothing_of_a_workload_is_said_of_a_command_that_has_its_name() {
    let lab = Lab::new();
    lab.write("straddle", "#!/bin/sh\n");
    fs::set_permissions(lab.path("straddle"), Permissions::from_mode(0o755)).expect("changed");
    let path = std::env::join_paths([lab.dir(), Path::new("/usr/bin"), Path::new("/bin")]);
    let output = ["-o", "records.jsonl", "--rounds", "1"];
    let words = [&["compare", "-e", "glibc"][..], &output, &["--", "straddle"]].concat();
    run(lab.brkpoint(&words).env("PATH", path.expect("a plain path"))).exits(0);
    let run = begun(&lab);
    assert_eq!((&run["cells"][0]["workload"], &run["about"]), (&"straddle".into(), &Value::Null));
}

#[test]
fn list_shows_the_knobs_with_what_they_take() {
    let text = Lab::new().run(&["list", "--knobs"]).exits(0).stdout;
    for engine in Engines::builtin().iter() {
        for knob in &engine.knobs {
            assert!(text.contains(&knob.name) && text.contains(&knob.expected()), "{}", knob.name);
        }
    }
}

#[test]
fn every_verb_has_help_with_an_example() {
    let lab = Lab::new();
    for verb in ["compare", "diff", "gate", "list", "report"] {
        let help = lab.run(&[verb, "--help"]).exits(0).stdout;
        let example = format!("\n  brkpoint {verb}");
        assert!(help.contains("Example") && help.contains(&example), "{help}");
        let short = lab.run(&[verb, "-h"]).exits(0).stdout;
        assert!(short.lines().count() < help.lines().count(), "{short}");
    }
    let help = lab.run(&["--help"]).exits(0).stdout;
    for word in ["compare", "diff", "gate", "list", "report", "Exit status", "130"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(help.contains("Example") && help.contains("\n  brkpoint"), "no example: {help}");
    let version = lab.run(&["--version"]).exits(0).stdout;
    assert!(version.starts_with("brkpoint ") && version.contains('.'), "{version}");
}

#[test]
fn json_is_one_object_a_line_with_all_its_fields() {
    let lab = Lab::new();
    let ran = lab.compare(&["glibc", "brkpoint:top_pad=1M"], &["--rounds", "2", "--", "true"]);
    let rows: Vec<Map<String, Value>> = ran.exits(0).json();
    for row in &rows {
        for field in [
            "engine", "settings", "workload", "metric", "unit", "median", "low", "high", "n",
            "error",
        ] {
            assert!(row.contains_key(field), "no {field}: {row:?}");
        }
        assert!(["seconds", "bytes", "count"].contains(&row["unit"].as_str().unwrap_or("")));
        assert!(
            row["n"].as_u64() >= Some(1) && row["median"].is_number() && row["error"].is_null()
        );
        assert_eq!(row["workload"], "true");
        // Counts may be exact; times give no interval from two samples.
        let timed = row["unit"] == "seconds";
        assert!(!timed || row["low"].is_null() && row["high"].is_null(), "{row:?}");
    }
    let arms = [("glibc", "", "reference"), ("glibc", "", "repeat")];
    for (engine, settings, role) in
        arms.into_iter().chain([("brkpoint", "top_pad=1M", "candidate")])
    {
        for metric in OF_COMMANDS {
            let matches = |row: &&Map<String, Value>| {
                (&row["engine"], &row["settings"]) == (&engine.into(), &settings.into())
                    && (&row["role"], &row["metric"]) == (&role.into(), &metric.into())
            };
            assert_eq!(rows.iter().filter(matches).count(), 1, "{engine} {role} {metric}");
        }
    }
}

#[test]
fn an_interval_is_given_from_eight_rounds_on() {
    let lab = Lab::new();
    let ran = lab.compare(&["glibc"], &["--rounds", "8", "--", "true"]).exits(0);
    let rows: Vec<Map<String, Value>> = ran.json();
    let wall = rows.iter().find(|row| row["metric"] == "wall_s").expect("a row of time");
    let number = |field: &str| wall[field].as_f64().unwrap_or_else(|| panic!("{field}: {wall:?}"));
    assert!(number("low") <= number("median") && number("median") <= number("high"));
}

#[test]
fn the_table_names_each_engine_and_where_the_records_are() {
    let lab = Lab::new();
    let arguments = ["compare", "-e", "glibc", "-e", "brkpoint", "--rounds", "1", "--", "true"];
    let ran = lab.run(&arguments).exits(0);
    for word in ["glibc", "glibc (A/A)", "brkpoint", "wall", "peak RSS", "minor faults", "mmap"] {
        assert!(ran.stdout.contains(word), "{word}: {ran}");
    }
    let [only] = ran.stderr.lines().collect::<Vec<_>>()[..] else { panic!("{ran}") };
    let records = only.strip_prefix("Records: ").and_then(|rest| rest.split(' ').next());
    let records = records.unwrap_or_else(|| panic!("{ran}"));
    assert!(records.starts_with("target/brkpoint/compare-") && lab.path(records).is_file());
}

#[test]
fn off_a_terminal_there_is_neither_colour_nor_progress() {
    let lab = Lab::new();
    let failing = [
        "compare",
        "-e",
        "glibc",
        "-e",
        "brkpoint",
        "--rounds",
        "1",
        "--",
        "sh",
        "-c",
        "test -z \"$LD_PRELOAD\"",
    ];
    for arguments in [&COMPARE[..], &failing, &["list"], &["--help"], &["comapre"]] {
        let ran = run(lab.brkpoint(arguments).env("TERM", "xterm-256color"));
        assert!(!ran.stdout.contains(ESCAPE) && !ran.stderr.contains(ESCAPE), "{ran:?}");
    }
}

#[test]
fn on_a_terminal_tables_are_coloured_unless_no_color_is_set() {
    let lab = Lab::new();
    let table = |colour: &str| {
        let mut command = lab.brkpoint(&COMPARE);
        command.env("TERM", "xterm").env("NO_COLOR", colour).stderr(Stdio::null());
        on_a_terminal(move |terminal| command.stdout(terminal).spawn())
    };
    // Set to nothing, it stands for nothing.
    let (coloured, plain) = (table(""), table("1"));
    assert!(coloured.contains(ESCAPE) && coloured.contains("glibc"), "{coloured:?}");
    assert!(!plain.contains(ESCAPE) && plain.contains("glibc"), "{plain:?}");
}

#[test]
fn on_a_terminal_progress_is_shown_with_the_time_left_beside_the_answer() {
    let lab = Lab::new();
    let command = ["compare", "--json", "-e", "glibc", "--rounds", "1", "--", "sleep", "0.3"];
    let mut command = lab.brkpoint(&command);
    command.env("TERM", "xterm").stdout(File::create(lab.path("answer")).expect("a file"));
    let progress = on_a_terminal(move |terminal| command.stderr(terminal).spawn());
    for word in [" left", "/6", "glibc on sleep 0.3", "Records: "] {
        assert!(progress.contains(word), "{word}: {progress:?}");
    }
    let answer = lab.read("answer");
    assert!(answer.lines().count() >= OF_COMMANDS.len() && !answer.contains(ESCAPE), "{answer}");
}

/// What the process that `start` makes prints to the terminal that `start` is given,
/// until no descriptor of that is left.
fn on_a_terminal(start: impl FnOnce(OwnedFd) -> io::Result<Child>) -> String {
    let (mut ours, mut theirs) = (-1, -1);
    let (name, settings) = (ptr::null_mut(), ptr::null());
    let size = libc::winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptors and the size point to variables that outlive the
    // call; the others may be null.
    let made = unsafe { libc::openpty(&mut ours, &mut theirs, name, settings, &size) };
    assert_eq!(made, 0, "openpty: {}", io::Error::last_os_error());
    // SAFETY: openpty has just made both, and nobody else owns them.
    let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    // SAFETY: sets a flag of a descriptor that is open.
    unsafe { libc::fcntl(ours.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    let mut child = start(theirs).expect("starting the program");
    let mut bytes = Vec::new();
    // The end of a terminal reads as an error.
    let _ = File::from(ours).read_to_end(&mut bytes);
    let status = child.wait().expect("waiting for the program");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(status.success(), "{status}: {text}");
    text
}

/// Runs it with nobody reading what it prints.
fn unread(lab: &Lab, arguments: &[&str]) -> Option<i32> {
    let mut command = lab.brkpoint(arguments);
    for _ in 0..2 {
        let (reader, writer) = io::pipe().expect("making a pipe");
        drop(reader);
        command.stdout(writer.try_clone().expect("cloning")).stderr(writer);
    }
    command.status().expect("starting the program").code()
}

#[test]
fn a_reader_that_has_gone_away_is_no_reason_to_fail() {
    let lab = Lab::new();
    for arguments in [&["list"][..], &["list", "--json"], &["list", "--knobs"], &["--help"]] {
        assert_eq!(unread(&lab, arguments), Some(0), "{arguments:?}");
    }
    assert_eq!(unread(&lab, &COMPARE), Some(0));
    assert_eq!(unread(&lab, &["compare", "-e", "no-such", "--", "true"]), Some(2));
    assert_eq!(unread(&lab, &["report", "no-such.jsonl"]), Some(2));
    let shell = run(&mut lab
        .command("sh", &["-c", "\"$0\" list --knobs | head -n 1", env!("CARGO_BIN_EXE_brkpoint")]));
    assert!(shell.stdout.starts_with("Engines") && shell.stderr.is_empty(), "{shell}");
}

/// Compares what `compare` counts for `true` in an environment with `variables`.
fn counted(variables: &[(&str, &str)]) -> (Ran, Vec<(String, Option<f64>)>) {
    let lab = Lab::new();
    let mut command = lab.brkpoint(&["compare", "--json", "-e", "glibc", "--rounds", "1", "--"]);
    let seen = "env > seen; grep -c brkpoint_malloc /proc/self/maps >> seen; exit 0";
    let ran = run(command.args(["sh", "-c", seen]).envs(variables.iter().copied())).exits(0);
    let rows = ran.rows();
    let of = rows.of("glibc").into_iter();
    let counts = of.filter(|row| row.metric.starts_with("syscalls_"));
    let counts = counts.map(|row| (row.metric.clone(), row.median)).collect();
    let seen = lab.read("seen");
    assert!(seen.ends_with("\n0\n"), "a library was preloaded: {seen}");
    for variable in ["MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD", "BRKPOINT_PRESET"] {
        assert!(!seen.contains(variable), "{variable} reached the process: {seen}");
    }
    let kept = variables.iter().filter(|(name, _)| *name == "KEPT");
    assert!(kept.into_iter().all(|_| seen.contains("KEPT=as it is")), "{seen}");
    (ran, counts)
}

#[test]
fn stray_settings_of_the_user_are_kept_from_what_is_measured_and_told() {
    let library = our_library();
    let library = library.to_str().expect("a path");

    let (plain, counts) = counted(&[]);
    assert!(!plain.stderr.contains("kept from"), "{plain}");
    let strays = [
        ("MALLOC_ARENA_MAX", "1"),
        ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"),
        ("BRKPOINT_PRESET", "mmap-only"),
        ("LD_PRELOAD", library),
    ];
    let (told, same) = counted(&[&strays[..], &[("KEPT", "as it is")]].concat());
    assert_eq!(same, counts);
    let line = told.stderr.lines().find(|line| line.contains("kept from what is measured"));
    let line = line.unwrap_or_else(|| panic!("not told: {told}"));
    for (name, _) in strays {
        assert!(line.contains(name), "{name}: {told}");
    }
    assert!(!line.contains("KEPT") && line.contains("brkpoint list --knobs"), "{told}");
}
