//! What a worker answers, as one JSON line.

use brkpoint_reports::record::Series;
use brkpoint_workloads::synthetic::Outcome;
use serde::{Deserialize, Serialize};

use super::identity;
use super::memory::Sampled;
use super::region::Usage;
use crate::engine::Arm;
use crate::supervise::Observation;

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
    /// RSS and live bytes over the operations; only in the memory pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Series>,
    /// Path of the object whose `malloc` this process called.
    pub malloc_object: String,
    /// What else is worth knowing about the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Answer {
    pub(super) fn new(outcome: Outcome, usage: Usage, sampled: Option<Sampled>) -> Answer {
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
            series: None,
            malloc_object: identity::object_of(c"malloc").unwrap_or_default(),
            notes: Vec::new(),
        };
        if let Some(sampled) = sampled {
            answer.baseline_rss_bytes = sampled.baseline;
            answer.peak_rss_bytes = sampled.peak;
            answer.peak_live_bytes = sampled.peak_live;
            answer.series = Some(sampled.series);
            answer.notes = sampled.notes;
        }
        answer
    }

    /// The answer of the worker that was `seen`.
    ///
    /// # Errors
    /// It printed none, with what is wrong with what it printed.
    pub fn read(seen: &Observation) -> Result<Answer, String> {
        let text = seen.stdout.read().map_err(|error| format!("the worker's answer: {error}"))?;
        if text.trim_ascii().is_empty() {
            return Err("the worker gave no answer".to_owned());
        }
        serde_json::from_slice(&text).map_err(|error| format!("the worker's answer: {error}"))
    }

    /// Why this answer cannot be `arm`'s: another object's `malloc` was called.
    pub fn contradicts(&self, arm: &Arm) -> Option<String> {
        let (proven, called) = (&arm.object, &self.malloc_object);
        (proven != called).then(|| {
            format!(
                "{} was asked for, which is {proven}, but the malloc of {called} was called",
                arm.engine
            )
        })
    }
}
