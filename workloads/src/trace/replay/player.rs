//! The actions of one thread.

use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;

use super::script::{PartAt, UntouchedAt};
use super::slot::{NOTHING, PARTLY, Slot};
use super::stage::{Stage, give_up};
use super::{Touch, clock, touch};
use crate::opaque::opaque;
use crate::synthetic::Observer;
use crate::trace::untouched::LARGE;
use crate::trace::{Action, Kind, decode_actions, decode_times};

/// One thread's way through its actions.
pub(super) struct Player<'s, 'o> {
    stage: &'s Stage,
    slots: &'s [Slot],
    /// Room for a part that is read from the trace.
    buffers: *mut u8,
    observer: Option<&'o mut dyn Observer>,
    digest: u64,
    refused: u64,
    /// The blocks to come that were not touched all over, if that matters.
    untouched: &'s [UntouchedAt],
    /// Large blocks so far.
    large: u64,
    /// Nanoseconds from the first event of the process to this thread's latest.
    now_ns: u64,
}

impl<'s, 'o> Player<'s, 'o> {
    pub(super) fn new(
        stage: &'s Stage,
        thread: u32,
        buffers: *mut u8,
        observer: Option<&'o mut dyn Observer>,
    ) -> Self {
        Player {
            stage,
            slots: stage.slots(),
            buffers,
            observer,
            digest: 0,
            refused: 0,
            untouched: stage.script().untouched(thread as usize),
            large: 0,
            now_ns: 0,
        }
    }

    /// Adds what it came to.
    pub(super) fn finish(self) {
        // In whatever order threads end, the sum is the same.
        self.stage.digest.fetch_add(self.digest, Relaxed);
        self.stage.refused.fetch_add(self.refused, Relaxed);
    }

    pub(super) fn play(&mut self, part: &PartAt) {
        let script = self.stage.script();
        match script.reads() {
            None => {
                let mut words = script.words(part).iter();
                let unpack = || Action::unpack(&mut words);
                let actions = std::iter::from_fn(unpack).take(part.events as usize);
                self.play_all(actions, script.times(part));
            }
            Some(room) => {
                let (actions, times) = self.read(part, room);
                self.play_all(actions.iter().copied(), times);
            }
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

    fn play_all(&mut self, actions: impl Iterator<Item = Action>, times: &[u64]) {
        match (self.stage.options.touch, self.stage.watched) {
            (Touch::None, false) => self.play_each::<false, { touch::NONE }>(actions, times),
            (Touch::Recorded, false) => {
                self.play_each::<false, { touch::RECORDED }>(actions, times);
            }
            (Touch::Pages, false) => self.play_each::<false, { touch::PAGES }>(actions, times),
            (Touch::All, false) => self.play_each::<false, { touch::ALL }>(actions, times),
            (Touch::None, true) => self.play_each::<true, { touch::NONE }>(actions, times),
            (Touch::Recorded, true) => self.play_each::<true, { touch::RECORDED }>(actions, times),
            (Touch::Pages, true) => self.play_each::<true, { touch::PAGES }>(actions, times),
            (Touch::All, true) => self.play_each::<true, { touch::ALL }>(actions, times),
        }
    }

    fn play_each<const WATCHED: bool, const TOUCH: u8>(
        &mut self,
        actions: impl Iterator<Item = Action>,
        times: &[u64],
    ) {
        let mut times = times.iter();
        for action in actions {
            if let Some(&gap) = times.next() {
                self.now_ns += gap;
                clock::sleep_until(self.stage.began_ns + self.now_ns, gap);
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
                        self.read_back::<TOUCH>(start, had & !PARTLY);
                        libc::free(start.cast());
                    }
                    return -((had & !PARTLY) as i64);
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
                    libc::free(opaque(libc::malloc(size as usize)));
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
        let block = opaque(block);
        if block.is_null() {
            self.refused += u64::from(action.size() > 0);
            self.pass_over(action);
            return slot.put(NOTHING, action.size(), action.given());
        }
        // SAFETY: by contract.
        let size = unsafe { self.touch::<TOUCH>(block, 0, action) };
        slot.put(block.expose_provenance() as u64, size, action.given());
    }

    /// Writes to a block; its size, marked if not all of it was touched.
    ///
    /// # Safety
    /// `block` is a live one, of the action's size.
    #[inline(always)]
    unsafe fn touch<const TOUCH: u8>(&mut self, block: *mut u8, old: u64, action: Action) -> u64 {
        let mut untouched = 0;
        if TOUCH == touch::RECORDED && action.size() >= LARGE {
            untouched = self.untouched();
        }
        // SAFETY: by contract.
        unsafe { touch::touch::<TOUCH>(block, old, untouched, action) };
        if untouched > 0 { action.size() | PARTLY } else { action.size() }
    }

    /// A block that was not granted here is none that is to be touched.
    fn pass_over(&mut self, action: Action) {
        if action.size() >= LARGE {
            self.untouched();
        }
    }

    /// Untouched OS pages of the next large block.
    #[inline(never)]
    fn untouched(&mut self) -> u64 {
        let place = self.large;
        self.large += 1;
        match self.untouched.split_first() {
            Some((next, rest)) if next.place == place => {
                self.untouched = rest;
                next.pages
            }
            _ => 0,
        }
    }

    /// # Safety
    /// As [`act`](Self::act).
    unsafe fn resize<const TOUCH: u8>(&mut self, action: Action) -> i64 {
        let size = action.size();
        let (old, marked) = self.slots[action.slot() as usize].take(action.taken());
        let had = marked & !PARTLY;
        let to = &self.slots[action.to() as usize];
        let change = size as i64 - had as i64;
        let old: *mut u8 = match old {
            ..=NOTHING => ptr::null_mut(),
            old => ptr::with_exposed_provenance_mut(old as usize),
        };
        // SAFETY: a live block, or null; what is read back was written.
        unsafe {
            let block: *mut u8 = opaque(libc::realloc(old.cast(), size as usize).cast());
            if block.is_null() {
                if size == 0 {
                    to.put(NOTHING, size, action.given());
                } else {
                    // The old one is still there.
                    self.refused += 1;
                    self.pass_over(action);
                    let kept = if old.is_null() { NOTHING } else { old.addr() as u64 };
                    to.put(kept, marked, action.given());
                    return 0;
                }
                return change;
            }
            if !old.is_null() {
                self.read_back::<TOUCH>(block, had.min(size));
            }
            // What was not touched of the old one may be of the new one.
            let touched = if old.is_null() || marked != had { 0 } else { had };
            let marked = self.touch::<TOUCH>(block, touched, action);
            to.put(block.expose_provenance() as u64, marked, action.given());
        }
        change
    }

    /// # Safety
    /// `block` has so many bytes, and was touched.
    #[inline(always)]
    unsafe fn read_back<const TOUCH: u8>(&mut self, block: *mut u8, size: u64) {
        if TOUCH != touch::NONE && size >= touch::WORD {
            // SAFETY: by contract.
            let word = unsafe { block.cast::<u64>().read_unaligned() };
            let mixed = (word ^ size).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.digest = self.digest.wrapping_add(mixed ^ mixed >> 29);
        }
    }
}
