//! A brk/mmap allocator whose every policy can be varied at run time.
//!
//! Requests come from a heap of chunks that grows with the break, large ones
//! from private anonymous mappings; from which size on is the mmap threshold.
//! Chunks are the textbook's (a header left of each block, which tells size and
//! neighbours); small blocks lie without headers in units, each one chunk. What
//! threads free they keep for themselves, up to a bound. Every byte can be
//! accounted for.
//!
//! | where | what |
//! |---|---|
//! | [`Brkpoint`] | the process's allocator: `#[global_allocator]`, and the base of the C symbols |
//! | [`Heap`] | a heap as a value, over any [`PageSource`]; `heap/mod.rs` walks one malloc and one free |
//! | [`Block`], [`Resized`] | what an allocation, an attempt to resize give |
//! | [`Misuse`], [`Broken`] | what a program, what a heap did wrong |
//! | [`Stats`] | the accounts, whose parts add up |
//! | [`Config`], [`Preset`] | the settings, and named combinations; [`options`] is their table |
//! | [`MmapThreshold`], [`SizeClasses`], [`Metadata`], [`Placement`], [`Trim`], [`Purge`], [`BreakSource`] | the strategies |
//! | [`PageSource`], [`System`], [`Simulated`] | where memory comes from: the contract, the kernel, a test's arena |
//! | `cache` | what threads keep, and what passes between them; `process/mod.rs` walks a malloc through it |
//! | `lock`, `message` | a futex that survives fork; words on stderr without allocating |
//!
//! Nothing here allocates for itself, and no path of a release build panics:
//! a program that breaks the contract is told how, and ended.
#![cfg_attr(not(test), no_std)]

mod cache;
mod config;
mod heap;
mod lock;
mod message;
mod os;
mod process;
mod size_class;

pub use config::{
    BreakSource, Bytes, ClassList, Config, Count, Metadata, MmapThreshold, Option as ConfigOption,
    Placement, Preset, Purge, SizeClasses, Switch, Trim, options,
};
pub use heap::{Block, Broken, Heap, Misuse, REQUEST_MOST, Resized, Stats};
pub use os::{Calls, Discard, PageSource, Range, Simulated, System};
pub use process::Brkpoint;
pub use size_class::GRAIN;
