//! A worker on the limit: the least that an allocator can do.
//!
//! A free list for each class of size and thread, over memory that is taken from
//! the OS in large steps and never looked at again. A block is pushed by the
//! thread that frees it and popped by the next request of its class in that
//! thread; classes are 16 bytes apart up to 1 KiB, powers of two beyond. There is
//! nothing else: nothing is split, joined, given back, or sent to another thread,
//! and the requested size, which Rust's `dealloc` tells, is all the bookkeeping.
//! So it bounds the time of what can be had from a free list. It is no bound on
//! memory, nor where the OS can move pages instead of bytes (`realloc`).

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::process::ExitCode;
use std::ptr;

#[global_allocator]
static LIMIT: Limit = Limit;

fn main() -> ExitCode {
    brkpoint_worker::linked_main("limit", || env!("ENGINE_VERSION").to_owned())
}

struct Limit;

/// Classes are so far apart up to [`FINE`].
const GRAIN: usize = 16;
const FINE: usize = 1024;
const FINE_CLASSES: usize = FINE / GRAIN;
const CLASSES: usize = FINE_CLASSES + usize::BITS as usize;

/// What is taken from the OS at a time, for blocks of up to a quarter of it.
const STEP: usize = 1 << 20;

/// No request can be larger.
const MOST: usize = 1 << 46;

/// What a thread has. Without a destructor, access is one instruction.
struct Thread {
    free: [Cell<*mut u8>; CLASSES],
    /// What is left of the latest step.
    fresh: Cell<*mut u8>,
    end: Cell<*mut u8>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            free: [const { Cell::new(ptr::null_mut()) }; CLASSES],
            fresh: Cell::new(ptr::null_mut()),
            end: Cell::new(ptr::null_mut()),
        }
    };
}

/// The class of a layout, and the size of its blocks. A larger alignment takes a
/// block that is as large: those of a power of two are aligned to it, or to an OS
/// page.
#[inline(always)]
fn class(layout: Layout) -> (usize, usize) {
    let size = match layout.align() {
        ..=GRAIN => layout.size(),
        align => layout.size().max(align).max(FINE + 1),
    };
    if size <= FINE {
        let class = size.saturating_sub(1) / GRAIN;
        (class, (class + 1) * GRAIN)
    } else {
        let bits = usize::BITS - (size - 1).leading_zeros();
        (FINE_CLASSES + bits as usize, 1 << bits)
    }
}

// SAFETY: a block is on no list while it is live, is as large and as aligned as
// its class says (`fresh`), and every layout of a class is served by its blocks.
unsafe impl GlobalAlloc for Limit {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        THREAD.with(|thread| {
            let (class, size) = class(layout);
            let block = thread.free[class].get();
            if block.is_null() {
                return fresh(thread, layout, size);
            }
            // SAFETY: `dealloc` wrote the next block's address there.
            thread.free[class].set(unsafe { block.cast::<*mut u8>().read() });
            block
        })
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        THREAD.with(|thread| {
            let (class, _) = class(layout);
            // SAFETY: every block has room for an address, and is aligned for it;
            // nobody uses it any more.
            unsafe { block.cast::<*mut u8>().write(thread.free[class].get()) };
            thread.free[class].set(block);
        });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: by contract the new size is not zero and not too large.
        let longer = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if class(longer) == class(layout) {
            return block;
        }
        // SAFETY: two live blocks, each as long as what is copied; the old one is
        // given up by contract.
        unsafe {
            let moved = self.alloc(longer);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// A block that was never used before; null if the OS has none.
#[cold]
fn fresh(thread: &Thread, layout: Layout, size: usize) -> *mut u8 {
    // A mapping is aligned to an OS page only.
    if size > MOST || layout.align() > 4096 {
        return ptr::null_mut();
    }
    if size > STEP / 4 {
        return map(size);
    }
    let align = 1 << size.trailing_zeros().min(12);
    let mut start = thread.fresh.get().map_addr(|at| at.next_multiple_of(align));
    if start.is_null() || start.addr() + size > thread.end.get().addr() {
        start = map(STEP);
        if start.is_null() {
            return start;
        }
        thread.end.set(start.wrapping_add(STEP));
    }
    thread.fresh.set(start.wrapping_add(size));
    start
}

fn map(bytes: usize) -> *mut u8 {
    let (access, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh anonymous mapping.
    let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
    if start == libc::MAP_FAILED { ptr::null_mut() } else { start.cast() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn classes_hold_their_sizes() {
        for size in (1..3000).chain([1 << 20, (1 << 20) + 1]) {
            let (number, block) = class(layout(size, 8));
            assert!(block >= size && number < CLASSES);
            assert_eq!(class(layout(block, 8)), (number, block), "{size}");
        }
    }

    #[test]
    fn blocks_are_aligned_and_come_back() {
        for align in [1, 16, 32, 256, 4096] {
            for size in [1, 100, 1024, 5000, 300_000] {
                let layout = layout(size, align);
                // SAFETY: the layouts are not of size zero, and each block is
                // freed once, under its layout.
                unsafe {
                    let block = LIMIT.alloc(layout);
                    assert!(!block.is_null() && block.addr() % align == 0, "{layout:?}");
                    block.write_bytes(1, size);
                    LIMIT.dealloc(block, layout);
                    assert_eq!(LIMIT.alloc(layout), block, "{layout:?}");
                    LIMIT.dealloc(block, layout);
                }
            }
        }
    }
}
