//! The target `threads` without a fuzzer: the process's heap, used by a crew of
//! threads one at a time, and by a storm of them at once. One test, since the
//! heap is to be empty in between.

use brkpoint_fuzz::process::{self, Process};
use brkpoint_workloads::crew::Crew;
use brkpoint_workloads::op::draw::Events;
use brkpoint_workloads::op::{Generator, Shape};
use brkpoint_workloads::shadow::{Rules, Shadow};
use brkpoint_workloads::storm::Storm;

const THREADS: u32 = 4;
const RULES: Rules = Rules { granted: 64 << 20, ..Rules::FAST };

#[test]
fn the_heap_of_a_process_keeps_its_promises_and_is_empty_in_the_end() {
    let events = Events { trim: true, set: true, threads: THREADS, fork: true, ..Events::NONE };
    for seed in 0..40 {
        let largest = 1 << (6 + seed % 12);
        if seed % 8 == 7 {
            let storm =
                Storm { generations: 2, operations: 300, largest, rules: RULES, ..Storm::USUAL };
            storm.run(seed, || Process::new(false)).unwrap_or_else(|broken| panic!("{broken}"));
            continue;
        }
        let shape =
            Shape { largest, align_most: 64 << 10, impossible: true, events, ..Shape::PLAIN };
        let mut subject = Crew::new(Process::new(true), THREADS);
        let mut shadow = Shadow::with(RULES);
        for op in Generator::shaped(seed, shape).take(500) {
            shadow.perform(&mut subject, op).unwrap_or_else(|broken| panic!("{seed}: {broken}"));
        }
        shadow.free_all(&mut subject).unwrap_or_else(|broken| panic!("{seed}: {broken}"));
        // Ends its threads.
        drop(subject);
        process::ensure_empty().unwrap_or_else(|left| panic!("{seed}: {left:?}"));
    }
}
