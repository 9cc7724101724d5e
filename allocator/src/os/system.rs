//! The kernel as a page source.

use super::raw::{self, Access};
use super::reservation::Reservation;
use super::{Calls, Discard, PageSource, Range, round_up};
use crate::config::BreakSource;

/// Address space reserved to play the break, in bytes. Beyond it a heap goes
/// on in mapped regions.
const RESERVE_MOST: usize = 64 << 30;
/// Less than this is not worth reserving.
const RESERVE_LEAST: usize = 1 << 20;
/// Where the address space is limited, one part in this many may be reserved:
/// the program's own mappings and stacks need the rest.
const RESERVE_SHARE: usize = 16;

/// The kernel, with the program break or a reserved mapping as the break.
#[derive(Debug)]
pub struct System {
    page_size: usize,
    source: BreakSource,
    /// Made on first growth, and tried only once.
    reservation: Option<Reservation>,
    tried_to_reserve: bool,
    calls: Calls,
}

// SAFETY: the sources are threads' common property already (a process has one
// break); a reservation is owned memory and not tied to a thread.
unsafe impl Send for System {}

impl System {
    /// A source that has asked the kernel for nothing yet.
    pub fn new(source: BreakSource) -> System {
        System {
            page_size: raw::page_size(),
            source,
            reservation: None,
            tried_to_reserve: false,
            calls: Calls::NONE,
        }
    }

    fn reserve(&mut self) {
        self.tried_to_reserve = true;
        self.calls.mmap += 1;
        self.reservation = Reservation::new(self.break_most(), RESERVE_LEAST);
    }
}

// SAFETY: mmap, mremap and sbrk return memory that nobody else has, zeroed by
// the kernel; two users of one program break exclude each other by contract
// (see `BreakSource::Program`).
unsafe impl PageSource for System {
    fn page_size(&self) -> usize {
        self.page_size
    }

    fn break_most(&self) -> usize {
        let limit = raw::address_space_limit();
        let most = match self.source {
            BreakSource::Program => limit.unwrap_or(usize::MAX),
            BreakSource::Reserved => limit.map_or(usize::MAX, |limit| limit / RESERVE_SHARE),
        };
        RESERVE_MOST.min(most) & !(self.page_size - 1)
    }

    fn grow_break(&mut self, bytes: usize) -> Option<Range> {
        match self.source {
            BreakSource::Program => {
                let now = raw::program_break()?.addr().get();
                let end = round_up(now.checked_add(bytes)?, self.page_size)?;
                let delta = isize::try_from(end - now).ok()?;
                self.calls.brk += 1;
                // SAFETY: the break moves up.
                let start = unsafe { raw::move_program_break(delta) }?;
                Some(Range { start, len: end - now })
            }
            BreakSource::Reserved => {
                if !self.tried_to_reserve {
                    self.reserve();
                }
                let bytes = round_up(bytes, self.page_size)?;
                let reservation = self.reservation.as_mut()?;
                if !reservation.has(bytes) {
                    return None;
                }
                self.calls.mprotect += 1;
                reservation.grow(bytes)
            }
        }
    }

    unsafe fn shrink_break(&mut self, tail: Range) -> bool {
        match self.source {
            BreakSource::Program => {
                let now = raw::program_break().map(|now| now.addr().get());
                let Ok(delta) = isize::try_from(tail.len) else {
                    return false;
                };
                if now != Some(tail.end()) {
                    return false;
                }
                self.calls.brk += 1;
                // SAFETY: the break is at the end of `tail`, which is unused.
                unsafe { raw::move_program_break(-delta) }.is_some()
            }
            BreakSource::Reserved => match self.reservation.as_mut() {
                Some(reservation) if reservation.end() == tail.end() => {
                    self.calls.mmap += 1;
                    // SAFETY: `tail` is the end of what is usable, and unused.
                    unsafe { reservation.shrink(tail.len) }
                }
                _ => false,
            },
        }
    }

    fn map(&mut self, bytes: usize) -> Option<Range> {
        self.calls.mmap += 1;
        raw::map(bytes, Access::ReadWrite)
    }

    unsafe fn unmap(&mut self, range: Range) -> bool {
        self.calls.munmap += 1;
        // SAFETY: handed on from the caller's contract.
        unsafe { raw::unmap(range) }
    }

    unsafe fn remap(&mut self, range: Range, bytes: usize, may_move: bool) -> Option<Range> {
        self.calls.mremap += 1;
        // SAFETY: handed on from the caller's contract.
        unsafe { raw::remap(range, bytes, may_move) }
    }

    unsafe fn discard(&mut self, range: Range, how: Discard) -> bool {
        self.calls.madvise += 1;
        // SAFETY: handed on from the caller's contract.
        unsafe { raw::discard(range, how) }
    }

    fn prefer_huge(&mut self, range: Range) {
        self.calls.madvise += 1;
        raw::prefer_huge(range);
    }

    fn now(&mut self) -> u64 {
        raw::coarse_milliseconds()
    }

    fn calls(&self) -> Calls {
        self.calls
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            // SAFETY: the heap owns its source and is gone with it, and so are
            // the blocks in it (see `Heap::new`).
            unsafe { raw::unmap(reservation.range()) };
        }
    }
}
