//! What the oracle asks of a heap is broken on purpose, one promise at a time:
//! each is noticed by the promises that are named, and by no other.

mod support;

use std::alloc::Layout;
use std::ptr::NonNull;

use brkpoint_allocator::{Config, Heap, PageSource, Preset, Simulated, Trim};
use brkpoint_workloads::op::Generator;
use brkpoint_workloads::shadow::{
    Complaint, Model, Promise, Rules, Shadow, Subject, Violation, Watch,
};
use support::Subjected;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// A block is allocated that nobody asked for.
    Leaks,
    /// Free gets the middle of a block.
    FreesInside,
    /// Something writes past a block's end, over the next header.
    Overruns,
    /// Memory is obtained past the heap.
    Hoards,
    /// Memory that should go back does not.
    Clings,
}

/// A heap with a bug that shows once, at the hundredth request.
struct Planted {
    inner: Subjected<Simulated>,
    bug: Bug,
    requests: u32,
}

impl Planted {
    fn is_due(&mut self, bug: Bug) -> bool {
        self.requests += 1;
        self.requests >= 100 && self.bug == bug && {
            self.bug = Bug::None;
            true
        }
    }
}

impl Subject for Planted {
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        if self.is_due(Bug::Leaks) {
            self.inner.allocate(Layout::new::<u64>(), false);
        } else if self.is_due(Bug::Hoards) {
            self.inner.heap.source_mut().map(4096);
        } else if self.is_due(Bug::Clings) {
            self.inner.heap.source_mut().fail(0, u64::MAX);
        }
        self.inner.allocate(layout, zeroed)
    }

    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: by contract, but for the bugs, whose memory is the heap's.
        unsafe {
            let usable = self.inner.usable_size(block, layout);
            if usable > 64 && self.is_due(Bug::FreesInside) {
                block.write_bytes(0, usable);
                return self.inner.free(block.add(32), layout);
            }
            if self.is_due(Bug::Overruns) {
                block.add(usable).write_bytes(0, 8);
            }
            self.inner.free(block, layout);
        }
    }

    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: by contract.
        unsafe { self.inner.reallocate(block, layout, size) }
    }

    unsafe fn usable_size(&mut self, block: NonNull<u8>, layout: Layout) -> usize {
        // SAFETY: by contract.
        unsafe { self.inner.usable_size(block, layout) }
    }

    fn inspect(&mut self, model: &Model, thorough: bool) -> Result<(), Complaint> {
        self.inner.inspect(model, thorough)
    }
}

fn run(bug: Bug, watch: Watch) -> Result<(), Violation> {
    // Headers, so that there is one to overrun, and memory that goes back.
    let config = Config { trim: Trim::Eager, ..Preset::BrkOnly.config(&Config::DEFAULT) };
    let heap = Heap::new(config, Simulated::new(64 << 20));
    let mut subject = Planted { inner: Subjected::new(heap), bug, requests: 0 };
    let mut shadow = Shadow::with(Rules { watch, ..Rules::THOROUGH });
    for op in Generator::new(4, 24, 5000).take(400) {
        shadow.perform(&mut subject, op)?;
    }
    shadow.free_all(&mut subject)
}

#[test]
fn each_planted_bug_is_noticed_by_the_promises_it_breaks_and_by_no_other() {
    use Promise::{Accepted, Accounts, Invariants, Returned, Source};
    for (bug, broken) in [
        (Bug::None, &[][..]),
        (Bug::Leaks, &[Accounts]),
        // The block that was meant lives on.
        (Bug::FreesInside, &[Accepted, Accounts]),
        (Bug::Overruns, &[Accepted, Invariants]),
        (Bug::Hoards, &[Source]),
        (Bug::Clings, &[Returned]),
    ] {
        for &promise in Promise::ALL {
            match run(bug, Watch::NONE.with(promise)) {
                Err(violation) => {
                    assert!(broken.contains(&promise), "{bug:?} {promise:?}: {violation}");
                    assert_eq!(violation.promise, promise);
                }
                Ok(()) => assert!(!broken.contains(&promise), "{promise:?} misses {bug:?}"),
            }
        }
        let blind = broken.iter().fold(Watch::ALL, |watch, &promise| watch.without(promise));
        assert_eq!(run(bug, blind), Ok(()), "{bug:?} is seen by more than it should be");
    }
}
