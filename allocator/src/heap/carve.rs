//! Chunks cut to size and merged again: the steps of malloc and free between
//! the free chunks and the break.

use core::ops::Range as Span;
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
        let chunk = found.map(|(chunk, _)| chunk).or(self.top)?;
        let zeros = self.zeros(chunk.address() + HEADER..chunk.address() + need);
        let has = match found {
            // SAFETY: just taken out.
            Some((chunk, has)) => unsafe { self.keep(chunk, has, need) },
            None => {
                self.cut_top(need)?;
                need
            }
        };
        self.touch(chunk.address()..chunk.address() + has);
        self.note_idle();
        // SAFETY: a chunk of the heap, and zeros within it.
        Some(unsafe { Heap::<S>::block_of(chunk, zeros) })
    }

    /// What in `span`, the inside of a chunk that is free or the top, reads as
    /// zero: the longest part that went back to the OS, or that was never used.
    fn zeros(&self, span: Span<usize>) -> Span<usize> {
        let returned = self.returned.zeros(span.clone());
        let is_top = self.top.is_some_and(|top| top.address() + HEADER == span.start);
        let clean = self.clean_from.max(span.start)..span.end;
        if is_top && clean.len() > returned.len() { clean } else { returned }
    }

    /// The block of a chunk, in which `zeros` reads as zero.
    ///
    /// # Safety
    ///
    /// A chunk of the heap.
    unsafe fn block_of(chunk: Chunk, zeros: Span<usize>) -> Block {
        // SAFETY: by contract.
        let start = unsafe { chunk.block() };
        let offset = |address: usize| address.saturating_sub(start.addr().get());
        Block { start, zero_from: offset(zeros.start), zero_to: offset(zeros.end) }
    }

    /// Chunks and units are about to use `span`.
    #[inline]
    pub(super) fn touch(&mut self, span: Span<usize>) {
        let bytes = self.returned.forget(span);
        self.retention.regain(bytes);
    }

    /// A block at a multiple of `align`, in a chunk of `need` bytes: out of one
    /// that is large enough to contain it, less what lies before and behind.
    pub(super) fn allocate_aligned(&mut self, need: usize, align: usize) -> Option<Block> {
        let (chunk, has, zeros) = self.around_aligned(need, align)?;
        let lead = lead(chunk.address() + HEADER, align);
        // The new header left of the block, and the headers of what is cut off,
        // are written to by those who cut.
        let from = chunk.address() + lead;
        let zeros = zeros.start.max(from + HEADER)..zeros.end.min(from + need);
        self.touch(from..from + need);
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
        self.note_idle();
        // SAFETY: a chunk of the heap.
        Some(unsafe { Heap::<S>::block_of(aligned, zeros) })
    }

    /// A live chunk that contains an aligned one of `need` bytes, its size, and
    /// what in it reads as zero.
    fn around_aligned(&mut self, need: usize, align: usize) -> Option<(Chunk, usize, Span<usize>)> {
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
                        let from = self.top?.address();
                        let zeros = self.zeros(from + HEADER..from + size);
                        return Some((self.cut_top(size)?, size, zeros));
                    }
                    None => self.free.take_any(most)?,
                }
            }
        };
        let (chunk, has) = found;
        let zeros = self.zeros(chunk.address() + HEADER..chunk.address() + has);
        // SAFETY: just taken out.
        unsafe { self.keep(chunk, has, has) };
        Some((chunk, has, zeros))
    }

    /// Makes a chunk out of the bins live, returns to them what is left over,
    /// and gives its size.
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
            return has;
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
        need
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
        self.touch(chunk.address()..chunk.address() + CHUNK_LEAST);
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
                self.purge_by_policy(chunk, size);
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
