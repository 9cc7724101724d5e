//! Mistakes in allocator settings, before anything is measured.
//!
//! ```text
//! source  an environment, a unit file, a Dockerfile, a tunables string -> settings
//! rules   settings, and what the running C library made of them -> findings
//! proof   a command with and without the settings, counted
//! ```

mod proof;
mod rules;
pub mod source;

pub use proof::{Proof, prove};
pub use rules::{Finding, Level, check, too_late};
pub use source::Setting;
