//! The depot: for each class an array of blocks in transit from threads that
//! free to threads that allocate. It is bounded, so that what is freed and not
//! wanted goes back to the heap.

use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::lock::Lock;
use crate::size_class::CLASS_LAST;

/// The most blocks of one class.
const SLOTS: usize = 1024;

/// The first of them lie beside those of other classes: most arrays are short,
/// and should not make an OS page resident each.
const FEW: usize = 128;

type First = [*mut u8; FEW];
type Others = [*mut u8; SLOTS - FEW];

/// The array of one class.
struct Slots<'a> {
    first: &'a mut First,
    others: &'a mut Others,
}

impl Slots<'_> {
    /// Copies blocks to the slots from `at` on.
    fn write(&mut self, at: usize, blocks: &[*mut u8]) {
        let few = FEW.saturating_sub(at).min(blocks.len());
        let (first, others) = blocks.split_at(few);
        self.first[at.min(FEW)..][..few].copy_from_slice(first);
        self.others[at.saturating_sub(FEW)..][..others.len()].copy_from_slice(others);
    }

    /// Copies blocks from the slots from `at` on.
    fn read(&self, at: usize, blocks: &mut [*mut u8]) {
        let few = FEW.saturating_sub(at).min(blocks.len());
        let (first, others) = blocks.split_at_mut(few);
        first.copy_from_slice(&self.first[at.min(FEW)..][..few]);
        others.copy_from_slice(&self.others[at.saturating_sub(FEW)..][..others.len()]);
    }

    fn iter(&self) -> impl Iterator<Item = &*mut u8> {
        self.first.iter().chain(self.others.iter())
    }
}

/// A class's lock and the length of its array. Apart from the arrays: most are
/// empty, and to find them so costs no page of theirs. A cache line each, since
/// threads meet here.
#[repr(align(64))]
struct Shelf {
    lock: Lock,
    len: AtomicUsize,
}

impl Shelf {
    const fn new() -> Shelf {
        Shelf { lock: Lock::new(), len: AtomicUsize::new(0) }
    }
}

/// The arrays of all classes.
pub(crate) struct Depot {
    shelves: [Shelf; CLASS_LAST + 1],
    first: [UnsafeCell<First>; CLASS_LAST + 1],
    others: [UnsafeCell<Others>; CLASS_LAST + 1],
}

// SAFETY: a class's slots are only touched under its shelf's lock.
unsafe impl Sync for Depot {}

impl Depot {
    pub(crate) const fn new() -> Depot {
        Depot {
            shelves: [const { Shelf::new() }; CLASS_LAST + 1],
            first: [const { UnsafeCell::new([null_mut(); FEW]) }; CLASS_LAST + 1],
            others: [const { UnsafeCell::new([null_mut(); SLOTS - FEW]) }; CLASS_LAST + 1],
        }
    }

    /// Runs `f` on the length of a class's array and the array, under its lock.
    fn with<R>(&self, class: usize, f: impl FnOnce(&mut usize, &mut Slots<'_>) -> R) -> R {
        let shelf = &self.shelves[class];
        let _held = shelf.lock.take();
        let mut len = shelf.len.load(Ordering::Relaxed);
        // SAFETY: under the lock.
        let (first, others) =
            unsafe { (&mut *self.first[class].get(), &mut *self.others[class].get()) };
        let result = f(&mut len, &mut Slots { first, others });
        shelf.len.store(len, Ordering::Relaxed);
        result
    }

    /// Moves up to `out.len()` blocks to `out`, calls `taken` with how many, if
    /// any, and gives that.
    pub(crate) fn take(
        &self,
        class: usize,
        out: &mut [*mut u8],
        taken: impl FnOnce(usize),
    ) -> usize {
        // What another thread is just giving may as well come a moment later.
        if self.len(class) == 0 {
            return 0;
        }
        self.with(class, |len, slots| {
            let count = out.len().min(*len);
            *len -= count;
            slots.read(*len, &mut out[..count]);
            taken(count);
            count
        })
    }

    /// Takes the first `count` blocks of `from` if there are then no more than
    /// `most` of the class, moves the others down, calls `given` and says
    /// whether it did.
    pub(crate) fn give(
        &self,
        class: usize,
        most: usize,
        from: &mut [*mut u8],
        count: usize,
        given: impl FnOnce(),
    ) -> bool {
        self.with(class, |len, slots| {
            if *len + count > most.min(SLOTS) {
                return false;
            }
            slots.write(*len, &from[..count]);
            *len += count;
            from.copy_within(count.., 0);
            given();
            true
        })
    }

    /// Blocks of a class in transit, a moment ago.
    pub(crate) fn len(&self, class: usize) -> usize {
        self.shelves[class].len.load(Ordering::Relaxed)
    }

    /// Calls `each` with every block in transit.
    pub(crate) fn each(&self, mut each: impl FnMut(*mut u8)) {
        for class in 1..=CLASS_LAST {
            self.with(class, |len, slots| slots.iter().take(*len).for_each(|&block| each(block)));
        }
    }

    /// The locks, for `fork`.
    pub(crate) fn locks(&self) -> impl Iterator<Item = &Lock> {
        self.shelves.iter().map(|shelf| &shelf.lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(n: usize) -> *mut u8 {
        core::ptr::without_provenance_mut(16 * n)
    }

    #[test]
    fn what_is_given_is_taken_once_and_by_class() {
        static DEPOT: Depot = Depot::new();
        let mut from = [1, 2, 3, 4].map(block);
        let mut given = false;
        assert!(DEPOT.give(5, SLOTS, &mut from, 3, || given = true) && given);
        assert_eq!(from[0], block(4), "the others move down");
        let mut out = [null_mut(); 2];
        assert_eq!(DEPOT.take(4, &mut out, |_| unreachable!("there is none of this class")), 0);
        let mut taken = 0;
        assert_eq!(DEPOT.take(5, &mut out, |count| taken = count), 2);
        assert_eq!((taken, out), (2, [block(2), block(3)]));
        assert_eq!(DEPOT.take(5, &mut out, |count| taken = count), 1);
        assert_eq!((taken, out[0], DEPOT.len(5)), (1, block(1), 0));
    }

    #[test]
    fn arrays_longer_than_a_few_keep_every_block_in_its_place() {
        static DEPOT: Depot = Depot::new();
        const GIVEN: usize = 2 * FEW / 13 + 1;
        for number in 0..GIVEN {
            let mut from: Vec<_> = (1..=13).map(|at| block(13 * number + at)).collect();
            assert!(DEPOT.give(7, SLOTS, &mut from, 13, || ()));
        }
        let mut seen = Vec::new();
        DEPOT.each(|block| seen.push(block));
        let expected: Vec<_> = (1..=13 * GIVEN).map(block).collect();
        assert_eq!(seen, expected);
        let (mut out, mut taken) = ([null_mut(); 19], Vec::new());
        while let count @ 1.. = DEPOT.take(7, &mut out, |_| ()) {
            taken.splice(0..0, out[..count].iter().copied());
        }
        assert_eq!(taken, expected);
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        static DEPOT: Depot = Depot::new();
        let mut from = [block(1); 8];
        assert!(DEPOT.give(1, 10, &mut from, 8, || ()));
        let refused = || unreachable!("they would be too many");
        assert!(!DEPOT.give(1, 10, &mut from, 3, refused));
        assert!(DEPOT.give(1, 10, &mut from, 2, || ()));
        assert_eq!(DEPOT.len(1), 10);
    }
}
