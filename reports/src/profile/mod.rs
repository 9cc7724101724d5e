//! What a recorded process asked of its allocator, in figures: for a terminal, as
//! JSON, and as a page.

mod page;
mod tables;

use serde::{Deserialize, Serialize};

pub use page::to_html;
pub use tables::{Table, to_text};

/// The figures of a process of a trace, or of a part of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The trace, as a person named it.
    pub trace: String,
    /// The command that was recorded.
    pub command: Vec<String>,
    /// The program and arguments of the process.
    pub arguments: Vec<String>,
    /// What a reader should know: limits, losses, filters, damage.
    pub notes: Vec<String>,
    /// All processes of the trace.
    pub processes: Vec<ProcessLine>,
    /// Place of the process that the figures are of.
    pub process: u32,
    /// Threads.
    pub threads: u32,
    /// Calls by function.
    pub calls: Vec<(String, u64)>,
    /// Seconds from the first event to the last.
    pub span_s: f64,
    /// Requested bytes of all allocations.
    pub requested_bytes: u64,
    /// Most live bytes, and the blocks at that moment.
    pub peak_live_bytes: u64,
    /// Blocks live then.
    pub peak_blocks: u64,
    /// Live at the end: blocks and bytes.
    pub left_blocks: u64,
    /// Their bytes.
    pub left_bytes: u64,
    /// By size: each bin's largest size, allocations, their bytes, most of them
    /// live at one moment, in bytes.
    pub sizes: Vec<SizeBin>,
    /// Blocks by how long they lived, in calls of the process.
    pub lifetimes: Vec<Lifetime>,
    /// The sizes asked for most often, with how often.
    pub hottest: Vec<(u64, u64)>,
    /// What lies at or above each mmap threshold.
    pub thresholds: Vec<Threshold>,
    /// Blocks freed or resized by another thread than had them.
    pub handed_over: u64,
    /// What each scheme of size classes makes of it.
    pub schemes: Vec<Scheme>,
    /// Live bytes over time: seconds, calls so far, bytes.
    pub live: Vec<(f64, u64, u64)>,
}

/// A process of a trace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessLine {
    /// The kernel's number.
    pub pid: u32,
    /// The file of the program.
    pub program: String,
    /// Where it was forked from.
    pub forked_from: Option<u32>,
    /// Events, threads, most live bytes, and calls about foreign blocks.
    pub events: u64,
    /// Threads.
    pub threads: u32,
    /// Most live bytes.
    pub peak_live_bytes: u64,
    /// Frees and resizes of blocks that were not its own.
    pub foreign: u64,
}

/// Allocations of sizes up to `most`, above the previous bin's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SizeBin {
    /// The largest size, in bytes.
    pub most: u64,
    /// Allocations, resizes included.
    pub calls: u64,
    /// Their requested bytes.
    pub bytes: u64,
    /// Most requested bytes of such blocks live at one moment.
    pub peak_live_bytes: u64,
}

/// Blocks that lived for fewer than so many calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Lifetime {
    /// Calls of the process; `None`: to the end.
    pub below: Option<u64>,
    /// Blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What lies at or above an mmap threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// In bytes.
    pub bytes: u64,
    /// Allocations.
    pub calls: u64,
    /// Most blocks of such sizes live at one moment.
    pub peak_blocks: u64,
    /// Most bytes of such sizes live at one moment.
    pub peak_live_bytes: u64,
}

/// What a scheme of size classes makes of the requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scheme {
    /// Its name.
    pub name: String,
    /// Bytes of all live blocks, rounded to their classes, at their peak.
    pub peak_bytes: u64,
    /// Share of the rounded bytes that nobody asked for, over all allocations.
    pub waste: f64,
    /// The same, of the blocks live at the peak of live bytes.
    pub waste_at_peak: f64,
}
