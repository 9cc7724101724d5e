//! Which brkpoint this is.

/// The version of the package, with the commit where `build.rs` could tell it.
pub const VERSION: &str = env!("BUILT_VERSION");
