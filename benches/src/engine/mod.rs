//! Engines: allocators as data, and the proof that one answers in a process.
//!
//! - [`Engines`]: the table of `engines.toml`
//! - [`ArmSpec`]: `ENGINE[:knob=value,...]`, as a person asks for it
//! - [`Arm`]: an engine under settings, proven to load; what a process needs
//!   in its environment to run under it
//! - [`EngineError`]: why there is no such arm
//! - `value`: units of knobs; `library`: files; `environment`: variables;
//!   `probe`: the process that is asked which allocator answers

mod arm;
mod catalog;
mod environment;
mod error;
mod library;
pub(crate) mod near;
mod probe;
mod spec;
mod value;

pub use arm::Arm;
pub use catalog::{Engine, Engines, Knob, Sizes};
pub use error::EngineError;
pub use library::{control, recorder};
pub use spec::{ArmSpec, SpecError};
pub use value::{Unit, bytes};
