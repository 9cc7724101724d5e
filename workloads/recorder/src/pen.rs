//! Where a thread writes.
//!
//! Each thread has a [`Pen`] in thread-local memory, which the initial-exec model
//! reaches without a call. An entry's place is taken by one instruction, so that
//! the handler of a signal that comes between two instructions gets another.

use core::arch::{asm, global_asm, x86_64::_rdtsc};
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::page;
use crate::raw::{Entry, FREE, MALLOC, RESIZE, RESIZED, SIZE_BITS, STAMP_BITS};

/// What a thread keeps. All zero, there is no page to write on.
#[repr(C)]
pub(crate) struct Pen {
    /// Where the next entry goes.
    pub(crate) next: usize,
    /// The end of the page.
    pub(crate) end: usize,
    /// Stamps are counted from here; 0: from the next window's begin.
    pub(crate) base: u64,
    /// The latest stamp, and how many more may follow from it without a look at the clock.
    last: u64,
    unread: u32,
    /// Windows that it has begun.
    pub(crate) windows: u32,
    /// The current and the previous mapping: addresses and bytes.
    pub(crate) mapped: [(usize, usize); 2],
    /// Number of the thread in its image, from 1; 0: it has none yet.
    pub(crate) thread: u32,
    /// A page is being turned, or a full one packed.
    pub(crate) busy: u32,
    pub(crate) packing: u32,
    /// Bytes of its file.
    pub(crate) len: u64,
    /// Bytes of its stage that are used.
    pub(crate) staged: usize,
    /// The kernel's numbers of the process and the thread.
    pub(crate) process: u32,
    pub(crate) kernel_thread: u32,
    /// Its byte of the file `inside`; 0: not known yet, 1: nobody asks.
    pub(crate) inside: usize,
}

const PEN_BYTES: usize = 128;
const _: () = assert!(size_of::<Pen>() <= PEN_BYTES);

global_asm!(
    ".pushsection .tbss.brkpoint_pen,\"awT\",@nobits",
    ".p2align 5",
    ".globl brkpoint_pen",
    ".hidden brkpoint_pen",
    ".type brkpoint_pen, @object",
    ".size brkpoint_pen, {bytes}",
    "brkpoint_pen:",
    ".zero {bytes}",
    ".popsection",
    bytes = const PEN_BYTES,
);

/// This thread's pen.
#[inline(always)]
pub(crate) fn pen() -> *mut Pen {
    let pen;
    // SAFETY: adds the pen's distance from the thread pointer, which the loader has
    // filled in, to the thread pointer, which lies at its own address.
    unsafe {
        asm!(
            "mov {0}, qword ptr fs:[0]",
            "add {0}, qword ptr [rip + brkpoint_pen@GOTTPOFF]",
            out(reg) pen,
            options(pure, readonly, nostack),
        );
    }
    pen
}

/// In a page that a forked child gets as zeros: 1 while this process, and not its
/// parent, is recorded.
#[repr(C, align(4096))]
pub(crate) struct Alive {
    pub(crate) is: AtomicU64,
    /// 1 while only one thread of it has ever been recorded.
    pub(crate) alone: AtomicU64,
    rest: [u8; 4080],
}

pub(crate) static ALIVE: Alive =
    Alive { is: AtomicU64::new(0), alone: AtomicU64::new(0), rest: [0; 4080] };

/// A thread that is alone looks at the clock at each so many-th call only, since a look
/// takes as long as all else; the stamps between are one apart. They are never ahead of
/// the clock, so that what another thread does later has a later stamp.
const LOOK_EVERY: u32 = 32;

/// The time stamp counter.
#[inline(always)]
pub(crate) fn clock() -> u64 {
    // SAFETY: every x86-64 has it.
    unsafe { _rdtsc() }
}

/// The stamp of a call that is made now, or has just returned.
#[inline(always)]
pub(crate) fn stamp() -> u64 {
    let pen = pen();
    // SAFETY: this thread's own pen.
    unsafe {
        if (*pen).unread > 0 && ALIVE.alone.load(Ordering::Relaxed) == 1 {
            (*pen).unread -= 1;
            (*pen).last += 1;
        } else {
            (*pen).unread = LOOK_EVERY - 1;
            (*pen).last = clock();
        }
        (*pen).last
    }
}

/// Takes room for `COUNT` entries; null if there is none.
#[inline(always)]
fn room<const COUNT: usize>(pen: *mut Pen) -> *mut Entry {
    let bytes = COUNT * size_of::<Entry>();
    if ALIVE.is.load(Ordering::Relaxed) == 0 {
        return page::turn(pen, bytes);
    }
    let mut at = bytes;
    // SAFETY: this thread's own pen; one instruction, which no signal divides.
    let end = unsafe {
        asm!(
            "xadd qword ptr [{next}], {at}",
            next = in(reg) &raw mut (*pen).next,
            at = inout(reg) at,
            options(nostack),
        );
        (*pen).end
    };
    if at + bytes > end { page::turn(pen, bytes) } else { ptr::without_provenance_mut(at) }
}

/// # Safety
/// `place` is room of this thread's.
#[inline(always)]
unsafe fn put(place: *mut Entry, entry: Entry) {
    // SAFETY: by contract. Whoever reads what a killed process left sees that
    // `first` is zero until the entry is whole.
    unsafe {
        (&raw mut (*place).second).write_volatile(entry.second);
        (&raw mut (*place).first).write_volatile(entry.first);
    }
}

/// Writes an entry.
#[inline(always)]
pub(crate) fn write(kind: u64, address: usize, size: usize, stamp: u64) {
    if size as u64 >> SIZE_BITS != 0 {
        return write_more(kind, address, size, None, stamp);
    }
    let pen = pen();
    let place = room::<1>(pen);
    if place.is_null() {
        return;
    }
    // SAFETY: this thread's pen, and the room just taken.
    unsafe {
        match since(pen, stamp) {
            Some(since) => put(place, Entry::new(kind, address as u64, size as u64, since)),
            None => {
                page::leave(pen);
                again(kind, address, size, stamp);
            }
        }
    }
}

/// The page is too old for the stamp; the next one will not be.
#[cold]
#[inline(never)]
fn again(kind: u64, address: usize, size: usize, stamp: u64) {
    write(kind, address, size, stamp);
}

/// Writes the end of a realloc behind its begin; `there` as in a free's entry.
#[inline(always)]
pub(crate) fn write_resize(old: usize, there: usize, before: u64, new: usize, size: usize) {
    let (pen, now) = (pen(), stamp());
    if size as u64 >> SIZE_BITS != 0 {
        write(FREE, old, there, before);
        return write_more(MALLOC, new, size, None, now);
    }
    let place = room::<2>(pen);
    if place.is_null() {
        return;
    }
    // SAFETY: as above; there is room for two.
    unsafe {
        match (since(pen, before), since(pen, now)) {
            (Some(before), Some(now)) => {
                put(place, Entry::new(RESIZE, old as u64, there as u64, before));
                put(place.add(1), Entry::new(RESIZED, new as u64, size as u64, now));
            }
            _ => {
                page::leave(pen);
                again(FREE, old, there, before);
                again(MALLOC, new, size, now);
            }
        }
    }
}

/// Writes the entry of an aligned block.
pub(crate) fn write_aligned(address: usize, size: usize, align: usize, stamp: u64) {
    write_more(MALLOC, address, size, Some(align.max(1).ilog2()), stamp);
}

#[cold]
#[inline(never)]
fn write_more(kind: u64, address: usize, size: usize, align: Option<u32>, stamp: u64) {
    let pen = pen();
    let place = room::<2>(pen);
    if place.is_null() {
        return;
    }
    let low = size as u64 & ((1 << SIZE_BITS) - 1);
    // SAFETY: as above; there is room for two.
    unsafe {
        match since(pen, stamp) {
            Some(since) => {
                put(place, Entry::more(align, size as u64));
                put(place.add(1), Entry::new(kind, address as u64, low, since));
            }
            None => {
                page::leave(pen);
                write_more(kind, address, size, align, stamp);
            }
        }
    }
}

/// `stamp` from the page's base on; what was before it, as if at it. `None`: the
/// page is too old.
///
/// # Safety
/// `pen` is this thread's.
#[inline(always)]
unsafe fn since(pen: *mut Pen, stamp: u64) -> Option<u64> {
    // SAFETY: by contract.
    let since = stamp.saturating_sub(unsafe { (*pen).base });
    (since >> STAMP_BITS == 0).then_some(since)
}

/// Whether nobody wants to know which threads are in a call.
#[inline(always)]
pub(crate) fn nobody_asks() -> bool {
    // SAFETY: this thread's own pen.
    unsafe { (*pen()).inside == 1 }
}

/// Says, while it lives, that this thread is in a call: only where that is asked
/// for.
pub(crate) struct Inside(usize);

impl Inside {
    #[inline(always)]
    pub(crate) fn enter() -> Inside {
        // SAFETY: this thread's own pen.
        let at = match unsafe { (*pen()).inside } {
            0 => page::inside(pen()),
            at => at,
        };
        if at > 1 {
            // SAFETY: this thread's byte of a mapping that stays.
            unsafe { ptr::with_exposed_provenance_mut::<u8>(at).write_volatile(1) };
        }
        Inside(at)
    }
}

impl Drop for Inside {
    #[inline(always)]
    fn drop(&mut self) {
        if self.0 > 1 {
            // SAFETY: as above.
            unsafe { ptr::with_exposed_provenance_mut::<u8>(self.0).write_volatile(0) };
        }
    }
}
