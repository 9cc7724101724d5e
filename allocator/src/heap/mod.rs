//! The heap.
//!
//! - `chunk`: headers; `bins`: the free chunks; `segment`: where chunks come
//!   from and go back to; `mapped`: blocks with mappings of their own
//! - `policy`: the decisions; `resize`: realloc; `check`: the invariants;
//!   `stats`: the accounts; `misuse`: what programs do wrong
//!
//! # One malloc, one free
//!
//! ```text
//! malloc(n)                                   free(block)
//!  1 n >= the mmap threshold: a mapping of     1 the header says Mapped: unmap it, and let a
//!    its own                                     dynamic threshold learn from it
//!  2 round n to its class, add the header      2 check the header and both neighbours' tags
//!  3 a bin has a chunk that fits: take it,     3 a neighbour is free: take it out of its bin
//!    put back what is left over                  and merge
//!  4 else cut it off the top                   4 bordering the top: merge into it; else into a bin
//!  5 the top is too small: move the break      5 the top has become too large: move the break
//!    up (refused: map a region)                  down (a region all free: unmap it)
//! ```
//!
//! # Invariants, all executed by [`Heap::check`]
//!
//! ```text
//! segment          =  Segment record, chunks from end to end, Top (current segment) or Fence (others)
//! chunk.previous   == size of the chunk on its left, or 0 for the first
//! chunk is Free    => neither neighbour is Free or Top
//! chunk is Free    <=> it is in exactly one bin, that of its size
//! top is Top       <=> it is the last chunk of the first segment in the list
//! clean_from       >= top + HEADER; memory of the top from there on reads as zero
//! footprint        == live + mapped_live + free + top + metadata          (see `Stats`)
//! ```

use core::ptr::NonNull;

use crate::config::Config;
use crate::os::{PageSource, round_up};
use crate::size_class::GRAIN;

mod bins;
mod check;
mod chunk;
mod mapped;
mod misuse;
mod policy;
mod resize;
mod segment;
mod stats;

use bins::Bins;
pub use check::Broken;
use chunk::{CHUNK_LEAST, Chunk, HEADER, State};
use mapped::Mapping;
pub use misuse::Misuse;
use policy::Thresholds;
pub use resize::Resized;
use segment::Segment;
use stats::Counters;
pub use stats::Stats;

/// Larger requests, and larger alignments, are refused, in bytes.
pub const REQUEST_MOST: usize = 1 << 46;

/// A new block.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Its first byte.
    pub start: NonNull<u8>,
    /// How many bytes from its start on may be other than zero; the rest of
    /// it reads as zero.
    pub dirty: usize,
}

/// A heap over a page source of its own. Not synchronised: `&mut` is the lock.
pub struct Heap<S: PageSource> {
    config: Config,
    thresholds: Thresholds,
    bins: Bins,
    /// The Top chunk; none until the first growth.
    top: Option<Chunk>,
    /// Its size, 0 if there is none; else at least `HEADER`.
    top_size: usize,
    clean_from: usize,
    /// Where there is a top, its segment, the current one, comes first.
    segments: Option<NonNull<Segment>>,
    mappings: Option<NonNull<Mapping>>,
    counters: Counters,
    source: S,
}

// SAFETY: the pointers lead to memory that the heap owns through its source;
// nothing in it is tied to a thread.
unsafe impl<S: PageSource + Send> Send for Heap<S> {}

impl<S: PageSource> Heap<S> {
    /// An empty heap, which asks `source` for nothing until the first request.
    ///
    /// Dropping a heap gives back no segment and no mapping by itself, only
    /// what its source does when it is dropped: blocks may outlive a heap, but
    /// not one over a source that unmaps its break.
    pub const fn new(config: Config, source: S) -> Heap<S> {
        Heap {
            thresholds: Thresholds::new(&config),
            config,
            bins: Bins::EMPTY,
            top: None,
            top_size: 0,
            clean_from: 0,
            segments: None,
            mappings: None,
            counters: Counters::NONE,
            source,
        }
    }

    /// A block of at least `size` bytes (0 gives a block, too) at a multiple
    /// of `align`, a power of two, and of 16. `None` if the OS gives no more,
    /// or if either is more than [`REQUEST_MOST`]; then nothing has changed.
    pub fn allocate(&mut self, size: usize, align: usize) -> Option<Block> {
        debug_assert!(align.is_power_of_two());
        if size > REQUEST_MOST || align > REQUEST_MOST {
            return None;
        }
        let align = align.max(GRAIN);
        if self.should_map(size, align)
            && let Some(block) = self.map_block(size, align)
        {
            return Some(block);
        }
        // A refused mapping is no reason to refuse the request: the break may
        // still have room (and the kernel limits the number of mappings).
        let need = self.chunk_size(size);
        if align == GRAIN { self.allocate_chunk(need) } else { self.allocate_aligned(need, align) }
    }

    /// Frees a block.
    ///
    /// # Errors
    ///
    /// What is wrong with the pointer; then nothing was freed. Detection is a
    /// safety net: it needs readable memory left of `block`.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this heap, which nobody uses any more.
    pub unsafe fn free(&mut self, block: NonNull<u8>) -> Result<(), Misuse> {
        // SAFETY: a live block has its header on its left.
        let (chunk, size, state) = unsafe { self.inspect(block) }?;
        if state == State::Mapped {
            // SAFETY: a Mapped chunk has its record on its left.
            unsafe { self.unmap_block(chunk) };
            return Ok(());
        }
        // SAFETY: a Live chunk has neighbours, whose headers bound it.
        unsafe { self.inspect_neighbours(chunk, size)? };
        self.counters.live_blocks -= 1;
        self.counters.live_bytes -= size;
        // SAFETY: live until now, and unused by contract.
        unsafe { self.free_chunk(chunk, size) };
        Ok(())
    }

    /// The bytes that a block has, at least as many as were requested.
    ///
    /// # Errors
    ///
    /// What is wrong with the pointer.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this heap.
    pub unsafe fn usable_size(&self, block: NonNull<u8>) -> Result<usize, Misuse> {
        // SAFETY: by contract.
        let (_, size, _) = unsafe { self.inspect(block) }?;
        Ok(size - HEADER)
    }

    /// Gives free memory at the break back to the OS but for `keep` bytes, and
    /// says whether there was any to give. What the trim policy says does not
    /// matter: the program asked.
    pub fn trim(&mut self, keep: usize) -> bool {
        self.shrink_top(self.top_size.saturating_sub(keep))
    }

    /// The settings. With a dynamic mmap threshold see also [`Heap::stats`],
    /// which has the thresholds in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes the settings for what comes; live blocks stay as they are. What
    /// plays the break cannot change any more.
    pub fn configure(&mut self, config: Config) {
        let break_source = self.config.break_source;
        self.config = Config { break_source, ..config };
        self.thresholds = Thresholds::new(&config);
    }

    /// The page source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The page source, to have it fail or interfere in tests.
    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    fn should_map(&self, size: usize, align: usize) -> bool {
        let slack = if align > GRAIN { align } else { 0 };
        policy::should_map(
            &self.config,
            &self.thresholds,
            size + slack,
            self.counters.mapped_blocks,
        )
    }

    /// The chunk that a request of `size` bytes takes.
    fn chunk_size(&self, size: usize) -> usize {
        self.config.size_classes.round(size) + HEADER
    }

    /// Malloc, steps 3 to 5.
    fn allocate_chunk(&mut self, need: usize) -> Option<Block> {
        let mut found = self.bins.take(need);
        if found.is_none() && !self.top_has(need) && !self.grow(need) {
            found = Some(self.bins.take_any(need)?);
        }
        let (chunk, dirty) = match found {
            // SAFETY: just taken out of the bins.
            Some((chunk, has)) => (chunk, unsafe { self.keep(chunk, has, need) }),
            None => self.cut_top(need)?,
        };
        // SAFETY: a chunk of the heap.
        let start = unsafe { chunk.block() };
        Some(Block { start, dirty })
    }

    /// A block at a multiple of `align`: one that is large enough to contain
    /// it, less what lies before and behind.
    fn allocate_aligned(&mut self, need: usize, align: usize) -> Option<Block> {
        let block = self.allocate_chunk(need + align + CHUNK_LEAST)?;
        // SAFETY: a block just allocated.
        let chunk = unsafe { Chunk::of_block(block.start) };
        // SAFETY: a chunk of the heap.
        let Some((has, _)) = (unsafe { chunk.get() }) else {
            misuse::corrupt(chunk, "the header of a new block was overwritten");
        };
        let at = block.start.addr().get();
        let lead = match at.next_multiple_of(align) - at {
            // Too small to be a chunk of its own: one step further.
            lead if lead > 0 && lead < CHUNK_LEAST => lead + align,
            lead => lead,
        };
        // SAFETY: `lead` is a multiple of 16 and less than `align +
        // CHUNK_LEAST`, so that `need` bytes of this chunk are left.
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
        Some(Block { start, dirty: block.dirty.saturating_sub(lead) })
    }

    /// Makes a chunk out of the bins live, returns to them what is left over,
    /// and gives the number of dirty bytes in the block.
    ///
    /// # Safety
    ///
    /// A Free chunk of `has >= need` bytes, in no bin.
    unsafe fn keep(&mut self, chunk: Chunk, has: usize, need: usize) -> usize {
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

    /// Puts a chunk into its bin and tells its right neighbour its size.
    ///
    /// # Safety
    ///
    /// A chunk of `size` bytes in no bin, used by nobody, not the top, no
    /// neighbour free.
    unsafe fn file(&mut self, chunk: Chunk, size: usize) {
        self.counters.free_blocks += 1;
        self.counters.free_bytes += size;
        // SAFETY: a chunk that is not the top has a chunk on its right.
        unsafe {
            chunk.set(size, State::Free);
            chunk.offset(size).set_previous(size);
            self.bins.insert(chunk, size);
        }
    }

    /// Free, steps 3 to 5.
    ///
    /// # Safety
    ///
    /// A chunk of `size` bytes between intact neighbours, in no bin and used
    /// by nobody.
    unsafe fn free_chunk(&mut self, mut chunk: Chunk, mut size: usize) {
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

    /// Takes a chunk out of its bin, to merge it.
    ///
    /// # Safety
    ///
    /// A Free chunk of `size` bytes.
    unsafe fn unfile(&mut self, chunk: Chunk, size: usize) {
        self.counters.free_blocks -= 1;
        self.counters.free_bytes -= size;
        // SAFETY: Free chunks are in the bins.
        unsafe { self.bins.remove(chunk, size) };
    }

    /// Cuts a live chunk down to `need` bytes if what is cut off makes a chunk.
    ///
    /// # Safety
    ///
    /// A Live chunk of `has >= need` bytes, of which nobody uses the end.
    unsafe fn cut_tail(&mut self, chunk: Chunk, has: usize, need: usize) {
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
}

/// `address` rounded up to a multiple of `to`; addresses do not overflow.
fn align_up(address: usize, to: usize) -> usize {
    round_up(address, to).unwrap_or(usize::MAX & !(to - 1))
}
