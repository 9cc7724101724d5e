//! A program of the conformance run, performed on this process's allocator.
//!
//! Which may be broken: so the program and the answer are kept in memory that
//! does not come from it.

use std::io::{self, Read, Write};

use brkpoint_workloads::conform::Chapter;
use brkpoint_workloads::family::Mallocs;
use brkpoint_workloads::mapped::Mapped;
use brkpoint_workloads::op::lines;
use brkpoint_workloads::shadow::Violation;
use brkpoint_workloads::storm::Storm;
use serde::{Deserialize, Serialize};

/// How a program went, if it did not end the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// Every promise was kept.
    Kept {
        /// Operations performed.
        performed: u64,
        /// How many of them the allocator refused.
        refused: u64,
    },
    /// A promise was broken.
    Broken {
        /// The operation, counted from 0.
        at: u64,
        /// The promise's name.
        promise: String,
        /// How.
        what: String,
    },
}

/// Performs a program of `chapter` that is on standard input, or its storm with
/// the seed that is there.
pub(super) fn run(chapter: &str) -> Result<Judgement, String> {
    let text = read().map_err(|error| format!("stdin: {error}"))?;
    let text = str::from_utf8(&text).map_err(|error| format!("stdin: {error}"))?;
    let make = || Mallocs::of_process().map_err(|missing| missing.to_string());
    let subject = make()?;
    let done = if chapter == Storm::NAME {
        let seed = text.trim().parse().map_err(|error| format!("seed {text:?}: {error}"))?;
        // The functions have just been found.
        let performed = Storm::USUAL.run(seed, || make().expect("a malloc family"));
        performed.map(|performed| Judgement::Kept { performed, refused: 0 })
    } else {
        let known = Chapter::named(chapter).ok_or(format!("no chapter {chapter:?}"))?;
        let mut program = Mapped::new();
        for line in text.lines() {
            let op = lines::parse(line).ok_or_else(|| format!("{line:?} is no operation"))?;
            if let Some(op) = op {
                program.push(op);
            }
        }
        let tally = known.run(&program, subject);
        tally.map(|tally| Judgement::Kept { performed: tally.performed, refused: tally.refused })
    };
    Ok(done.unwrap_or_else(|Violation { at, promise, what, block }| Judgement::Broken {
        at,
        promise: promise.name().to_owned(),
        what: if block == 0 { what } else { format!("block {block:#x}: {what}") },
    }))
}

/// All of standard input.
fn read() -> io::Result<Mapped<u8>> {
    let mut text = Mapped::new();
    let mut part = [0; 4096];
    loop {
        let count = io::stdin().lock().read(&mut part)?;
        if count == 0 {
            return Ok(text);
        }
        let len = text.len();
        text.resize(len + count, 0);
        text[len..].copy_from_slice(&part[..count]);
    }
}

/// Prints a judgement as one JSON line.
pub(super) fn print(judgement: &Judgement) -> Result<(), String> {
    let mut line = [0; 8192];
    let mut rest = &mut line[..];
    // What is longer is cut, and then no JSON: there is no such judgement.
    serde_json::to_writer(&mut rest, judgement).map_err(|error| error.to_string())?;
    let len = 8192 - rest.len();
    let stdout = io::stdout();
    let mut stdout = stdout.lock();
    stdout
        .write_all(&line[..len])
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("stdout: {error}"))
}
