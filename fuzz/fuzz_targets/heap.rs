//! A heap under any settings, over a page source without system calls; now and
//! then over the tests' and the kernel, too.
//!
//! With `BRKPOINT_FUZZ_EXHAUSTIVE=1`, everything is verified after every
//! operation, and blocks carry the pattern on every byte. With
//! `BRKPOINT_FUZZ_SOURCES=all`, every case runs over the others, too.
#![no_main]

use std::sync::LazyLock;

use brkpoint_fuzz::case::Case;
use brkpoint_fuzz::{report, targets};
use brkpoint_workloads::shadow::Rules;
use libfuzzer_sys::fuzz_target;

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let exhaustive = std::env::var_os("BRKPOINT_FUZZ_EXHAUSTIVE").is_some_and(|set| set == "1");
    if exhaustive { Rules::EXHAUSTIVE } else { Rules::FAST }
});

fuzz_target!(|case: Case| {
    if let Err(violation) = case.run(*RULES) {
        report::fail(&case, &violation, |case| case.run(Rules::EXHAUSTIVE).and(case.run(*RULES)));
    }
    if let Err(violation) = targets::sources(&case, *RULES) {
        // A shorter program would have another turn.
        report::fail(&case, &violation, |case| {
            targets::simulated(case, *RULES).and_then(|()| targets::kernel(case, *RULES))
        });
    }
});
