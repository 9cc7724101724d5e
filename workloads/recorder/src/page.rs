//! How a thread gets the next page to write on: a stretch of its own file, mapped.
//!
//! All of it is rare, and makes system calls only.

use core::ffi::{CStr, c_void};
use core::ptr::{self, null_mut};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize};

use crate::pen::{ALIVE, Pen, stamp};
use crate::raw::{
    AT_FILE, AT_IMAGE, AT_MAP, Control, Entry, INSIDE_BYTES, MAGIC, STOPPED_BY_BYTES,
    STOPPED_BY_FAILURE, VERSION, Window,
};
use crate::system::{self, Errno};
use crate::{image, pen, real};

/// The first page of a thread, and the largest, in bytes.
const FIRST: usize = 16 << 10;
const LARGEST: usize = 1 << 20;

/// What is being done about this process.
static STATE: AtomicU32 = AtomicU32::new(NEW);
const NEW: u32 = 0;
const BUSY: u32 = 1;
const ON: u32 = 2;
const OFF: u32 = 3;

static CONTROL: AtomicPtr<Control> = AtomicPtr::new(null_mut());
/// Begin of the mapping of `inside`; 0: nobody asks.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// Number of this process's image, and threads that it has had.
static IMAGE: AtomicU32 = AtomicU32::new(0);
static THREADS: AtomicU32 = AtomicU32::new(0);
/// The image that this process was forked from, and one more; 0: it was not.
static PARENT: AtomicU32 = AtomicU32::new(0);
/// The key whose destructor ends a thread, and one more.
static KEY: AtomicU32 = AtomicU32::new(0);

fn control() -> Option<&'static Control> {
    // SAFETY: null, or a mapping that stays.
    unsafe { CONTROL.load(Acquire).as_ref() }
}

/// Begins the recording of this process, unless it has begun.
#[cold]
pub(crate) fn begin() {
    if image::environment().is_none() || STATE.compare_exchange(NEW, BUSY, AcqRel, Relaxed).is_err()
    {
        return;
    }
    real::prepare();
    let on = match image::directory() {
        Some(directory) => start(directory),
        None => false,
    };
    if on {
        ALIVE.is.store(1, Release);
    }
    STATE.store(if on { ON } else { OFF }, Release);
}

fn start(directory: &CStr) -> bool {
    let Some(control) = open_control() else {
        image::complain(directory, c"cannot be written to: nothing is recorded\n");
        return false;
    };
    CONTROL.store(ptr::from_ref(control).cast_mut(), Release);
    if let Err(error) = system::wipe_on_fork((&raw const ALIVE).addr()) {
        fail(control, AT_MAP, error);
        return false;
    }
    let mut key = 0;
    // SAFETY: a place for the key, and a destructor that lives as long as we do.
    // Keys from 32 on make pthread_setspecific allocate.
    if unsafe { libc::pthread_key_create(&mut key, Some(thread_ends)) } == 0 && key < 32 {
        KEY.store(key + 1, Release);
    }
    if image::is_set(crate::raw::INSIDE) {
        let place = file(image::path_in(&mut [0; image::MOST], &[b"inside"]), |file| {
            system::map(file, 0, INSIDE_BYTES as usize)
        });
        match place {
            Ok(place) => INSIDE.store(place, Release),
            Err(error) => fail(control, AT_MAP, error),
        }
    }
    let number = control.images.fetch_add(1, Relaxed);
    IMAGE.store(number, Release);
    if let Err(error) = image::note(number) {
        fail(control, AT_IMAGE, error);
    }
    true
}

/// Opens a file for reading and writing, and closes it when it was used.
fn file<T>(path: &CStr, mut used: impl FnMut(usize) -> Result<T, Errno>) -> Result<T, Errno> {
    let file = system::open(path, libc::O_RDWR | libc::O_CREAT)?;
    let result = used(file);
    system::close(file);
    result
}

/// The control page, which is made if it is not there.
fn open_control() -> Option<&'static Control> {
    let mapped = file(image::path_in(&mut [0; image::MOST], &[b"control"]), |file| {
        system::set_len(file, system::OS_PAGE as u64)?;
        system::map(file, 0, system::OS_PAGE)
    });
    // SAFETY: a mapping that stays, of zeros or of what was written by our like;
    // all of it is atomic.
    let control = unsafe { &*ptr::with_exposed_provenance::<Control>(mapped.ok()?) };
    if control.version.compare_exchange(0, VERSION, AcqRel, Acquire).is_ok() {
        control.stop.store(u64::MAX, Relaxed);
        control.max_bytes.store(image::max_bytes(), Relaxed);
        control.begin.stamp.store(stamp(), Relaxed);
        control.begin.ns.store(system::now(libc::CLOCK_MONOTONIC), Relaxed);
        control.began_s.store(system::now(libc::CLOCK_REALTIME) / 1_000_000_000, Relaxed);
        control.magic.store(MAGIC, Release);
    }
    // Another process may be at it; it takes far less than this.
    for _ in 0..100_000_000 {
        if control.magic.load(Acquire) == MAGIC {
            return (control.version.load(Acquire) == VERSION).then_some(control);
        }
        core::hint::spin_loop();
    }
    None
}

/// This process was forked from one that is recorded.
fn child(pen: *mut Pen) {
    if STATE.compare_exchange(ON, BUSY, AcqRel, Relaxed).is_err() {
        return;
    }
    // SAFETY: this thread's pen, which the fork copied; what it has mapped is the
    // parent's page, where nothing more is written by this process.
    unsafe {
        (*pen).mapped.iter().for_each(|&(at, bytes)| {
            if bytes > 0 {
                system::unmap(at, bytes);
            }
        });
        (*pen).mapped = [(0, 0); 2];
        ((*pen).next, (*pen).end, (*pen).len, (*pen).thread, (*pen).inside) = (0, 0, 0, 0, 0);
    }
    THREADS.store(0, Relaxed);
    if let Some(control) = control() {
        PARENT.store(IMAGE.load(Relaxed) + 1, Relaxed);
        IMAGE.store(control.images.fetch_add(1, Relaxed), Release);
    }
    ALIVE.is.store(1, Release);
    STATE.store(ON, Release);
}

/// Records nothing more, because of a failure; the first one is told.
fn fail(control: &Control, at: u32, error: Errno) {
    if control.reason.compare_exchange(0, STOPPED_BY_FAILURE, AcqRel, Relaxed).is_ok() {
        control.error.store(error as u32, Relaxed);
        control.error_at.store(at, Relaxed);
        control.stop.fetch_min(stamp(), AcqRel);
    }
}

/// A new page for this thread, and on it room for so many bytes; null: nothing is
/// recorded any more, or a call within this one cannot be.
#[cold]
#[inline(never)]
pub(crate) fn turn(pen: *mut Pen, bytes: usize) -> *mut Entry {
    // SAFETY: this thread's own pen.
    let pen = unsafe { &mut *pen };
    if pen.busy != 0 {
        if let Some(control) = control() {
            control.lost.fetch_add(1, Relaxed);
        }
        return null_mut();
    }
    pen.busy = 1;
    core::sync::atomic::compiler_fence(AcqRel);
    let place = turned(pen, bytes);
    core::sync::atomic::compiler_fence(AcqRel);
    pen.busy = 0;
    place
}

fn turned(pen: &mut Pen, bytes: usize) -> *mut Entry {
    if STATE.load(Acquire) == NEW {
        begin();
    }
    if ALIVE.is.load(Acquire) == 0 && STATE.load(Acquire) == ON {
        child(pen);
    }
    // So that the next call comes here too, whatever this one gives.
    (pen.next, pen.end) = (0, 0);
    let Some(control) = control().filter(|_| STATE.load(Acquire) == ON) else {
        return null_mut();
    };
    if control.stop.load(Acquire) != u64::MAX {
        return null_mut();
    }
    let size = match pen.mapped[0].1 {
        0 => FIRST,
        last => (4 * last).min(LARGEST),
    };
    if pen.thread == 0 {
        pen.thread = THREADS.fetch_add(1, Relaxed) + 1;
    }
    let so_far = control.bytes.fetch_add(size as u64, Relaxed);
    if so_far + size as u64 > control.max_bytes.load(Relaxed) {
        if control.reason.compare_exchange(0, STOPPED_BY_BYTES, AcqRel, Relaxed).is_ok() {
            control.stop.fetch_min(stamp(), AcqRel);
        }
        return null_mut();
    }
    let (mut text, mut other) = ([0; 10], [0; 10]);
    let image = image::decimal(IMAGE.load(Acquire), &mut text);
    let thread = image::decimal(pen.thread, &mut other);
    let path = &mut [0; image::MOST];
    let path = image::path_in(path, &[image, b"-", thread, b".events"]);
    let mapped = file(path, |file| {
        system::extend(file, pen.len, size as u64)
            .map_err(|error| (AT_FILE, error))
            .and_then(|()| system::map(file, pen.len, size).map_err(|error| (AT_MAP, error)))
            .map_err(|(at, error)| {
                fail(control, at, error);
                error
            })
    });
    let place = match mapped {
        Ok(place) => place,
        Err(error) => {
            fail(control, AT_FILE, error);
            return null_mut();
        }
    };
    // The previous page stays for a while: a signal may have come between the
    // taking of a place on it and the writing there.
    if pen.mapped[1].1 > 0 {
        system::unmap(pen.mapped[1].0, pen.mapped[1].1);
    }
    pen.mapped = [(place, size), pen.mapped[0]];
    pen.len += size as u64;
    pen.base = stamp();
    let header = Window {
        magic: MAGIC,
        bytes: size as u64,
        // What is to be written was stamped before, or long before: a realloc.
        base: pen.base.saturating_sub(1 << 40),
        thread: u64::from(system::tid()),
        process: system::pid(),
        parent: PARENT.load(Relaxed),
        rest: 0,
    };
    pen.base = header.base;
    // SAFETY: the begin of the new mapping.
    unsafe { ptr::with_exposed_provenance_mut::<Window>(place).write_volatile(header) };
    if let key @ 1.. = KEY.load(Acquire) {
        // SAFETY: our key; below 32 nothing is allocated for it.
        unsafe { libc::pthread_setspecific(key - 1, ptr::from_mut(pen).cast()) };
    }
    let at = place + size_of::<Window>();
    pen.end = place + size;
    pen.next = at + bytes;
    ptr::with_exposed_provenance_mut(at)
}

/// Nothing more is written on this thread's page.
#[cold]
pub(crate) fn leave(pen: *mut Pen) {
    // SAFETY: this thread's own pen.
    unsafe { (*pen).next = (*pen).end };
}

/// Where this thread is to say that it is in a call, or 1.
#[cold]
#[inline(never)]
pub(crate) fn inside(pen: *mut Pen) -> usize {
    begin();
    if STATE.load(Acquire) == BUSY || STATE.load(Acquire) == NEW {
        return 1;
    }
    let map = INSIDE.load(Acquire);
    let at = if map == 0 { 1 } else { map + system::tid() as usize };
    // SAFETY: this thread's own pen.
    unsafe { (*pen).inside = at };
    at
}

/// A thread ends: its pages are let go. What else it does goes to new ones.
extern "C" fn thread_ends(pen: *mut c_void) {
    let pen: *mut Pen = pen.cast();
    if !ptr::eq(pen, pen::pen()) {
        return;
    }
    // SAFETY: this thread's own pen.
    unsafe {
        ((*pen).next, (*pen).end) = (0, 0);
        for (at, bytes) in core::mem::take(&mut (*pen).mapped) {
            if bytes > 0 {
                system::unmap(at, bytes);
            }
        }
    }
}
