//! One program, in a process of its own.

use std::alloc::{GlobalAlloc, Layout};
use std::io::Read;
use std::process::ExitCode;
use std::ptr::NonNull;

use brkpoint_workloads::conform::Chapter;
use brkpoint_workloads::op::lines;
use brkpoint_workloads::shadow::{Global, Promise, Rules, Shared, Subject as Tested, Violation};
use brkpoint_workloads::storm::Storm;

use crate::adapters::{Given, Region};
use crate::subjects::{Limits, Subject};

/// The first argument of the process.
pub const FLAG: &str = "--trial";
/// What the process says when every promise was kept, and how many operations
/// that were. Otherwise it says the promise and what is wrong.
pub const KEPT: &str = "kept";

/// What an allocator may map beyond what the process has, while memory is short.
const SHORT: u64 = 48 << 20;
/// What the process may map at all.
const PLENTY: u64 = 16 << 30;

/// Performs the program on the standard input.
///
/// The promises named in `excused` are not watched.
pub fn perform(subject: &str, chapter: &str, patience: &str, excused: &str) -> ExitCode {
    let subject = Subject::of(subject).expect("the parent names a subject");
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).expect("the parent writes a program");
    limit(libc::RLIMIT_CORE, 0);
    limit(libc::RLIMIT_AS, PLENTY);
    // SAFETY: a signal to this process, whose default action ends it.
    unsafe { libc::alarm(patience.parse().expect("the parent says how many seconds")) };
    let heap = (subject.make)(Region::mapped(subject.limits.region));
    let done = if chapter == Storm::NAME {
        let seed = input.parse().expect("the parent says a seed");
        storm(&subject.limits).run(seed, || Global(Shared(heap)))
    } else {
        let program = lines::read(&input).expect("the parent writes operations");
        let mut chapter = subject.fitted(Chapter::named(chapter).expect("a chapter"));
        for promise in Promise::ALL.iter().filter(|promise| excused.contains(promise.name())) {
            chapter.rules.watch = chapter.rules.watch.without(*promise);
        }
        if chapter.name == "exhaustion" && subject.limits.region == 0 {
            make_memory_short(heap);
        }
        let heap = Watched { heap: Global(Shared(heap)), own: subject.limits.region == 0 };
        chapter.run(&program, heap).map(|tally| tally.performed)
    };
    match done {
        Ok(performed) => println!("{KEPT} {performed}"),
        Err(Violation { promise, what, at, .. }) => {
            println!("{}: operation {at}: {what}", promise.name());
        }
    }
    ExitCode::SUCCESS
}

/// Each thread's oracle knows its own blocks alone, so that only an allocator
/// with the kernel's memory must grant all; alignments go up to 4 KiB.
fn storm(limits: &Limits) -> Storm {
    let usual = Storm::USUAL;
    let all = limits.region == 0 && limits.align >= 4096;
    let granted = if all { usual.rules.granted } else { 0 };
    let rules = Rules { granted, ..usual.rules };
    Storm { largest: usual.largest.min(limits.largest), rules, ..usual }
}

/// From now on the kernel refuses memory when little more was mapped.
fn make_memory_short(heap: Given) {
    // What an allocator sets up once is not what is tried.
    let layout = Layout::new::<u64>();
    // SAFETY: the size is not 0, and the block is the one just allocated.
    unsafe { heap.dealloc(heap.alloc(layout), layout) };
    limit(libc::RLIMIT_AS, mapped() as u64 + SHORT);
}

fn limit(resource: libc::__rlimit_resource_t, most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: a valid limit, of this process.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
}

/// The bytes of the process's mappings.
fn mapped() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux says it");
    let pages = statm.split(' ').next().and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the first number is the mapped OS pages") * 4096
}

/// A heap whose footprint is known by the process's, if it has memory of its own.
struct Watched {
    heap: Global<Shared<'static, dyn GlobalAlloc + Sync>>,
    own: bool,
}

impl Tested for Watched {
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        self.heap.allocate(layout, zeroed)
    }

    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: by contract.
        unsafe { self.heap.free(block, layout) };
    }

    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: by contract.
        unsafe { self.heap.reallocate(block, layout, size) }
    }

    fn footprint(&mut self) -> Option<usize> {
        self.own.then(mapped)
    }
}
