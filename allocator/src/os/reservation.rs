//! Address space that is reserved first and made usable from the bottom up: a
//! mapping that plays the break.

use core::ptr::NonNull;

use super::Range;
use super::raw::{self, Access};

/// Reserved address space `[start, start + len)`, of which the first `used`
/// bytes are usable. All three are multiples of the OS page.
#[derive(Debug)]
pub(super) struct Reservation {
    start: NonNull<u8>,
    len: usize,
    used: usize,
}

impl Reservation {
    /// Reserves `most` bytes or, where that is refused, half as much and so
    /// on, but not less than `least`.
    pub(super) fn new(most: usize, least: usize) -> Option<Reservation> {
        let mut len = most;
        while len >= least {
            if let Some(range) = raw::map(len, Access::None) {
                return Some(Reservation { start: range.start, len, used: 0 });
            }
            len /= 2;
        }
        None
    }

    /// The range between two offsets within the reservation.
    fn part(&self, from: usize, to: usize) -> Range {
        // SAFETY: `from <= len`, so the sum stays within the mapping.
        let start = unsafe { self.start.add(from) };
        Range { start, len: to - from }
    }

    /// Where the break is now.
    pub(super) fn end(&self) -> usize {
        self.part(0, self.used).end()
    }

    /// Whether `bytes` more can be had.
    pub(super) fn has(&self, bytes: usize) -> bool {
        bytes <= self.len - self.used
    }

    /// Moves the break up by `bytes`, whole OS pages.
    pub(super) fn grow(&mut self, bytes: usize) -> Option<Range> {
        if !self.has(bytes) {
            return None;
        }
        let range = self.part(self.used, self.used + bytes);
        // SAFETY: the range lies within the reservation, which is ours.
        if !unsafe { raw::commit(range) } {
            return None;
        }
        self.used += bytes;
        Some(range)
    }

    /// Moves the break down by `bytes`.
    ///
    /// # Safety
    ///
    /// Those bytes are whole OS pages and not used any more.
    pub(super) unsafe fn shrink(&mut self, bytes: usize) -> bool {
        if bytes > self.used {
            return false;
        }
        let tail = self.part(self.used - bytes, self.used);
        // SAFETY: within the reservation, and unused by the caller's contract.
        if !unsafe { raw::decommit(tail) } {
            return false;
        }
        self.used -= bytes;
        true
    }

    /// The whole of it, usable or not.
    pub(super) fn range(&self) -> Range {
        self.part(0, self.len)
    }
}
