//! Blocks with mappings of their own.
//!
//! ```text
//! base                                                     base + len
//!  | (room for alignment) | Mapping record | header | block ... |
//! ```
//!
//! The room for alignment stays part of the mapping: untouched, it costs
//! address space only, and a block costs one mmap and one munmap.

use core::ptr::NonNull;

use super::chunk::{Chunk, HEADER, State};
use super::{Block, Heap, align_up};
use crate::os::{PageSource, Range, round_up};
use crate::size_class::GRAIN;

/// The record left of a mapped block's header. All of a heap form a list.
#[repr(C)]
pub(super) struct Mapping {
    pub(super) next: Option<NonNull<Mapping>>,
    previous: Option<NonNull<Mapping>>,
    base: NonNull<u8>,
    len: usize,
}

const RECORD: usize = size_of::<Mapping>();
const _: () = assert!(RECORD.is_multiple_of(GRAIN));

impl Mapping {
    /// The whole mapping.
    pub(super) fn range(&self) -> Range {
        Range { start: self.base, len: self.len }
    }

    /// The record of a Mapped chunk.
    ///
    /// # Safety
    ///
    /// A Mapped chunk of the heap.
    unsafe fn of(chunk: Chunk) -> NonNull<Mapping> {
        // SAFETY: the record is left of the header.
        unsafe { chunk.back(RECORD) }.start().cast()
    }

    /// The chunk of a record.
    ///
    /// # Safety
    ///
    /// A record in the list.
    pub(super) unsafe fn chunk(record: NonNull<Mapping>) -> Chunk {
        // SAFETY: the header is right of the record.
        unsafe { Chunk::at(record.cast()).offset(RECORD) }
    }
}

impl<S: PageSource> Heap<S> {
    /// Malloc, step 1; `grows` if it takes the place of a smaller block.
    pub(super) fn map_block(&mut self, size: usize, align: usize, grows: bool) -> Option<Block> {
        let slack = if align > GRAIN { align } else { 0 };
        let len = round_up(RECORD + HEADER + size + slack, self.source.page_size())?;
        let range = self.source.map(len)?;
        if grows && self.deserves_huge(size) {
            self.source.prefer_huge(range);
        }
        let base = range.start.addr().get();
        let at = align_up(base + RECORD + HEADER, align);
        // SAFETY: `slack` makes room for the aligned block in the range, and
        // nobody else uses it.
        let start = unsafe {
            let start = range.start.add(at - base);
            self.enlist(Chunk::of_block(start), range);
            start
        };
        Some(Block { start, zero_from: 0, zero_to: range.end() - at })
    }

    /// Free, step 1. A mapping that the OS will not take back becomes a region.
    ///
    /// # Safety
    ///
    /// A Mapped chunk, used by nobody.
    pub(super) unsafe fn unmap_block(&mut self, chunk: Chunk) {
        // SAFETY: by contract.
        unsafe {
            let range = self.delist(chunk);
            self.thresholds.learn(&self.config, range.len);
            if !self.source.unmap(range) {
                self.adopt(range);
            }
        }
    }

    /// Resizes a mapping for a block of `size` bytes, and gives the block.
    ///
    /// # Safety
    ///
    /// A Mapped chunk; if it moves, nobody uses the old block any more.
    pub(super) unsafe fn remap_block(
        &mut self,
        chunk: Chunk,
        size: usize,
        may_move: bool,
    ) -> Option<NonNull<u8>> {
        // SAFETY: a Mapped chunk has a record.
        let old = unsafe { Mapping::of(chunk).as_ref() }.range();
        let lead = chunk.address() - old.start.addr().get();
        let len = round_up(lead + HEADER + size, self.source.page_size())?;
        if len == old.len {
            // SAFETY: a chunk of the heap.
            return Some(unsafe { chunk.block() });
        }
        // SAFETY: taken off the list and put back on it, at its new place if
        // the OS agrees; the range is exactly the mapping.
        unsafe {
            self.delist(chunk);
            match self.source.remap(old, len, may_move) {
                Some(new) => {
                    // Once a doubling: what it had keeps the hint.
                    if self.deserves_huge(len) && len.ilog2() > old.len.ilog2() {
                        self.source.prefer_huge(new);
                    }
                    let moved = Chunk::at(new.start.add(lead));
                    self.enlist(moved, new);
                    Some(moved.block())
                }
                None => {
                    self.enlist(chunk, old);
                    None
                }
            }
        }
    }

    /// Writes record and header of a mapped block and counts it.
    ///
    /// # Safety
    ///
    /// `range` is a mapping of ours, `chunk` in it with room for a record on
    /// its left.
    unsafe fn enlist(&mut self, chunk: Chunk, range: Range) {
        let size = range.end() - chunk.address();
        self.counters.mapped_blocks += 1;
        self.counters.mapped_bytes += range.len;
        self.counters.mapped_live += size - HEADER;
        // SAFETY: by contract; records in the list are alive.
        unsafe {
            let record = Mapping::of(chunk);
            let next = self.mappings.replace(record);
            record.write(Mapping { next, previous: None, base: range.start, len: range.len });
            if let Some(mut next) = next {
                next.as_mut().previous = Some(record);
            }
            chunk.set(size, State::Mapped);
            chunk.set_previous(0);
        }
    }

    /// Undoes `enlist`, and gives the mapping.
    ///
    /// # Safety
    ///
    /// A Mapped chunk.
    unsafe fn delist(&mut self, chunk: Chunk) -> Range {
        // SAFETY: a Mapped chunk has a record, and the list's are alive.
        let record = unsafe { Mapping::of(chunk).read() };
        let range = record.range();
        self.counters.mapped_blocks -= 1;
        self.counters.mapped_bytes -= range.len;
        self.counters.mapped_live -= range.end() - chunk.address() - HEADER;
        // SAFETY: as above. The state is taken back so that a second free of a
        // block that could not be unmapped is noticed.
        unsafe {
            chunk.set(HEADER, State::Free);
            match record.previous {
                Some(mut previous) => previous.as_mut().next = record.next,
                None => self.mappings = record.next,
            }
            if let Some(mut next) = record.next {
                next.as_mut().previous = record.previous;
            }
        }
        range
    }
}
