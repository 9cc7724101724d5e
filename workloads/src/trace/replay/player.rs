//! The actions of one thread, and the slots.
//!
//! ```text
//! slot = 0          empty
//!        WAITING    empty, and a thread waits for the block that another gives
//!        NOTHING    a block that was not granted here
//!        address    a live block
//! ```

use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::Touch;
use super::script::PartAt;
use super::stage::{Stage, give_up, wait, wake};
use crate::synthetic::Observer;
use crate::trace::{Action, Kind, decode_actions, decode_times};

const WAITING: u64 = 1;
const NOTHING: u64 = 2;
const OS_PAGE: usize = 4096;
/// Bytes of the word that is written to a block and read back.
const WORD: u64 = 8;

/// A block, or none.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Slot {
    block: AtomicU64,
    size: AtomicU64,
}

impl Slot {
    /// Requested bytes of the block, if there is one.
    pub(super) fn live(&self) -> Option<u64> {
        (self.block.load(Acquire) > WAITING).then(|| self.size.load(Relaxed))
    }

    /// The lower half, which tells all that there is to wait for: no block's is
    /// WAITING, since blocks lie at multiples of eight.
    fn word(&self) -> &AtomicU32 {
        // SAFETY: the lower half of a live atomic; on x86-64 it comes first.
        unsafe { AtomicU32::from_ptr(self.block.as_ptr().cast()) }
    }

    /// Empties the slot, and gives its block and size.
    #[inline(always)]
    fn take(&self, waits: bool) -> (u64, u64) {
        let mut block = self.block.load(Acquire);
        if waits && block <= WAITING {
            block = self.wait();
        }
        self.block.store(0, Relaxed);
        (block, self.size.load(Relaxed))
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) -> u64 {
        for _ in 0..200 {
            let block = self.block.load(Acquire);
            if block > WAITING {
                return block;
            }
            std::hint::spin_loop();
        }
        loop {
            // Whoever gives finds WAITING, and wakes.
            let _ = self.block.compare_exchange(0, WAITING, AcqRel, Acquire);
            let block = self.block.load(Acquire);
            if block > WAITING {
                return block;
            }
            wait(self.word(), WAITING as u32, 0);
        }
    }

    #[inline(always)]
    fn put(&self, block: u64, size: u64, given: bool) {
        self.size.store(size, Relaxed);
        if given {
            self.give(block);
        } else {
            self.block.store(block, Release);
        }
    }

    #[cold]
    #[inline(never)]
    fn give(&self, block: u64) {
        if self.block.swap(block, AcqRel) == WAITING {
            wake(self.word());
        }
    }
}

/// One thread's way through its actions.
pub(super) struct Player<'s, 'o> {
    stage: &'s Stage,
    slots: &'s [Slot],
    /// Room for a part that is read from the trace.
    buffers: *mut u8,
    observer: Option<&'o mut dyn Observer>,
    digest: u64,
    refused: u64,
    /// Nanoseconds from the first event of the process to this thread's latest.
    now_ns: u64,
}

impl<'s, 'o> Player<'s, 'o> {
    pub(super) fn new(
        stage: &'s Stage,
        buffers: *mut u8,
        observer: Option<&'o mut dyn Observer>,
    ) -> Self {
        Player { stage, slots: stage.slots(), buffers, observer, digest: 0, refused: 0, now_ns: 0 }
    }

    /// Adds what it came to.
    pub(super) fn finish(self) {
        // In whatever order threads end, the sum is the same.
        self.stage.digest.fetch_add(self.digest, Relaxed);
        self.stage.refused.fetch_add(self.refused, Relaxed);
    }

    pub(super) fn play(&mut self, part: &PartAt) {
        let script = self.stage.script();
        let (actions, times) = match script.reads() {
            None => (script.actions(part), script.times(part)),
            Some(room) => self.read(part, room),
        };
        if self.stage.watched {
            self.play_all::<true>(actions, times);
        } else {
            self.play_all::<false>(actions, times);
        }
    }

    /// Reads a part from the trace.
    fn read(&mut self, part: &PartAt, (events, room): (usize, usize)) -> (&'s [Action], &'s [u64]) {
        let bytes = part.actions as usize + part.times as usize;
        let damaged = || -> ! { give_up("the trace has changed since it was checked") };
        if part.events as usize > events || bytes > room {
            damaged();
        }
        // SAFETY: the seat has room for the largest part's actions, times and
        // bytes, in this order, and only this thread uses it.
        let (actions, times, raw) = unsafe {
            let actions: *mut Action = self.buffers.cast();
            let times: *mut u64 = actions.add(events).cast();
            let raw = std::slice::from_raw_parts_mut(times.add(events).cast::<u8>(), bytes);
            (actions, times, raw)
        };
        if self.stage.script().trace().read_exact_at(raw, part.at).is_err() {
            damaged();
        }
        let (encoded, gaps) = raw.split_at(part.actions as usize);
        let mut count = 0;
        let most = part.events as usize;
        let slots = self.slots.len();
        let decoded = decode_actions(encoded, part.events, |action| {
            if count >= most || action.slot().max(action.to()) as usize >= slots {
                damaged();
            }
            // SAFETY: fewer than there is room for.
            unsafe { actions.add(count).write(action) };
            count += 1;
        });
        if decoded.is_err() || count != most {
            damaged();
        }
        let mut timed = 0;
        if self.stage.options.gaps {
            let decoded = decode_times(gaps, part.events, |time| {
                if timed < most {
                    // SAFETY: fewer than there is room for.
                    unsafe { times.add(timed).write(time) };
                    timed += 1;
                }
            });
            if decoded.is_err() || timed != most {
                damaged();
            }
        }
        // SAFETY: as many were written.
        unsafe {
            (std::slice::from_raw_parts(actions, count), std::slice::from_raw_parts(times, timed))
        }
    }

    fn play_all<const WATCHED: bool>(&mut self, actions: &[Action], times: &[u64]) {
        match self.stage.options.touch {
            Touch::None => self.play_each::<WATCHED, 0>(actions, times),
            Touch::Pages => self.play_each::<WATCHED, 1>(actions, times),
            Touch::All => self.play_each::<WATCHED, 2>(actions, times),
        }
    }

    fn play_each<const WATCHED: bool, const TOUCH: u8>(
        &mut self,
        actions: &[Action],
        times: &[u64],
    ) {
        let mut times = times.iter();
        for &action in actions {
            if let Some(&gap) = times.next() {
                self.now_ns += gap;
                sleep_until(self.stage.began_ns + self.now_ns, gap);
            }
            let change = self.act::<TOUCH>(action);
            if WATCHED {
                self.told(change);
            }
        }
    }

    #[inline(never)]
    fn told(&mut self, change: i64) {
        self.stage.live_bytes.fetch_add(change, Relaxed);
        self.stage.operations.fetch_add(1, Relaxed);
        if let Some(observer) = &mut self.observer {
            self.stage.tell(&mut **observer);
        }
    }

    /// Performs an action; gives the bytes by which live ones change.
    #[inline(always)]
    fn act<const TOUCH: u8>(&mut self, action: Action) -> i64 {
        let size = action.size();
        let slot = &self.slots[action.slot() as usize];
        // SAFETY: sizes and alignments are any; blocks are live ones of this
        // malloc, since `verify` found each slot to hold one where it is taken,
        // and nobody else has it.
        unsafe {
            match action.kind() {
                Kind::Malloc => {
                    let block = libc::malloc(size as usize).cast();
                    self.fresh::<TOUCH>(slot, block, action);
                }
                Kind::Free => {
                    let (block, had) = slot.take(action.taken());
                    if block > NOTHING {
                        let start = ptr::with_exposed_provenance_mut(block as usize);
                        self.read_back::<TOUCH>(start, had);
                        libc::free(start.cast());
                    }
                    return -(had as i64);
                }
                Kind::Calloc => {
                    let block = libc::calloc(1, size as usize).cast();
                    self.fresh::<TOUCH>(slot, block, action);
                }
                Kind::Aligned => {
                    let block = libc::memalign(1 << action.align(), size as usize).cast();
                    self.fresh::<TOUCH>(slot, block, action);
                }
                Kind::Realloc => return self.resize::<TOUCH>(action),
                Kind::Refused => {
                    libc::free(black_box(libc::malloc(black_box(size as usize))));
                    return 0;
                }
            }
        }
        size as i64
    }

    /// # Safety
    /// `block` is null or new, of the action's size.
    #[inline(always)]
    unsafe fn fresh<const TOUCH: u8>(&mut self, slot: &Slot, block: *mut u8, action: Action) {
        let block = black_box(block);
        if block.is_null() {
            self.refused += u64::from(action.size() > 0);
            return slot.put(NOTHING, action.size(), action.given());
        }
        // SAFETY: by contract.
        unsafe { touch::<TOUCH>(block, 0, action) };
        slot.put(block.expose_provenance() as u64, action.size(), action.given());
    }

    /// # Safety
    /// As [`act`](Self::act).
    unsafe fn resize<const TOUCH: u8>(&mut self, action: Action) -> i64 {
        let size = action.size();
        let (old, had) = self.slots[action.slot() as usize].take(action.taken());
        let to = &self.slots[action.to() as usize];
        let change = size as i64 - had as i64;
        let old: *mut u8 = match old {
            ..=NOTHING => ptr::null_mut(),
            old => ptr::with_exposed_provenance_mut(old as usize),
        };
        // SAFETY: a live block, or null; what is read back was written.
        unsafe {
            let block: *mut u8 = black_box(libc::realloc(old.cast(), size as usize).cast());
            if block.is_null() {
                if size == 0 {
                    to.put(NOTHING, size, action.given());
                } else {
                    // The old one is still there.
                    self.refused += 1;
                    let kept = if old.is_null() { NOTHING } else { old.addr() as u64 };
                    to.put(kept, had, action.given());
                    return 0;
                }
                return change;
            }
            if !old.is_null() {
                self.read_back::<TOUCH>(block, had.min(size));
            }
            touch::<TOUCH>(block, if old.is_null() { 0 } else { had }, action);
            to.put(block.expose_provenance() as u64, size, action.given());
        }
        change
    }

    /// # Safety
    /// `block` has so many bytes, and was touched.
    #[inline(always)]
    unsafe fn read_back<const TOUCH: u8>(&mut self, block: *mut u8, size: u64) {
        if TOUCH > 0 && size >= WORD {
            // SAFETY: by contract.
            let word = unsafe { block.cast::<u64>().read_unaligned() };
            let mixed = (word ^ size).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.digest = self.digest.wrapping_add(mixed ^ mixed >> 29);
        }
    }
}

/// Writes to a block, of which the first `old` bytes were written before.
///
/// # Safety
/// The block has the action's size.
#[inline(always)]
unsafe fn touch<const TOUCH: u8>(block: *mut u8, old: u64, action: Action) {
    let size = action.size();
    if TOUCH == 0 {
        return;
    }
    // SAFETY: all within the block.
    unsafe {
        if TOUCH == 2 && size > old {
            ptr::write_bytes(block.add(old as usize), 0xa5, (size - old) as usize);
        } else if size > old && size >= OS_PAGE as u64 / 2 {
            touch_pages(block, old as usize, size as usize);
        }
        if size >= WORD {
            let seal = u64::from(action.to()) << 32 ^ size;
            block.cast::<u64>().write_unaligned(seal);
        } else if size > 0 {
            block.write(1);
        }
    }
}

/// Writes the first byte of each OS page that begins in the new part of a block.
///
/// # Safety
/// The block has `size` bytes.
#[inline(never)]
unsafe fn touch_pages(block: *mut u8, old: usize, size: usize) {
    let first = (block.addr() + old).next_multiple_of(OS_PAGE) - block.addr();
    for at in (first..size).step_by(OS_PAGE) {
        // SAFETY: at < size.
        unsafe { block.add(at).write_volatile(1) };
    }
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub(super) fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Waits for a moment that lies up to `gap` nanoseconds ahead.
fn sleep_until(due_ns: u64, gap: u64) {
    // What is shorter than a look at the clock is not waited for on its own.
    if gap < 50 {
        return;
    }
    loop {
        let left = due_ns.saturating_sub(now_ns());
        if left == 0 {
            return;
        }
        if left > 100_000 {
            let nap = left - 60_000;
            let nap = libc::timespec {
                tv_sec: (nap / 1_000_000_000) as i64,
                tv_nsec: (nap % 1_000_000_000) as i64,
            };
            // SAFETY: reads the timespec.
            unsafe { libc::nanosleep(&nap, ptr::null_mut()) };
        } else {
            std::hint::spin_loop();
        }
    }
}
