//! The target `misuse` without a fuzzer: the seeds that are kept, and what becomes
//! of them if a heap refuses nothing. What the target finds is pasted here.

use std::fs;
use std::path::Path;

use arbitrary::Unstructured;
use brkpoint_allocator::Misuse;
use brkpoint_fuzz::case::Case;
use brkpoint_fuzz::misuse::Kind::{self, *};
use brkpoint_fuzz::misuse::{Answer, EVENTS, KINDS, Mistake, run, run_answering};
use brkpoint_fuzz::settings;
use brkpoint_workloads::op::Op;
use brkpoint_workloads::op::arbitrary::Bytes;

/// The seeds, in the order of their names.
fn seeds() -> Vec<(Mistake, Case)> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/misuse");
    let mut names: Vec<_> = fs::read_dir(seeds).unwrap().map(|seed| seed.unwrap().path()).collect();
    names.sort();
    let drawn = names.into_iter().map(|name| {
        let bytes = fs::read(name).unwrap();
        let mut bytes = Unstructured::new(&bytes);
        let mistake = Mistake::draw(&mut Bytes(&mut bytes));
        (mistake, Case::draw(&mut bytes, EVENTS).unwrap())
    });
    drawn.collect()
}

#[test]
fn each_mistake_is_refused_or_ends_the_process() {
    let seeds = seeds();
    for kind in KINDS {
        assert!(seeds.iter().any(|(mistake, _)| mistake.kind == kind), "no seed has {kind:?}");
    }
    for (mistake, case) in seeds {
        if let Err(violation) = run(&case, mistake) {
            panic!("{violation}\n\n{}", mistake.test(&case));
        }
    }
}

/// The kinds of mistakes in a heap of its own that are found with none of the
/// seeds if the heap answers so.
fn unnoticed(answer: Answer) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = KINDS.into_iter().filter(|kind| !kind.is_in_process()).collect();
    for (mistake, case) in seeds() {
        if kinds.contains(&mistake.kind) && run_answering(&case, mistake, answer).is_err() {
            kinds.retain(|kind| *kind != mistake.kind);
        }
    }
    kinds
}

#[test]
fn a_heap_that_accepts_mistakes_is_found_by_each_of_them() {
    assert_eq!(unnoticed(|_| Ok(())), []);
}

#[test]
fn a_heap_that_refuses_mistakes_as_something_else_is_found_by_those_whose_kind_is_promised() {
    let other = |said: Result<(), Misuse>| {
        said.map_err(|misuse| match misuse {
            Misuse::Underrun => Misuse::Overrun,
            _ => Misuse::Underrun,
        })
    };
    // A header that was overwritten can look like anything.
    assert_eq!(unnoticed(other), [Header(0), Header(1)]);
}

/// As the target prints a finding.
#[test]
fn found_by_fuzzing() {
    let config = settings::parse("BRKPOINT_MMAP_THRESHOLD=64K BRKPOINT_METADATA=header");
    let program = [Op::Alloc { slot: 1, size: 40, align: 16, zeroed: false }, Op::Free { slot: 1 }];
    run(&Case { config, program: program.to_vec() }, Mistake { size: 48, kind: Overrun(1) })
        .unwrap();
}

#[test]
fn a_finding_is_printed_as_a_test_that_makes_the_mistake() {
    let config = settings::parse("BRKPOINT_MMAP_THRESHOLD=64K BRKPOINT_METADATA=header");
    let program =
        vec![Op::Alloc { slot: 1, size: 40, align: 16, zeroed: false }, Op::Free { slot: 1 }];
    let printed = Mistake { size: 48, kind: Overrun(1) }.test(&Case { config, program });
    // However it is wrapped.
    let plain = |text: &str| text.replace([' ', '\n', ','], "");
    let here = plain(include_str!("misuse.rs"));
    assert!(here.contains(&plain(&printed)), "{printed}");
}
