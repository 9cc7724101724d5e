//! `brkpoint explain` proves its claims on the machine that it runs on.

mod cli_support;

use std::collections::BTreeMap;

use cli_support::{Lab, Ran, run};
use serde::Deserialize;
use serde_json::Value;

use brkpoint::explain::CHAPTERS;

/// A line of `explain --json`.
#[derive(Debug, Deserialize)]
struct Claim {
    chapter: usize,
    engine: String,
    claim: String,
    holds: Option<bool>,
    why_unknown: Option<String>,
    values: BTreeMap<String, Value>,
}

fn explain(arguments: &[&str]) -> Vec<Claim> {
    let lab = Lab::new();
    lab.run(&[&["explain", "--json"], arguments].concat()).exits(0).json()
}

/// What was counted for a claim.
#[track_caller]
fn counted(claims: &[Claim], name: &str, values: &[(&str, u64)]) {
    let claim = claims.iter().find(|claim| claim.claim == name).expect(name);
    for (value, expected) in values {
        assert_eq!(claim.values[*value].as_u64(), Some(*expected), "{value} of {claim:?}");
    }
}

#[test]
fn every_claim_holds_under_glibc() {
    let claims = explain(&[]);
    for claim in &claims {
        assert!(claim.engine.starts_with("glibc 2."), "{claim:?}");
        // The one claim about time is judged by a median on a machine that may be busy.
        if claim.claim != "cost" {
            assert_eq!((claim.holds, &claim.why_unknown), (Some(true), &None), "{claim:?}");
        }
    }
    for chapter in 1..=CHAPTERS.len() {
        assert!(claims.iter().filter(|claim| claim.chapter == chapter).count() >= 3, "{chapter}");
    }
    // The figures of the C library's source, and of the page tables.
    counted(&claims, "exact", &[("below", 131_048), ("at", 131_049), ("maps", 0), ("moves_at", 0)]);
    counted(&claims, "ours", &[("at", 131_072)]);
    counted(&claims, "dynamic", &[("after", 1_052_672 - 23), ("ours", 1_052_672), ("maps", 0)]);
    counted(&claims, "pinned", &[("at", 131_049), ("pinned_maps", 100)]);
    counted(&claims, "heap", &[("before", 0), ("after", 135_168), ("usable", 24)]);
    counted(&claims, "header", &[("distance", 32), ("header", 8)]);
    counted(&claims, "rounding", &[("requests", 4096), ("others", 0), ("usable_25", 40)]);
    counted(&claims, "trimmed", &[("kept", 132 << 10)]);
    counted(&claims, "calls", &[("maps", 1000), ("unmaps", 1000), ("own", 0)]);
    counted(&claims, "holes", &[("grown", 4 << 20), ("own", 0)]);
    counted(&claims, "own", &[("agreeing", 8), ("size", 112), ("flags", 1)]);
}

/// Runs a command of the textbook's.
fn attempt(command: &str) -> Ran {
    let lab = Lab::new();
    let (program, rest) = command.split_once("brkpoint ").expect("it runs brkpoint");
    let arguments: Vec<&str> = rest.split(' ').chain(["--json"]).collect();
    match program.trim() {
        "" => lab.run(&arguments),
        wrapper => {
            let mut words = wrapper.split(' ');
            let first = words.next().expect("a program");
            let mut all: Vec<&str> = words.collect();
            all.push(env!("CARGO_BIN_EXE_brkpoint"));
            all.extend(arguments);
            run(&mut lab.command(first, &all))
        }
    }
}

#[test]
fn each_try_changes_the_outcome_that_it_names() {
    let stop = brkpoint::supervise::Stop::default();
    let worker = env!("CARGO_BIN_EXE_brkpoint").as_ref();
    let spec = "glibc".parse().expect("a spec");
    let lab = brkpoint::explain::Lab::new(&spec, worker, &stop).expect("glibc");
    for (name, experiment) in CHAPTERS {
        let chapter = experiment(&lab).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!chapter.tries.is_empty(), "{name}");
        for one in &chapter.tries {
            let claims: Vec<Claim> = attempt(one.command).exits(0).json();
            for broken in one.breaks {
                let claim = claims.iter().find(|claim| claim.claim == *broken).expect(broken);
                assert_eq!(claim.holds, Some(false), "{}: {claim:?}", one.command);
            }
            assert!(!one.breaks.is_empty(), "{}", one.command);
        }
    }
}

#[test]
fn both_languages_are_told_on_a_terminal() {
    let lab = Lab::new();
    let english = lab.run(&["explain", "4"]).exits(0).stdout;
    let chinese = lab.run(&["explain", "usable", "--lang", "zh"]).exits(0).stdout;
    assert!(english.contains("\n  ✓ holds\n") && chinese.contains("\n  ✓ 成立\n"), "{chinese}");
    // What is counted in this chapter does not vary.
    let numbers = |text: &str| -> Vec<String> {
        let digits = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        let mut all: Vec<String> = digits.map(str::to_owned).collect();
        all.sort();
        all
    };
    assert_eq!(numbers(&english), numbers(&chinese));
}

#[test]
fn both_languages_are_told_on_a_page() {
    let lab = Lab::new();
    for (language, heading) in
        [("en", "8. How free knows the size"), ("zh", "8. free 如何知道大小")]
    {
        let ran = lab.run(&["explain", "--lang", language, "-o", "malloc.html"]).exits(0);
        assert!(ran.stdout.contains("The page: malloc.html"), "{ran}");
        let page = lab.read("malloc.html");
        assert!(page.trim_end().ends_with("</html>") && page.contains(heading), "{language}");
        let count = |what: &str| page.matches(what).count();
        assert_eq!(count("class=\"chapter\""), CHAPTERS.len(), "{language}");
        assert_eq!(count("class=\"claim holds\"") + count("class=\"claim fails\""), 38);
        assert_eq!(count("class=\"tries\""), CHAPTERS.len(), "{language}");
        assert!(count("class=\"map\"") >= 10 && count("class=\"plot\"") >= 12, "{language}");
        assert!(!page.contains("{engine}"), "a placeholder was left");
        assert!(page.len() < 1 << 20, "{} bytes", page.len());
    }
}

#[test]
fn what_there_is_not_is_told() {
    let lab = Lab::new();
    lab.run(&["explain", "99"]).exits(2).complains_of(&["99", "1 space"]);
    lab.run(&["explain", "--lang", "fr"]).exits(2).complains_of(&["fr", "en or zh"]);
    lab.run(&["explain", "--json", "-o", "a.html"]).exits(2).complains_of(&["--json"]);
    lab.run(&["explain", "-e", "no-such"]).exits(2).complains_of(&["no-such"]);
}
