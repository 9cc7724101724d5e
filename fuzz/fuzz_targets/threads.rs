//! The process's heap with its caches, used by several real threads: one at a
//! time as the fuzzer says, and now and then all at once.
//!
//! The heap outlives each input, so a finding may need those before it. What
//! comes from the environment (`BRKPOINT_*`) holds for the whole run.
#![no_main]

use arbitrary::Unstructured;
use brkpoint_fuzz::process::{self, Process};
use brkpoint_workloads::crew::Crew;
use brkpoint_workloads::op::arbitrary::Bytes;
use brkpoint_workloads::op::draw::{Bits, Events};
use brkpoint_workloads::op::{Shape, text};
use brkpoint_workloads::shadow::{Rules, Shadow};
use brkpoint_workloads::storm::Storm;
use libfuzzer_sys::fuzz_target;

const THREADS: u32 = 4;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Unstructured::new(bytes);
    let mut bits = Bytes(&mut bytes);
    let largest = 1 << (6 + bits.below(12));
    if bits.happens(8) {
        let storm =
            Storm { generations: 2, operations: 300, largest, rules: RULES, ..Storm::USUAL };
        let seed = bits.bits(32);
        storm.run(seed, || Process::new(false)).unwrap_or_else(|broken| panic!("{broken}"));
        return;
    }
    let events = Events { trim: true, set: true, threads: THREADS, fork: true, ..Events::NONE };
    let shape = Shape { largest, align_most: 64 << 10, impossible: true, events, ..Shape::PLAIN };
    let Ok(program) = shape.program(&mut bytes) else { return };
    let mut subject = Crew::new(Process::new(true), THREADS);
    let mut shadow = Shadow::with(RULES);
    let done = program.iter().try_for_each(|&op| shadow.perform(&mut subject, op).map(drop));
    let done = done.and_then(|()| shadow.free_all(&mut subject));
    // Ends its threads.
    drop(subject);
    let done = done.and_then(|()| process::ensure_empty().map_err(|left| shadow.broken(left)));
    if let Err(violation) = done {
        panic!("{violation}\n\n{}\n{}", text::words(&program), text::rust(&program));
    }
});

const RULES: Rules = Rules { granted: 64 << 20, ..Rules::FAST };
