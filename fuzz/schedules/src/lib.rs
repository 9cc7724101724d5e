//! The allocator's threads under drawn schedules: the process's heap as it is,
//! but for who runs when.
//!
//! - the allocator itself, changed by `build.rs`: its atomics, its futex, its
//!   thread-local word and the hooks of the C library are those of `scheduler`
//! - [`scheduler`]: coroutines for threads, which one runs, and when it stops
//! - [`schedule`]: one schedule: a storm of threads under the oracle
//! - `anew`: a heap for each schedule, part of the allocator's `process`
//! - the others are the fuzz targets' and the tests' own
#![allow(dead_code, reason = "not all of the allocator, nor of what tests share, is used here")]
#![allow(missing_docs, reason = "what tests share is written for tests")]

extern crate self as brkpoint_allocator;

pub mod schedule;
pub mod scheduler;

#[path = "../../src/process.rs"]
mod handle;
#[path = "../../../allocator/tests/support/settings.rs"]
mod settings;
#[path = "../../../allocator/tests/support/subject.rs"]
mod subject;

include!(concat!(env!("OUT_DIR"), "/root.rs"));
