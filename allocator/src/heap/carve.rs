//! Chunks cut to size and merged again: the steps of malloc and free between
//! the free chunks and the break.

use core::ptr::NonNull;

use super::bins::lead;
use super::chunk::{CHUNK_LEAST, Chunk, HEADER, State};
use super::{Block, Heap, misuse};
use crate::os::PageSource;
use crate::size_class::GRAIN;

impl<S: PageSource> Heap<S> {
    /// Malloc, steps 4 to 6.
    pub(super) fn allocate_chunk(&mut self, need: usize) -> Option<Block> {
        let mut found = self.free.take(need);
        if found.is_none() && !self.top_has(need) && !self.grow(need) {
            found = Some(self.free.take_any(need)?);
        }
        let (chunk, dirty) = match found {
            // SAFETY: just taken out.
            Some((chunk, has)) => (chunk, unsafe { self.keep(chunk, has, need) }),
            None => self.cut_top(need)?,
        };
        // SAFETY: a chunk of the heap.
        let start = unsafe { chunk.block() };
        Some(Block { start, dirty })
    }

    /// A block at a multiple of `align`, in a chunk of `need` bytes: out of one
    /// that is large enough to contain it, less what lies before and behind.
    pub(super) fn allocate_aligned(&mut self, need: usize, align: usize) -> Option<Block> {
        let (chunk, has, dirty) = self.around_aligned(need, align)?;
        let lead = lead(chunk.address() + HEADER, align);
        // SAFETY: `lead` is a multiple of 16, and `need` bytes are left.
        let aligned = unsafe { chunk.offset(lead) };
        if lead > 0 {
            self.counters.live_bytes -= lead;
            // SAFETY: cuts a live chunk nobody uses yet in two, of at least 32
            // bytes each, and frees the first.
            unsafe {
                aligned.set(has - lead, State::Live);
                aligned.set_previous(lead);
                aligned.offset(has - lead).set_previous(has - lead);
                self.free_chunk(chunk, lead);
            }
        }
        // SAFETY: a live chunk of `has - lead >= need` bytes; what is cut off
        // is unused.
        unsafe { self.cut_tail(aligned, has - lead, need) };
        // SAFETY: a chunk of the heap.
        let start = unsafe { aligned.block() };
        // The header in the middle is left of the block; the rest is as it was.
        Some(Block { start, dirty: dirty.saturating_sub(lead) })
    }

    /// A live chunk that contains an aligned one of `need` bytes, its size, and
    /// the dirty bytes of its block.
    fn around_aligned(&mut self, need: usize, align: usize) -> Option<(Chunk, usize, usize)> {
        let most = need + align + CHUNK_LEAST;
        let found = match self.free.take_aligned(need, align) {
            Some(found) => found,
            None => {
                let leads = |top: Chunk| lead(top.address() + HEADER, align);
                let fits = |heap: &Heap<S>| {
                    heap.top.map(|top| need + leads(top)).filter(|&size| heap.top_has(size))
                };
                let size = fits(self).or_else(|| {
                    let wanted = self.top.map_or(most, |top| need + leads(top));
                    // Another top needs another lead.
                    (self.grow(wanted) && (fits(self).is_some() || self.grow(most)))
                        .then(|| fits(self))?
                });
                match size {
                    Some(size) => {
                        let (chunk, dirty) = self.cut_top(size)?;
                        return Some((chunk, size, dirty));
                    }
                    None => self.free.take_any(most)?,
                }
            }
        };
        let (chunk, has) = found;
        // SAFETY: just taken out.
        let dirty = unsafe { self.keep(chunk, has, has) };
        Some((chunk, has, dirty))
    }

    /// Makes a free chunk that was taken out live, puts back what is left over,
    /// and gives the number of dirty bytes in the block.
    ///
    /// # Safety
    ///
    /// A Free chunk of `has >= need` bytes, not among the free chunks.
    pub(super) unsafe fn keep(&mut self, chunk: Chunk, has: usize, need: usize) -> usize {
        self.counters.live_blocks += 1;
        self.counters.free_blocks -= 1;
        self.counters.free_bytes -= has;
        if has - need < CHUNK_LEAST {
            self.counters.live_bytes += has;
            // SAFETY: by contract.
            unsafe { chunk.set(has, State::Live) };
            return has - HEADER;
        }
        self.counters.live_bytes += need;
        // SAFETY: both parts are at least 32 bytes; what is right of `chunk`
        // is not free, since no two free chunks touch.
        unsafe {
            chunk.set(need, State::Live);
            let rest = chunk.offset(need);
            rest.set_previous(need);
            self.file(rest, has - need);
        }
        need - HEADER
    }

    /// Puts a chunk among the free ones and tells its right neighbour its size.
    ///
    /// # Safety
    ///
    /// A chunk of `size` bytes, not among the free ones, used by nobody, not the
    /// top, no neighbour free.
    pub(super) unsafe fn file(&mut self, chunk: Chunk, size: usize) {
        self.counters.free_blocks += 1;
        self.counters.free_bytes += size;
        // SAFETY: a chunk that is not the top has a chunk on its right.
        unsafe {
            chunk.set(size, State::Free);
            chunk.offset(size).set_previous(size);
            self.free.insert(chunk, size);
        }
    }

    /// Free, steps 4 to 6.
    ///
    /// # Safety
    ///
    /// A chunk of `size` bytes between intact neighbours, not among the free
    /// ones and used by nobody.
    pub(super) unsafe fn free_chunk(&mut self, mut chunk: Chunk, mut size: usize) {
        // SAFETY: by contract; and `previous` and `size` lead to neighbours.
        unsafe {
            // Marked before it is merged: a second free of it finds the mark.
            chunk.set(size, State::Free);
            let right = chunk.offset(size);
            if let Some(left_size @ 1..) = chunk.previous() {
                let left = chunk.back(left_size);
                if let Some((_, State::Free)) = left.get() {
                    self.unfile(left, left_size);
                    chunk = left;
                    size += left_size;
                }
            }
            match right.get() {
                Some((_, State::Top)) => {
                    self.top = Some(chunk);
                    self.set_top_size(size + self.top_size);
                    self.trim_by_policy();
                    return;
                }
                Some((right_size, State::Free)) => {
                    self.unfile(right, right_size);
                    size += right_size;
                }
                _ => {}
            }
            if !self.release_region(chunk, size) {
                self.file(chunk, size);
            }
        }
    }

    /// Takes a chunk out of the free ones, to merge it.
    ///
    /// # Safety
    ///
    /// A Free chunk of `size` bytes.
    pub(super) unsafe fn unfile(&mut self, chunk: Chunk, size: usize) {
        self.counters.free_blocks -= 1;
        self.counters.free_bytes -= size;
        // SAFETY: Free chunks are among the free ones, whatever holds them.
        unsafe { self.free.remove(chunk, size) };
    }

    /// Cuts a live chunk down to `need` bytes if what is cut off makes a chunk.
    ///
    /// # Safety
    ///
    /// A Live chunk of `has >= need` bytes, of which nobody uses the end.
    pub(super) unsafe fn cut_tail(&mut self, chunk: Chunk, has: usize, need: usize) {
        if has - need < CHUNK_LEAST {
            return;
        }
        self.counters.live_bytes -= has - need;
        // SAFETY: both parts are at least 32 bytes.
        unsafe {
            chunk.set(need, State::Live);
            let tail = chunk.offset(need);
            tail.set_previous(need);
            self.free_chunk(tail, has - need);
        }
    }

    /// A block for the heap's own records.
    pub(crate) fn allocate_inner(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let block = self.allocate_chunk(bytes.next_multiple_of(GRAIN) + HEADER)?.start;
        // SAFETY: just allocated.
        unsafe { self.reserve(block, State::Inner) };
        Some(block)
    }

    /// Makes a live block the heap's own.
    ///
    /// # Safety
    ///
    /// A live block of a chunk, which nobody else uses.
    pub(super) unsafe fn reserve(&mut self, block: NonNull<u8>, state: State) {
        // SAFETY: by contract.
        let (chunk, size) = unsafe { Heap::<S>::own_chunk(block) };
        self.counters.live_blocks -= 1;
        self.counters.live_bytes -= size;
        self.counters.reserved_bytes += size;
        // SAFETY: by contract.
        unsafe { chunk.set(size, state) };
    }

    /// Frees a block of the heap's own.
    ///
    /// # Safety
    ///
    /// An Inner or Unit chunk's block, which nobody uses any more.
    pub(super) unsafe fn free_inner(&mut self, block: NonNull<u8>) {
        // SAFETY: by contract.
        unsafe {
            let (chunk, size) = Heap::<S>::own_chunk(block);
            self.counters.reserved_bytes -= size;
            self.free_chunk(chunk, size);
        }
    }

    /// The chunk of a block of the heap's own making, and its size.
    ///
    /// # Safety
    ///
    /// A block of a chunk.
    unsafe fn own_chunk(block: NonNull<u8>) -> (Chunk, usize) {
        // SAFETY: by contract.
        unsafe {
            let chunk = Chunk::of_block(block);
            match chunk.get() {
                Some((size, _)) => (chunk, size),
                None => misuse::corrupt(chunk, "a header of the heap's own was overwritten"),
            }
        }
    }
}
