//! The harness: runs cells in fresh processes and appends records.
//!
//! ```text
//! bench      the criterion targets: counts and times of fresh processes
//! cli        the command line, one verb a file
//! plan       what is to be measured: arms x workloads, rounds
//! control    the positive control: a burden that must be found
//! engine     allocators as data, and the proof that one answers in a process
//! programs   command lines of real programs
//! runner     a plan -> interleaved fresh processes -> one record each
//! conformance  an engine's promises, program by program in fresh processes
//! measure    one cell under one instrument
//! service, printed    programs that do not end, numbers that they print
//! supervise  a process tree under exactly one instrument
//! worker     our workloads, as a process that is measured from inside (a crate of
//!            its own, which is also linked with one allocator each)
//! explain    the textbook on malloc, each claim tried in fresh processes
//! lint       the known mistakes in settings, and whether they take effect
//! gate       two commits, engines or programs in turns: did it become worse?
//! tune       the search for the settings that a program should run with
//! fidelity   a recorded program, run once more, beside its replay
//! profile    what is in a trace, and a trace of a part of it
//! journal    the record file, appended a line at a time
//! machine, version    where and by what it was measured
//! ```
//!
//! Statistics, tables and pages are `brkpoint-reports`' business.

use std::ffi::{c_char, c_int, c_void};

pub mod bench;
pub mod cli;
pub mod conformance;
pub mod control;
pub mod engine;
pub mod explain;
pub mod fidelity;
pub mod gate;
pub mod journal;
pub mod lint;
pub mod machine;
pub mod measure;
pub mod plan;
pub mod printed;
pub mod profile;
pub mod programs;
pub mod runner;
pub mod service;
pub mod supervise;
pub mod tune;
pub mod version;

pub use brkpoint_worker as worker;

/// A worker that replays does so before Rust's runtime has used the heap. (glibc gives
/// constructors main's own arguments: its manual, "Initialization and Termination".)
#[used]
#[unsafe(link_section = ".init_array")]
static AHEAD: unsafe extern "C" fn(c_int, *const *const c_char, *const c_void) =
    worker::replay_ahead_of_main;
