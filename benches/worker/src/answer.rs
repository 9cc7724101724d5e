//! What a worker answers, as one JSON line.

use brkpoint_reports::record::Series;
use brkpoint_workloads::synthetic::Outcome;
use serde::{Deserialize, Serialize};

use crate::identity::{self, Linked};
use crate::memory::Sampled;
use crate::region::Usage;

/// The figures of one run; those of the measured region, except where said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Of everything the workload read back, in hexadecimal.
    pub digest: String,
    /// Calls of the allocator.
    pub ops: u64,
    /// Elapsed seconds.
    pub wall_s: f64,
    /// Seconds on a CPU in user mode.
    pub user_s: f64,
    /// Seconds on a CPU in the kernel.
    pub sys_s: f64,
    /// Faults served without I/O.
    pub minor_faults: u64,
    /// Faults that waited for I/O.
    pub major_faults: u64,
    /// Resident bytes before the region; 0 but in the memory pass.
    pub baseline_rss_bytes: u64,
    /// Most bytes resident at one moment; 0 but in the memory pass. Between two
    /// samples the kernel's `VmHWM` tells, which may be some pages a CPU short.
    pub peak_rss_bytes: u64,
    /// Most live bytes at one moment; 0 but in the memory pass.
    pub peak_live_bytes: u64,
    /// Resident bytes when everything was freed; 0 but in the memory pass.
    pub kept_rss_bytes: u64,
    /// Bytes of the driver's own tables: a part of all RSS.
    pub table_bytes: u64,
    /// Blocks that were live at the end of a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_blocks: Option<u64>,
    /// Their requested bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_bytes: Option<u64>,
    /// RSS and live bytes over the operations; only in the memory pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Series>,
    /// Path of the object whose `malloc` this process called.
    pub malloc_object: String,
    /// The allocator that is linked into this program, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked: Option<Linked>,
    /// What else is worth knowing about the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Answer {
    pub(super) fn new(
        outcome: Outcome,
        usage: Usage,
        table_bytes: usize,
        sampled: Option<Sampled>,
    ) -> Answer {
        let mut answer = Answer {
            digest: format!("{:016x}", outcome.digest),
            ops: outcome.operations,
            wall_s: usage.wall_s,
            user_s: usage.user_s,
            sys_s: usage.sys_s,
            minor_faults: usage.minor_faults,
            major_faults: usage.major_faults,
            baseline_rss_bytes: 0,
            peak_rss_bytes: 0,
            peak_live_bytes: 0,
            kept_rss_bytes: 0,
            table_bytes: table_bytes as u64,
            live_blocks: None,
            live_bytes: None,
            series: None,
            malloc_object: identity::object_of(c"malloc").unwrap_or_default(),
            linked: identity::linked(),
            notes: Vec::new(),
        };
        if let Some(sampled) = sampled {
            answer.baseline_rss_bytes = sampled.baseline;
            answer.peak_rss_bytes = sampled.peak;
            answer.peak_live_bytes = sampled.peak_live;
            answer.kept_rss_bytes = sampled.kept;
            answer.series = Some(sampled.series);
            answer.notes = sampled.notes;
        }
        answer
    }
}
