//! A broken promise as a shrunk test.

use brkpoint_workloads::op::{Op, text};
use brkpoint_workloads::shadow::Violation;
use brkpoint_workloads::shrink::{Effort, shrink};

use crate::case::Case;

const EFFORT: Effort = Effort::trials(20_000);

/// Says which promise `case` breaks when `run` runs it, with the shortest
/// program that does so, in words and as a test, and ends the run.
///
/// # Panics
///
/// Always: it is how libFuzzer learns of it.
pub fn fail(case: &Case, violation: &Violation, run: impl Fn(&Case) -> Result<(), Violation>) -> ! {
    fail_as(case, violation, run, |shrunk| format!("{shrunk:?}"))
}

/// As [`fail`], with a test of its own.
///
/// # Panics
///
/// Always.
pub fn fail_as(
    case: &Case,
    violation: &Violation,
    run: impl Fn(&Case) -> Result<(), Violation>,
    test: impl Fn(&Case) -> String,
) -> ! {
    let config = case.config;
    let with = |program: &[Op]| Case { config, program: program.to_vec() };
    // The same promise: another is another finding.
    let same =
        |program: &[Op]| run(&with(program)).is_err_and(|other| other.promise == violation.promise);
    let shrunk = with(&shrink(&case.program, EFFORT, same));
    let violation = run(&shrunk).err().unwrap_or_else(|| violation.clone());
    panic!(
        "{violation}\n\n{}\n{}\n{}",
        violation.promise.text().trim(),
        text::words(&shrunk.program),
        test(&shrunk)
    );
}
