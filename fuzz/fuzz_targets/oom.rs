//! A heap whose page source fails: in bursts that the fuzzer draws, and, for
//! short programs, at each request in turn.
#![no_main]

use arbitrary::Unstructured;
use brkpoint_fuzz::case::Case;
use brkpoint_fuzz::{report, targets};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(case) = Case::draw(&mut Unstructured::new(bytes), targets::OOM) else { return };
    if let Err(violation) = targets::oom(&case) {
        report::fail(&case, &violation, targets::oom);
    }
});
