//! What the memory calls of a tree say that it held: its heap and its mappings, and
//! how glibc's sliding threshold would have followed them.

use std::collections::BTreeMap;

/// Different lengths of mappings that are told apart.
pub const MAX_LENGTHS: usize = 4096;

/// glibc's mmap threshold at the start, and the most that it slides to, in bytes
/// (`DEFAULT_MMAP_THRESHOLD`, `DEFAULT_MMAP_THRESHOLD_MAX` on 64 bits; malloc.c).
const FIRST_THRESHOLD: u64 = 128 << 10;
const LAST_THRESHOLD: u64 = 32 << 20;

/// Bytes held, from the calls and their arguments. Of a tree with several heaps, the
/// heap is the one that was changed last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The largest size of a heap grown by `brk`.
    pub heap_peak: u64,
    /// Its size after the last change.
    pub heap_end: u64,
    /// Bytes by which the break was lowered, in all.
    pub lowered: u64,
    /// How often.
    pub trims: u64,
    /// Most bytes at a time in mappings of at least `FIRST_THRESHOLD`, as an allocator
    /// makes them for blocks.
    pub mapped_peak: u64,
    /// Lengths given to `munmap`, in bytes, and how often; of the first
    /// [`MAX_LENGTHS`] different ones.
    pub unmapped: BTreeMap<u64, u64>,
    /// Each unmapped block that would have raised the threshold, if it slides: after how
    /// many memory calls, and to what.
    pub slides: Vec<(u64, u64)>,
    /// Lengths of the mappings that there are, and how many of each.
    live: BTreeMap<u64, u64>,
    mapped: u64,
}

impl Held {
    /// `brk` is about to make the heap at `begin..end` one that ends at `wanted`.
    pub(super) fn heap(&mut self, begin: u64, end: u64, wanted: u64) {
        let size = wanted.saturating_sub(begin);
        self.heap_peak = self.heap_peak.max(size);
        self.heap_end = size;
        self.trims += u64::from(wanted < end);
        self.lowered += end.saturating_sub(wanted);
    }

    /// A mapping of `length` bytes is made, as for a block.
    pub(super) fn map(&mut self, length: u64) {
        if length < FIRST_THRESHOLD || self.live.len() >= MAX_LENGTHS {
            return;
        }
        *self.live.entry(length).or_default() += 1;
        self.mapped += length;
        self.mapped_peak = self.mapped_peak.max(self.mapped);
    }

    /// A mapping of `length` bytes goes, with the `call`-th memory call.
    pub(super) fn unmap(&mut self, length: u64, call: u64) {
        if self.unmapped.len() < MAX_LENGTHS || self.unmapped.contains_key(&length) {
            *self.unmapped.entry(length).or_default() += 1;
        }
        let Some(live) = self.live.get_mut(&length).filter(|live| **live > 0) else { return };
        *live -= 1;
        self.mapped = self.mapped.saturating_sub(length);
        let threshold = self.slides.last().map_or(FIRST_THRESHOLD, |slide| slide.1);
        if length > threshold && length <= LAST_THRESHOLD && self.slides.len() < MAX_LENGTHS {
            self.slides.push((call, length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_slides_to_each_larger_block_that_goes_and_never_back() {
        let mut held = Held::default();
        for length in [200 << 10, 464 << 10, 300 << 10, 40 << 20] {
            held.map(length);
        }
        assert_eq!(held.mapped_peak, (200 << 10) + (464 << 10) + (300 << 10) + (40 << 20));
        held.unmap(200 << 10, 7);
        held.unmap(464 << 10, 8);
        held.unmap(300 << 10, 9);
        held.unmap(40 << 20, 10);
        // Never mapped as a block: a library, say.
        held.unmap(1 << 20, 11);
        assert_eq!(held.slides, [(7, 200 << 10), (8, 464 << 10)]);
        assert_eq!(held.unmapped.values().sum::<u64>(), 5);
    }

    #[test]
    fn a_heap_is_known_by_what_brk_asks_for() {
        let mut held = Held::default();
        held.heap(1 << 20, 1 << 20, 5 << 20);
        held.heap(1 << 20, 5 << 20, 2 << 20);
        held.heap(1 << 20, 2 << 20, 3 << 20);
        assert_eq!((held.heap_peak, held.heap_end), (4 << 20, 2 << 20));
        assert_eq!((held.lowered, held.trims), (3 << 20, 1));
    }
}
