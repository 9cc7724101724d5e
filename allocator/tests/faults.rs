//! What happens when the OS says no, or somebody else moves the break.

mod support;

use brkpoint_allocator::{Bytes, Config, Heap, Preset, Simulated, Trim};
use brkpoint_workloads::op::{Generator, Op};
use brkpoint_workloads::shadow::{Outcome, Shadow};
use support::{Subjected, allocate, configs, free, run};

const HALF: usize = 64 << 20;

fn program() -> impl Iterator<Item = Op> {
    Generator::new(11, 12, 300 << 10).take(50)
}

/// Runs the program with `count` requests failing from the `nth` on; afterwards
/// the heap must be as usable as ever.
fn run_failing(config: Config, nth: u64, count: u64) -> usize {
    let mut heap = Heap::new(config, Simulated::new(HALF));
    heap.source_mut().fail(nth, count);
    let mut subject = Subjected::new(heap);
    subject.is_disturbed = true;
    let mut shadow = Shadow::new(8);
    let mut refused = 0;
    for op in program() {
        let outcome = shadow.perform(&mut subject, op).unwrap_or_else(|violation| {
            panic!("{config}failing {count} from {nth}, {op:?}: {violation}")
        });
        refused += usize::from(outcome == Outcome::Refused);
        subject.heap.check().unwrap_or_else(|broken| {
            panic!("{config}failing {count} from {nth}, {op:?}: {broken}")
        });
    }
    subject.heap.source_mut().fail(0, 0);
    shadow.verify().unwrap();
    shadow.free_all(&mut subject).unwrap();
    subject.heap.trim(0);
    subject.heap.check().unwrap();
    run(subject.heap, program()).unwrap_or_else(|error| panic!("{config}after {nth}: {error}"));
    refused
}

#[test]
fn every_single_request_to_the_os_may_fail() {
    for config in configs() {
        let requests =
            run(Heap::new(config, Simulated::new(HALF)), program()).unwrap().source().requests();
        assert!(requests > 0);
        for nth in 0..requests {
            // One refusal is always made good by the other source.
            assert_eq!(run_failing(config, nth, 1), 0, "{config}request {nth}");
        }
    }
}

#[test]
fn bursts_of_failures_refuse_requests_and_harm_nothing() {
    let mut refused = 0;
    for config in configs() {
        for nth in [0, 1, 3, 7, 20] {
            refused += run_failing(config, nth, 6);
            refused += run_failing(config, nth, u64::MAX);
        }
    }
    assert!(refused > 1000, "only {refused} refusals: the failures do not reach the heap");
}

#[test]
fn with_the_break_refused_the_heap_goes_on_in_mapped_regions() {
    for config in configs() {
        let mut heap = Heap::new(config, Simulated::new(HALF));
        heap.source_mut().refuse_break(true);
        let heap = run(heap, program()).unwrap_or_else(|error| panic!("{config}{error}"));
        assert_eq!(heap.stats().break_bytes, 0);
    }
}

#[test]
fn a_refused_mapping_comes_from_the_break_and_a_refused_break_from_mappings() {
    let mut heap = Heap::new(Preset::MmapOnly.config(&Config::DEFAULT), Simulated::new(HALF));
    heap.source_mut().fail(0, 1);
    let block = allocate(&mut heap, 1000);
    assert_eq!((heap.stats().mapped_blocks, heap.stats().live_blocks), (0, 1));
    free(&mut heap, block);

    let mut heap = Heap::new(Preset::BrkOnly.config(&Config::DEFAULT), Simulated::new(HALF));
    heap.source_mut().refuse_break(true);
    let block = allocate(&mut heap, 4 << 20);
    assert!(heap.stats().region_bytes >= 4 << 20);
    free(&mut heap, block);
    heap.check().unwrap();
}

#[test]
fn exhaustion_refuses_and_the_heap_recovers() {
    for config in configs() {
        let mut heap = Heap::new(config, Simulated::new(1 << 20));
        let mut blocks = Vec::new();
        while let Some(block) = heap.allocate(5000, 16) {
            blocks.push(block.start);
        }
        assert!(blocks.len() >= 128, "{config}: only {} blocks", blocks.len());
        heap.check().unwrap();
        assert!(heap.allocate(1 << 20, 16).is_none());
        // Two blocks back are one to be had (one is not always: the end of a
        // region that went back to the OS comes again with another's header).
        for block in blocks.drain(blocks.len() - 2..) {
            free(&mut heap, block);
        }
        blocks.push(allocate(&mut heap, 5000));
        for block in blocks {
            free(&mut heap, block);
        }
        heap.check().unwrap();
        let stats = heap.stats();
        let block = heap.allocate(400 << 10, 16);
        let block = block.unwrap_or_else(|| panic!("{config}{stats}"));
        free(&mut heap, block.start);
    }
}

#[test]
fn absurd_requests_are_refused_without_asking_the_os() {
    let mut heap = Heap::new(Config::DEFAULT, Simulated::new(HALF));
    for (size, align) in [(usize::MAX, 16), (isize::MAX as usize, 16), (1 << 47, 16), (16, 1 << 60)]
    {
        assert!(heap.allocate(size, align).is_none());
    }
    assert_eq!(heap.source().requests(), 0);
    let block = allocate(&mut heap, 100);
    // SAFETY: a live block.
    let grown = unsafe { heap.reallocate(block, usize::MAX, 16) };
    assert_eq!(grown, Ok(None));
    free(&mut heap, block);
}

#[test]
fn memory_that_the_os_does_not_take_back_is_used_again() {
    let config = Preset::MmapOnly.config(&Config::DEFAULT);
    let mut heap = Heap::new(config, Simulated::new(HALF));
    let block = allocate(&mut heap, 100_000);
    heap.source_mut().fail(0, 1);
    free(&mut heap, block);
    heap.check().unwrap();
    assert_eq!(heap.stats().mapped_bytes, 0);
    assert!(heap.stats().region_bytes >= 100_000);
    heap.configure(Preset::BrkOnly.config(&config));
    let requests = heap.source().requests();
    let block = allocate(&mut heap, 90_000);
    assert_eq!(heap.source().requests(), requests, "it came from what was kept");
    // Now the OS takes it.
    free(&mut heap, block);
    assert_eq!(heap.stats().region_bytes, 0);
}

#[test]
fn somebody_else_moves_the_break_all_the_time() {
    for config in configs() {
        let config = Config { top_pad: Bytes(4096), ..config };
        let mut subject = Subjected::new(Heap::new(config, Simulated::new(256 << 20)));
        subject.is_disturbed = true;
        let mut shadow = Shadow::new(16);
        let mut foreign = Vec::new();
        for (at, op) in Generator::new(13, 40, 100 << 10).take(400).enumerate() {
            if at % 7 == 0 {
                let range = subject.heap.source_mut().foreign_sbrk(8192).unwrap();
                // SAFETY: the range is ours, the "somebody else".
                unsafe { range.start.write_bytes(0x5A, range.len) };
                foreign.push(range);
            }
            shadow
                .perform(&mut subject, op)
                .unwrap_or_else(|violation| panic!("{config}{violation}"));
            subject.heap.check().unwrap_or_else(|broken| panic!("{config}{broken}"));
        }
        shadow.free_all(&mut subject).unwrap();
        subject.heap.trim(0);
        subject.heap.check().unwrap();
        for range in foreign {
            // SAFETY: as above.
            let bytes = unsafe { std::slice::from_raw_parts(range.start.as_ptr(), range.len) };
            assert!(bytes.iter().all(|&byte| byte == 0x5A), "{config}foreign memory was touched");
        }
    }
}

#[test]
fn a_break_that_somebody_else_has_raised_is_never_lowered() {
    let config = Config { trim: Trim::Eager, ..Preset::BrkOnly.config(&Config::DEFAULT) };
    let mut heap = Heap::new(config, Simulated::new(HALF));
    let block = allocate(&mut heap, 1 << 20);
    let held = heap.source().break_bytes();
    heap.source_mut().foreign_sbrk(4096).unwrap();
    free(&mut heap, block);
    assert!(!heap.trim(0));
    assert_eq!(heap.source().break_bytes(), held);
    heap.check().unwrap();
}
