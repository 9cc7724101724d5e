//! How a thread gets the next window to write on: a stretch of its own file, mapped,
//! and from the third on a segment of a ring (see `raw`).
//!
//! All of it is rare, and makes system calls only.

use core::ffi::{CStr, c_void};
use core::ptr::{self, null_mut};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, compiler_fence};

use crate::pen::{ALIVE, Pen, clock};
use crate::raw::{
    AT_FILE, AT_IMAGE, AT_MAP, COPIES_AT, Control, ENTRIES, Entry, FIRST, INSIDE_BYTES, MAGIC,
    PACKED_ALIGN, RING_AT, SEGMENT, SEGMENTS, STAGE, STAGE_AT, STOPPED_BY_BYTES,
    STOPPED_BY_FAILURE, VERSION, Window,
};
use crate::system::{self, Errno};
use crate::{image, packed, pen, real};

/// The ring and the stage behind it.
const RING: usize = COPIES_AT - RING_AT;
/// Most bytes of the stage that packing a window takes, and a word behind it.
const MOST: usize = size_of::<Window>() + packed::room(ENTRIES) + PACKED_ALIGN;
const _: () = assert!(MOST <= STAGE && align_of::<Window>() == PACKED_ALIGN);

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

/// The process ends. A child that has not called malloc since its fork has no image.
pub(crate) fn end() {
    if ALIVE.is.load(Acquire) == 0 || STATE.load(Acquire) != ON {
        return;
    }
    if control().is_some_and(|control| control.stop.load(Acquire) == u64::MAX) {
        // Without it, what is live is replayed as if all of it had been touched.
        let _ = crate::residence::note_all(IMAGE.load(Acquire));
    }
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
        control.begin.stamp.store(clock(), Relaxed);
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
        (*pen).mapped.iter_mut().for_each(unmap);
        ((*pen).next, (*pen).end, (*pen).len, (*pen).inside) = (0, 0, 0, 0);
        ((*pen).thread, (*pen).windows, (*pen).packing, (*pen).staged) = (0, 0, 0, 0);
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
        control.stop.fetch_min(clock(), AcqRel);
    }
}

/// A new window for this thread, and in it room for so many bytes; null: nothing is
/// recorded any more, or a call within this one cannot be.
#[cold]
#[inline(never)]
pub(crate) fn turn(pen: *mut Pen, bytes: usize) -> *mut Entry {
    // SAFETY: this thread's own pen. A signal's handler that uses it meanwhile finds it
    // busy, or finds the new window.
    let pen = unsafe { &mut *pen };
    if pen.busy != 0 || pen.packing != 0 {
        if let Some(control) = control() {
            control.lost.fetch_add(1, Relaxed);
        }
        return null_mut();
    }
    pen.busy = 1;
    compiler_fence(AcqRel);
    let place = turned(pen, bytes);
    compiler_fence(AcqRel);
    (pen.busy, pen.packing) = (0, 1);
    compiler_fence(AcqRel);
    // Two windows ago: a signal may have come between the taking of a place in the
    // previous one and the writing there.
    if !place.is_null() && pen.windows >= 5 {
        pack(pen, pen.windows - 2);
    }
    compiler_fence(AcqRel);
    pen.packing = 0;
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
    if pen.thread == 0 {
        pen.thread = THREADS.fetch_add(1, Relaxed) + 1;
        (pen.process, pen.kernel_thread) = (system::pid(), system::tid());
        ALIVE.alone.store(u64::from(pen.thread == 1), Release);
    }
    let number = pen.windows + 1;
    let (place, size) = match number {
        1 => (more(control, pen, FIRST), FIRST),
        2 => (more(control, pen, SEGMENT), SEGMENT),
        _ => (segment(control, pen, number), SEGMENT),
    };
    let Some(place) = place else { return null_mut() };
    if pen.base == 0 {
        // What is to be written was stamped before, or long before: a realloc.
        pen.base = clock().saturating_sub(1 << 40);
    }
    let header = Window {
        magic: MAGIC,
        bytes: size as u64,
        base: pen.base,
        thread: u64::from(pen.kernel_thread),
        process: pen.process,
        parent: PARENT.load(Relaxed),
        number: u64::from(number),
    };
    // SAFETY: the begin of a window that nothing is written in.
    unsafe { ptr::with_exposed_provenance_mut::<Window>(place).write_volatile(header) };
    pen.windows = number;
    if let key @ 1.. = KEY.load(Acquire) {
        // SAFETY: our key; below 32 nothing is allocated for it.
        unsafe { libc::pthread_setspecific(key - 1, ptr::from_mut(pen).cast()) };
    }
    let at = place + size_of::<Window>();
    pen.end = place + size;
    pen.next = at + bytes;
    ptr::with_exposed_provenance_mut(at)
}

/// The segment for window `number`.
fn segment(control: &Control, pen: &mut Pen, number: u32) -> Option<usize> {
    let ring = match pen.mapped[0] {
        (ring, RING) => ring,
        _ if number == 3 => more(control, pen, RING)?,
        // The thread has ended, as far as it told.
        _ => mapped(control, pen, |file| system::map(file, RING_AT as u64, RING), RING)?,
    };
    if number == 5 {
        unmap(&mut pen.mapped[1]);
    }
    Some(ring + in_ring(number))
}

/// Where window `number` is in the ring.
fn in_ring(number: u32) -> usize {
    (number as usize - 3) % SEGMENTS * SEGMENT
}

fn unmap(mapped: &mut (usize, usize)) {
    let (at, bytes) = core::mem::take(mapped);
    if bytes > 0 {
        system::unmap(at, bytes);
    }
}

/// Counts bytes; `false`: there are to be no more.
fn counted(control: &Control, bytes: usize) -> bool {
    let so_far = control.bytes.fetch_add(bytes as u64, Relaxed);
    let fits = so_far + bytes as u64 <= control.max_bytes.load(Relaxed);
    if !fits && control.reason.compare_exchange(0, STOPPED_BY_BYTES, AcqRel, Relaxed).is_ok() {
        control.stop.fetch_min(clock(), AcqRel);
    }
    fits
}

/// So many bytes more of the thread's file, mapped.
fn more(control: &Control, pen: &mut Pen, bytes: usize) -> Option<usize> {
    if !counted(control, bytes) {
        return None;
    }
    let len = pen.len;
    let map = |file| {
        let grown = system::extend(file, len, bytes as u64);
        grown.inspect_err(|&error| fail(control, AT_FILE, error))?;
        system::map(file, len, bytes)
    };
    let place = mapped(control, pen, map, bytes)?;
    pen.len += bytes as u64;
    Some(place)
}

/// Has the thread's file mapped; the previous mapping stays, the one before goes.
fn mapped(
    control: &Control,
    pen: &mut Pen,
    mut map: impl FnMut(usize) -> Result<usize, Errno>,
    bytes: usize,
) -> Option<usize> {
    let mut opened = false;
    let mapped = events(pen, |file| {
        opened = true;
        map(file)
    });
    match mapped {
        Ok(place) => {
            unmap(&mut pen.mapped[1]);
            pen.mapped = [(place, bytes), pen.mapped[0]];
            Some(place)
        }
        Err(error) => {
            fail(control, if opened { AT_MAP } else { AT_FILE }, error);
            None
        }
    }
}

/// The thread's file, opened.
fn events<T>(pen: &Pen, used: impl FnMut(usize) -> Result<T, Errno>) -> Result<T, Errno> {
    let (mut text, mut other) = ([0; 10], [0; 10]);
    let image = image::decimal(IMAGE.load(Acquire), &mut text);
    let thread = image::decimal(pen.thread, &mut other);
    file(image::path_in(&mut [0; image::MOST], &[image, b"-", thread, b".events"]), used)
}

/// Packs window `number` behind what is in the stage, and empties its segment.
fn pack(pen: &mut Pen, number: u32) {
    let ring = pen.mapped[0].0;
    // Nothing is lost if there is no room: the window stays where it is.
    if pen.staged + MOST > STAGE && !copy(pen, ring) {
        return;
    }
    let segment: *mut u8 = ptr::with_exposed_provenance_mut(ring + in_ring(number));
    let packed: *mut u8 =
        ptr::with_exposed_provenance_mut(ring + (STAGE_AT - RING_AT) + pen.staged);
    // Whoever reads what a killed process left finds the window in its segment until it is
    // whole in the stage; there, a window without a header is none, and ends the stage.
    //
    // SAFETY: nothing is written any more to the segment, which has a header and ENTRIES
    // entries, of any bytes. MOST bytes of the stage are free, and used here only; windows
    // lie where a Window may.
    unsafe {
        let header = segment.cast::<Window>().read();
        let entries = segment.add(size_of::<Window>()).cast::<Entry>();
        let entries = core::slice::from_raw_parts(entries, ENTRIES);
        let room =
            core::slice::from_raw_parts_mut(packed.add(size_of::<Window>()), packed::room(ENTRIES));
        let len = size_of::<Window>() + packed::pack(entries, room);
        packed.add(len).cast::<u64>().write_unaligned(0);
        let bytes = len.next_multiple_of(PACKED_ALIGN);
        packed.add(bytes).cast::<u64>().write(0);
        packed.cast::<Window>().write(Window { magic: 0, bytes: bytes as u64, ..header });
        compiler_fence(AcqRel);
        packed.cast::<u64>().write_volatile(header.magic);
        compiler_fence(AcqRel);
        segment.cast::<u64>().write_volatile(0);
        compiler_fence(AcqRel);
        ptr::write_bytes(segment, 0, SEGMENT);
        pen.staged += bytes;
    }
}

/// Copies what is in the stage to the file's end; `false`: it stays where it is.
#[cold]
fn copy(pen: &mut Pen, ring: usize) -> bool {
    let Some(control) = control() else { return false };
    if !counted(control, pen.staged) {
        return false;
    }
    let stage: *mut u8 = ptr::with_exposed_provenance_mut(ring + (STAGE_AT - RING_AT));
    // SAFETY: a part of this thread's stage, which is written to by nobody else.
    let bytes = unsafe { core::slice::from_raw_parts(stage, pen.staged) };
    if let Err(error) = events(pen, |file| system::write_at(file, bytes, pen.len)) {
        fail(control, AT_FILE, error);
        return false;
    }
    pen.len += pen.staged as u64;
    pen.staged = 0;
    // SAFETY: as above. What was copied is in the file before it is no more in the stage.
    unsafe { stage.cast::<u64>().write_volatile(0) };
    compiler_fence(AcqRel);
    true
}

/// Nothing more is written in this thread's window; stamps count anew from the next.
#[cold]
pub(crate) fn leave(pen: *mut Pen) {
    // SAFETY: this thread's own pen.
    unsafe { ((*pen).next, (*pen).base) = ((*pen).end, 0) };
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
        (*pen).mapped.iter_mut().for_each(unmap);
    }
}
