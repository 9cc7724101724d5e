//! A page source for tests and fuzzing: one arena, a ledger of who owns each
//! OS page, and failures on demand. A broken contract panics.

use core::ptr::NonNull;
use core::slice;

use super::raw::{self, Access};
use super::reservation::Reservation;
use super::{Calls, Discard, PageSource, Range, round_up};

/// The simulated OS page, in bytes; the kernel's own must not be larger.
const PAGE: usize = 4096;

/// Who owns an OS page of the mapping half.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Owner {
    Nobody = 0,
    /// The first of a mapping.
    First,
    /// Any other.
    Rest,
}

/// An arena whose lower half is a break and whose upper half holds mappings.
///
/// OS pages that were given back are inaccessible, so that a use after that
/// is a crash.
#[derive(Debug)]
pub struct Simulated {
    break_half: Reservation,
    map_half: Range,
    ledger: Range,
    /// OS pages of mappings that somebody owns.
    owned: usize,
    /// Bytes of the break that somebody else took.
    foreign: usize,
    /// Bytes for which huge pages were asked.
    prefer_huge: usize,
    /// What the break grew by last, until a hint is given.
    grown: Option<Range>,
    requests: u64,
    fail_from: u64,
    fail_count: u64,
    refuse_break: bool,
    clock: u64,
    calls: Calls,
}

// SAFETY: an arena is owned memory and not tied to a thread.
unsafe impl Send for Simulated {}

impl Simulated {
    /// An arena of two halves of `half` bytes, rounded up to OS pages.
    ///
    /// # Panics
    ///
    /// When the kernel refuses so much address space.
    pub fn new(half: usize) -> Simulated {
        let half = round_up(half.max(PAGE), PAGE).expect("size of the arena");
        let break_half = Reservation::new(half, half).expect("address space for the arena");
        let map_half = raw::map(half, Access::None).expect("address space for the arena");
        let ledger = raw::map(half / PAGE, Access::ReadWrite).expect("memory for the ledger");
        Simulated {
            break_half,
            map_half,
            ledger,
            owned: 0,
            foreign: 0,
            prefer_huge: 0,
            grown: None,
            requests: 0,
            fail_from: u64::MAX,
            fail_count: 0,
            refuse_break: false,
            clock: 0,
            calls: Calls::NONE,
        }
    }

    /// Makes `count` requests fail, beginning with the `nth` from now (0 is
    /// the very next). Requests are `grow_break`, `map` and growing `remap`,
    /// and everything that gives memory back.
    pub fn fail(&mut self, nth: u64, count: u64) {
        self.fail_from = self.requests.saturating_add(nth);
        self.fail_count = count;
    }

    /// Refuses every growth of the break from now on, or allows it again.
    pub fn refuse_break(&mut self, refuse: bool) {
        self.refuse_break = refuse;
    }

    /// Lets time pass.
    pub fn advance(&mut self, milliseconds: u64) {
        self.clock += milliseconds;
    }

    /// Requests made so far, those that failed included.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Moves the break up by `bytes` on behalf of somebody else.
    pub fn foreign_sbrk(&mut self, bytes: usize) -> Option<Range> {
        let range = self.break_half.grow(round_up(bytes, PAGE)?)?;
        self.foreign += range.len;
        Some(range)
    }

    /// Bytes of the break that the heap holds.
    pub fn break_bytes(&self) -> usize {
        self.break_half.end() - self.break_half.range().start.addr().get() - self.foreign
    }

    /// Bytes of mappings that the heap holds.
    pub fn mapped_bytes(&self) -> usize {
        self.owned * PAGE
    }

    /// Bytes for which huge pages were asked, those asked for twice counted twice.
    pub fn prefer_huge_bytes(&self) -> usize {
        self.prefer_huge
    }

    fn pages(&self) -> usize {
        self.map_half.len / PAGE
    }

    fn slot(&self, index: usize) -> NonNull<Owner> {
        assert!(index < self.pages(), "ledger: not our OS page");
        // SAFETY: the ledger has one byte per OS page, and `index` is below.
        unsafe { self.ledger.start.add(index) }.cast()
    }

    fn owner(&self, index: usize) -> Owner {
        // SAFETY: in bounds (slot); bytes are zero (Nobody) or written by `own`.
        unsafe { self.slot(index).read() }
    }

    fn own(&mut self, first: usize, count: usize, owner: Option<Owner>) {
        for i in first..first + count {
            self.owned -= usize::from(self.owner(i) != Owner::Nobody);
            self.owned += usize::from(owner != Some(Owner::Nobody));
            let start = if i == first { Owner::First } else { Owner::Rest };
            // SAFETY: in bounds (slot), and `self` is borrowed mutably.
            unsafe { self.slot(i).write(owner.unwrap_or(start)) };
        }
    }

    /// Counts a request and says whether it is to fail.
    fn fails(&mut self) -> bool {
        let this = self.requests;
        self.requests += 1;
        this >= self.fail_from && this - self.fail_from < self.fail_count
    }

    /// The first OS page and the number of them, of a range that must be ours.
    fn pages_of(&self, range: Range) -> (usize, usize) {
        let offset = range
            .start
            .addr()
            .get()
            .checked_sub(self.map_half.start.addr().get())
            .expect("ledger: below the mappings");
        assert!(
            offset.is_multiple_of(PAGE) && range.len.is_multiple_of(PAGE) && range.len > 0,
            "ledger: not whole OS pages"
        );
        let (first, count) = (offset / PAGE, range.len / PAGE);
        for i in first..first + count {
            assert!(
                self.owner(i) != Owner::Nobody,
                "ledger: gave back or resized what it does not own"
            );
        }
        (first, count)
    }

    fn page(&self, first: usize, count: usize) -> Range {
        assert!(first + count <= self.pages(), "ledger: outside the arena");
        Range {
            // SAFETY: within the arena, as just asserted.
            start: unsafe { self.map_half.start.add(first * PAGE) },
            len: count * PAGE,
        }
    }

    fn is_free(&self, first: usize, count: usize) -> bool {
        first + count <= self.pages()
            && (first..first + count).all(|i| self.owner(i) == Owner::Nobody)
    }

    /// The lowest run of `count` free OS pages.
    fn find(&self, count: usize) -> Option<usize> {
        let mut first = 0;
        let mut run = 0;
        for i in 0..self.pages() {
            if self.owner(i) != Owner::Nobody {
                (first, run) = (i + 1, 0);
            } else {
                run += 1;
                if run == count {
                    return Some(first);
                }
            }
        }
        None
    }

    fn take(&mut self, first: usize, count: usize, owner: Option<Owner>) -> Option<Range> {
        let range = self.page(first, count);
        // SAFETY: part of our arena.
        if !unsafe { raw::commit(range) } {
            return None;
        }
        self.own(first, count, owner);
        Some(range)
    }

    fn drop_pages(&mut self, first: usize, count: usize) {
        // SAFETY: part of our arena, and given back.
        assert!(unsafe { raw::decommit(self.page(first, count)) });
        self.own(first, count, Some(Owner::Nobody));
    }
}

fn assert_whole(range: Range, call: &str) {
    let is_whole = [range.start.addr().get(), range.len].iter().all(|at| at.is_multiple_of(PAGE));
    assert!(is_whole && range.len > 0, "{call}: not whole OS pages");
}

// SAFETY: the ledger hands out each OS page of the arena once, and `decommit`
// drops the contents of those that come back.
unsafe impl PageSource for Simulated {
    fn page_size(&self) -> usize {
        PAGE
    }

    fn break_most(&self) -> usize {
        self.break_half.range().len
    }

    fn grow_break(&mut self, bytes: usize) -> Option<Range> {
        self.calls.brk += 1;
        if self.fails() || self.refuse_break {
            return None;
        }
        self.grown = self.break_half.grow(round_up(bytes, PAGE)?);
        self.grown
    }

    unsafe fn shrink_break(&mut self, tail: Range) -> bool {
        if self.break_half.end() != tail.end() {
            return false;
        }
        assert!(tail.len <= self.break_bytes(), "ledger: shrank past its own");
        self.calls.brk += 1;
        // SAFETY: `tail` is the end of the break, unused by contract.
        !self.fails() && unsafe { self.break_half.shrink(tail.len) }
    }

    fn map(&mut self, bytes: usize) -> Option<Range> {
        self.calls.mmap += 1;
        assert!(bytes > 0 && bytes.is_multiple_of(PAGE), "map: not whole OS pages");
        if self.fails() {
            return None;
        }
        let count = bytes / PAGE;
        let first = self.find(count)?;
        self.take(first, count, None)
    }

    unsafe fn unmap(&mut self, range: Range) -> bool {
        self.calls.munmap += 1;
        let (first, count) = self.pages_of(range);
        if self.fails() {
            return false;
        }
        self.drop_pages(first, count);
        true
    }

    unsafe fn remap(&mut self, range: Range, bytes: usize, may_move: bool) -> Option<Range> {
        self.calls.mremap += 1;
        let (first, old) = self.pages_of(range);
        assert!(self.owner(first) == Owner::First, "remap: not a mapping");
        assert!(bytes > 0 && bytes.is_multiple_of(PAGE), "remap: not whole OS pages");
        if self.fails() {
            return None;
        }
        let new = bytes / PAGE;
        if new <= old {
            self.drop_pages(first + new, old - new);
            return Some(self.page(first, new));
        }
        if self.is_free(first + old, new - old) {
            self.take(first + old, new - old, Some(Owner::Rest))?;
            return Some(self.page(first, new));
        }
        if !may_move {
            return None;
        }
        let to = self.find(new)?;
        let moved = self.take(to, new, None)?;
        // SAFETY: both ranges are usable and apart; the new one is the longer.
        unsafe { moved.start.copy_from_nonoverlapping(range.start, range.len) };
        self.drop_pages(first, old);
        Some(moved)
    }

    /// Lazily means every other OS page at once, and the rest never.
    unsafe fn discard(&mut self, range: Range, how: Discard) -> bool {
        self.calls.madvise += 1;
        assert_whole(range, "discard");
        if self.fails() {
            return false;
        }
        let step = if how == Discard::Now { 1 } else { 2 };
        for page in (0..range.len / PAGE).step_by(step) {
            // SAFETY: the caller owns the range and uses nothing in it.
            unsafe { range.start.add(page * PAGE).write_bytes(0, PAGE) };
        }
        true
    }

    fn prefer_huge(&mut self, range: Range) {
        self.calls.madvise += 1;
        assert_whole(range, "prefer_huge");
        self.prefer_huge += range.len;
        if let Some(grown) = self.grown.take().filter(|grown| grown.end() == range.end()) {
            // SAFETY: the break ends there, and nobody writes there during this call.
            let first = unsafe { slice::from_raw_parts(grown.start.as_ptr(), PAGE) };
            assert!(first.iter().all(|&byte| byte == 0), "prefer_huge: after a small page came");
        }
    }

    /// Time passes whenever somebody looks at the clock, too.
    fn now(&mut self) -> u64 {
        self.clock += 7;
        self.clock
    }

    fn calls(&self) -> Calls {
        self.calls
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        // SAFETY: the three mappings are ours and go with us; the heap that
        // used them owns this source.
        unsafe {
            raw::unmap(self.break_half.range());
            raw::unmap(self.map_half);
            raw::unmap(self.ledger);
        }
    }
}
