//! What is free and of no use goes back to the OS: the top by lowering the
//! break, OS pages inside free chunks and units by discarding them.

use core::convert::Infallible;
use core::ops::Range as Span;
use core::ptr::NonNull;

use super::chunk::{CHUNK_LEAST, Chunk};
use super::policy::{self, Surplus};
use super::segment::Kind;
use super::units::{TIERS, UNIT, Unit};
use super::{Heap, Returned, align_up};
use crate::config::{Purge, Trim};
use crate::os::{Discard, PageSource};

impl<S: PageSource> Heap<S> {
    /// Resident bytes, as far as the heap knows, that are of no use.
    pub(super) fn idle(&self) -> usize {
        let counters = &self.counters;
        let free = counters.free_bytes + (counters.unit_room - counters.small_bytes);
        (self.top_size + free).saturating_sub(self.returned.bytes())
    }

    /// Something was allocated: the least that was idle in this period is
    /// what nobody needed.
    #[inline]
    pub(super) fn note_idle(&mut self) {
        self.retention.low = self.retention.low.min(self.idle());
    }

    /// Whether so much time has passed since `then` that what was kept
    /// meanwhile is not kept any longer.
    pub(crate) fn has_idled(&mut self, then: u64) -> bool {
        self.config.trim == Trim::Decay
            && self.source.now().saturating_sub(then) >= self.config.trim_decay.0 as u64
    }

    /// Gives back all that is idle but for `top_pad`.
    pub(crate) fn trim_after_idling(&mut self) {
        let pad = self.config.top_pad.0;
        self.shrink_top(self.top_size.saturating_sub(pad), self.source.page_size());
        self.purge(pad, self.source.page_size());
    }

    /// Gives back what `Trim::Decay` no longer keeps.
    pub(super) fn trim_by_time(&mut self) {
        let idle = self.idle();
        if self.config.trim != Trim::Decay || idle < policy::RELEASE_LEAST {
            return;
        }
        let now = self.source.now();
        let held = self.counters.break_bytes + self.counters.region_bytes;
        let Surplus { bytes: surplus, is_old } =
            self.retention.surplus(&self.config, self.thresholds.trim, idle, held, now);
        if surplus == 0 {
            return;
        }
        let pad = self.config.top_pad.0;
        let surplus_of_top = surplus.min(self.top_size.saturating_sub(pad));
        self.shrink_top(surplus_of_top, self.break_step(0));
        let kept = idle - surplus;
        if self.idle() > kept {
            let step = if is_old { self.source.page_size() } else { self.break_step(0) };
            self.purge(kept, step);
        }
        let left = self.idle();
        self.retention.gave(&self.config, idle.saturating_sub(left), left, now);
    }

    /// After `chunk`, of `size` bytes, was filed: what holds for the top under
    /// the policies that know no time holds for it, too.
    ///
    /// # Safety
    ///
    /// A Free chunk.
    pub(super) unsafe fn purge_by_policy(&mut self, chunk: Chunk, size: usize) {
        let is_due = match self.config.trim {
            Trim::Never | Trim::Decay => false,
            Trim::Eager => true,
            Trim::Threshold => size > self.thresholds.trim,
        };
        if is_due && self.config.purge != Purge::Never && self.prepare_to_purge() {
            // SAFETY: by contract.
            unsafe { self.purge_chunk(chunk, size, self.source.page_size()) };
        }
    }

    /// Discards OS pages inside free chunks, multiples of `step` bytes, and then
    /// inside the emptiest units, where a step is one OS page, until no more
    /// than `keep` bytes are idle; gives how many bytes those were.
    pub(super) fn purge(&mut self, keep: usize, step: usize) -> usize {
        if self.config.purge == Purge::Never || !self.prepare_to_purge() {
            return 0;
        }
        let before = self.returned.bytes();
        let mut excess = self.idle().saturating_sub(keep);
        let mut last = None;
        while excess > 0
            // SAFETY: the last one that it gave, which is as it was.
            && let Some((chunk, size)) = unsafe { self.free.large(last, policy::RELEASE_LEAST) }
        {
            // SAFETY: a free chunk.
            excess = excess.saturating_sub(unsafe { self.purge_chunk(chunk, size, step) });
            last = Some((chunk, size));
        }
        let units = if step == self.source.page_size() { self.units.last.into() } else { 0 };
        for class in 1..=units {
            let mut next = self.units.tiers[class][TIERS - 1];
            while let Some(unit) = next.filter(|_| excess > 0) {
                // SAFETY: units in lists are alive.
                unsafe {
                    excess = excess.saturating_sub(self.purge_unit(unit, class));
                    next = unit.as_ref().next;
                }
            }
        }
        self.returned.bytes() - before
    }

    /// Makes the table of what goes back, if there is none yet.
    fn prepare_to_purge(&mut self) -> bool {
        let page = self.source.page_size();
        if !self.returned.is_ready()
            && let Some((base, len)) = self.span()
            && let Some(table) = self.map_table(Returned::table_bytes(page, len))
        {
            // SAFETY: a table that stays; units are whole OS pages.
            unsafe { self.returned.begin(table, page, base, len) };
        }
        self.returned.is_ready()
    }

    /// Where chunks may ever be: a first address, and how many bytes from there.
    pub(super) fn span(&self) -> Option<(usize, usize)> {
        let segment = self.segments?;
        let len = self.source.break_most() & !(UNIT - 1);
        // SAFETY: records in the list are alive.
        let base = match unsafe { segment.as_ref() }.kind {
            Kind::Break => segment.addr().get(),
            // Regions come in no order: as far below as beyond.
            Kind::Region => segment.addr().get().saturating_sub(len / 2),
        };
        Some((base & !(UNIT - 1), len))
    }

    /// # Safety
    ///
    /// A Free chunk of `size` bytes.
    unsafe fn purge_chunk(&mut self, chunk: Chunk, size: usize, step: usize) -> usize {
        let start = align_up(chunk.address() + CHUNK_LEAST, step);
        let end = (chunk.address() + size) & !(step - 1);
        // SAFETY: behind the links, nobody uses what is in a free chunk.
        unsafe { self.discard(start..end.max(start)) }
    }

    /// # Safety
    ///
    /// The record of a unit of `class`.
    unsafe fn purge_unit(&mut self, mut unit: NonNull<Unit>, class: usize) -> usize {
        let size = self.classes.size(class);
        let page = self.source.page_size();
        // SAFETY: by contract; where all blocks are free, nobody uses anything.
        unsafe {
            let mut given = 0;
            let Ok(()) = Unit::free_pages(unit, size, page, |span| -> Result<(), Infallible> {
                given += self.discard(span);
                Ok(())
            });
            unit.as_mut().has_returned |= given > 0;
            given
        }
    }

    /// # Safety
    ///
    /// Nothing in `span`, which is the heap's, is used.
    unsafe fn discard(&mut self, span: Span<usize>) -> usize {
        let how = match self.config.purge {
            Purge::Never => return 0,
            Purge::DontNeed => Discard::Now,
            Purge::Free => Discard::Lazily,
        };
        // SAFETY: by contract.
        unsafe { self.returned.discard(&mut self.source, span, how) }
    }
}
