//! A worker on an allocator that does nothing: what it takes is the driver's own.
//!
//! Every request of a driver gets the same memory, and a free is no more than a
//! call. So what is read back is not what was written, and the digest is wrong: no
//! engine can be this. What Rust's runtime asks for (threads, arguments) comes from
//! the C library: drivers ask for an alignment of 16 and more, the runtime of less.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::process::ExitCode;

/// Drivers align to this, and the runtime never.
const DRIVERS: usize = 16;

/// More than any request of a workload.
const BYTES: usize = 64 << 20;

#[repr(align(4096))]
struct Memory(UnsafeCell<[u8; BYTES]>);

// SAFETY: a benchmark of drivers writes words into it from any thread, and nobody
// relies on what they are.
unsafe impl Sync for Memory {}

static MEMORY: Memory = Memory(UnsafeCell::new([0; BYTES]));

struct Nothing;

// SAFETY: not kept for drivers, whose blocks overlap; the worker only ever writes
// plain words to them. For all others it is the C library's.
unsafe impl GlobalAlloc for Nothing {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match layout.align() < DRIVERS {
            // SAFETY: the caller's promise.
            true => unsafe { System.alloc(layout) },
            false if layout.size() <= BYTES => MEMORY.0.get().cast(),
            false => std::ptr::null_mut(),
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match layout.align() < DRIVERS {
            // SAFETY: the caller's promise.
            true => unsafe { System.alloc_zeroed(layout) },
            // SAFETY: as above; it is not cleared either.
            false => unsafe { self.alloc(layout) },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.align() < DRIVERS {
            // SAFETY: the caller's promise: such a block is the C library's.
            unsafe { System.dealloc(block, layout) };
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match layout.align() < DRIVERS {
            // SAFETY: the caller's promise.
            true => unsafe { System.realloc(block, layout, size) },
            false if size <= BYTES => block,
            false => std::ptr::null_mut(),
        }
    }
}

#[global_allocator]
static HEAP: Nothing = Nothing;

fn main() -> ExitCode {
    brkpoint_worker::linked_main("nothing", || "0".to_owned())
}
