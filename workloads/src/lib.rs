//! What brkpoint runs: operations, the shadow oracle, synthetic workloads.
//!
//! - [`op`]: an allocator operation as a value, and generators of them
//! - [`shadow`]: the oracle that every heap answers to
//! - [`shrink`]: the shortest program that still fails
//! - [`synthetic`]: the workloads, one file each, and their registry

pub mod op;
pub mod shadow;
pub mod shrink;
pub mod synthetic;
