//! Segments: contiguous memory from the OS, filled with chunks from end to end.
//!
//! The current segment ends in the Top chunk, from which new chunks are cut.
//! Usually it is the only one and grows with the break. Another is begun when
//! somebody else moved the break in between, or when the break is refused and
//! a mapped region takes its place; the old top then becomes an ordinary free
//! chunk with a Fence behind it.

use core::ptr::NonNull;

use super::chunk::{CHUNK_LEAST, Chunk, HEADER, State};
use super::{Heap, align_up, policy};
use crate::config::Trim;
use crate::os::{HUGE_PAGE, PageSource, Range};
use crate::size_class::GRAIN;

/// The least size of a mapped region in bytes, so that they stay few.
const REGION_LEAST: usize = 1 << 20;

/// Where a segment's memory came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// From the break: can shrink only while the break is at its end.
    Break,
    /// A mapping: can shrink from its end, and go back as a whole.
    Region,
}

/// The record at the start of a segment.
#[repr(C)]
pub(super) struct Segment {
    pub(super) next: Option<NonNull<Segment>>,
    previous: Option<NonNull<Segment>>,
    /// Bytes from the record to the end.
    pub(super) len: usize,
    pub(super) kind: Kind,
}

/// Bytes of the record; the first chunk comes behind it.
pub(super) const RECORD: usize = size_of::<Segment>();
const _: () = assert!(RECORD.is_multiple_of(GRAIN));

impl<S: PageSource> Heap<S> {
    /// Whether a chunk of `need` bytes can be cut off the top. What is left
    /// must have room for a header.
    pub(super) fn top_has(&self, need: usize) -> bool {
        need + HEADER <= self.top_size
    }

    /// Cuts a live chunk off the top.
    pub(super) fn cut_top(&mut self, need: usize) -> Option<Chunk> {
        let chunk = self.top.filter(|_| self.top_has(need))?;
        self.counters.live_blocks += 1;
        self.counters.live_bytes += need;
        // SAFETY: the top has `need` bytes and a header's more.
        unsafe {
            chunk.set(need, State::Live);
            self.move_top(chunk.offset(need), need, self.top_size - need);
        }
        Some(chunk)
    }

    /// Makes the top begin at `chunk`, behind a chunk of `previous` bytes.
    ///
    /// # Safety
    ///
    /// `chunk` lies `size` bytes, at least a header, before the end of the
    /// current segment and is used by nobody.
    pub(super) unsafe fn move_top(&mut self, chunk: Chunk, previous: usize, size: usize) {
        self.top = Some(chunk);
        // SAFETY: by contract.
        unsafe {
            chunk.set_previous(previous);
            self.set_top_size(size);
        }
    }

    /// Writes the top's size, wherever it now begins.
    ///
    /// # Safety
    ///
    /// `self.top` lies `size` bytes before the end of the current segment.
    pub(super) unsafe fn set_top_size(&mut self, size: usize) {
        let Some(top) = self.top else { return };
        self.top_size = size;
        self.clean_from = self.clean_from.max(top.address() + HEADER);
        self.touch(top.address()..top.address() + HEADER);
        // SAFETY: by contract.
        unsafe { top.set(size, State::Top) };
    }

    /// Gets memory so that the top has `need` bytes for a chunk. The top may
    /// be another one afterwards, even on failure.
    pub(super) fn grow(&mut self, need: usize) -> bool {
        self.retention.regain(need);
        self.grow_by_break(need) || self.grow_by_region(need)
    }

    fn grow_by_break(&mut self, need: usize) -> bool {
        let page = self.source.page_size();
        // Twice if somebody moved the break: the first growth then only
        // begins a segment, and may be too short for it.
        for _ in 0..2 {
            let was_small = !self.deserves_huge(self.counters.break_bytes);
            let missing = (need + HEADER).saturating_sub(self.top_size).max(page);
            let end = self.top.map_or(0, |top| top.address() + self.top_size);
            // The pad counts, too: else the heap may be large before it grew as a large one.
            let wanted = missing + self.config.top_pad.0;
            let step = self.break_step(align_up(wanted, page));
            let padded = align_up(end + wanted, step) - end;
            let range = match self.source.grow_break(padded) {
                Some(range) => range,
                None if padded == missing => return false,
                None => match self.source.grow_break(missing) {
                    Some(range) => range,
                    None => return false,
                },
            };
            // Even if the pad was refused.
            if self.deserves_huge(self.counters.break_bytes + range.len) {
                // The first time, what the heap had so far, too: much of it may
                // be untouched, or will be given back and used again. Before
                // anything is written in it: a write has the kernel put a small
                // page there.
                let start = match self.segments {
                    Some(segment) if was_small && self.borders_on(range) => segment.cast(),
                    _ => range.start,
                };
                self.prefer_huge(start, range.end());
            }
            if !self.append(range) {
                self.begin_segment(range, Kind::Break);
            }
            if self.top_has(need) {
                return true;
            }
        }
        false
    }

    /// The unit in bytes in which the end of the break moves if the heap is to
    /// grow by `more`.
    pub(super) fn break_step(&self, more: usize) -> usize {
        let page = self.source.page_size();
        let is_large = self.deserves_huge(self.counters.break_bytes + more);
        if is_large { page.max(HUGE_PAGE) } else { page }
    }

    /// Whether so many bytes that have grown are worth huge pages: what grows is mostly
    /// written from end to end.
    pub(super) fn deserves_huge(&self, bytes: usize) -> bool {
        let least = self.config.thp.0;
        least > 0 && bytes >= least
    }

    /// Asks for huge pages from the first whole OS page on: a break that somebody else
    /// moved may be at any address. From `start` to `end` all is ours, an OS page at least.
    fn prefer_huge(&mut self, start: NonNull<u8>, end: usize) {
        let skip = start.addr().get().wrapping_neg() % self.source.page_size();
        let len = end - start.addr().get() - skip;
        // SAFETY: less than an OS page further, so before `end`.
        let start = unsafe { start.add(skip) };
        self.source.prefer_huge(Range { start, len });
    }

    /// Whether `range`, which the break has just grown by, goes on where the current
    /// segment ends.
    fn borders_on(&self, range: Range) -> bool {
        self.segments.is_some_and(|segment| {
            // SAFETY: records in the list are alive.
            let Segment { len, kind, .. } = unsafe { segment.read() };
            kind == Kind::Break && segment.addr().get() + len == range.start.addr().get()
        })
    }

    /// Adds `range` to the current segment if it borders on it.
    fn append(&mut self, range: Range) -> bool {
        let Some(mut segment) = self.segments.filter(|_| self.borders_on(range)) else {
            return false;
        };
        // SAFETY: records in the list are alive.
        let segment_mut = unsafe { segment.as_mut() };
        segment_mut.len += range.len;
        self.counters.break_bytes += range.len;
        // SAFETY: the segment, and so its top, now ends where the range does.
        unsafe { self.set_top_size(self.top_size + range.len) };
        true
    }

    fn grow_by_region(&mut self, need: usize) -> bool {
        let page = self.source.page_size();
        let least = align_up(RECORD + need + HEADER, page);
        let padded = align_up(least + self.config.top_pad.0, page).max(REGION_LEAST);
        let range = self.source.map(padded).or_else(|| self.source.map(least));
        match range {
            Some(range) => {
                self.begin_segment(range, Kind::Region);
                true
            }
            None => false,
        }
    }

    /// Makes `range`, at least an OS page long, the current segment.
    fn begin_segment(&mut self, range: Range, kind: Kind) {
        self.retire_top();
        // A break that somebody else moved may be at any address.
        let skip = range.start.addr().get().wrapping_neg() % GRAIN;
        let len = range.len - skip;
        // SAFETY: the range is ours and longer than `skip` and a record.
        let record: NonNull<Segment> = unsafe { range.start.add(skip) }.cast();
        // SAFETY: the record's place is aligned and in our range.
        unsafe { self.link(record, None, len, kind) };
        // Zero from the kernel from the first OS page boundary on.
        self.clean_from = align_up(range.start.addr().get(), self.source.page_size());
        // SAFETY: the rest of the range is unused.
        unsafe {
            let first = Chunk::at(record.cast()).offset(RECORD);
            self.move_top(first, 0, len - RECORD);
        }
    }

    /// Writes the record of a segment of `len` bytes behind that of `previous`
    /// in the list, or at its head, and counts it.
    ///
    /// # Safety
    ///
    /// `record` is aligned and the first of `len` unused bytes from the OS.
    unsafe fn link(
        &mut self,
        record: NonNull<Segment>,
        previous: Option<NonNull<Segment>>,
        len: usize,
        kind: Kind,
    ) {
        *self.counters.bytes_of(kind) += len;
        self.counters.segments += 1;
        // SAFETY: by contract; records in the list are alive.
        unsafe {
            let next = match previous {
                Some(mut previous) => previous.as_mut().next.replace(record),
                None => self.segments.replace(record),
            };
            if let Some(mut next) = next {
                next.as_mut().previous = Some(record);
            }
            record.write(Segment { next, previous, len, kind });
        }
    }

    /// Turns the top into a Fence, with a free chunk before it if there is room.
    fn retire_top(&mut self) {
        let Some(top) = self.top.take() else { return };
        let size = core::mem::take(&mut self.top_size);
        // SAFETY: the top ends its segment, and what is left of it is not free.
        unsafe { self.file_before_fence(top, size) };
    }

    /// Ends a segment: makes its last `size` bytes, from `chunk` on, a free
    /// chunk and a Fence, or only a Fence if they are too few.
    ///
    /// # Safety
    ///
    /// Those bytes, at least a header, are unused and end the segment; what is
    /// left of them is not free.
    unsafe fn file_before_fence(&mut self, chunk: Chunk, size: usize) {
        let end = chunk.address() + size;
        self.touch(end - HEADER..end);
        // SAFETY: by contract.
        unsafe {
            if size < CHUNK_LEAST + HEADER {
                self.counters.fence_bytes += size;
                chunk.set(size, State::Fence);
                return;
            }
            self.counters.fence_bytes += HEADER;
            chunk.offset(size - HEADER).set(HEADER, State::Fence);
            self.file(chunk, size - HEADER);
        }
    }

    /// Lowers the end of the current segment if the policy says so.
    pub(super) fn trim_by_policy(&mut self) {
        let surplus = policy::surplus(&self.config, &self.thresholds, self.top_size);
        if surplus > 0 {
            let is_eager = self.config.trim == Trim::Eager;
            let step = if is_eager { self.source.page_size() } else { self.break_step(0) };
            self.shrink_top(surplus, step);
        }
    }

    /// Gives the last `surplus` bytes of the top back, as far as that brings
    /// its end to a multiple of `step`, whole OS pages, and spares its header;
    /// says whether it gave any.
    pub(super) fn shrink_top(&mut self, surplus: usize, step: usize) -> bool {
        let (Some(top), Some(mut segment)) = (self.top, self.segments) else {
            return false;
        };
        let end = top.address() + self.top_size;
        let lowest = (end - surplus).max(top.address() + HEADER);
        let len = end - align_up(lowest, step).min(end);
        if len == 0 {
            return false;
        }
        // SAFETY: the tail lies within the top.
        let start = unsafe { top.offset(self.top_size - len) }.start();
        let tail = Range { start, len };
        // SAFETY: records in the list are alive.
        let segment = unsafe { segment.as_mut() };
        // SAFETY: whole OS pages at the end of the segment, in the top, where
        // nobody uses anything.
        let released = unsafe {
            match segment.kind {
                Kind::Break => self.source.shrink_break(tail),
                Kind::Region => self.source.unmap(tail),
            }
        };
        if released {
            segment.len -= len;
            *self.counters.bytes_of(segment.kind) -= len;
            self.clean_from = self.clean_from.min(end - len);
            self.returned.forget(end - len..end);
            // SAFETY: the segment now ends where the tail began.
            unsafe { self.set_top_size(self.top_size - len) };
        }
        released
    }

    /// Gives a region back that a free chunk fills, unless nothing ever goes
    /// back; says whether it did.
    ///
    /// # Safety
    ///
    /// A chunk of `size` bytes, not among the free ones, used by nobody, not the
    /// top.
    pub(super) unsafe fn release_region(&mut self, chunk: Chunk, size: usize) -> bool {
        if self.config.trim == Trim::Never {
            return false;
        }
        // SAFETY: by contract; a chunk that is not the top has one on its right.
        unsafe {
            if chunk.previous() != Some(0) {
                return false;
            }
            let Some((fence, State::Fence)) = chunk.offset(size).get() else {
                return false;
            };
            // The first chunk of a segment comes right behind its record.
            let record = chunk.back(RECORD).start();
            let Segment { next, previous, len, kind } = record.cast::<Segment>().read();
            let range = Range { start: record, len };
            if kind != Kind::Region || !self.source.unmap(range) {
                return false;
            }
            match previous {
                Some(mut previous) => previous.as_mut().next = next,
                None => self.segments = next,
            }
            if let Some(mut next) = next {
                next.as_mut().previous = previous;
            }
            self.returned.forget(record.addr().get()..range.end());
            self.counters.region_bytes -= len;
            self.counters.segments -= 1;
            self.counters.fence_bytes -= fence;
        }
        true
    }

    /// Makes a region of a range that the OS would not take back: one free
    /// chunk and a Fence.
    ///
    /// # Safety
    ///
    /// `range` is whole OS pages from `map` or `remap`, used by nobody.
    pub(super) unsafe fn adopt(&mut self, range: Range) {
        let record = range.start.cast();
        let current = self.segments;
        // SAFETY: the range is ours and unused, and at least an OS page long.
        unsafe {
            self.link(record, current, range.len, Kind::Region);
            let first = Chunk::at(range.start).offset(RECORD);
            first.set_previous(0);
            self.file_before_fence(first, range.len - RECORD);
        }
    }
}
