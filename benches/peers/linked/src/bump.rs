//! A worker on an allocator of known overhead: blocks lie one behind the other,
//! rounded up to 16 bytes, and nothing is ever used again.
//!
//! What it costs can be computed from the requests, which is what the tests of the
//! accounting do. No huge pages: each OS page is a fault.

use std::alloc::{GlobalAlloc, Layout};
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use brkpoint_worker::{Accounts, Inside};

const GRAIN: usize = 16;

/// Address space, of which is touched what is used.
const BYTES: usize = 16 << 30;

/// Where the space begins, and the next block in it; 0: there is none yet.
static START: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Bump;

/// Maps the space, once: the first request comes before there are threads.
fn begin() {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh anonymous mapping.
    let start = unsafe { libc::mmap(ptr::null_mut(), BYTES, access, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        // SAFETY: it ends the process.
        unsafe { libc::abort() };
    }
    // SAFETY: the mapping was just made. Without huge pages it fails, and may.
    unsafe { libc::madvise(start, BYTES, libc::MADV_NOHUGEPAGE) };
    START.store(start.expose_provenance(), Relaxed);
    NEXT.store(start.addr(), Relaxed);
}

// SAFETY: every block is a part of the mapping that no other block has or will
// have; fresh memory is zero.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if START.load(Relaxed) == 0 {
            begin();
        }
        let (size, align) = (layout.size().next_multiple_of(GRAIN), layout.align().max(GRAIN));
        let mut block = 0;
        let next = NEXT.fetch_update(Relaxed, Relaxed, |next| {
            block = next.next_multiple_of(align);
            let end = block + size;
            (end <= START.load(Relaxed) + BYTES).then_some(end)
        });
        if next.is_err() {
            return ptr::null_mut();
        }
        LIVE.fetch_add(size, Relaxed);
        ptr::with_exposed_provenance_mut(block)
    }

    unsafe fn dealloc(&self, _: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size().next_multiple_of(GRAIN), Relaxed);
    }
}

#[global_allocator]
static HEAP: Bump = Bump;

fn main() -> ExitCode {
    // Usable sizes are not kept: what a block has beyond its size is overhead.
    let inside = Inside { usable_size: None, accounts: Some(accounts) };
    brkpoint_worker::linked_main_telling("bump", || "0".to_owned(), inside)
}

fn accounts() -> Accounts {
    let held = NEXT.load(Relaxed) - START.load(Relaxed);
    Accounts { live: LIVE.load(Relaxed) as u64, held: held as u64, untouched: 0 }
}
