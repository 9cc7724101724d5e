//! Chunks: the textbook's unit, a 16-byte header and the block right of it.
//!
//! ```text
//!           | previous | own      | block ...                     | next header
//!  free:    | previous | own      | next link | previous link ... |
//!             8 bytes    8 bytes
//! ```
//!
//! `previous` is the size of the chunk on the left (the boundary tag), `own`
//! this chunk's size and state. Both words are *sealed*: their top 16 bits are
//! a hash of the rest and of the address. A word that was overwritten, and a
//! pointer that is no block's, give themselves away.
//!
//! Whoever owns a live block may turn its state from Live to Cached and back
//! without the heap's lock, while somebody under the lock looks at it as a
//! neighbour: hence `own` is read and written atomically. Either state tells
//! the neighbour the same.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::size_class::GRAIN;

/// Bytes of header left of every block.
pub(super) const HEADER: usize = 16;
/// The smallest chunk in bytes: a header and two links.
pub(super) const CHUNK_LEAST: usize = 32;

const _: () = assert!(size_of::<usize>() == 8, "headers are made for 64-bit addresses");
const _: () =
    assert!(HEADER.is_multiple_of(GRAIN) && CHUNK_LEAST >= HEADER + 2 * size_of::<usize>());

/// What a chunk is. Kept in the low bits of its size, which is a multiple of 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum State {
    /// A block that the program holds.
    Live = 1,
    /// Free, and in a bin or the tree.
    Free = 2,
    /// The free space at the end of the current segment.
    Top = 3,
    /// The end of any other segment; never freed.
    Fence = 4,
    /// A block with a mapping of its own; it has no neighbours.
    Mapped = 5,
    /// A block that the program has freed and a thread's cache keeps. To the
    /// heap it is as good as live.
    Cached = 6,
    /// What the heap keeps its own records in.
    Inner = 7,
    /// A unit of small blocks.
    Unit = 8,
}

impl State {
    const MASK: usize = 15;

    const fn of(word: usize) -> Option<State> {
        match word & State::MASK {
            1 => Some(State::Live),
            2 => Some(State::Free),
            3 => Some(State::Top),
            4 => Some(State::Fence),
            5 => Some(State::Mapped),
            6 => Some(State::Cached),
            7 => Some(State::Inner),
            8 => Some(State::Unit),
            _ => None,
        }
    }
}

/// Bits of a sealed word that carry its value.
const VALUE_BITS: u32 = 48;
const VALUE_MASK: usize = (1 << VALUE_BITS) - 1;

/// A state's part of a sealed word: the state, and the four bits of it in each
/// of the top four. Of two states that of one ^ that of the other turns one into
/// the other, whatever the size: marking a block costs no hash.
const fn mark(state: usize) -> usize {
    state * (0x1111 << VALUE_BITS | 1)
}

fn seal(address: usize, value: usize) -> usize {
    debug_assert!(value <= VALUE_MASK);
    let (size, state) = (value & !State::MASK, value & State::MASK);
    let hash = (address ^ size.rotate_left(20)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (size | (hash & !VALUE_MASK)) ^ mark(state)
}

fn unseal(address: usize, word: usize) -> Option<usize> {
    let value = word & VALUE_MASK;
    (seal(address, value) == word).then_some(value)
}

/// A chunk by the address of its header.
///
/// Whoever holds one answers for this: the header lies in memory of the heap,
/// 16-byte aligned. All `unsafe fn` here ask for just that, and say "in the
/// heap" for short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Chunk(NonNull<u8>);

impl Chunk {
    /// The chunk whose header is at `header`.
    pub(super) const fn at(header: NonNull<u8>) -> Chunk {
        Chunk(header)
    }

    /// The chunk of a block.
    ///
    /// # Safety
    ///
    /// `block` has 16 bytes of the same allocation on its left.
    pub(super) unsafe fn of_block(block: NonNull<u8>) -> Chunk {
        // SAFETY: by contract.
        Chunk(unsafe { block.sub(HEADER) })
    }

    /// The header's address.
    pub(super) fn address(self) -> usize {
        self.0.addr().get()
    }

    /// The header's first byte.
    pub(super) const fn start(self) -> NonNull<u8> {
        self.0
    }

    /// The block.
    ///
    /// # Safety
    ///
    /// In the heap.
    pub(super) unsafe fn block(self) -> NonNull<u8> {
        // SAFETY: every chunk has its header's 16 bytes.
        unsafe { self.0.add(HEADER) }
    }

    /// The chunk `bytes` further right.
    ///
    /// # Safety
    ///
    /// In the heap, and so is the result, or it is the end of its segment.
    pub(super) unsafe fn offset(self, bytes: usize) -> Chunk {
        // SAFETY: by contract.
        Chunk(unsafe { self.0.add(bytes) })
    }

    /// The chunk `bytes` further left.
    ///
    /// # Safety
    ///
    /// In the heap, and so is the result.
    pub(super) unsafe fn back(self, bytes: usize) -> Chunk {
        // SAFETY: by contract.
        Chunk(unsafe { self.0.sub(bytes) })
    }

    fn words(self) -> NonNull<[usize; 4]> {
        self.0.cast()
    }

    /// Writes the word with size and state.
    ///
    /// # Safety
    ///
    /// In the heap; `size` is the distance to the next chunk.
    pub(super) unsafe fn set(self, size: usize, state: State) {
        let word = seal(self.address() + 8, size | state as usize);
        // SAFETY: the header is ours to write.
        unsafe { self.own() }.store(word, Ordering::Relaxed);
    }

    /// The word with size and state.
    ///
    /// # Safety
    ///
    /// The 16 bytes at the header are readable; to be stored to, in the heap.
    unsafe fn own<'a>(self) -> &'a AtomicUsize {
        // SAFETY: aligned, since headers are; readable by contract.
        unsafe { self.0.add(size_of::<usize>()).cast().as_ref() }
    }

    /// Size and state; `None` if the word is not as it was written.
    ///
    /// # Safety
    ///
    /// The 16 bytes at the header are readable.
    pub(super) unsafe fn get(self) -> Option<(usize, State)> {
        // SAFETY: readable by contract.
        let word = unsafe { self.own() }.load(Ordering::Relaxed);
        let value = unseal(self.address() + 8, word)?;
        Some((value & !State::MASK, State::of(value)?))
    }

    /// The size if the state is `state`; `None` also if the word is not as it
    /// was written.
    ///
    /// # Safety
    ///
    /// The 16 bytes at the header are readable.
    #[inline(always)]
    pub(super) unsafe fn size_as(self, state: State) -> Option<usize> {
        // SAFETY: readable by contract.
        let word = unsafe { self.own() }.load(Ordering::Relaxed);
        let size = word & VALUE_MASK & !State::MASK;
        (seal(self.address() + 8, size | state as usize) == word).then_some(size)
    }

    /// Turns Live into Cached and back, leaving a word that was overwritten so.
    ///
    /// # Safety
    ///
    /// In the heap; Live or Cached, and the caller's.
    pub(super) unsafe fn toggle_cached(self) {
        const BOTH: usize = mark(State::Live as usize) ^ mark(State::Cached as usize);
        // SAFETY: the header is ours to write.
        let own = unsafe { self.own() };
        own.store(own.load(Ordering::Relaxed) ^ BOTH, Ordering::Relaxed);
    }

    /// Writes the boundary tag: the size of the chunk on the left, 0 for the
    /// first of its segment.
    ///
    /// # Safety
    ///
    /// In the heap.
    pub(super) unsafe fn set_previous(self, size: usize) {
        let word = seal(self.address(), size);
        // SAFETY: the header is ours to write.
        unsafe { (&raw mut (*self.words().as_ptr())[0]).write(word) }
    }

    /// The boundary tag; `None` if it is not as it was written.
    ///
    /// # Safety
    ///
    /// The 16 bytes at the header are readable.
    pub(super) unsafe fn previous(self) -> Option<usize> {
        // SAFETY: readable by contract.
        let word = unsafe { (&raw const (*self.words().as_ptr())[0]).read() };
        unseal(self.address(), word)
    }

    /// The links of a free chunk: in a bin (next, previous), in the tree (left,
    /// right).
    ///
    /// # Safety
    ///
    /// A free chunk of the heap.
    pub(super) unsafe fn links(self) -> (Option<Chunk>, Option<Chunk>) {
        // SAFETY: a free chunk has at least 32 bytes, and its links were
        // written when it was put in.
        let [_, _, next, previous] = unsafe { self.words().read() };
        (self.to(next), self.to(previous))
    }

    /// Writes the links of a free chunk.
    ///
    /// # Safety
    ///
    /// A free chunk of the heap.
    pub(super) unsafe fn set_links(self, next: Option<Chunk>, previous: Option<Chunk>) {
        // SAFETY: a free chunk has at least 32 bytes that nobody else uses.
        unsafe {
            (&raw mut (*self.words().as_ptr())[2]).write(Chunk::link(next));
            (&raw mut (*self.words().as_ptr())[3]).write(Chunk::link(previous));
        }
    }

    fn link(to: Option<Chunk>) -> usize {
        to.map_or(0, |chunk| chunk.0.as_ptr().expose_provenance())
    }

    fn to(self, address: usize) -> Option<Chunk> {
        NonNull::new(core::ptr::with_exposed_provenance_mut(address)).map(Chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_word_opens_at_its_own_address_only() {
        let word = seal(0x7000_0000, 4096 | State::Live as usize);
        assert_eq!(unseal(0x7000_0000, word), Some(4097));
        let elsewhere = (1..4096).filter(|i| unseal(0x7000_0000 + 16 * i, word).is_some());
        assert!(elsewhere.count() <= 1, "the seal does not depend on the address");
        let flipped = (0..64).filter(|bit| unseal(0x7000_0000, word ^ (1 << bit)).is_some());
        assert_eq!(flipped.count(), 0, "a flipped bit went unnoticed");
    }

    #[test]
    fn a_mark_is_the_difference_between_states() {
        for (from, to) in (0..16).flat_map(|from| (0..16).map(move |to| (from, to))) {
            let turned = seal(0x7000_0000, 4096 | from) ^ mark(from) ^ mark(to);
            assert_eq!(turned, seal(0x7000_0000, 4096 | to));
        }
    }
}
