//! The positive control: the reference with a burden that is known beforehand. What
//! does not find it finds nothing.

use brkpoint_reports::control::{CONTROL_FAULTS, CONTROL_TIME, COUNT_FLOOR};
use brkpoint_reports::record::{CONTROL, Pass};
use brkpoint_reports::stats::MIN_SAMPLES;

use crate::plan::Work;
use crate::worker::Burden;

/// What must be found.
pub const BURDEN: Burden =
    Burden { time: CONTROL_TIME, faults: CONTROL_FAULTS, least_faults: COUNT_FLOOR as u64 + 1 };

/// The workload of a control that has one to itself, and how much of it: some 15 ms of
/// our allocator's, of which times vary least.
const OWN: (&str, f64) = ("steady-10k", 2.0);

/// What is burdened, and how.
#[derive(Debug)]
pub struct Control {
    /// Workloads of ours on which the reference is also measured with a burden. One that
    /// is not among the plan's works runs for its sake alone.
    pub works: Vec<Work>,
    /// What the process does beyond its workload.
    pub burden: Burden,
}

impl Control {
    /// None at all.
    pub const NONE: Control = Control { works: Vec::new(), burden: Burden::NONE };

    /// The control of a run of so many rounds, on a workload of its own. Fewer rounds
    /// than an interval needs have none: there is no verdict on times to be trusted.
    pub fn of_its_own(rounds: u32) -> Control {
        if (rounds as usize) < MIN_SAMPLES {
            return Control::NONE;
        }
        let work = Work::Synthetic {
            name: OWN.0,
            label: CONTROL.to_owned(),
            amount: OWN.1.into(),
            passes: &[Pass::Counts, Pass::Time],
            burden: Some(Burden::NONE),
        };
        Control { works: vec![work], burden: BURDEN }
    }
}
