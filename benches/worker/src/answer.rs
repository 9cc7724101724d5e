//! What a worker answers, as one JSON line.

use brkpoint_reports::record::{HeapMap, Occupancy, Series};
use brkpoint_workloads::synthetic::{Clock, Latencies, Outcome, Quantiles};
use serde::{Deserialize, Serialize};

use crate::identity::{self, Accounts, Linked};
use crate::layout::Survey;
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
    /// How long calls took; only in the latency pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// How the heap lay on its OS pages; only in the layout pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Path of the object whose `malloc` this process called.
    pub malloc_object: String,
    /// The allocator that is linked into this program, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked: Option<Linked>,
    /// What else is worth knowing about the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Latencies of single calls, in seconds: p50, p99, p99.9, and the longest, less
/// what the clock adds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Of allocations; `None` if there were none.
    pub allocations: Option<[f64; 4]>,
    /// Of frees.
    pub frees: Option<[f64; 4]>,
    /// What the clock adds.
    pub clock_s: f64,
}

/// How a heap lies on its OS pages: means over the moments at which something was
/// live, as the metrics of the layout pass say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// `None`: the allocator does not tell usable sizes.
    pub internal: Option<f64>,
    /// As a share.
    pub external: f64,
    /// In bytes.
    pub stranded_bytes: f64,
    /// In bytes.
    pub heap_bytes: f64,
    /// In bytes, when everything is free.
    pub kept_heap_bytes: u64,
    /// The histogram.
    pub occupancy: Occupancy,
    /// The pages themselves, at some moments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heap: Vec<HeapMap>,
    /// What the allocator says of itself, at the moment with most live bytes, beside
    /// what was seen from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Compared>,
}

/// The same moment from inside and from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// What the allocator says, less what it said before the region.
    pub told: Accounts,
    /// Usable bytes of live blocks, as the ledger has them.
    pub live: u64,
    /// Resident OS pages of the heap, in bytes.
    pub heap: u64,
}

/// What the instrument of a pass has to say.
pub(super) enum Instrument {
    None,
    Memory(Sampled),
    Latency(&'static Latencies, Clock),
    Layout(Survey),
}

impl Answer {
    pub(super) fn new(
        outcome: Outcome,
        usage: Usage,
        table_bytes: usize,
        seen: Instrument,
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
            latency: None,
            layout: None,
            malloc_object: identity::object_of(c"malloc").unwrap_or_default(),
            linked: identity::linked(),
            notes: Vec::new(),
        };
        match seen {
            Instrument::None => {}
            Instrument::Memory(sampled) => {
                answer.baseline_rss_bytes = sampled.baseline;
                answer.peak_rss_bytes = sampled.peak;
                answer.peak_live_bytes = sampled.peak_live;
                answer.kept_rss_bytes = sampled.kept;
                answer.series = Some(sampled.series);
                answer.notes = sampled.notes;
            }
            Instrument::Latency(latencies, clock) => {
                let values = |q: Quantiles| [q.p50, q.p99, q.p999, q.max];
                answer.latency = Some(Latency {
                    allocations: latencies.allocations(clock).map(values),
                    frees: latencies.frees(clock).map(values),
                    clock_s: clock.own_s(),
                });
            }
            Instrument::Layout(survey) => {
                answer.layout = Some(survey.layout);
                answer.notes = survey.notes;
            }
        }
        answer
    }
}
