//! A short fuzz run without a fuzzer: the seeds that are kept, and bytes drawn
//! by number, through the code of the targets `heap`, `oom` and `differential`.

use std::fs;
use std::path::Path;

use arbitrary::Unstructured;
use brkpoint_fuzz::case::{Case, HEAP};
use brkpoint_fuzz::{report, settings, targets};
use brkpoint_workloads::op::Random;
use brkpoint_workloads::op::arbitrary::Bytes;
use brkpoint_workloads::op::draw::Bits;
use brkpoint_workloads::shadow::{Rules, Violation};

/// How many inputs are drawn beside the seeds.
const DRAWN: u64 = 60;

/// The seeds of the target `heap`, in the order of their names, and inputs
/// without a shape, as long as a fuzzer's.
fn inputs() -> impl Iterator<Item = Vec<u8>> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/heap");
    let mut names: Vec<_> = fs::read_dir(seeds).unwrap().map(|seed| seed.unwrap().path()).collect();
    names.sort();
    assert!(names.len() > 50, "the seeds are gone: {} are left", names.len());
    let kept = names.into_iter().map(|name| fs::read(name).unwrap());
    kept.chain((0..DRAWN).map(|seed| {
        let mut random = Random::new(seed);
        let len = 64 + random.below(2000);
        (0..len).map(|_| random.bits(8) as u8).collect()
    }))
}

fn judge(case: &Case, run: impl Fn(&Case) -> Result<(), Violation>) {
    if let Err(violation) = run(case) {
        report::fail(case, &violation, run);
    }
}

#[test]
fn a_heap_keeps_its_promises() {
    for bytes in inputs() {
        let case = Case::draw(&mut Unstructured::new(&bytes), HEAP).unwrap();
        judge(&case, |case| case.run(Rules::THOROUGH));
    }
}

/// The two page sources that a fuzzer tries now and then.
#[test]
fn so_does_one_over_the_tests_page_source_and_over_the_kernel() {
    for bytes in inputs().step_by(20) {
        let case = Case::draw(&mut Unstructured::new(&bytes), HEAP).unwrap();
        judge(&case, |case| targets::simulated(case, Rules::FAST));
        judge(&case, |case| targets::kernel(case, Rules::FAST));
    }
}

#[test]
fn a_heap_survives_each_failure_of_its_source() {
    for bytes in inputs() {
        let case = Case::draw(&mut Unstructured::new(&bytes), targets::OOM).unwrap();
        judge(&case, targets::oom);
    }
}

#[test]
fn settings_change_nothing_that_a_program_sees() {
    for bytes in inputs() {
        let mut bytes = Unstructured::new(&bytes);
        let other = settings::draw(&mut Bytes(&mut bytes));
        let case = Case::draw(&mut bytes, targets::DIFFERENTIAL).unwrap();
        judge(&case, |case| targets::differential(case, other));
    }
}
