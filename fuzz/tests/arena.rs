//! The arena notices what a heap must not do, and keeps its own promises.

use std::ptr::NonNull;

use brkpoint_allocator::{Discard, PageSource, Range};
use brkpoint_fuzz::arena::Arena;
use brkpoint_fuzz::subject::Staged;

const PAGE: usize = 4096;

fn bytes(range: Range) -> &'static mut [u8] {
    // SAFETY: the arena's memory stays mapped, and the tests read and write
    // what they should not on purpose.
    unsafe { std::slice::from_raw_parts_mut(range.start.as_ptr(), range.len) }
}

fn ends_with_fault(arena: &mut Arena, says: &str) {
    arena.verify();
    let fault = arena.fault().unwrap_or_else(|| panic!("{says:?} went unnoticed"));
    assert!(fault.contains(says), "{fault}");
}

#[test]
fn what_is_handed_out_is_zero_every_time() {
    for _ in 0..3 {
        let mut arena = Arena::new();
        for _ in 0..3 {
            let mapping = arena.map(3 * PAGE).unwrap();
            let gained = arena.grow_break(5000).unwrap();
            for range in [mapping, gained] {
                assert!(bytes(range).iter().all(|&byte| byte == 0));
                bytes(range).fill(7);
            }
            assert_eq!(arena.held(), Some((gained.len, 3 * PAGE)));
            // SAFETY: used by nobody.
            unsafe { assert!(arena.unmap(mapping) && arena.shrink_break(gained)) };
        }
        let left = arena.map(PAGE).unwrap();
        bytes(left).fill(9);
        arena.verify();
        assert_eq!(arena.fault(), None);
    }
}

#[test]
fn a_write_after_the_memory_was_given_back_is_noticed() {
    for (again, used) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut arena = Arena::new();
        let mapping = arena.map(2 * PAGE).unwrap();
        if used {
            bytes(mapping).fill(7);
        }
        // SAFETY: used by nobody, it seems.
        assert!(unsafe { arena.unmap(mapping) });
        bytes(mapping)[PAGE + 8] = 1;
        if again {
            arena.map(2 * PAGE).unwrap();
        }
        ends_with_fault(&mut arena, "written to after it was given back");
    }
}

#[test]
fn what_is_not_the_heaps_cannot_be_given_back() {
    let mut arena = Arena::new();
    let mapping = arena.map(PAGE).unwrap();
    // SAFETY: used by nobody.
    unsafe {
        assert!(arena.unmap(mapping));
        assert!(!arena.unmap(mapping));
    }
    ends_with_fault(&mut arena, "unmap of what is no mapping");

    let mut arena = Arena::new();
    arena.grow_break(PAGE).unwrap();
    arena.stage_move(PAGE);
    let gained = arena.grow_break(PAGE).unwrap();
    let start = NonNull::new(gained.start.as_ptr().wrapping_sub(PAGE)).unwrap();
    // SAFETY: refused.
    assert!(!unsafe { arena.shrink_break(Range { start, len: 2 * PAGE }) });
    ends_with_fault(&mut arena, "lowered the break by what is not its own");

    let mut arena = Arena::new();
    let gained = arena.grow_break(PAGE).unwrap();
    let beyond = Range { start: gained.start, len: 2 * PAGE };
    // SAFETY: refused.
    assert!(!unsafe { arena.discard(beyond, Discard::Now) });
    ends_with_fault(&mut arena, "discarded what is not its own");
}

#[test]
fn somebody_elses_part_of_the_break_is_watched_and_need_not_be_aligned() {
    let mut arena = Arena::new();
    arena.stage_move(100);
    let gained = arena.grow_break(PAGE).unwrap();
    let (rest, clean) = bytes(gained).split_at(PAGE - 100);
    assert!(rest.iter().all(|&byte| byte == 0xA5), "nothing is promised of this");
    assert!(clean.iter().all(|&byte| byte == 0));
    arena.verify();
    assert_eq!(arena.fault(), None);

    let mut arena = Arena::new();
    arena.stage_move(100);
    let gained = arena.grow_break(PAGE).unwrap();
    let before = NonNull::new(gained.start.as_ptr().wrapping_sub(1)).unwrap();
    bytes(Range { start: before, len: 1 })[0] = 0;
    ends_with_fault(&mut arena, "somebody else's part");
}

#[test]
fn requests_fail_as_they_are_told_to() {
    let mut arena = Arena::new();
    arena.stage_failure(1, 2);
    assert!(arena.map(PAGE).is_some());
    assert!(arena.map(PAGE).is_none() && arena.grow_break(1).is_none());
    assert!(arena.grow_break(1).is_some());
    assert_eq!((arena.requests(), arena.fault()), (4, None));
}
