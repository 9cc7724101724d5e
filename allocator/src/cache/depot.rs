//! The depot: for each class an array of blocks in transit from threads that
//! free to threads that allocate. It is bounded, so that what is freed and not
//! wanted goes back to the heap.

use core::cell::UnsafeCell;
use core::ptr::null_mut;

use crate::lock::Lock;
use crate::size_class::CLASS_LAST;

/// The most blocks of one class.
const SLOTS: usize = 1024;

struct Shelf {
    lock: Lock,
    inner: UnsafeCell<Inner>,
}

impl Shelf {
    const fn new() -> Shelf {
        Shelf {
            lock: Lock::new(),
            inner: UnsafeCell::new(Inner { len: 0, blocks: [null_mut(); SLOTS] }),
        }
    }
}

struct Inner {
    len: usize,
    blocks: [*mut u8; SLOTS],
}

/// The arrays of all classes.
pub(crate) struct Depot {
    shelves: [Shelf; CLASS_LAST + 1],
}

// SAFETY: `inner` is only touched under its `lock`.
unsafe impl Sync for Depot {}

impl Depot {
    pub(crate) const fn new() -> Depot {
        Depot { shelves: [const { Shelf::new() }; CLASS_LAST + 1] }
    }

    /// Runs `f` on a class's array, under its lock.
    fn with<R>(&self, class: usize, f: impl FnOnce(&mut Inner) -> R) -> R {
        let _held = self.shelves[class].lock.take();
        // SAFETY: under the lock.
        f(unsafe { &mut *self.shelves[class].inner.get() })
    }

    /// Moves up to `out.len()` blocks to `out`, calls `taken` with how many,
    /// and gives that.
    pub(crate) fn take(
        &self,
        class: usize,
        out: &mut [*mut u8],
        taken: impl FnOnce(usize),
    ) -> usize {
        self.with(class, |inner| {
            let count = out.len().min(inner.len);
            inner.len -= count;
            out[..count].copy_from_slice(&inner.blocks[inner.len..][..count]);
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
        self.with(class, |inner| {
            if inner.len + count > most.min(SLOTS) {
                return false;
            }
            inner.blocks[inner.len..][..count].copy_from_slice(&from[..count]);
            inner.len += count;
            from.copy_within(count.., 0);
            given();
            true
        })
    }

    /// Calls `each` with every block in transit.
    pub(crate) fn each(&self, mut each: impl FnMut(*mut u8)) {
        for class in 1..=CLASS_LAST {
            self.with(class, |inner| {
                inner.blocks[..inner.len].iter().for_each(|&block| each(block))
            });
        }
    }

    /// The locks, for `fork`.
    pub(crate) fn locks(&self) -> impl Iterator<Item = &Lock> {
        self.shelves.iter().map(|shelf| &shelf.lock)
    }
}
