//! Each promise the oracle watches is broken once on purpose: an oracle that
//! has never been seen to fail may be checking nothing.

use std::alloc::{Layout, System};
use std::ptr::NonNull;

use brkpoint_workloads::op::{Generator, Op};
use brkpoint_workloads::shadow::{Global, Outcome, Shadow, Subject, Violation};

/// A bug planted into a sound allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// Blocks are 8 bytes off.
    Misaligned,
    /// Every block is the same memory.
    Shared,
    /// A block begins in another's last bytes.
    Overlapping,
    /// An allocation writes to a byte of an older block.
    Scribbles,
    /// Realloc loses the last byte that it should keep.
    ForgetsLast,
    /// Zeroed memory has a byte that is not.
    NotZero,
    /// The usable size is less than was requested.
    TooSmall,
    /// The usable size is more than the block has until the next one.
    Boastful,
    /// A refused realloc has destroyed the block.
    RefusesBadly,
}

/// Hands out an arena once, from the bottom up; never reuses anything.
struct Planted {
    arena: Vec<u128>,
    used: usize,
    bug: Bug,
    last: Option<NonNull<u8>>,
}

impl Planted {
    fn new(bug: Bug) -> Planted {
        Planted { arena: vec![0; 1 << 16], used: 0, bug, last: None }
    }

    fn at(&mut self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.arena.len() * 16, "the arena is used up");
        let start = self.arena.as_mut_ptr().cast::<u8>();
        NonNull::new(start.wrapping_add(offset)).unwrap()
    }
}

impl Subject for Planted {
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        let mut offset = self.used.next_multiple_of(layout.align().max(16));
        match self.bug {
            Bug::Misaligned => offset += 8,
            Bug::Shared => offset = 0,
            Bug::Overlapping if self.used >= 16 => offset -= 32,
            _ => {}
        }
        self.used = offset + layout.size().max(1) + 16;
        let block = self.at(offset);
        if let (Bug::Scribbles, Some(last)) = (self.bug, self.last.replace(block)) {
            // SAFETY: the first byte of an older block, in the arena.
            unsafe { last.write(last.read() ^ 1) };
        }
        if zeroed && self.bug == Bug::NotZero {
            // SAFETY: the last byte of this block.
            unsafe { block.add(layout.size() - 1).write(1) };
        }
        Some(block)
    }

    unsafe fn free(&mut self, block: NonNull<u8>, _: Layout) {
        self.last = self.last.filter(|&last| last != block);
    }

    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        if self.bug == Bug::RefusesBadly {
            // SAFETY: a byte of a live block.
            unsafe { block.write(block.read() ^ 1) };
            return None;
        }
        let new = self.allocate(Layout::from_size_align(size, layout.align()).unwrap(), false)?;
        let kept = layout.size().min(size) - usize::from(self.bug == Bug::ForgetsLast);
        // SAFETY: two blocks of the arena, at least that long.
        unsafe { block.copy_to(new, kept) };
        Some(new)
    }

    unsafe fn usable_size(&mut self, _: NonNull<u8>, layout: Layout) -> usize {
        match self.bug {
            Bug::TooSmall => layout.size() - 1,
            Bug::Boastful => layout.size() + 64,
            _ => layout.size(),
        }
    }
}

fn run(bug: Bug) -> Result<(), Violation> {
    let alloc = |slot, zeroed| Op::Alloc { slot, size: 40, align: 16, zeroed };
    let mut planted = Planted::new(bug);
    let mut shadow = Shadow::new(1);
    for op in [
        alloc(0, true),
        alloc(1, false),
        alloc(2, false),
        Op::Realloc { slot: 1, size: 200 },
        Op::Free { slot: 0 },
    ] {
        shadow.perform(&mut planted, op)?;
    }
    shadow.free_all(&mut planted)
}

#[test]
fn each_planted_bug_is_found_and_named() {
    assert_eq!(run(Bug::None), Ok(()));
    for (bug, says) in [
        (Bug::Misaligned, "not aligned"),
        (Bug::Shared, "overlaps"),
        (Bug::Overlapping, "overlaps"),
        (Bug::Scribbles, "byte 0 of 40"),
        (Bug::ForgetsLast, "byte 39 of 40"),
        (Bug::NotZero, "byte 39 of zeroed"),
        (Bug::TooSmall, "usable size 39"),
        (Bug::Boastful, "overlaps"),
        (Bug::RefusesBadly, "byte 0 of 40"),
    ] {
        let violation = run(bug).expect_err(&format!("{bug:?} went unnoticed"));
        assert!(violation.what.contains(says), "{bug:?}: {violation}");
    }
}

#[test]
fn contents_are_verified_only_as_often_as_asked() {
    // The same scribble, seen by nobody until the block is freed.
    let mut planted = Planted::new(Bug::Scribbles);
    let mut shadow = Shadow::new(0);
    for slot in 0..3 {
        let op = Op::Alloc { slot, size: 40, align: 16, zeroed: false };
        assert_eq!(shadow.perform(&mut planted, op), Ok(Outcome::Done));
    }
    assert!(shadow.verify().is_err());
    assert!(shadow.perform(&mut planted, Op::Free { slot: 0 }).is_err());
}

#[test]
fn the_system_allocator_passes() {
    let mut shadow = Shadow::new(64);
    let mut subject = Global(System);
    for op in Generator::new(3, 64, 100_000).take(5_000) {
        assert_eq!(shadow.perform(&mut subject, op), Ok(Outcome::Done));
    }
    assert!(shadow.live_blocks() > 10 && shadow.live_bytes() > 10_000);
    shadow.free_all(&mut subject).unwrap();
    assert_eq!((shadow.live_blocks(), shadow.live_bytes()), (0, 0));
}
