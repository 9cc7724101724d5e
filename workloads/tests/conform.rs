//! The conformance run over allocators that keep their promises, and over one
//! that does not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::NonNull;

use brkpoint_workloads::conform::{self, CHAPTERS, Chapter};
use brkpoint_workloads::op::Op;
use brkpoint_workloads::shadow::{Global, Promise, Subject};
use brkpoint_workloads::storm::Storm;

#[test]
fn a_global_allocator_conforms() {
    let summary = conform::check(|| Global(System), 2).unwrap_or_else(|broken| panic!("{broken}"));
    assert_eq!(summary.chapters.len(), CHAPTERS.len());
    for (chapter, (name, tally)) in CHAPTERS.iter().zip(summary.chapters) {
        assert_eq!(chapter.name, name);
        assert_eq!(tally.performed, 2 * chapter.operations as u64 * u64::from(chapter.rounds));
        assert_eq!(tally.refused > 0, name == "impossible", "{name}: {tally:?}");
    }
}

#[test]
fn threads_hand_blocks_to_each_other() {
    let storm = Storm { operations: 1500, ..Storm::USUAL };
    let performed = storm.run(1, || Global(System)).unwrap_or_else(|broken| panic!("{broken}"));
    assert_eq!(performed, storm.threads * storm.generations * 1500);
}

/// Gives every hundredth block of 100 bytes or more 8 bytes too early.
struct Slips(Cell<u32>);

// SAFETY: breaks the contract now and then, to have that noticed; the blocks'
// memory is the system's none the less.
unsafe impl GlobalAlloc for Slips {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.set(self.0.get() + 1);
        // SAFETY: by contract, and 8 bytes more than were asked for.
        let block =
            unsafe { System.alloc(Layout::from_size_align_unchecked(layout.size() + 8, 16)) };
        if layout.size() >= 100 && self.0.get() >= 100 { block.wrapping_add(8) } else { block }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {
        // What slipped is not known any more.
    }
}

/// Refuses all, and says that it holds more each time it is asked.
struct Grows(usize);

impl Subject for Grows {
    fn allocate(&mut self, _: Layout, _: bool) -> Option<NonNull<u8>> {
        None
    }

    unsafe fn free(&mut self, _: NonNull<u8>, _: Layout) {}

    unsafe fn reallocate(&mut self, _: NonNull<u8>, _: Layout, _: usize) -> Option<NonNull<u8>> {
        None
    }

    fn footprint(&mut self) -> Option<usize> {
        self.0 += 1 << 20;
        Some(self.0)
    }
}

#[test]
fn a_growing_footprint_is_noticed_unless_that_is_not_watched() {
    let mut rounds = *Chapter::named("rounds").unwrap();
    let broken = rounds.run(&[], Grows(0)).unwrap_err();
    assert_eq!(broken.promise, Promise::Bounded);
    rounds.rules.watch = rounds.rules.watch.without(Promise::Bounded);
    rounds.run(&[], Grows(0)).unwrap();
}

#[test]
fn a_broken_promise_comes_with_the_shortest_program_that_breaks_it() {
    let failure = conform::check(|| Global(Slips(Cell::new(98))), 1).unwrap_err();
    assert_eq!((failure.chapter, failure.violation.promise), ("small", Promise::Alignment));
    assert!(failure.program.len() <= 3, "{failure}");
    let [.., Op::Alloc { size: 100, align: 16, .. }] = failure.program[..] else {
        panic!("{failure}")
    };
    let text = failure.to_string();
    assert!(text.contains("not aligned to 16 (promise: alignment)"), "{text}");
    assert!(text.contains("let program = [\n    Op::Alloc {"), "{text}");
}

#[test]
fn the_guide_has_a_row_for_each_chapter_and_each_promise() {
    let guide = include_str!("../../docs/fuzz.md");
    for chapter in CHAPTERS {
        let row = format!("| {} | {} |", chapter.name, chapter.about);
        assert!(guide.contains(&row), "no row {row}");
    }
    for promise in Promise::ALL {
        let row = format!("| {} | {} |", promise.name(), promise.text().trim());
        assert!(guide.contains(&row), "no row {row}");
    }
}
