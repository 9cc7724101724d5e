//! A heap whose page source fails: in bursts that the fuzzer draws, and, for
//! short programs, at each request in turn.
#![no_main]

use arbitrary::Unstructured;
use brkpoint_fuzz::case::{Case, HEAP};
use brkpoint_fuzz::report;
use brkpoint_workloads::op::draw::Events;
use brkpoint_workloads::shadow::{Rules, Violation};
use libfuzzer_sys::fuzz_target;

/// Requests that fail in turn, at most.
const TURNS: u64 = 24;

fn run(case: &Case) -> Result<(), Violation> {
    let requests = case.run_failing(Rules::FAST, u64::MAX)?;
    (0..requests.min(TURNS)).try_for_each(|nth| case.run_failing(Rules::FAST, nth).map(drop))
}

fuzz_target!(|bytes: &[u8]| {
    let events = Events { fail: true, ..HEAP };
    let Ok(case) = Case::draw(&mut Unstructured::new(bytes), events) else { return };
    if let Err(violation) = run(&case) {
        report::fail(&case, &violation, run);
    }
});
