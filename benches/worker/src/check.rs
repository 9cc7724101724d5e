//! A program of the conformance run, performed on this process's allocator.

use std::io::Read;

use brkpoint_workloads::conform::Chapter;
use brkpoint_workloads::family::Mallocs;
use brkpoint_workloads::op::lines;
use brkpoint_workloads::shadow::Violation;
use brkpoint_workloads::storm::Storm;
use serde::{Deserialize, Serialize};

/// The chapter that is no program: threads that hand blocks to each other.
pub const STORM: &str = "storm";

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
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| format!("stdin: {error}"))?;
    let make = || Mallocs::of_process().map_err(|missing| missing.to_string());
    let subject = make()?;
    let done = if chapter == STORM {
        let seed = text.trim().parse().map_err(|error| format!("seed {text:?}: {error}"))?;
        // The functions have just been found.
        let performed = Storm::USUAL.run(seed, || make().expect("a malloc family"));
        performed.map(|performed| Judgement::Kept { performed, refused: 0 })
    } else {
        let known = Chapter::named(chapter).ok_or(format!("no chapter {chapter:?}"))?;
        let program = lines::read(&text).map_err(|error| error.to_string())?;
        let tally = known.run(&program, subject);
        tally.map(|tally| Judgement::Kept { performed: tally.performed, refused: tally.refused })
    };
    Ok(done.unwrap_or_else(|Violation { at, promise, what, block }| Judgement::Broken {
        at,
        promise: promise.name().to_owned(),
        what: if block == 0 { what } else { format!("block {block:#x}: {what}") },
    }))
}
