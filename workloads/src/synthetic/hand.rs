//! The hand that allocates, writes, reads back and frees, through Rust's global
//! allocator.
//!
//! What is read back goes into a digest, so a block that was handed out twice,
//! moved or cleared shows.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error, realloc};

use super::meter::Meter;
use crate::opaque::opaque;

/// Bytes of a word that is written and read back: the least a block may have.
pub(super) const WORD: usize = size_of::<u64>();

/// Distance of touches that make every OS page of a block resident.
pub(super) const OS_PAGE: usize = 4096;

/// What `malloc` promises without being asked.
const ALIGNMENT: usize = 16;

/// A live block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    start: *mut u8,
    size: usize,
}

// SAFETY: a block of the global allocator may be used and freed by any thread,
// and a `Block` is handed over, not shared.
unsafe impl Send for Block {}

/// Allocates and frees for one thread.
pub(super) struct Hand<'m, M> {
    meter: &'m mut M,
    digest: u64,
}

impl<'m, M: Meter> Hand<'m, M> {
    pub(super) fn new(meter: &'m mut M) -> Self {
        Hand { meter, digest: 0 }
    }

    /// Of all that was read back so far, in its order.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// A block whose first word is written. `size` is at least [`WORD`].
    #[inline(always)]
    pub(super) fn allocate(&mut self, size: usize, seal: u64) -> Block {
        let block = self.fresh(size);
        // SAFETY: a new block of at least WORD bytes.
        unsafe { block.start.cast::<u64>().write_unaligned(seal) };
        block
    }

    /// A block of which a word is written every `stride` bytes, and the last one.
    #[inline(always)]
    pub(super) fn allocate_touched(&mut self, size: usize, seal: u64, stride: usize) -> Block {
        let block = self.fresh(size);
        for word in words(block, 0, stride) {
            // SAFETY: `words` stays inside the block, which is live and ours.
            unsafe { word.write_unaligned(seal ^ (word.addr() - block.start.addr()) as u64) };
        }
        block
    }

    /// As [`allocate_touched`](Self::allocate_touched), of memory that must read
    /// as zero where it is touched.
    #[inline(always)]
    pub(super) fn allocate_zeroed(&mut self, size: usize, seal: u64, stride: usize) -> Block {
        let layout = layout(size, ALIGNMENT);
        // SAFETY: the size is at least WORD, so not zero.
        let start = self.meter.allocate(size, || opaque(unsafe { alloc_zeroed(layout) }));
        if start.is_null() {
            handle_alloc_error(layout);
        }
        let block = Block { start, size };
        for word in words(block, 0, stride) {
            // SAFETY: `words` stays inside the block, which is live and ours.
            unsafe {
                self.read(word);
                word.write_unaligned(seal ^ (word.addr() - start.addr()) as u64);
            }
        }
        block
    }

    #[inline(always)]
    fn fresh(&mut self, size: usize) -> Block {
        let layout = layout(size, ALIGNMENT);
        // SAFETY: the size is at least WORD, so not zero.
        let start = self.meter.allocate(size, || opaque(unsafe { alloc(layout) }));
        if start.is_null() {
            handle_alloc_error(layout);
        }
        Block { start, size }
    }

    /// A block at a multiple of `alignment`, a power of two above 16, whose first
    /// word is written: that the promise is kept is a part of the digest.
    #[inline(always)]
    pub(super) fn allocate_aligned(&mut self, size: usize, alignment: usize, seal: u64) -> Block {
        let layout = layout(size, alignment);
        // SAFETY: the size is at least WORD, so not zero.
        let start = self.meter.allocate(size, || opaque(unsafe { alloc(layout) }));
        if start.is_null() {
            handle_alloc_error(layout);
        }
        self.digest = self.digest.wrapping_add((start.addr() & (alignment - 1)) as u64);
        // SAFETY: a new block of at least WORD bytes.
        unsafe { start.cast::<u64>().write_unaligned(seal) };
        Block { start, size }
    }

    /// Reads the first word back, and frees a block of that alignment.
    #[inline(always)]
    pub(super) fn free_aligned(&mut self, block: Block, alignment: usize) {
        // SAFETY: the block has at least WORD bytes, the first of them written.
        unsafe { self.read(block.start.cast()) };
        self.meter.free(block.start, block.size, || {
            // SAFETY: as in `give`.
            unsafe { dealloc(block.start, layout(block.size, alignment)) };
        });
    }

    /// `block`, longer: its first word is read back, and where it is new it is
    /// touched as by [`allocate_touched`](Self::allocate_touched).
    pub(super) fn grow(&mut self, block: Block, size: usize, seal: u64, stride: usize) -> Block {
        let old = layout(block.size, ALIGNMENT);
        let start = self.meter.reallocate(block.start, block.size, size, || {
            // SAFETY: the block is live and of this layout; the new size is not zero,
            // and the old block is given up.
            opaque(unsafe { realloc(block.start, old, size) })
        });
        if start.is_null() {
            handle_alloc_error(layout(size, ALIGNMENT));
        }
        let grown = Block { start, size };
        // SAFETY: the block has at least WORD bytes, and they were written.
        unsafe { self.read(start.cast()) };
        for word in words(grown, block.size, stride) {
            // SAFETY: `words` stays inside the block, which is live and ours.
            unsafe { word.write_unaligned(seal ^ (word.addr() - start.addr()) as u64) };
        }
        grown
    }

    /// Writes the first word once more.
    #[inline(always)]
    pub(super) fn write_again(&mut self, block: &mut Block, seal: u64) {
        // SAFETY: the block has at least WORD bytes; volatile, so that every write
        // is one.
        unsafe { block.start.cast::<u64>().write_volatile(seal) };
    }

    /// Reads the first word back, and frees.
    #[inline(always)]
    pub(super) fn free(&mut self, block: Block) {
        // SAFETY: the block has at least WORD bytes, the first of them written.
        unsafe { self.read(block.start.cast()) };
        self.give(block);
    }

    /// Reads back what [`allocate_touched`](Self::allocate_touched) wrote, and frees.
    #[inline(always)]
    pub(super) fn free_touched(&mut self, block: Block, stride: usize) {
        for word in words(block, 0, stride) {
            // SAFETY: `words` stays inside the block, which `allocate` wrote.
            unsafe { self.read(word) };
        }
        self.give(block);
    }

    #[inline(always)]
    fn give(&mut self, block: Block) {
        self.meter.free(block.start, block.size, || {
            // SAFETY: the block was got under this layout, and drivers free each
            // once: they drop it from their tables.
            unsafe { dealloc(block.start, layout(block.size, ALIGNMENT)) };
        });
    }

    /// # Safety
    /// `word` lies in a live block and was written.
    #[inline(always)]
    unsafe fn read(&mut self, word: *mut u64) {
        // SAFETY: the caller's promise.
        let read = unsafe { opaque(word).read_unaligned() };
        self.digest = mix(self.digest, read);
    }
}

/// Allocates a block and frees it, so many times, and nothing else: what a driver takes
/// beyond these calls is its own.
pub fn calls_alone(pairs: u64) {
    for _ in 0..pairs {
        let layout = layout(64, ALIGNMENT);
        // SAFETY: the size is not zero, and the block is given back under its layout,
        // unless there is none.
        unsafe {
            let start = opaque(alloc(layout));
            if start.is_null() {
                handle_alloc_error(layout);
            }
            dealloc(start, layout);
        }
    }
}

/// Adds `word` to `digest`; the order matters.
#[inline(always)]
pub(super) fn mix(digest: u64, word: u64) -> u64 {
    (digest.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The words of `block` that are written: one every stride from its start on, but
/// for those before `begin`, and its last.
#[inline(always)]
fn words(block: Block, begin: usize, stride: usize) -> impl Iterator<Item = *mut u64> {
    let last = block.size - WORD;
    (begin.next_multiple_of(stride)..last).step_by(stride).chain([last]).map(move |offset| {
        // SAFETY: offset <= size - WORD, so the word ends inside the block.
        unsafe { block.start.add(offset) }.cast::<u64>()
    })
}

#[inline(always)]
fn layout(size: usize, alignment: usize) -> Layout {
    debug_assert!((WORD..=isize::MAX as usize - alignment).contains(&size));
    debug_assert!(alignment.is_power_of_two());
    // SAFETY: the alignment is a power of two, and no workload's size comes near
    // the limit.
    unsafe { Layout::from_size_align_unchecked(size, alignment) }
}

#[cfg(test)]
mod tests {
    use super::super::meter::Nobody;
    use super::*;

    #[test]
    fn the_words_written_cover_both_ends_and_stay_inside() {
        let mut memory = [0_u8; 200];
        for size in [8, 9, 63, 64, 65, 72, 128, 200] {
            let block = Block { start: memory.as_mut_ptr(), size };
            let offsets: Vec<usize> =
                words(block, 0, 64).map(|w| w.addr() - block.start.addr()).collect();
            assert!(offsets.iter().all(|&o| o + WORD <= size), "{size}: {offsets:?}");
            assert_eq!(offsets.last(), Some(&(size - WORD)));
            assert!(offsets.windows(2).all(|w| w[1] - w[0] <= 64), "{size}: {offsets:?}");
        }
    }

    #[test]
    fn a_byte_changed_behind_its_back_changes_the_digest() {
        let digest = |offset: Option<usize>| {
            let mut hand = Hand { meter: &mut Nobody, digest: 0 };
            let mut block = hand.allocate_touched(100, 7, 64);
            if let Some(offset) = offset {
                // SAFETY: the block is live and has 100 bytes.
                unsafe { *block.start.add(offset) ^= 1 };
            }
            block = hand.grow(block, 300, 8, 64);
            hand.free_touched(block, 64);
            hand.digest
        };
        assert_ne!(digest(None), digest(Some(0)));
        assert_ne!(digest(None), digest(Some(64)));
        assert_eq!(digest(None), digest(Some(32)), "between the words nothing is read");
    }

    #[test]
    fn zeroed_memory_that_is_not_zero_would_show() {
        let mut hand = Hand { meter: &mut Nobody, digest: 0 };
        let block = hand.allocate_zeroed(9000, 1, OS_PAGE);
        assert_eq!(hand.digest, 0, "zeros leave the digest alone");
        hand.free(block);
        assert_ne!(hand.digest, 0);
    }
}
