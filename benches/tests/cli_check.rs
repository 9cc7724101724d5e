//! `brkpoint check` finds what is planted into an allocator, names the promise
//! and shrinks the program; and a sound allocator passes.

mod cli_support;

use std::path::{Path, PathBuf};
use std::process::Command;

use cli_support::{Lab, Ran};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Row {
    chapter: String,
    programs: u64,
    operations: u64,
    kept: bool,
    broken: Option<String>,
    what: Option<String>,
    program: Option<String>,
}

/// The allocator with a bug, as a library in the lab.
fn planted(lab: &Lab, bug: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli_check.c");
    let library = lab.path(&format!("{}.so", bug.to_lowercase()));
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-fno-builtin", "-shared", "-fPIC", "-pthread", &format!("-DBUG={bug}")]);
    let status = cc.arg("-o").arg(&library).arg(source).status().expect("cc runs");
    assert!(status.success(), "the planted allocator does not compile");
    library
}

fn check(lab: &Lab, bug: &str, chapters: &[&str]) -> Ran {
    let library = planted(lab, bug);
    let library = library.to_str().expect("a plain path");
    let mut arguments = vec!["check", "--json", "--time", "1ms", "--preload", library];
    arguments.extend(chapters.iter().flat_map(|chapter| ["--chapter", chapter]));
    lab.run(&arguments)
}

#[test]
fn a_sound_allocator_keeps_every_promise() {
    let ran = check(&Lab::new(), "NONE", &[]).exits(0);
    let rows: Vec<Row> = ran.json();
    assert_eq!(rows.len(), 11, "{ran}");
    assert!(rows.iter().all(|row| row.kept && row.programs == 1 && row.operations > 0), "{ran}");
}

#[test]
fn each_planted_bug_is_found_and_named_by_the_promise_it_breaks() {
    for (bug, chapter, broken) in [
        ("MISALIGNS", "aligned", "alignment"),
        ("BOASTS", "small", "disjoint"),
        ("WRAPS", "impossible", "impossible"),
        ("KEEPS_DIRT", "exhaustive", "zeroed"),
        ("FORGETS_ERRNO", "impossible", "reported"),
        ("CHANGES_ERRNO", "small", "reported"),
        ("CUTS_SHORT", "small", "prefix"),
        ("REFUSES_BADLY", "impossible", "harmless"),
        ("TRIMS_TOO_MUCH", "events", "contents"),
        ("LEAKS", "rounds", "bounded"),
        ("ORPHANS", "fork", "fork"),
        ("DIES", "large", "died: killed by signal 6"),
    ] {
        let ran = check(&Lab::new(), bug, &[chapter]).exits(1);
        let rows: Vec<Row> = ran.json();
        let [row] = &rows[..] else { panic!("{ran}") };
        assert_eq!((row.chapter.as_str(), row.kept), (chapter, false), "{bug}: {ran}");
        assert_eq!(row.broken.as_deref(), Some(broken), "{bug}: {ran}");
        let program = row.program.as_deref().unwrap_or_default();
        let operations = program.lines().count();
        // A leak shows only by what much of it adds up to, so that many operations
        // are needed; their number differs with the addresses.
        let most = if bug == "LEAKS" { 100 } else { 4 };
        assert!((1..=most).contains(&operations), "{bug}: not shrunk: {ran}");
    }
}

#[test]
fn threads_that_race_are_noticed() {
    let ran = check(&Lab::new(), "RACES", &["storm"]).exits(1);
    let rows: Vec<Row> = ran.json();
    assert!(!rows[0].kept && rows[0].what.is_some(), "{ran}");
}

#[test]
fn a_hang_is_given_up_on() {
    let lab = Lab::new();
    let library = planted(&lab, "HANGS");
    lab.write("hangs.ops", "alloc 0 4000 16\nrealloc 0 5000 # here\n");
    let library = library.to_str().expect("a plain path");
    let arguments = ["check", "--json", "--preload", library, "--chapter", "small"];
    let limits = ["--patience", "2s", "--program", "hangs.ops"];
    let ran = lab.run(&[&arguments[..], &limits].concat()).exits(1);
    let rows: Vec<Row> = ran.json();
    assert!(rows[0].broken.as_deref().is_some_and(|way| way.starts_with("hung")), "{ran}");
    let program = rows[0].program.as_deref().unwrap_or_default();
    assert!(program.starts_with("alloc 0 3") && program.lines().count() == 2, "{ran}");
}

#[test]
fn a_finding_is_told_in_words_and_kept_as_a_program_that_fails_again() {
    let lab = Lab::new();
    let library = planted(&lab, "CUTS_SHORT");
    let library = library.to_str().expect("a plain path");
    let arguments = ["check", "--time", "1ms", "--preload", library, "--chapter", "small"];
    let ran = lab.run(&arguments).exits(1);
    for part in [
        "small       BROKEN",
        "promised: A resized block keeps the contents of the smaller of both sizes.",
        "operations are enough (seed 1):\n   0  allocate 101 bytes as block 0\n",
        "  again: brkpoint check -e ",
    ] {
        assert!(ran.stdout.contains(part), "no {part:?}: {ran}");
    }
    let file = |extension: &str| {
        let words = ran.stdout.split_whitespace();
        let found = words.into_iter().find(|word| word.ends_with(extension));
        found.unwrap_or_else(|| panic!("no file: {ran}")).to_owned()
    };
    let again = ["check", "--preload", library, "--chapter", "small", "--program", &file(".ops")];
    lab.run(&again).exits(1);
    assert!(lab.read(&file(".c")).contains("block[0] = malloc(101u);"), "{ran}");
    // A sound one performs it.
    let sound = planted(&lab, "NONE");
    let sound = sound.to_str().expect("a plain path");
    lab.run(&["check", "--preload", sound, "--chapter", "small", "--program", &file(".ops")])
        .exits(0);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_remedy() {
    let lab = Lab::new();
    lab.write("bad.ops", "alloc 0 100 16\nfrob 1\n");
    lab.write("empty.ops", "# nothing\n");
    for (arguments, words) in [
        (&["check"][..], &["which engine", "brkpoint list"][..]),
        (&["check", "-e", "glibc", "--chapter", "smal"], &["\"smal\"", "small, large"]),
        (&["check", "-e", "nosuch"], &["nosuch"]),
        (&["check", "--preload", "no/such.so"], &["no/such.so"]),
        (&["check", "-e", "glibc", "--program", "bad.ops"], &["--chapter"]),
        (
            &["check", "-e", "glibc", "--chapter", "small", "--program", "bad.ops"],
            &["bad.ops", "line 2", "frob 1"],
        ),
        (
            &["check", "-e", "glibc", "--chapter", "small", "--program", "empty.ops"],
            &["empty.ops", "no operation"],
        ),
        (&["check", "-e", "glibc", "--chapter", "storm", "--program", "bad.ops"], &["storm"]),
    ] {
        lab.run(arguments).exits(2).complains_of(words);
    }
}
