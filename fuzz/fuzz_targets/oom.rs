//! A heap whose page source fails: in bursts that the fuzzer draws, and at each
//! request in turn; now and then over the tests' page source, too.
#![no_main]

use arbitrary::Unstructured;
use brkpoint_fuzz::case::Case;
use brkpoint_fuzz::{report, targets};
use brkpoint_workloads::shadow::Rules;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(case) = Case::draw(&mut Unstructured::new(bytes), targets::OOM) else { return };
    if let Err(violation) = targets::oom(&case) {
        report::fail(&case, &violation, targets::oom);
    }
    if let Err(violation) = targets::sometimes_simulated(&case, Rules::FAST) {
        // A shorter program would have another turn.
        report::fail(&case, &violation, |case| targets::simulated(case, Rules::FAST));
    }
});
