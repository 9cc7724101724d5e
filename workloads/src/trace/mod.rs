//! Traces: what a program asked of its allocator, as a file, and its replay.
//!
//! - [`Action`]: one call, in 16 bytes; [`Kind`]: which function it was
//! - [`Header`], [`Closing`]: what is said of a recording, and of each process
//! - `frame`: how a file is divided; `workloads/TRACE.md` describes the format
//! - [`Writer`], [`Reader`]: a file, a part at a time; damage is told at its byte
//! - [`Weaver`]: calls with addresses, in the order of their time -> actions with
//!   slots, and which blocks pass between threads
//! - [`Untouched`]: a block of which the program did not touch all
//! - [`import`]: other tools' traces
//! - [`raw`]: what the recorder leaves behind; [`packed`]: entries in fewer bytes;
//!   [`session`]: a recording under way; [`join`]: makes one file of it
//! - [`verify`]: whether a process's actions can be performed as they stand;
//!   [`ordered`]: its calls in the order of their time
//! - [`replay`]: performs the actions of a process, a thread for each of its own

mod action;
mod frame;
mod header;
pub mod import;
pub mod join;
mod large;
pub mod ordered;
pub mod packed;
pub mod raw;
mod reader;
pub mod replay;
pub mod session;
mod untouched;
mod varint;
pub mod verify;
mod weaver;
mod writer;

pub use action::{Action, Kind};
pub use frame::{Bad, MAX_EVENTS, Part};
pub(crate) use frame::{actions as decode_actions, times as decode_times};
pub use header::{Closing, Header, Limit, Process};
pub use reader::{Damage, Next, Problem, Reader};
pub use untouched::Untouched;
pub use weaver::{Call, Taken, Weaver};
pub use writer::Writer;

/// Version of the format; a reader refuses newer ones.
pub const VERSION: u32 = 1;

/// Events of a window: the stretch of a process's life over which its threads
/// may drift apart in a replay.
pub const WINDOW: u32 = 16 << 10;
