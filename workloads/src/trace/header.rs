//! What a trace says of itself, in JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is said of a recording.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// What made the trace: `brkpoint` with its version, or an importer.
    pub maker: String,
    /// Begin of the recording, RFC 3339, UTC; empty if not known.
    #[serde(default)]
    pub recorded: String,
    /// The command that was recorded.
    #[serde(default)]
    pub command: Vec<String>,
    /// Its working directory; empty if not known.
    #[serde(default)]
    pub directory: String,
    /// The machine, as records have it.
    #[serde(default)]
    pub machine: BTreeMap<String, serde_json::Value>,
    /// Why it ends before the program did, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<Limit>,
    /// Calls that could not be written down, in all processes.
    #[serde(default)]
    pub lost: u64,
    /// The processes, in the order in which they began.
    pub processes: Vec<Process>,
}

/// Why a recording ends before its program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// So many bytes were all that was allowed.
    Bytes(u64),
    /// So many seconds were all that was asked for.
    Seconds(u64),
    /// The recorder could not go on.
    Failure(String),
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Limit::Bytes(bytes) => write!(f, "the limit of {bytes} bytes was reached"),
            Limit::Seconds(seconds) => write!(f, "the {seconds} s asked for were over"),
            Limit::Failure(why) => write!(f, "the recorder could not go on: {why}"),
        }
    }
}

/// A program in a process: a fork, and an exec, each begin one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The kernel's number of it.
    pub pid: u32,
    /// The place in [`Header::processes`] of the one that it was forked from,
    /// whose blocks it inherited; those are not in this trace of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<u32>,
    /// The file of the program.
    pub program: String,
    /// The arguments, the program's name first.
    pub arguments: Vec<String>,
    /// Name and version of the C library.
    #[serde(default)]
    pub libc: String,
    /// The variables that steer an allocator.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Seconds since the recording began.
    #[serde(default)]
    pub started_s: u64,
}

/// What a process's events came to; written behind them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// The place in [`Header::processes`].
    pub process: u32,
    /// Events.
    pub events: u64,
    /// Threads that had any.
    pub threads: u32,
    /// Slots: the events name smaller numbers only.
    pub slots: u32,
    /// Blocks that were live at the end.
    pub live_blocks: u64,
    /// Their requested bytes.
    pub live_bytes: u64,
    /// Most requested bytes live at one moment.
    pub peak_live_bytes: u64,
    /// Most blocks live at one moment.
    pub peak_live_blocks: u64,
    /// Frees and resizes of blocks that were not allocated in this process while
    /// it was recorded: inherited over a fork, or older than the recording. Such
    /// a free is left out; such a resize is an allocation.
    pub foreign: u64,
    /// Blocks whose memory was handed out again although no free of them was
    /// recorded.
    pub unfreed: u64,
    /// Blocks that went from one thread to another.
    pub handed_over: u64,
    /// Nanoseconds from the first event to the last.
    pub span_ns: u64,
}
