//! The invariants, executed. Walks everything: for tests and fuzzing.

use core::fmt;

use super::bins::{Bins, place};
use super::chunk::{CHUNK_LEAST, Chunk, HEADER, State};
use super::free::FreeChunks;
use super::segment::{self, Segment};
use super::stats::Counters;
use super::tree::Tree;
use super::units::{FULL, UNIT, Unit, blocks_of, floor_of, tier_of};
use super::{Heap, Mapping};
use crate::os::{OS_PAGE_LEAST, PageSource};

#[cfg(test)]
mod tests;

/// A broken invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What does not hold.
    pub what: &'static str,
    /// The address at which it was noticed.
    pub at: usize,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {:#x})", self.what, self.at)
    }
}

impl core::error::Error for Broken {}

fn ensure(holds: bool, what: &'static str, at: usize) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { what, at }) }
}

impl<S: PageSource> Heap<S> {
    /// Verifies every invariant of the heap (see the module's text), reading
    /// every chunk's header.
    ///
    /// # Errors
    ///
    /// The first that is broken.
    pub fn check(&self) -> Result<(), Broken> {
        let mut seen = Counters::NONE;
        let mut returned = 0;
        let mut next = self.segments;
        let mut is_current = self.top.is_some();
        while let Some(record) = next {
            // SAFETY: records in the list are alive.
            let segment = unsafe { record.as_ref() };
            // SAFETY: the first chunk comes right behind the record.
            let first = unsafe { Chunk::at(record.cast()).offset(segment::RECORD) };
            self.check_segment(segment, first, is_current, &mut seen, &mut returned)?;
            seen.segments += 1;
            next = segment.next;
            is_current = false;
        }
        // Those that lie elsewhere are not among them.
        ensure(
            returned == self.returned.bytes(),
            "an OS page that is in use counts as returned",
            returned,
        )?;
        self.check_free(seen.free_blocks)?;
        seen.table_bytes = self.counters.table_bytes;
        self.check_mappings(&mut seen)?;
        self.check_accounts(&seen)
    }

    fn check_segment(
        &self,
        segment: &Segment,
        first: Chunk,
        is_current: bool,
        seen: &mut Counters,
        returned: &mut usize,
    ) -> Result<(), Broken> {
        *seen.bytes_of(segment.kind) += segment.len;
        let end = first.address() - segment::RECORD + segment.len;
        let mut chunk = first;
        let mut left = (0, State::Live);
        loop {
            let at = chunk.address();
            // SAFETY: before the segment's end, and where a chunk must be.
            let (header, previous) = unsafe { (chunk.get(), chunk.previous()) };
            let (size, state) = header.ok_or(Broken { what: "a header's seal is broken", at })?;
            ensure(previous == Some(left.0), "a boundary tag is not the left chunk's size", at)?;
            ensure(
                size.is_multiple_of(HEADER) && size <= end - at,
                "a chunk leaves its segment",
                at,
            )?;
            ensure(
                left.1 != State::Free || !matches!(state, State::Free | State::Top),
                "two free chunks touch",
                at,
            )?;
            match state {
                State::Live | State::Cached => {
                    seen.live_blocks += 1;
                    seen.live_bytes += size;
                }
                State::Inner => seen.reserved_bytes += size,
                State::Unit => {
                    seen.reserved_bytes += size;
                    self.check_unit(chunk, seen, returned)?;
                }
                State::Free => {
                    seen.free_blocks += 1;
                    seen.free_bytes += size;
                    *returned += self.check_returned(at + CHUNK_LEAST..at + size)?;
                }
                State::Top => {
                    ensure(is_current && self.top == Some(chunk), "a second top", at)?;
                    ensure(
                        size == self.top_size && at + size == end,
                        "the top does not end its segment",
                        at,
                    )?;
                    ensure(self.clean_from >= at + HEADER, "the top's header is not clean", at)?;
                    *returned += self.check_returned(at + HEADER..end)?;
                    return self.check_clean(chunk, end);
                }
                State::Fence => {
                    seen.fence_bytes += size;
                    ensure(
                        !is_current && at + size == end,
                        "a fence does not end its segment",
                        at,
                    )?;
                    return Ok(());
                }
                State::Mapped => return ensure(false, "a mapped block within a segment", at),
            }
            ensure(
                size >= CHUNK_LEAST && at + size < end,
                "a chunk is too small, or the last",
                at,
            )?;
            left = (size, state);
            // SAFETY: just checked to lie before the segment's end.
            chunk = unsafe { chunk.offset(size) };
        }
    }

    /// The OS pages of `span`, which nobody uses, that went back, in bytes.
    fn check_returned(&self, span: core::ops::Range<usize>) -> Result<usize, Broken> {
        // SAFETY: part of a chunk of the heap.
        unsafe { self.returned.verify(span) }
            .map_err(|at| Broken { what: "an OS page that went back is not zero", at })
    }

    fn check_unit(
        &self,
        chunk: Chunk,
        seen: &mut Counters,
        returned: &mut usize,
    ) -> Result<(), Broken> {
        let at = chunk.address();
        // SAFETY: a chunk of the heap.
        let record = self.units.starting_at(unsafe { chunk.block() });
        let record = record.ok_or(Broken { what: "a unit is not in the map", at })?;
        // SAFETY: records in the map are alive.
        let (unit, free) = unsafe { (record.as_ref(), Unit::free_bits(record)) };
        let size = self.classes.size(unit.class.into());
        // SAFETY: a chunk of the heap.
        let class = self.units.class_of(unsafe { chunk.block() });
        let (used, blocks) = (usize::from(unit.used), usize::from(unit.blocks));
        ensure(class == usize::from(unit.class), "the map has another class for a unit", at)?;
        ensure(blocks == blocks_of(size), "a unit has a wrong number of blocks", at)?;
        ensure(used > 0 && used + free == blocks, "a unit's bits are not its free blocks", at)?;
        ensure(unit.tier == tier_of(used, blocks), "a unit is in a wrong tier", at)?;
        let floor = usize::from(unit.floor);
        ensure(floor == floor_of(unit.tier, blocks), "a unit has a wrong floor", at)?;
        let mut gone = 0;
        // SAFETY: the record of a unit of that class.
        unsafe {
            Unit::free_pages(record, size, self.source.page_size(), |span| {
                self.check_returned(span).map(|bytes| gone += bytes)
            })?;
        }
        ensure(gone == 0 || unit.has_returned, "a unit does not know what went back of it", at)?;
        *returned += gone;
        seen.small_blocks += used;
        seen.small_bytes += used * size;
        seen.unit_room += blocks * size;
        if unit.tier != FULL {
            let (mut listed, mut steps) = (false, 0);
            self.units.walk(class, unit.tier.into(), |other| {
                steps += 1;
                listed |= core::ptr::eq(other, unit);
                // A cycle would be longer than all units together.
                !listed && steps <= self.counters.reserved_bytes / UNIT
            });
            ensure(listed, "a unit with free blocks is in no list", at)?;
        }
        Ok(())
    }

    /// Reads one word of each OS page that is promised to be zero, but only
    /// where the top is small: reading makes the kernel provide the pages.
    fn check_clean(&self, top: Chunk, end: usize) -> Result<(), Broken> {
        const MOST: usize = 1 << 20;
        let from = self.clean_from.next_multiple_of(size_of::<usize>());
        let mut at = from;
        while at < end && at < from + MOST {
            // SAFETY: within the top, and aligned.
            let word = unsafe { top.start().add(at - top.address()).cast::<usize>().read() };
            ensure(word == 0, "memory promised to be zero is not", at)?;
            let step = OS_PAGE_LEAST;
            at += if at == from { from.wrapping_neg() % step + 8 } else { step };
        }
        Ok(())
    }

    fn check_free(&self, free_chunks: usize) -> Result<(), Broken> {
        match &self.free {
            FreeChunks::Bins(bins) => check_bins(bins, free_chunks),
            FreeChunks::Tree(tree) => check_tree(tree, free_chunks),
        }
    }

    fn check_mappings(&self, seen: &mut Counters) -> Result<(), Broken> {
        let mut next = self.mappings;
        while let Some(record) = next {
            let at = record.addr().get();
            seen.mapped_blocks += 1;
            ensure(
                seen.mapped_blocks <= self.counters.mapped_blocks,
                "the list of mappings is a cycle",
                at,
            )?;
            // SAFETY: records in the list are alive.
            let (mapping, chunk) = unsafe { (record.as_ref(), Mapping::chunk(record)) };
            // SAFETY: the header is right of the record.
            let header = unsafe { chunk.get() };
            let size = mapping.range().end() - chunk.address();
            ensure(
                header == Some((size, State::Mapped)),
                "a mapped block's header is not its own",
                at,
            )?;
            seen.mapped_bytes += mapping.range().len;
            seen.mapped_live += size - HEADER;
            next = mapping.next;
        }
        Ok(())
    }

    fn check_accounts(&self, seen: &Counters) -> Result<(), Broken> {
        let counted = &self.counters;
        for (seen, counted, what) in [
            (seen.live_blocks, counted.live_blocks, "live_blocks is not what the walk found"),
            (seen.live_bytes, counted.live_bytes, "live_bytes is not what the walk found"),
            (seen.small_blocks, counted.small_blocks, "small_blocks is not what the walk found"),
            (seen.small_bytes, counted.small_bytes, "small_bytes is not what the walk found"),
            (seen.unit_room, counted.unit_room, "unit_room is not what the walk found"),
            (
                seen.reserved_bytes,
                counted.reserved_bytes,
                "reserved_bytes is not what the walk found",
            ),
            (seen.free_blocks, counted.free_blocks, "free_blocks is not what the walk found"),
            (seen.free_bytes, counted.free_bytes, "free_bytes is not what the walk found"),
            (seen.break_bytes, counted.break_bytes, "break_bytes is not what the walk found"),
            (seen.region_bytes, counted.region_bytes, "region_bytes is not what the walk found"),
            (seen.segments, counted.segments, "segments is not what the walk found"),
            (seen.fence_bytes, counted.fence_bytes, "fence_bytes is not what the walk found"),
            (seen.mapped_blocks, counted.mapped_blocks, "mapped_blocks is not what the walk found"),
            (seen.mapped_bytes, counted.mapped_bytes, "mapped_bytes is not what the walk found"),
            (seen.mapped_live, counted.mapped_live, "mapped_live is not what the walk found"),
        ] {
            ensure(seen == counted, what, seen)?;
        }
        let room = self.units.room(&self.classes);
        ensure(room == seen.unit_room, "the classes have other units than the walk found", room)?;
        let stats = self.stats();
        ensure(stats.footprint() == stats.parts(), "the accounts do not add up", stats.parts())?;
        ensure(self.top.is_none() || self.segments.is_some(), "a top without a segment", 0)
    }
}

fn check_bins(bins: &Bins, free_chunks: usize) -> Result<(), Broken> {
    let mut binned = 0;
    let mut broken = Ok(());
    let whole =
        bins.walk(|chunk, previous, bin| {
            binned += 1;
            // SAFETY: chunks in bins are in the heap.
            let header = unsafe { chunk.get() };
            let right_bin = matches!(header, Some((size, State::Free)) if place(size) == bin);
            // SAFETY: in a bin, hence free.
            let (_, back) = unsafe { chunk.links() };
            broken = ensure(right_bin, "a chunk is in a bin not its own", chunk.address())
                .and(ensure(back == previous, "a link is not mutual", chunk.address()));
            // A cycle would be longer than there are free chunks.
            broken.is_ok() && binned <= free_chunks
        });
    broken?;
    ensure(whole, "a bin's bit does not match it, or a bin is a cycle", 0)?;
    ensure(binned == free_chunks, "a free chunk is in no bin", 0)
}

/// Looks each chunk up behind the one before it: out of order, one is missed.
/// That they are free and that ranks fall, every look-up verifies.
fn check_tree(tree: &Tree, free_chunks: usize) -> Result<(), Broken> {
    let (mut placed, mut key) = (0, (0, 0));
    while let Some(chunk) = tree.after(key, 0) {
        placed += 1;
        key = tree.key(chunk);
    }
    ensure(placed == free_chunks, "a free chunk is not in the tree", 0)
}
