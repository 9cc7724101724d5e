//! No schedule breaks a promise; each planted bug is found, and found again by
//! its seed, whose schedule is in order without the bug.

use std::process::{Command, Output};

/// How many schedules, unless `BRKPOINT_SCHEDULES` says otherwise.
const SCHEDULES: &str = "600";
/// Within how many schedules a planted bug must be found.
const BUDGET: u64 = 2000;

fn schedules(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_schedules")).args(arguments).output().expect("it is built")
}

/// The digest of a run in which nothing was broken.
fn digest(arguments: &[&str]) -> String {
    let output = schedules(arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}\n{text}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// The seed of the schedule that was told to be broken.
fn broken(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let told = text.lines().rev().find_map(|line| line.strip_prefix("schedule "))?;
    assert_eq!(output.status.code(), Some(1), "{text}");
    told.split(' ').next().map(str::to_owned)
}

#[test]
fn no_schedule_breaks_a_promise() {
    let count = std::env::var("BRKPOINT_SCHEDULES").unwrap_or(SCHEDULES.to_owned());
    digest(&[&count, "0"]);
}

#[test]
fn the_same_seeds_are_the_same_schedules() {
    assert_eq!(digest(&["30", "7000"]), digest(&["30", "7000"]));
    assert_ne!(digest(&["30", "7000"]), digest(&["30", "7001"]));
}

#[test]
fn each_planted_bug_is_found_and_found_again() {
    let plants = String::from_utf8(schedules(&["plants"]).stdout).expect("text");
    let names: Vec<&str> = plants.lines().filter_map(|line| line.split('\t').next()).collect();
    assert!(names.len() >= 6, "{plants}");
    for name in names {
        let found = schedules(&[&BUDGET.to_string(), "0", "--plant", name]);
        let seed = broken(&found).unwrap_or_else(|| panic!("{name} is not found"));
        let again = schedules(&[&seed, "--plant", name]);
        assert_eq!(broken(&again), Some(seed.clone()), "{name} is not found again");
        digest(&[&seed]);
    }
}
