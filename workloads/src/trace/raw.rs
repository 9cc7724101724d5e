//! What the recorder leaves behind: the layout of the files in its directory.
//!
//! ```text
//! control            one OS page: Control
//! N.image            a program in a process, N from 0: names and values, each ended by NUL
//! N.resident         at its end, what memory of its own is resident: words, two by two
//! N-T.events         what thread T of image N did: windows, each of a Window and Entries
//! ```
//!
//! Windows are numbered from 1. The first takes [`FIRST`] bytes, all others [`SEGMENT`].
//! Those from 3 on are written in a ring of [`SEGMENTS`], which lies behind the first two.
//! Before its segment is used again, a window is packed (see `packed`) behind others in the
//! stage, which lies behind the ring. When the stage is full, what is in it is copied to the
//! file's end. So what is mapped and written to is always the same little memory, and few
//! bytes are copied, seldom, since each byte and each copy is work for the kernel. Behind
//! the stage come windows 3, 4 and so on; the next are in the stage, and the latest in the
//! ring. A process that is killed may leave a window in two of them, but always in one.
//!
//! The recorder includes this file as it is, so there is nothing but `core` in it.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// First word of `control`, and of each window.
pub const MAGIC: u64 = u64::from_le_bytes(*b"BRKPARTS");
/// Version of this layout.
pub const VERSION: u32 = 3;

/// The variable that names the directory, and that of its limit in bytes.
pub const DIRECTORY: &str = "BRKPOINT_RECORD";
/// Most bytes that all files of windows may take: what is mapped of them, and what is
/// copied behind that, packed. A decimal number.
pub const MAX_BYTES: &str = "BRKPOINT_RECORD_MAX_BYTES";
/// If it is set, each thread says while it is in a call of the family: a byte of
/// the file `inside`, at the thread's number.
pub const INSIDE: &str = "BRKPOINT_RECORD_INSIDE";
/// Numbers of threads are smaller (the kernel's PID_MAX_LIMIT).
pub const INSIDE_BYTES: u64 = 1 << 22;

/// Shared by all that is recorded into a directory.
#[derive(Debug)]
#[repr(C)]
pub struct Control {
    /// [`MAGIC`], written last.
    pub magic: AtomicU64,
    /// [`VERSION`].
    pub version: AtomicU32,
    /// Images so far.
    pub images: AtomicU32,
    /// Bytes of all files of windows.
    pub bytes: AtomicU64,
    /// Most they may be.
    pub max_bytes: AtomicU64,
    /// Nothing after this stamp counts; `u64::MAX` while all does.
    pub stop: AtomicU64,
    /// Why it does not: 0, or one of the `STOP` numbers.
    pub reason: AtomicU32,
    /// The error number, with [`STOPPED_BY_FAILURE`].
    pub error: AtomicU32,
    /// What it was at: one of the `AT` numbers.
    pub error_at: AtomicU32,
    /// Seconds after which it was stopped, with [`STOPPED_BY_TIME`].
    pub seconds: AtomicU32,
    /// Calls that could not be written down.
    pub lost: AtomicU64,
    /// A stamp, and what CLOCK_MONOTONIC was then, in nanoseconds.
    pub begin: Moment,
    /// The same at the end; zero until then.
    pub end: Moment,
    /// Seconds since 1970 at the begin.
    pub began_s: AtomicU64,
}

/// One moment by both clocks.
#[derive(Debug)]
#[repr(C)]
pub struct Moment {
    /// The time stamp counter.
    pub stamp: AtomicU64,
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub ns: AtomicU64,
}

/// The limit was reached.
pub const STOPPED_BY_BYTES: u32 = 1;
/// The time was over.
pub const STOPPED_BY_TIME: u32 = 2;
/// Something failed.
pub const STOPPED_BY_FAILURE: u32 = 3;

/// Making the file of an image.
pub const AT_IMAGE: u32 = 1;
/// Making or growing a thread's file.
pub const AT_FILE: u32 = 2;
/// Mapping a window of it.
pub const AT_MAP: u32 = 3;

/// Begin of a window.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Window {
    /// [`MAGIC`].
    pub magic: u64,
    /// Bytes of the window, this included.
    pub bytes: u64,
    /// The stamps of its entries count from here.
    pub base: u64,
    /// The kernel's number of the thread.
    pub thread: u64,
    /// The kernel's number of the process.
    pub process: u32,
    /// The image that the process was forked from, and one more; 0: it was not.
    pub parent: u32,
    /// Its place in the order of the file's windows, from 1.
    pub number: u64,
}

/// Bytes of the first window.
pub const FIRST: usize = 16 << 10;
/// Bytes of all others.
pub const SEGMENT: usize = 32 << 10;
/// Segments of the ring: one is written on; the previous one too, if a signal came
/// between the taking of a place and the writing there; one is packed.
pub const SEGMENTS: usize = 3;
/// Where the ring is in the file.
pub const RING_AT: usize = FIRST + SEGMENT;
/// Where the stage is, which is mapped together with the ring.
pub const STAGE_AT: usize = RING_AT + SEGMENTS * SEGMENT;
/// Bytes of the stage. It is full where there is no room for any window.
pub const STAGE: usize = 128 << 10;
/// Where the copies begin.
pub const COPIES_AT: usize = STAGE_AT + STAGE;
/// Packed windows are filled up with zeros to a multiple of so many bytes.
pub const PACKED_ALIGN: usize = 8;
/// Places for entries in a segment.
pub const ENTRIES: usize = (SEGMENT - size_of::<Window>()) / size_of::<Entry>();

/// One record in a window; all zero where nothing was written.
///
/// ```text
/// first  = address (48 bits, a multiple of 8) with the kind in its lowest 3 | size, lowest 16 bits
/// second = stamp (44 bits) | size, next 20 bits
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Entry {
    /// Written last.
    pub first: u64,
    /// Written first.
    pub second: u64,
}

/// Kinds of entries; 0 is nothing.
pub const MALLOC: u64 = 1;
/// A free; in the size, the block's whole OS pages that were resident, and one more, or
/// 0 where nobody looked.
pub const FREE: u64 = 2;
/// A calloc.
pub const CALLOC: u64 = 3;
/// The begin of a realloc, with a size as in [`FREE`]; an entry [`RESIZED`] follows at
/// once.
pub const RESIZE: u64 = 4;
/// The end of a realloc.
pub const RESIZED: u64 = 5;
/// More about the entry that follows at once: the log2 of its alignment in bits 8
/// to 15, one more so that 0 is none, and the size's upper bits in `second`.
pub const MORE: u64 = 6;
/// A request that was not granted.
pub const REFUSED: u64 = 7;

/// In the first of two words of `N.resident`: they are the begin and the end of an area
/// that was looked at; else of a part of the latest one, which is resident.
pub const AREA: u64 = 1;

/// Bits of a stamp in an entry.
pub const STAMP_BITS: u32 = 44;
/// Bits of a size in one.
pub const SIZE_BITS: u32 = 36;
const ADDRESS: u64 = 0xffff_ffff_fff8;

impl Entry {
    /// An entry; `stamp` and `size` must fit.
    #[inline(always)]
    pub const fn new(kind: u64, address: u64, size: u64, stamp: u64) -> Entry {
        Entry {
            first: address & ADDRESS | kind | size << 48,
            second: stamp | (size >> 16) << STAMP_BITS,
        }
    }

    /// What precedes an entry whose alignment or size does not fit.
    pub const fn more(align_log2: Option<u32>, size: u64) -> Entry {
        let align = match align_log2 {
            Some(log2) => log2 as u64 + 1,
            None => 0,
        };
        Entry { first: MORE | align << 8, second: size >> SIZE_BITS }
    }

    /// Its kind.
    pub const fn kind(self) -> u64 {
        self.first & 7
    }

    /// Its address.
    pub const fn address(self) -> u64 {
        self.first & ADDRESS
    }

    /// The size, but for upper bits.
    pub const fn size(self) -> u64 {
        self.first >> 48 | (self.second >> STAMP_BITS) << 16
    }

    /// The stamp, from the window's base on.
    pub const fn stamp(self) -> u64 {
        self.second & ((1 << STAMP_BITS) - 1)
    }
}
