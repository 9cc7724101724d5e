//! The conformance run over the C library's malloc, in a process of its own: it
//! limits the process's address space now and then.

use brkpoint_workloads::conform;
use brkpoint_workloads::family::Mallocs;
use brkpoint_workloads::storm::Storm;

#[test]
fn the_c_librarys_malloc_conforms() {
    let make = || Mallocs::of_process().unwrap();
    let summary = conform::check(make, 1).unwrap_or_else(|broken| panic!("{broken}"));
    // (Not "exhaustion": threads but the first have an arena that needs none.)
    let impossible = summary.chapters.iter().find(|(name, _)| *name == "impossible");
    assert!(impossible.is_some_and(|(_, tally)| tally.refused > 20), "{summary}");
    let storm = Storm { operations: 1500, ..Storm::USUAL };
    storm.run(1, make).unwrap_or_else(|broken| panic!("{broken}"));
}
