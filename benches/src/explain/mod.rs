//! The textbook on malloc: each claim is tried on this machine.
//!
//! - `lab`: a fresh process performs [`Steps`] under an engine and tells what
//!   came of it ([`Seen`]); `steps`, `seen`: both as values
//! - `places`: what each OS page is at a moment
//! - a module for each chapter: experiments in, [`Chapter`] out
//!
//! The words are `brkpoint-reports`' business.

mod brk_only;
mod free;
mod header;
mod lab;
mod mmap_only;
mod places;
mod seen;
mod space;
mod steps;
mod threshold;
mod touch;
mod usable;

use brkpoint_reports::explain::{Chapter, Verdict};

pub use lab::{ExplainError, Lab};
pub use seen::{Block, Mapping, Reading, Seen, Stretch};
pub use steps::Steps;

/// A chapter's experiments.
pub type Experiment = fn(&Lab<'_>) -> Result<Chapter, ExplainError>;

/// Every chapter: the name of its topic, and its experiments. The number of a
/// chapter is its place, from 1 on.
pub const CHAPTERS: [(&str, Experiment); 8] = [
    ("space", space::chapter),
    ("threshold", threshold::chapter),
    ("touch", touch::chapter),
    ("usable", usable::chapter),
    ("free", free::chapter),
    ("mmap-only", mmap_only::chapter),
    ("brk-only", brk_only::chapter),
    ("header", header::chapter),
];

/// The verdict of a count that takes an instrument.
fn watched(holds: Option<bool>) -> Verdict {
    holds.map_or(Verdict::Unknown("unwatched"), Verdict::of)
}
