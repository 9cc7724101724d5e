//! brkpoint's conformance kit over pure-Rust allocators from crates.io.
//!
//! Without arguments over all of [`SUBJECTS`], or over those named, such as
//! `talc` or `talc@5`. Each program is performed in a process of its own, so
//! that a crash or a hang ends only that, and what fails is shrunk there too.
//! Rows for docs/findings.md go to the standard output, the shortest programs
//! to the error output. Built in `findings-older`, with the lock file there, it
//! is over the releases that differ.
//!
//! - this file: the parent, which draws programs, shrinks them and tells
//! - [`trial`]: the child, which performs one
//! - [`subjects`]: the allocators; [`adapters`]: what makes `GlobalAlloc`s of them

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use brkpoint_workloads::conform::CHAPTERS;
use brkpoint_workloads::op::{Op, lines};
use brkpoint_workloads::shrink::{Effort, shrink};
use brkpoint_workloads::storm::Storm;

mod adapters;
mod subjects;
mod trial;

use subjects::{SUBJECTS, Subject};

/// Programs of each chapter, drawn from the seeds below this.
const SEEDS: u64 = 4;
/// A program that takes longer hangs; less patience while one is shrunk.
const PATIENCE: u32 = 60;
const TRIAL_PATIENCE: u32 = 5;
const EFFORT: Effort = Effort { trials: 600, time: Duration::from_secs(60) };

/// How a program failed.
struct Failure {
    /// Whether a promise was broken; otherwise the process did not live to say so.
    promise: bool,
    /// The promise, or how the process ended.
    way: String,
    /// What was seen.
    what: String,
}

/// A failure and the shortest program for it; none of a storm.
struct Finding {
    failure: Failure,
    chapters: Vec<&'static str>,
    program: Vec<Op>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, subject, chapter, patience, excused] = &arguments[..]
        && flag == trial::FLAG
    {
        return trial::perform(subject, chapter, patience, excused);
    }
    let is = |subject: &Subject, name: &String| name == subject.name || *name == subject.id();
    let is_known = |name: &&String| SUBJECTS.iter().any(|subject| is(subject, name));
    if let Some(unknown) = arguments.iter().find(|name| !is_known(name)) {
        let known: Vec<String> = SUBJECTS.iter().map(Subject::id).collect();
        eprintln!("no allocator is called {unknown}; there are {}", known.join(", "));
        return ExitCode::from(2);
    }
    let wanted = |subject: &Subject| arguments.iter().any(|name| is(subject, name));
    let older = env!("CARGO_MANIFEST_DIR").ends_with("older");
    let again = |subject: &Subject| older && subject.release() == subject.newest();
    let mut broken = false;
    for subject in SUBJECTS.iter().filter(|subject| !again(subject)) {
        broken |= (arguments.is_empty() || wanted(subject)) && examine(subject);
    }
    ExitCode::from(u8::from(broken))
}

/// Every chapter that fits; gives whether something is broken.
fn examine(subject: &Subject) -> bool {
    let (mut performed, mut findings) = (0, Vec::new());
    let chapters = CHAPTERS.iter().filter(|chapter| subject.fits(chapter.name));
    let storm = subject.limits.threads.then_some((Storm::NAME, None));
    for (name, chapter) in chapters.map(|chapter| (chapter.name, Some(chapter))).chain(storm) {
        let mut trial = Trial { subject, chapter: name, excused: String::new() };
        let mut seed = 0;
        while seed < SEEDS {
            let fitted = chapter.map(|chapter| subject.fitted(chapter));
            let program = fitted.map(|chapter| chapter.program(seed)).unwrap_or_default();
            let input = fitted.map_or(seed.to_string(), |_| lines::write(&program));
            match trial.attempt(&input, PATIENCE) {
                Ok(operations) => {
                    performed += operations;
                    seed += 1;
                }
                Err(failure) => {
                    let (promise, way) = (failure.promise, failure.way.clone());
                    note(&mut findings, trial.shortest(&program, failure));
                    // What else is broken shows when that is not watched.
                    if !promise || chapter.is_none() || trial.excused.contains(&way) {
                        break;
                    }
                    trial.excused.push_str(&way);
                }
            }
        }
    }
    let release = subject.release();
    let current = if subject.is_current() { "yes" } else { "no" };
    let row = |rest: String| println!("| {} | {release} | {current} | {rest} |", subject.name);
    if findings.is_empty() {
        row(format!("nothing in {performed} operations | |"));
    }
    for Finding { failure: Failure { way, what, .. }, chapters, program } in &findings {
        let length = if program.is_empty() { String::new() } else { program.len().to_string() };
        row(format!("{way} | {} | {length}", chapters.join(", ")));
        eprintln!("{} {release}: {way}: {what}\n{}", subject.name, lines::write(program));
    }
    !findings.is_empty()
}

/// Joins findings in the same way; the shortest program counts.
fn note(findings: &mut Vec<Finding>, new: Finding) {
    let known = findings.iter_mut().find(|known| known.failure.way == new.failure.way);
    let Some(known) = known else { return findings.push(new) };
    known.chapters.extend(new.chapters);
    if !new.program.is_empty()
        && (known.program.is_empty() || new.program.len() < known.program.len())
    {
        (known.failure, known.program) = (new.failure, new.program);
    }
}

/// Programs of one chapter under one allocator.
struct Trial<'a> {
    subject: &'a Subject,
    chapter: &'static str,
    /// The promises that are not watched.
    excused: String,
}

impl Trial<'_> {
    fn shortest(&self, program: &[Op], mut failure: Failure) -> Finding {
        let program = shrink(program, EFFORT, |smaller| {
            // A storm is no program, and an empty one shows nothing.
            if smaller.is_empty() {
                return false;
            }
            match self.attempt(&lines::write(smaller), TRIAL_PATIENCE) {
                Err(other) if other.way == failure.way => {
                    failure = other;
                    true
                }
                _ => false,
            }
        });
        Finding { failure, chapters: vec![self.chapter], program }
    }

    /// Performs a program in a process of its own; gives how many operations.
    fn attempt(&self, input: &str, patience: u32) -> Result<u64, Failure> {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .args([trial::FLAG, &self.subject.id(), self.chapter])
            .args([&patience.to_string(), &self.excused])
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("the child reads all before it does anything");
        drop(stdin);
        let output = child.wait_with_output().expect("the child is ours");
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let what = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let panicked = what.contains("panicked at");
            let way = if panicked { "panic".to_owned() } else { output.status.to_string() };
            return Err(Failure { promise: false, way, what });
        }
        if let Some(operations) = said.trim().strip_prefix(trial::KEPT) {
            return Ok(operations.trim().parse().expect("the child says a number"));
        }
        let (way, what) = said.trim().split_once(": ").expect("the child says what is broken");
        Err(Failure { promise: true, way: way.to_owned(), what: what.to_owned() })
    }
}
