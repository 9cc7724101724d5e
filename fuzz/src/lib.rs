//! What the fuzz targets share.
//!
//! - [`arena`]: a page source without system calls, whose given-back memory is watched
//! - [`case`]: a heap's settings and a program out of a fuzzer's bytes, and its run
//! - [`child`]: what is done in a forked child
//! - [`library`]: what of a malloc library no program of the target `abi` calls
//! - [`misuse`]: mistakes that programs make, and what becomes of them
//! - [`process`]: the process's own heap, with its caches
//! - `rate`: how many operations a second, told at the end of a run
//! - [`report`]: a broken promise as a shrunk test
//! - [`targets`]: what `heap`, `oom` and `differential` do with a case
//! - `settings`, `subject`: the tests' own, shared with `allocator/tests`

pub mod arena;
pub mod case;
pub mod child;
pub mod library;
pub mod misuse;
pub mod process;
mod rate;
pub mod report;
#[path = "../../allocator/tests/support/settings.rs"]
#[allow(missing_docs, reason = "written for tests")]
pub mod settings;
#[path = "../../allocator/tests/support/subject.rs"]
#[allow(missing_docs, reason = "written for tests")]
pub mod subject;
pub mod targets;
