//! What brkpoint runs: operations, the shadow oracle, synthetic workloads.
//!
//! - [`conform`]: the conformance run, for any allocator
//! - [`crew`]: requests made by several threads
//! - [`family`]: the C malloc family under test
//! - [`mapped`]: a vector apart from any allocator
//! - [`op`]: an allocator operation as a value, and generators of them
//! - [`shadow`]: the oracle that every heap answers to
//! - [`shrink`]: the shortest program that still fails
//! - [`storm`]: several threads at once, which hand blocks to each other
//! - [`synthetic`]: the workloads, one file each, and their registry
//! - [`trace`]: recorded programs, as files, and their replay

pub mod conform;
pub mod crew;
pub mod family;
pub mod forked;
pub mod mapped;
pub mod op;
mod opaque;
pub mod shadow;
pub mod shrink;
pub mod storm;
pub mod synthetic;
pub mod trace;
