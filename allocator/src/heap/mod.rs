//! The heap.
//!
//! - `chunk`: headers; `free`: the free chunks, in `bins` or in a `tree`; `carve`:
//!   chunks cut and merged; `segment`: where chunks come from and go back to
//! - `units`: 32 KiB of small blocks without headers; `small`: what is done
//!   with them; `mapped`: blocks with mappings of their own
//! - `purge`: OS pages inside the heap go back; `returned`: which those are
//! - `policy`: the decisions; `resize`: realloc; `check`: the invariants;
//!   `stats`: the accounts; `misuse`: what programs do wrong
//!
//! # One malloc, one free
//!
//! ```text
//! malloc(n)                                   free(block)
//!  1 n >= the mmap threshold: a mapping of     1 the header says Mapped: unmap it, and let a
//!    its own                                     dynamic threshold learn from it
//!  2 a small class: a free bit of the          2 the map says that a unit is there: set the
//!    fullest unit, or of a new one once          block's bit; a unit all free is a free chunk
//!    the class deserves one
//!  3 round n to its class, add the header      3 check the header and both neighbours' tags
//!  4 a free chunk fits: take the one that      4 a neighbour is free: take it out of the bins
//!    `placement` says, put back what is left     or the tree and merge
//!  5 else cut it off the top                   5 bordering the top: merge into it; else put it in
//!  6 the top is too small: move the break      6 the top has become too large: move the break
//!    up (refused: map a region)                  down (a region all free: unmap it); too much
//!                                                is free elsewhere: purge it
//! ```
//!
//! Free asks the map before the header. With `metadata=header` there are no
//! units and no steps 2.
//!
//! # Invariants, all executed by [`Heap::check`]
//!
//! ```text
//! segment          =  Segment record, chunks from end to end, Top (current segment) or Fence (others)
//! chunk.previous   == size of the chunk on its left, or 0 for the first
//! chunk is Free    => neither neighbour is Free or Top
//! chunk is Free    <=> it is in exactly one bin, that of its size, or in the tree once
//! chunk is Unit    => the map and a record know it, and its bits are its free blocks (`units`)
//! top is Top       <=> it is the last chunk of the first segment in the list
//! clean_from       >= top + HEADER; memory of the top from there on reads as zero
//! an OS page that went back lies where nothing is in use (`returned`)
//! footprint        == live + cached + mapped_live + free + top + returned + metadata    (see `Stats`)
//! ```

use core::ptr::NonNull;

use crate::config::Config;
use crate::os::{PageSource, round_up};
use crate::size_class::{Classes, GRAIN};

mod bins;
mod carve;
mod check;
mod chunk;
mod free;
mod mapped;
mod misuse;
mod policy;
mod purge;
mod resize;
mod returned;
mod segment;
mod small;
mod stats;
mod tree;
mod units;

pub use check::Broken;
use chunk::{Chunk, HEADER, State};
use free::FreeChunks;
use mapped::Mapping;
pub use misuse::Misuse;
use misuse::inspect;
pub(crate) use misuse::{cache, cacheable, uncache};
use policy::{Retention, Thresholds};
pub use resize::Resized;
use returned::Returned;
use segment::Segment;
use stats::Counters;
pub use stats::Stats;
pub(crate) use units::{SMALL_MOST, UNIT_BITS, UnitMap};
use units::{Unit, Units};

/// Larger requests, and larger alignments, are refused, in bytes.
pub const REQUEST_MOST: usize = 1 << 46;

/// A new block.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Its first byte.
    pub start: NonNull<u8>,
    /// From this byte of it on it reads as zero,
    pub zero_from: usize,
    /// up to this one; elsewhere it may be anything.
    pub zero_to: usize,
}

impl Block {
    /// A block that may be anything.
    pub(crate) fn dirty(start: NonNull<u8>) -> Block {
        Block { start, zero_from: 0, zero_to: 0 }
    }

    /// Writes zeros where the first `size` bytes do not read as zero already.
    ///
    /// # Safety
    ///
    /// A new block of at least `size` bytes.
    pub unsafe fn clear(&self, size: usize) {
        let from = self.zero_from.min(size);
        let to = self.zero_to.clamp(from, size);
        // SAFETY: both parts lie within the block, by contract.
        unsafe {
            self.start.write_bytes(0, from);
            self.start.add(to).write_bytes(0, size - to);
        }
    }
}

/// A heap over a page source of its own. Not synchronised: `&mut` is the lock.
pub struct Heap<S: PageSource> {
    config: Config,
    thresholds: Thresholds,
    pub(crate) classes: Classes,
    units: Units,
    free: FreeChunks,
    /// The Top chunk; none until the first growth.
    top: Option<Chunk>,
    /// Its size, 0 if there is none; else at least `HEADER`.
    top_size: usize,
    clean_from: usize,
    returned: Returned,
    retention: Retention,
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
        let classes = Classes::new(&config.size_classes);
        Heap {
            thresholds: Thresholds::new(&config),
            units: Units::new(&config, &classes),
            classes,
            config,
            free: FreeChunks::new(config.placement),
            top: None,
            top_size: 0,
            clean_from: 0,
            returned: Returned::NONE,
            retention: Retention::NONE,
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
        self.allocate_moved(size, align, false)
    }

    /// As `allocate`; `grows` if the block takes the place of a smaller one.
    pub(crate) fn allocate_moved(
        &mut self,
        size: usize,
        align: usize,
        grows: bool,
    ) -> Option<Block> {
        debug_assert!(align.is_power_of_two());
        if size > REQUEST_MOST || align > REQUEST_MOST {
            return None;
        }
        let align = align.max(GRAIN);
        if self.should_map(size, align)
            && let Some(block) = self.map_block(size, align, grows)
        {
            return Some(block);
        }
        // A refused mapping is no reason to refuse the request: the break may
        // still have room (and the kernel limits the number of mappings). Nor
        // is a refused unit.
        let mut small = [core::ptr::null_mut()];
        let class = self.small_class(size, align);
        if class != 0
            && self.allocate_small(class, &mut small) == 1
            && let Some(start) = NonNull::new(small[0])
        {
            return Some(Block::dirty(start));
        }
        let need = self.chunk_size(size);
        if class != 0 {
            self.units.note_apart(class, need);
        }
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
        // SAFETY: by contract.
        unsafe { self.free_batch(&[block.as_ptr()]) }.map_err(|(_, misuse)| misuse)
    }

    /// Free but for step 2, of a block that lies in no unit.
    ///
    /// # Safety
    ///
    /// As [`Heap::free`].
    unsafe fn free_headed(&mut self, block: NonNull<u8>) -> Result<(), Misuse> {
        // SAFETY: a live block has its header on its left.
        let (chunk, size, state) = unsafe { inspect(block) }?;
        if state == State::Mapped {
            // SAFETY: a Mapped chunk has its record on its left.
            unsafe { self.unmap_block(chunk) };
            return Ok(());
        }
        // SAFETY: a Live chunk has neighbours, whose headers bound it.
        unsafe { self.inspect_neighbours(chunk, size)? };
        self.counters.live_blocks -= 1;
        self.counters.live_bytes -= size;
        self.units.note_apart_freed(self.classes.of(size - HEADER), size);
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
        if let Some((unit, _)) = self.units.unit_of(block) {
            // SAFETY: the record of its unit.
            return unsafe { Unit::inspect(unit, block) };
        }
        // SAFETY: by contract.
        let (_, size, _) = unsafe { inspect(block) }?;
        Ok(size - HEADER)
    }

    /// Gives free memory back to the OS but for `keep` bytes of the top, and
    /// says whether there was any to give: the top, and, unless `purge=never`,
    /// OS pages inside the heap. What the trim policy says does not matter:
    /// the program asked.
    pub fn trim(&mut self, keep: usize) -> bool {
        let surplus = self.top_size.saturating_sub(keep);
        let top = self.shrink_top(surplus, self.source.page_size());
        self.purge(0, self.source.page_size()) > 0 || top
    }

    /// The settings. With a dynamic mmap threshold see also [`Heap::stats`],
    /// which has the thresholds in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes the settings for what comes; live blocks stay as they are. What
    /// the heap is built on cannot change any more: what plays the break, the
    /// size classes, where metadata is, `slab_max`, the placement and the thread
    /// caches.
    pub fn configure(&mut self, config: Config) {
        let Config {
            break_source, size_classes, metadata, slab_max, placement, thread_cache, ..
        } = self.config;
        self.config = Config {
            break_source,
            size_classes,
            metadata,
            slab_max,
            placement,
            thread_cache,
            ..config
        };
        self.thresholds = Thresholds::new(&config);
    }

    /// Memory for a table that stays for ever: whole OS pages, zero.
    pub(crate) fn map_table(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let range = self.source.map(round_up(bytes, self.source.page_size())?)?;
        self.counters.table_bytes += range.len;
        Some(range.start)
    }

    /// Requests of this many bytes or more are mapped, or may be.
    pub(crate) fn cached_below(&self) -> usize {
        self.thresholds.mmap.unwrap_or(usize::MAX)
    }

    /// The last class that units hold.
    pub(crate) fn units_last(&self) -> usize {
        self.units.last.into()
    }

    /// Where units are, once there are any.
    pub(crate) fn unit_map(&self) -> Option<&UnitMap> {
        self.units.map.as_ref()
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
}

/// `address` rounded up to a multiple of `to`; addresses do not overflow.
fn align_up(address: usize, to: usize) -> usize {
    round_up(address, to).unwrap_or(usize::MAX & !(to - 1))
}
