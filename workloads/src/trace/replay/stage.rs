//! The threads of a replay: when each begins, and which window it may enter.
//!
//! ```text
//! done     windows all of whose parts are done, as are those before them
//! a thread enters window w    when done + 1 >= w
//! a thread begins             when it may enter its first window, and as many
//!                             threads have ended as had when it was recorded
//! ```
//!
//! Thread 0 is the caller's. The others' stacks and buffers are mapped beforehand,
//! so that a thread costs the heap and the kernel next to nothing.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

use super::futex::{wait, wake};
use super::player::Player;
use super::region::Region;
use super::script::Script;
use super::slot::Slot;
use super::{Options, ReplayError, clock};
use crate::synthetic::{Observer, Outcome};
use crate::trace::Action;

/// Bytes of a thread's stack.
const STACK: usize = 128 << 10;

/// What all threads of a replay share.
#[derive(Debug)]
pub(super) struct Stage {
    script: Script,
    pub(super) options: Options,
    slots: Region,
    /// Parts that are left in each window.
    left: Region,
    /// Stack and buffers of each thread that is there.
    seats: Region,
    seat_bytes: usize,
    /// What is known of who sits there: a [`Seat`] each.
    sitters: Region,
    done: AtomicU32,
    ended: AtomicU32,
    /// Requests to move `done` on and to begin threads: whoever makes the first serves
    /// all of them, so that nobody waits here.
    requests: AtomicU32,
    served: UnsafeCell<Served>,
    pub(super) digest: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) operations: AtomicU64,
    pub(super) live_bytes: AtomicI64,
    pub(super) watched: bool,
    pub(super) began_ns: u64,
}

// SAFETY: what is in cells is only used by whoever serves requests, the regions' values are
// atomic or belong to one thread at a time.
unsafe impl Sync for Stage {}
// SAFETY: nothing of it is tied to a thread.
unsafe impl Send for Stage {}

/// What only whoever serves requests uses.
#[derive(Debug)]
struct Served {
    /// The thread that begins next.
    next: u32,
    /// Seats that were taken so far.
    used: usize,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Seat {
    thread: libc::pthread_t,
    /// 1: it has ended.
    over: u32,
    rest: u32,
}

/// What a thread gets: it is in its seat.
#[repr(C)]
struct Ticket {
    stage: *const Stage,
    number: u32,
    seat: u32,
}

impl Stage {
    pub(super) fn new(script: Script, options: Options) -> Result<Stage, ReplayError> {
        let threads = script.threads();
        // Of the first n threads, as many have ended as the n-th waits for.
        let alive = (1_u32..).zip(threads).map(|(n, thread)| n.saturating_sub(thread.ended));
        // One more: who begins a thread may be about to leave a seat itself.
        let seats = alive.max().unwrap_or_default() as usize + 1;
        let buffers = script
            .reads()
            .map_or(0, |(events, bytes)| events * (size_of::<Action>() + size_of::<u64>()) + bytes);
        let seat_bytes = (STACK + buffers).next_multiple_of(4096);
        Ok(Stage {
            slots: Region::new(script.slots() * size_of::<Slot>())?,
            left: Region::new(script.windows().len() * size_of::<AtomicU32>())?,
            seats: Region::new(seats * seat_bytes)?,
            seat_bytes,
            done: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            sitters: Region::new(seats * size_of::<Seat>())?,
            // The caller is thread 0, in seat 0.
            served: UnsafeCell::new(Served { next: 1, used: 1 }),
            digest: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            live_bytes: AtomicI64::new(0),
            watched: false,
            began_ns: 0,
            script,
            options,
        })
    }

    pub(super) fn script(&self) -> &Script {
        &self.script
    }

    pub(super) fn table_bytes(&self) -> usize {
        let regions = [&self.slots, &self.left, &self.seats];
        self.script.bytes() + regions.map(|region| region.bytes).iter().sum::<usize>()
    }

    pub(super) fn not_granted(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub(super) fn slots(&self) -> &[Slot] {
        // SAFETY: the region holds so many, and zeros are empty slots.
        unsafe { std::slice::from_raw_parts(self.slots.start.cast(), self.script.slots()) }
    }

    pub(super) fn live(&self) -> (u64, u64) {
        let live = self.slots().iter().filter_map(Slot::live);
        live.fold((0, 0), |(blocks, bytes), size| (blocks + 1, bytes + size))
    }

    fn left(&self) -> &[AtomicU32] {
        let windows = self.script.windows().len();
        // SAFETY: the region holds so many.
        unsafe { std::slice::from_raw_parts(self.left.start.cast(), windows) }
    }

    /// Performs everything, once.
    pub(super) fn run(&mut self, mut observer: Option<&mut dyn Observer>) -> Outcome {
        for (left, &parts) in self.left().iter().zip(self.script.windows()) {
            left.store(parts as u32, Relaxed);
        }
        self.watched = observer.is_some();
        self.began_ns = clock::now_ns();
        let stage = &*self;
        let events = stage.script.events();
        if stage.script.threads().len() > 1 {
            stage.advance();
        }
        stage.perform(0, 0, observer.as_mut().map(|observer| &mut **observer as _));
        // The others, who may still be at it.
        let all = stage.script.threads().len() as u32;
        loop {
            let ended = stage.ended.load(Acquire);
            if ended == all {
                break;
            }
            let nap = if stage.watched { 500_000 } else { 0 };
            wait(&stage.ended, ended, nap);
            if let Some(observer) = &mut observer {
                stage.tell(&mut **observer);
            }
        }
        stage.join_all();
        if let Some(observer) = &mut observer {
            let live = stage.live_bytes.load(Relaxed);
            observer.after(events, u64::try_from(live).unwrap_or_default());
        }
        Outcome { digest: self.digest.load(Relaxed), operations: events }
    }

    /// Tells an observer how far all threads have come.
    pub(super) fn tell(&self, observer: &mut dyn Observer) {
        let live = u64::try_from(self.live_bytes.load(Relaxed)).unwrap_or_default();
        // The last operation is told at the end.
        let operations = self.operations.load(Relaxed).min(self.script.events() - 1);
        observer.after(operations, live);
    }

    /// The parts of thread `number`, who sits in `seat`.
    fn perform(&self, number: u32, seat: u32, observer: Option<&mut dyn Observer>) {
        let mut player = Player::new(self, number, self.buffers(seat), observer);
        let alone = self.script.threads().len() == 1;
        for part in self.script.parts(number as usize) {
            if !alone {
                self.enter(part.window);
            }
            player.play(part);
            if !alone && self.left()[part.window as usize].fetch_sub(1, AcqRel) == 1 {
                self.advance();
            }
        }
        player.finish();
        self.ended.fetch_add(1, AcqRel);
        if !alone {
            self.advance();
            wake(&self.ended);
        }
    }

    /// Waits until the windows up to the one before the last are done.
    fn enter(&self, window: u32) {
        loop {
            let done = self.done.load(Acquire);
            if done + 1 >= window {
                return;
            }
            wait(&self.done, done, 0);
        }
    }

    /// Where a seat's buffers are.
    fn buffers(&self, seat: u32) -> *mut u8 {
        // SAFETY: there are as many seats.
        unsafe { self.seats.start.add(seat as usize * self.seat_bytes + STACK) }
    }

    /// Moves `done` on as far as it goes, and begins the threads that may begin.
    fn advance(&self) {
        if self.requests.fetch_add(1, AcqRel) > 0 {
            // Whoever is at it sees this one too.
            return;
        }
        loop {
            let seen = self.requests.load(Acquire);
            self.serve();
            if self.requests.compare_exchange(seen, 0, AcqRel, Acquire).is_ok() {
                return;
            }
        }
    }

    fn serve(&self) {
        let before = self.done.load(Relaxed);
        let left = self.left().iter().skip(before as usize);
        let more = left.take_while(|left| left.load(Acquire) == 0).count() as u32;
        if more > 0 {
            self.done.store(before + more, Release);
            wake(&self.done);
        }
        // SAFETY: only one thread serves at a time.
        let served = unsafe { &mut *self.served.get() };
        while let Some(thread) = self.script.threads().get(served.next as usize) {
            let enters = thread.first_window <= before + more + 1;
            let waits = !enters || thread.ended > self.ended.load(Acquire);
            if waits || !self.begin(served) {
                return;
            }
        }
    }

    /// Begins the next thread; `false`: there is no seat until another thread is
    /// gone, which makes a request then.
    fn begin(&self, served: &mut Served) -> bool {
        let seats: *mut Seat = self.sitters.start.cast();
        let own = (&raw const seats).addr();
        // Seat 0 is the caller's. One that is over is taken first, and its stack
        // once the thread is really gone; but not our own.
        let over = (1..served.used).find(|&at| {
            let stack = self.seats.start.addr() + at * self.seat_bytes;
            // SAFETY: a seat in use; whoever sits there sets `over` last of all.
            let over = unsafe { AtomicU32::from_ptr(&raw mut (*seats.add(at)).over) };
            over.load(Acquire) == 1 && !(stack..stack + self.seat_bytes).contains(&own)
        });
        let at = match over {
            Some(at) => {
                // SAFETY: a thread of ours that nobody has joined, and that waits for
                // nobody any more.
                unsafe { libc::pthread_join((*seats.add(at)).thread, ptr::null_mut()) };
                at
            }
            None if served.used * self.seat_bytes >= self.seats.bytes => return false,
            None => {
                served.used += 1;
                served.used - 1
            }
        };
        // SAFETY: the seats are as many as threads can be there at once, and this
        // one is free: its stack holds nothing but the ticket at its lower end.
        let error = unsafe {
            let seat = seats.add(at);
            AtomicU32::from_ptr(&raw mut (*seat).over).store(0, Relaxed);
            let stack = self.seats.start.add(at * self.seat_bytes);
            let ticket: *mut Ticket = stack.cast();
            ticket.write(Ticket { stage: self, number: served.next, seat: at as u32 });
            let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setstack(
                attributes.as_mut_ptr(),
                stack.add(4096).cast(),
                STACK - 4096,
            );
            let error = libc::pthread_create(
                &raw mut (*seat).thread,
                attributes.as_ptr(),
                sit_down,
                ticket.cast(),
            );
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            error
        };
        if error != 0 {
            give_up(&format!("thread {}: {}", served.next, io::Error::from_raw_os_error(error)));
        }
        served.next += 1;
        true
    }

    /// All threads have ended; waits until they are gone.
    fn join_all(&self) {
        if self.script.threads().len() == 1 {
            return;
        }
        // SAFETY: all threads have begun, so that nobody begins any more; and only
        // that uses what is served.
        let served = unsafe { &mut *self.served.get() };
        let seats: *mut Seat = self.sitters.start.cast();
        for at in 1..served.used {
            // SAFETY: threads of ours that nobody has joined.
            unsafe { libc::pthread_join((*seats.add(at)).thread, ptr::null_mut()) };
        }
        served.used = 1;
    }
}

extern "C" fn sit_down(ticket: *mut c_void) -> *mut c_void {
    // SAFETY: the ticket stays in the seat; the stage outlives its threads.
    unsafe {
        let Ticket { stage, number, seat } = ticket.cast::<Ticket>().read();
        let stage = &*stage;
        stage.perform(number, seat, None);
        let seats: *mut Seat = stage.sitters.start.cast();
        AtomicU32::from_ptr(&raw mut (*seats.add(seat as usize)).over).store(1, Release);
        stage.advance();
    }
    ptr::null_mut()
}

/// Ends the process: a replay that cannot go on has no result.
pub(super) fn give_up(why: &str) -> ! {
    eprintln!("brkpoint worker: replaying: {why}");
    std::process::exit(2)
}
