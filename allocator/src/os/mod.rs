//! Where memory comes from: the one contract between a heap and the kernel.
//!
//! - [`PageSource`]: the contract; every range that a heap holds came through it
//! - [`System`]: the kernel, with either kind of break
//! - [`Simulated`]: an arena with a ledger and failures on demand, for tests
//! - `raw`: the system calls themselves, and nothing else in the crate makes any

use core::ptr::NonNull;

pub(crate) mod raw;
mod reservation;
mod simulated;
mod system;

pub use simulated::Simulated;
pub use system::System;

/// The smallest OS page that there is, in bytes.
pub(crate) const OS_PAGE_LEAST: usize = 4 << 10;

/// A contiguous range of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its first byte.
    pub start: NonNull<u8>,
    /// Its length in bytes.
    pub len: usize,
}

impl Range {
    /// The address one past the last byte.
    pub fn end(self) -> usize {
        self.start.addr().get() + self.len
    }
}

/// When the kernel takes OS pages that are discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// At once: they read as zero from then on (MADV_DONTNEED).
    Now,
    /// When it wants memory: until then, and until they are written to, each
    /// reads as it was or as zero (MADV_FREE).
    Lazily,
}

/// System calls that a source made on behalf of its heap, by kind; refused
/// ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Moves of the program break.
    pub brk: u64,
    /// New mappings.
    pub mmap: u64,
    /// Mappings given back.
    pub munmap: u64,
    /// Mappings resized or moved.
    pub mremap: u64,
    /// Changes of protection (how a reserved break grows).
    pub mprotect: u64,
    /// Hints on how memory is used.
    pub madvise: u64,
}

impl Calls {
    /// No call yet.
    pub const NONE: Calls =
        Calls { brk: 0, mmap: 0, munmap: 0, mremap: 0, mprotect: 0, madvise: 0 };
}

/// The OS as a heap sees it: a break that moves, and mappings.
///
/// # Safety
///
/// A range that an implementation returns is readable, writable and belongs to
/// the caller alone until the caller gives it back. Ranges of `map`, and the
/// OS pages that a growing `remap` adds, read as zero; so does what
/// `grow_break` returns from its first OS-page boundary on. A refusal changes
/// nothing.
pub unsafe trait PageSource {
    /// The size of an OS page in bytes, a power of two.
    fn page_size(&self) -> usize;

    /// How far the break may ever move up in all, in bytes, at most.
    fn break_most(&self) -> usize;

    /// Moves the break up by at least `bytes` and returns the range gained. It
    /// ends on an OS-page boundary. It starts where the last one ended unless
    /// somebody else moved the break; then it need not even be aligned.
    fn grow_break(&mut self, bytes: usize) -> Option<Range>;

    /// Moves the break down to the start of `tail`. Refused, with `false`, if
    /// the break is not at the end of `tail`.
    ///
    /// # Safety
    ///
    /// `tail` is the end of ranges got from `grow_break`, starts on an OS-page
    /// boundary, and nothing in it is used any more.
    unsafe fn shrink_break(&mut self, tail: Range) -> bool;

    /// Maps `bytes`, a multiple of the OS page.
    fn map(&mut self, bytes: usize) -> Option<Range>;

    /// Gives OS pages back. `false` means that the kernel refused and the
    /// range still belongs to the caller.
    ///
    /// # Safety
    ///
    /// `range` consists of whole OS pages got from `map` or `remap`, and
    /// nothing in it is used any more.
    unsafe fn unmap(&mut self, range: Range) -> bool;

    /// Resizes a mapping to `bytes`, a multiple of the OS page, keeping its
    /// contents; in place, or anywhere if `may_move`.
    ///
    /// # Safety
    ///
    /// `range` is exactly one mapping from `map` or `remap`; what is cut off
    /// is not used any more and, if it moves, no pointer into it is either.
    unsafe fn remap(&mut self, range: Range, bytes: usize, may_move: bool) -> Option<Range>;

    /// Lets the kernel take the OS pages of `range`, whose address space stays
    /// the caller's. `false` means that it refused and nothing has changed.
    ///
    /// # Safety
    ///
    /// `range` consists of whole OS pages of the caller's, in which nothing is
    /// used any more: what they read as is up to `how`.
    unsafe fn discard(&mut self, range: Range, how: Discard) -> bool;

    /// Asks for huge pages in `range`, which is the caller's; the kernel may
    /// have none.
    fn prefer_huge(&mut self, range: Range);

    /// The time in milliseconds since some moment; never goes back.
    fn now(&mut self) -> u64;

    /// The calls made so far.
    fn calls(&self) -> Calls;
}

/// The size of a huge page in bytes.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// `value` rounded up to a multiple of `to`, a power of two; `None` on overflow.
pub(crate) const fn round_up(value: usize, to: usize) -> Option<usize> {
    match value.checked_add(to - 1) {
        Some(sum) => Some(sum & !(to - 1)),
        None => None,
    }
}
