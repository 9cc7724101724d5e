//! Where blocks are while they live, and pass from thread to thread.
//!
//! ```text
//! slot = 0          empty
//!        WAITING    empty, and a thread waits for the block that another gives
//!        NOTHING    a block that was not granted here
//!        address    a live block
//! ```

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::futex;

const WAITING: u64 = 1;
pub(super) const NOTHING: u64 = 2;
/// In a size: not all of the block has been touched.
pub(super) const PARTLY: u64 = 1 << 63;

/// A block, or none.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Slot {
    block: AtomicU64,
    size: AtomicU64,
}

impl Slot {
    /// Requested bytes of the block, if there is one.
    pub(super) fn live(&self) -> Option<u64> {
        (self.block.load(Acquire) > WAITING).then(|| self.size.load(Relaxed) & !PARTLY)
    }

    /// The lower half, which tells all that there is to wait for: no block's is
    /// WAITING, since blocks lie at multiples of eight.
    fn word(&self) -> &AtomicU32 {
        // SAFETY: the lower half of a live atomic; on x86-64 it comes first.
        unsafe { AtomicU32::from_ptr(self.block.as_ptr().cast()) }
    }

    /// Empties the slot, and gives its block and size.
    #[inline(always)]
    pub(super) fn take(&self, waits: bool) -> (u64, u64) {
        let mut block = self.block.load(Acquire);
        if waits && block <= WAITING {
            block = self.wait();
        }
        self.block.store(0, Relaxed);
        (block, self.size.load(Relaxed))
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) -> u64 {
        for _ in 0..200 {
            let block = self.block.load(Acquire);
            if block > WAITING {
                return block;
            }
            std::hint::spin_loop();
        }
        loop {
            // Whoever gives finds WAITING, and wakes.
            let _ = self.block.compare_exchange(0, WAITING, AcqRel, Acquire);
            let block = self.block.load(Acquire);
            if block > WAITING {
                return block;
            }
            futex::wait(self.word(), WAITING as u32, 0);
        }
    }

    #[inline(always)]
    pub(super) fn put(&self, block: u64, size: u64, given: bool) {
        self.size.store(size, Relaxed);
        if given {
            self.give(block);
        } else {
            self.block.store(block, Release);
        }
    }

    #[cold]
    #[inline(never)]
    fn give(&self, block: u64) {
        if self.block.swap(block, AcqRel) == WAITING {
            futex::wake(self.word());
        }
    }
}
