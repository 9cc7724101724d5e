//! A page source without system calls.
//!
//! One arena serves one heap after another. Its lower half is a break, its
//! upper half holds mappings. OS pages that the heap gave back are filled with
//! a mark, which must still be there when they are handed out again or the heap
//! is dropped (with AddressSanitizer they are poisoned besides, so that a use
//! is reported at once). Those that it never wrote to, most of a break that grows
//! by megabytes, stay zero instead: they are only read, and so share one page of
//! the kernel's. A broken contract is noted, and the request refused.

use std::cell::Cell;
use std::ptr::NonNull;

use brkpoint_allocator::{Calls, Discard, PageSource, Range};

use crate::subject::Staged;

mod poison;

/// The OS page in bytes.
const PAGE: usize = 4096;
/// The length of each half.
const HALF: usize = 64 << 20;
const PAGES: usize = HALF / PAGE;
/// Where it lies if it can: what a heap does depends on addresses.
const PLACE: usize = 0x2000_0000_0000;

/// What memory that was given back is filled with.
static GONE: [u8; PAGE] = [0xDB; PAGE];
/// What memory that is handed out is filled with.
static ZERO: [u8; PAGE] = [0; PAGE];
/// What memory that is promised nothing is filled with.
const JUNK: u8 = 0xA5;
/// What somebody else writes to what it took of the break.
static FOREIGN: [u8; PAGE] = [0x5A; PAGE];

/// What is in an OS page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody's: zero.
    Fresh,
    /// Nobody's, and handed out in the past: anything.
    Used,
    /// Given back by this heap: the mark.
    Gone,
    /// Given back by this heap as it was handed out: zero.
    Blank,
    /// The heap's.
    Held,
    /// As `Held`, and the first of a mapping.
    First,
}

/// The memory, and what is in it.
#[derive(Debug)]
struct Memory {
    start: NonNull<u8>,
    states: Box<[State; 2 * PAGES]>,
}

thread_local! {
    static SPARE: Cell<Option<Memory>> = const { Cell::new(None) };
}

/// The page source.
#[derive(Debug)]
pub struct Arena {
    memory: Option<Memory>,
    /// Where the break is, in bytes from the start.
    end: usize,
    /// Ranges of the break, in bytes from the start, that somebody else took.
    foreign: Vec<(usize, usize)>,
    held: (usize, usize),
    /// In each half, the OS pages from here on are as they were before this heap.
    reached: [usize; 2],
    fault: Option<String>,
    requests: u64,
    fail_from: u64,
    fail_count: u64,
    clock: u64,
    calls: Calls,
}

impl Default for Arena {
    fn default() -> Arena {
        Arena::new()
    }
}

impl Arena {
    /// An empty source.
    ///
    /// # Panics
    ///
    /// When the kernel refuses the address space.
    pub fn new() -> Arena {
        let memory = SPARE.take().unwrap_or_else(|| {
            // SAFETY: a new mapping, of nobody's.
            let start = unsafe {
                libc::mmap(
                    std::ptr::without_provenance_mut(PLACE),
                    2 * HALF,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                    -1,
                    0,
                )
            };
            assert!(start != libc::MAP_FAILED, "no address space for the arena");
            // What is only read then stays the kernel's one zero page. Without, it is
            // only slower.
            // SAFETY: the new mapping.
            unsafe { libc::madvise(start, 2 * HALF, libc::MADV_NOHUGEPAGE) };
            let start = NonNull::new(start.cast()).expect("a mapping is not at null");
            Memory { start, states: Box::new([State::Fresh; 2 * PAGES]) }
        });
        Arena {
            memory: Some(memory),
            end: 0,
            foreign: Vec::new(),
            held: (0, 0),
            reached: [0, PAGES],
            fault: None,
            requests: 0,
            fail_from: u64::MAX,
            fail_count: 0,
            clock: 0,
            calls: Calls::default(),
        }
    }

    /// Requests made so far, those that failed included.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    fn memory(&mut self) -> &mut Memory {
        self.memory.as_mut().expect("there until dropped")
    }

    fn fails(&mut self) -> bool {
        let this = self.requests;
        self.requests += 1;
        this >= self.fail_from && this - self.fail_from < self.fail_count
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.fault.get_or_insert_with(what);
    }

    /// A pointer to `offset` bytes from the start.
    fn at(&mut self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset <= 2 * HALF);
        // SAFETY: within the arena.
        unsafe { self.memory().start.add(offset) }
    }

    /// The offset of an address, wherever it is.
    fn offset(&mut self, range: Range) -> usize {
        range.start.addr().get().wrapping_sub(self.memory().start.addr().get())
    }

    /// Hands OS pages out, as zero.
    fn hand_out(&mut self, first: usize, count: usize, state: State) {
        for page in first..first + count {
            let start = self.at(page * PAGE);
            let before = self.memory().states[page];
            poison::unpoison(start, PAGE);
            if !is_as_left(before, start) {
                self.note(|| format!("OS page {page} was written to after it was given back"));
            }
            if matches!(before, State::Held | State::First) {
                self.note(|| format!("OS page {page} was handed out twice"));
            }
            if !matches!(before, State::Fresh | State::Blank) && !is_filled(start, &ZERO) {
                // SAFETY: an OS page of the arena, which nobody has.
                unsafe { start.write_bytes(0, PAGE) };
            }
            self.memory().states[page] = if page == first { state } else { State::Held };
        }
        let reached = &mut self.reached[first / PAGES];
        *reached = (*reached).max(first + count);
    }

    /// Takes OS pages back, and marks those that are not zero.
    fn take_back(&mut self, first: usize, count: usize) {
        for page in first..first + count {
            let start = self.at(page * PAGE);
            let state = if is_filled(start, &ZERO) {
                State::Blank
            } else {
                // SAFETY: an OS page of the arena, which nobody has any more.
                unsafe { start.cast().write(GONE) };
                State::Gone
            };
            poison::poison(start, PAGE);
            self.memory().states[page] = state;
        }
    }

    /// The OS pages of a range of mappings that must be the heap's.
    fn mapped(&mut self, range: Range, call: &str) -> Option<(usize, usize)> {
        let offset = self.offset(range);
        let (first, count) = (offset / PAGE, range.len / PAGE);
        let is_whole = offset.is_multiple_of(PAGE) && range.len.is_multiple_of(PAGE) && count > 0;
        let is_mapped = is_whole
            && (PAGES..2 * PAGES).contains(&first)
            && count <= 2 * PAGES - first
            && self.memory().states[first..first + count]
                .iter()
                .all(|state| matches!(state, State::Held | State::First));
        if !is_mapped {
            self.note(|| format!("{call} of what is no mapping: {range:?}"));
        }
        is_mapped.then_some((first, count))
    }

    fn is_free(&mut self, first: usize, count: usize) -> bool {
        first + count <= 2 * PAGES
            && self.memory().states[first..first + count]
                .iter()
                .all(|state| !matches!(state, State::Held | State::First))
    }

    /// The lowest run of `count` free OS pages.
    fn find(&mut self, count: usize) -> Option<usize> {
        let mut first = PAGES;
        for page in PAGES..2 * PAGES {
            if matches!(self.memory().states[page], State::Held | State::First) {
                first = page + 1;
            } else if page + 1 - first >= count {
                return Some(first);
            }
        }
        None
    }

    /// The OS pages that were ever handed out.
    fn touched(&self) -> impl Iterator<Item = usize> + use<> {
        let [lower, upper] = self.reached;
        (0..lower).chain(PAGES..upper)
    }

    /// Verifies what nobody may have written to: what was given back, and what
    /// somebody else has. What is zero then is as if it had never been handed out.
    pub fn verify(&mut self) {
        for page in self.touched() {
            let state = self.memory().states[page];
            if matches!(state, State::Gone | State::Blank) {
                let start = self.at(page * PAGE);
                poison::unpoison(start, PAGE);
                let is_as_left = is_as_left(state, start);
                poison::poison(start, PAGE);
                if !is_as_left {
                    self.note(|| format!("OS page {page} was written to after it was given back"));
                } else if state == State::Blank {
                    self.memory().states[page] = State::Fresh;
                }
            }
        }
        for (start, end) in std::mem::take(&mut self.foreign) {
            let from = self.at(start);
            // SAFETY: within the arena, and nobody's else but ours.
            let bytes = unsafe { std::slice::from_raw_parts(from.as_ptr(), end - start) };
            if bytes.chunks(PAGE).any(|part| part != &FOREIGN[..part.len()]) {
                self.note(|| format!("wrote to somebody else's part of the break, at {start:#x}"));
            }
        }
    }
}

/// Whether an OS page in this state, if it was given back, is as it was then.
fn is_as_left(state: State, start: NonNull<u8>) -> bool {
    match state {
        State::Gone => is_filled(start, &GONE),
        State::Blank => is_filled(start, &ZERO),
        _ => true,
    }
}

/// Whether an OS page of the arena that nobody writes to holds nothing but this.
fn is_filled(start: NonNull<u8>, with: &[u8; PAGE]) -> bool {
    // By the C library: a loop of ours would count its rounds for the fuzzer.
    // SAFETY: an OS page of the arena, which nobody writes to.
    unsafe { start.cast::<[u8; PAGE]>().as_ref() == with }
}

// SAFETY: `states` hands out each OS page once; what is handed out is zero but
// for what shares an OS page with a break that somebody else moved.
unsafe impl PageSource for Arena {
    fn page_size(&self) -> usize {
        PAGE
    }

    fn break_most(&self) -> usize {
        HALF
    }

    fn grow_break(&mut self, bytes: usize) -> Option<Range> {
        self.calls.brk += 1;
        let end = (self.end + bytes).next_multiple_of(PAGE);
        if self.fails() || bytes > HALF || end > HALF {
            return None;
        }
        let start = self.end;
        let first = start.div_ceil(PAGE);
        // The rest of an OS page that somebody else began.
        let rest = first * PAGE - start;
        let at = self.at(start);
        // SAFETY: beyond the break, so nobody's, and within its OS page.
        unsafe { at.write_bytes(JUNK, rest) };
        self.hand_out(first, end / PAGE - first, State::Held);
        self.end = end;
        self.held.0 += end - start;
        Some(Range { start: at, len: end - start })
    }

    unsafe fn shrink_break(&mut self, tail: Range) -> bool {
        let offset = self.offset(tail);
        if offset.wrapping_add(tail.len) != self.end {
            return false;
        }
        let is_ours = offset.is_multiple_of(PAGE)
            && self.foreign.iter().all(|&(_, end)| end <= offset)
            && tail.len <= self.held.0;
        if !is_ours {
            self.note(|| format!("lowered the break by what is not its own: {tail:?}"));
            return false;
        }
        self.calls.brk += 1;
        if self.fails() {
            return false;
        }
        self.take_back(offset / PAGE, tail.len / PAGE);
        self.end = offset;
        self.held.0 -= tail.len;
        true
    }

    fn map(&mut self, bytes: usize) -> Option<Range> {
        self.calls.mmap += 1;
        if bytes == 0 || !bytes.is_multiple_of(PAGE) {
            self.note(|| format!("asked for a mapping of {bytes} bytes"));
            return None;
        }
        if self.fails() {
            return None;
        }
        let first = self.find(bytes / PAGE)?;
        self.hand_out(first, bytes / PAGE, State::First);
        self.held.1 += bytes;
        Some(Range { start: self.at(first * PAGE), len: bytes })
    }

    unsafe fn unmap(&mut self, range: Range) -> bool {
        self.calls.munmap += 1;
        let Some((first, count)) = self.mapped(range, "unmap") else { return false };
        if self.fails() {
            return false;
        }
        self.take_back(first, count);
        self.held.1 -= range.len;
        true
    }

    unsafe fn remap(&mut self, range: Range, bytes: usize, may_move: bool) -> Option<Range> {
        self.calls.mremap += 1;
        let (first, old) = self.mapped(range, "remap")?;
        if self.memory().states[first] != State::First || bytes == 0 || !bytes.is_multiple_of(PAGE)
        {
            self.note(|| format!("remap of {range:?} to {bytes} bytes"));
            return None;
        }
        if self.fails() {
            return None;
        }
        let new = bytes / PAGE;
        let mut start = range.start;
        if new <= old {
            self.take_back(first + new, old - new);
        } else if self.is_free(first + old, new - old) {
            self.hand_out(first + old, new - old, State::Held);
        } else {
            let to = may_move.then(|| self.find(new)).flatten()?;
            self.hand_out(to, new, State::First);
            start = self.at(to * PAGE);
            // SAFETY: two ranges of the arena, apart, the new one the longer.
            unsafe { start.copy_from_nonoverlapping(range.start, range.len) };
            self.take_back(first, old);
        }
        self.held.1 = self.held.1 - range.len + bytes;
        Some(Range { start, len: bytes })
    }

    /// Lazily means every other OS page at once, and the rest never.
    unsafe fn discard(&mut self, range: Range, how: Discard) -> bool {
        self.calls.madvise += 1;
        let offset = self.offset(range);
        let (first, count) = (offset / PAGE, range.len / PAGE);
        let is_whole = offset.is_multiple_of(PAGE) && range.len.is_multiple_of(PAGE) && count > 0;
        let is_held = is_whole
            && first < 2 * PAGES
            && count <= 2 * PAGES - first
            && self.memory().states[first..first + count]
                .iter()
                .all(|state| matches!(state, State::Held | State::First));
        if !is_held {
            self.note(|| format!("discarded what is not its own: {range:?}"));
            return false;
        }
        if self.fails() {
            return false;
        }
        let step = if how == Discard::Now { 1 } else { 2 };
        for page in (first..first + count).step_by(step) {
            // SAFETY: an OS page of the heap's, in which it uses nothing.
            unsafe { self.at(page * PAGE).write_bytes(0, PAGE) };
        }
        true
    }

    fn prefer_huge(&mut self, range: Range) {
        self.calls.madvise += 1;
        if !range.start.addr().get().is_multiple_of(PAGE) || range.len == 0 {
            self.note(|| format!("huge pages for what the kernel refuses: {range:?}"));
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

impl Staged for Arena {
    fn stage_failure(&mut self, after: u64, count: u64) {
        self.fail_from = self.requests + after;
        self.fail_count = if count >= u32::MAX.into() { u64::MAX } else { count };
    }

    fn stage_wait(&mut self, milliseconds: u64) {
        self.clock += milliseconds;
    }

    /// By any number of bytes: the break then need not be aligned.
    fn stage_move(&mut self, bytes: usize) {
        let (start, end) = (self.end, self.end + bytes);
        if end > HALF {
            return;
        }
        let first = start.div_ceil(PAGE);
        let last = end.div_ceil(PAGE);
        if first < last {
            self.hand_out(first, last - first, State::Held);
        }
        // SAFETY: beyond the break, so nobody's, and handed out.
        unsafe { self.at(start).write_bytes(FOREIGN[0], bytes) };
        self.foreign.push((start, end));
        self.end = end;
    }

    fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    fn held(&self) -> Option<(usize, usize)> {
        Some(self.held)
    }
}

impl Drop for Arena {
    /// The next heap begins with an empty break and no mapping.
    fn drop(&mut self) {
        let Some(mut memory) = self.memory.take() else { return };
        for page in self.touched() {
            if memory.states[page] != State::Fresh {
                memory.states[page] = State::Used;
            }
        }
        SPARE.set(Some(memory));
    }
}
