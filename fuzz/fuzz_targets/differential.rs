//! One program under two settings: what a program can see is the same; and
//! under the same settings twice, everything is.
#![no_main]

use arbitrary::Unstructured;
use brkpoint_fuzz::case::Case;
use brkpoint_fuzz::{report, settings, targets};
use brkpoint_workloads::op::arbitrary::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Unstructured::new(bytes);
    let other = settings::draw(&mut Bytes(&mut bytes));
    let Ok(case) = Case::draw(&mut bytes, targets::DIFFERENTIAL) else { return };
    let run = |case: &Case| targets::differential(case, other);
    if let Err(violation) = run(&case) {
        report::fail(&case, &violation, run);
    }
});
