//! Each promise the oracle watches is broken on purpose: an oracle that has
//! never been seen to fail may be checking nothing. Each bug is found by the
//! promises that are named, each of them alone, and goes unnoticed without them.

use std::alloc::{Layout, System};
use std::ptr::NonNull;

use brkpoint_workloads::op::draw::Events;
use brkpoint_workloads::op::{ALIGN_MOST, Generator, Op, Shape};
use brkpoint_workloads::shadow::{
    Complaint, Global, Model, Outcome, Promise, Rules, Shadow, Subject, Violation, Watch,
};

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
    /// Memory that was used before is not zeroed.
    NotZeroAgain,
    /// The usable size is less than was requested.
    TooSmall,
    /// The usable size is more than the block has until the next one.
    Boastful,
    /// The usable size is less when asked again.
    Dwindling,
    /// A request that nobody can grant is granted.
    Generous,
    /// The product of an array's numbers wraps round.
    Wraps,
    /// Every fifth request is refused.
    Stingy,
    /// A block cannot be made smaller.
    KeepsLarge,
    /// A refused realloc has destroyed the block.
    RefusesBadly,
    /// A refused request is counted as a block.
    CountsRefused,
    /// A block that is freed is still counted.
    CountsFreed,
}

/// Hands out an arena from the bottom up, and what was freed last again.
struct Planted {
    arena: Vec<u128>,
    used: usize,
    freed: Option<(usize, usize)>,
    bug: Bug,
    last: Option<NonNull<u8>>,
    requests: u64,
    answers: u64,
    blocks: usize,
}

impl Planted {
    fn new(bug: Bug) -> Planted {
        Planted {
            arena: vec![0; 1 << 20],
            used: 0,
            freed: None,
            bug,
            last: None,
            requests: 0,
            answers: 0,
            blocks: 0,
        }
    }

    fn at(&mut self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.arena.len() * 16 - 4096, "the arena is used up");
        let start = self.arena.as_mut_ptr().cast::<u8>();
        NonNull::new(start.wrapping_add(offset)).unwrap()
    }

    fn offset(&self, layout: Layout) -> usize {
        let base = self.arena.as_ptr().addr();
        (base + self.used).next_multiple_of(layout.align().max(16)) - base
    }

    fn refuse(&mut self) -> Option<NonNull<u8>> {
        self.blocks += usize::from(self.bug == Bug::CountsRefused);
        None
    }
}

impl Subject for Planted {
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        self.requests += 1;
        if self.bug == Bug::Stingy && self.requests.is_multiple_of(5) {
            return self.refuse();
        }
        if layout.size() > 1 << 20 && self.bug != Bug::Generous {
            return self.refuse();
        }
        let again = self.freed.take_if(|(_, size)| layout.align() <= 16 && layout.size() <= *size);
        let mut offset = again.map_or(self.offset(layout), |(offset, _)| offset);
        match self.bug {
            Bug::Misaligned => offset += 8,
            // At a multiple of every alignment.
            Bug::Shared => offset = self.arena.as_ptr().addr().wrapping_neg() % ALIGN_MOST,
            Bug::Overlapping if again.is_none() && offset >= 32 && layout.align() <= 16 => {
                offset -= 32;
            }
            _ => {}
        }
        if again.is_none() {
            self.used = offset + layout.size().min(4096) + 16;
        }
        self.blocks += 1;
        let block = self.at(offset);
        if let (Bug::Scribbles, Some(last)) = (self.bug, self.last.replace(block)) {
            // SAFETY: the first byte of an older block, in the arena.
            unsafe { last.write(last.read() ^ 1) };
        }
        if zeroed && layout.size() > 0 {
            // SAFETY: the bytes of this block.
            unsafe {
                if again.is_none() || self.bug != Bug::NotZeroAgain {
                    block.write_bytes(0, layout.size().min(4096));
                }
                if self.bug == Bug::NotZero {
                    block.add(layout.size() - 1).write(1);
                }
            }
        }
        Some(block)
    }

    fn allocate_beyond(&mut self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        if self.bug == Bug::Generous {
            return self.allocate(Layout::from_size_align(size % 64, align).unwrap(), zeroed);
        }
        self.refuse()
    }

    fn allocate_array(&mut self, count: usize, size: usize) -> Option<NonNull<u8>> {
        let total = match self.bug {
            Bug::Wraps => count.wrapping_mul(size),
            Bug::Generous => count.checked_mul(size).unwrap_or(64),
            _ => match count.checked_mul(size) {
                Some(total) => total,
                None => return self.refuse(),
            },
        };
        self.allocate(Layout::from_size_align(total, 16).ok()?, true)
    }

    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        self.blocks -= usize::from(self.bug != Bug::CountsFreed);
        self.last = self.last.filter(|&last| last != block);
        if self.bug != Bug::Overlapping {
            self.freed = Some((block.addr().get() - self.arena.as_ptr().addr(), layout.size()));
        }
    }

    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        if self.bug == Bug::RefusesBadly && layout.size() > 0 {
            // SAFETY: a byte of a live block.
            unsafe { block.write(block.read() ^ 1) };
            return None;
        }
        if self.bug == Bug::KeepsLarge && size < layout.size() {
            return None;
        }
        // Never where something was freed: a refused request must not have
        // given it away.
        let freed = self.freed.take();
        let layout_of = Layout::from_size_align(size, layout.align()).ok();
        let new = match layout_of {
            Some(layout) => self.allocate(layout, false),
            None => self.allocate_beyond(size, layout.align(), false),
        };
        self.freed = freed;
        let new = new?;
        let forgotten = usize::from(self.bug == Bug::ForgetsLast);
        let kept = layout.size().min(size).saturating_sub(forgotten);
        // SAFETY: two blocks of the arena, at least that long.
        unsafe {
            block.copy_to(new, kept);
            self.free(block, layout);
        }
        Some(new)
    }

    unsafe fn usable_size(&mut self, _: NonNull<u8>, layout: Layout) -> usize {
        self.answers += 1;
        match self.bug {
            Bug::TooSmall => layout.size().saturating_sub(1),
            Bug::Boastful => layout.size() + 64,
            Bug::Dwindling => layout.size() + 8 * usize::from(!self.answers.is_multiple_of(7)),
            _ => layout.size(),
        }
    }

    fn inspect(&mut self, model: &Model, _: bool) -> Result<(), Complaint> {
        if self.blocks == model.blocks {
            return Ok(());
        }
        let what = format!("{} blocks, not {}", self.blocks, model.blocks);
        Err(Complaint::new(Promise::Accounts, what))
    }
}

const SHAPE: Shape<'_> = Shape {
    slots: 12,
    largest: 1000,
    align_most: ALIGN_MOST,
    edges: &[],
    impossible: true,
    events: Events {
        trim: true,
        set: false,
        threads: 0,
        fork: false,
        wait: false,
        fail: false,
        move_break: false,
    },
};

fn run(bug: Bug, watch: Watch) -> Result<(), Violation> {
    let mut planted = Planted::new(bug);
    let mut shadow = Shadow::with(Rules { watch, granted: 1 << 20, ..Rules::THOROUGH });
    for op in Generator::shaped(5, SHAPE).take(1000) {
        shadow.perform(&mut planted, op)?;
    }
    shadow.free_all(&mut planted)
}

#[test]
fn each_planted_bug_is_found_by_the_promises_it_breaks_and_by_no_other() {
    use Promise::{
        Accounts, Alignment, Contents, Disjoint, Granted, Harmless, Impossible, Prefix, UsableSize,
        Zeroed,
    };
    // What overwrites a block is seen by all that reads it.
    let readers = [Contents, Prefix, Harmless];
    let overlap = [Disjoint, Contents, Prefix, Harmless];
    for (bug, broken) in [
        (Bug::None, &[][..]),
        (Bug::Misaligned, &[Alignment]),
        (Bug::Shared, &overlap),
        (Bug::Overlapping, &overlap),
        (Bug::Scribbles, &readers),
        (Bug::ForgetsLast, &[Prefix]),
        (Bug::NotZero, &[Zeroed]),
        (Bug::NotZeroAgain, &[Zeroed]),
        (Bug::TooSmall, &[UsableSize]),
        (Bug::Boastful, &overlap),
        (Bug::Dwindling, &[UsableSize]),
        // A block that cannot be there is left out of account.
        (Bug::Generous, &[Impossible, Accounts, Harmless]),
        (Bug::Wraps, &[Impossible, Accounts, Harmless]),
        (Bug::Stingy, &[Granted]),
        (Bug::KeepsLarge, &[Granted]),
        (Bug::RefusesBadly, &[Contents, Harmless, Granted]),
        (Bug::CountsRefused, &[Accounts, Harmless]),
        (Bug::CountsFreed, &[Accounts, Harmless]),
    ] {
        for &promise in Promise::ALL {
            let found = run(bug, Watch::NONE.with(promise));
            match found {
                Err(violation) => {
                    assert!(broken.contains(&promise), "{bug:?} {promise:?}: {violation}");
                    assert_eq!(violation.promise, promise, "{bug:?}: {violation}");
                }
                Ok(()) => assert!(!broken.contains(&promise), "{promise:?} misses {bug:?}"),
            }
        }
        let blind = broken.iter().fold(Watch::ALL, |watch, &promise| watch.without(promise));
        assert_eq!(run(bug, blind), Ok(()), "{bug:?} is seen by more than it should be");
        assert_eq!(run(bug, Watch::ALL).is_err(), bug != Bug::None, "{bug:?}");
    }
}

#[test]
fn a_violation_says_where_and_what() {
    let violation = run(Bug::NotZero, Watch::ALL).unwrap_err();
    let text = violation.to_string();
    for part in ["operation ", ", block 0x", " of zeroed memory is 0x1 (promise: zeroed)"] {
        assert!(text.contains(part), "{text}");
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
fn the_system_allocator_passes_whatever_the_rules() {
    for rules in [Rules::FAST, Rules::THOROUGH, Rules::EXHAUSTIVE] {
        let mut shadow = Shadow::with(Rules { granted: 64 << 20, ..rules });
        let mut subject = Global(System);
        for op in Generator::new(3, 64, 100_000).take(3_000) {
            assert_eq!(shadow.perform(&mut subject, op), Ok(Outcome::Done));
        }
        assert!(shadow.live_blocks() > 10 && shadow.live_bytes() > 10_000);
        shadow.free_all(&mut subject).unwrap();
        assert_eq!(shadow.model(), &Model::default());
    }
}

#[test]
fn a_block_goes_from_oracle_to_oracle_and_is_seen_if_it_was_harmed_on_the_way() {
    let mut subject = Global(System);
    let (mut one, mut other) = (Shadow::new(1), Shadow::new(1));
    for slot in [0, 1] {
        let op = Op::Alloc { slot, size: 100, align: 16, zeroed: false };
        one.perform(&mut subject, op).unwrap();
    }
    let parcel = one.take(0).unwrap();
    assert!(other.give(3, parcel).unwrap().is_none());
    assert!(other.give(3, one.take(1).unwrap()).unwrap().is_some(), "the slot is taken");
    assert_eq!((one.live_blocks(), other.live_blocks()), (0, 1));
    other.perform(&mut subject, Op::Realloc { slot: 3, size: 5000 }).unwrap();
    other.free_all(&mut subject).unwrap();

    let mut planted = Planted::new(Bug::Scribbles);
    let rules = Rules { watch: Watch::ALL.without(Promise::Accounts), ..Rules::THOROUGH };
    let (mut one, mut other) = (Shadow::with(rules), Shadow::with(rules));
    let alloc = |slot| Op::Alloc { slot, size: 40, align: 16, zeroed: false };
    one.perform(&mut planted, alloc(0)).unwrap();
    let parcel = one.take(0).unwrap();
    // Which writes to the block on its way.
    one.perform(&mut planted, alloc(1)).unwrap();
    assert_eq!(other.give(0, parcel).unwrap_err().promise, Promise::Contents);
}
