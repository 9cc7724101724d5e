//! A heap whose program makes a mistake in the end: frees a block twice, or what
//! is none, or writes where it must not. It is refused and changes nothing, or
//! ends the process with a message; never is it taken for something else.
#![no_main]

use arbitrary::Unstructured;
use brkpoint_fuzz::case::Case;
use brkpoint_fuzz::misuse::{self, Mistake};
use brkpoint_fuzz::report;
use brkpoint_workloads::op::arbitrary::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Unstructured::new(bytes);
    let mistake = Mistake::draw(&mut Bytes(&mut bytes));
    let Ok(case) = Case::draw(&mut bytes, misuse::EVENTS) else { return };
    let run = |case: &Case| misuse::run(case, mistake);
    if let Err(violation) = run(&case) {
        report::fail_as(&case, &violation, run, |case| mistake.test(case));
    }
});
