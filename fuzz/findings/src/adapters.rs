//! What makes a `GlobalAlloc`, for good, of each kind of heap.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};

use allocator_api2::alloc::Allocator;

/// An allocator for the rest of the process.
pub type Given = &'static (dyn GlobalAlloc + Sync);

/// An allocator as it is.
pub fn leak<A>(heap: A) -> &'static A {
    Box::leak(Box::new(heap))
}

/// Memory for a heap, with nothing mapped beside it; full of what is not zero.
#[derive(Clone, Copy)]
pub struct Region {
    /// Where it begins, at a multiple of 4 MiB.
    pub start: *mut u8,
    /// Its length in bytes.
    pub len: usize,
}

/// As much as any heap can ask of its region's alignment.
const ALIGN: usize = 4 << 20;

impl Region {
    /// `len` bytes, a multiple of an OS page, for the rest of the process.
    pub fn mapped(len: usize) -> Region {
        if len == 0 {
            return Region { start: ptr::null_mut(), len };
        }
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, of which an inner part is made accessible.
        unsafe {
            let space = libc::mmap(ptr::null_mut(), len + 3 * ALIGN, libc::PROT_NONE, kind, -1, 0);
            assert!(space != libc::MAP_FAILED, "no memory for a region of {len} bytes");
            let start = space.byte_add(ALIGN + space.align_offset(ALIGN));
            assert_eq!(libc::mprotect(start, len, prot), 0);
            start.cast::<u8>().write_bytes(0xA5, len);
            Region { start: start.cast(), len }
        }
    }

    /// Two halves.
    pub fn split(self) -> (Region, Region) {
        let len = self.len / 2;
        (Region { len, ..self }, Region { start: self.start.wrapping_add(len), len })
    }
}

/// By the interface of `allocator-api2`, for the main thread alone: the limits of
/// what has it say so.
pub struct Api<A>(pub A);

// SAFETY: it is not shared; see above.
unsafe impl<A> Sync for Api<A> {}

fn start<E>(block: Result<NonNull<[u8]>, E>) -> *mut u8 {
    block.map_or(ptr::null_mut(), |block| block.as_ptr().cast())
}

// SAFETY: the allocator's own promises, which are more.
unsafe impl<A: Allocator> GlobalAlloc for Api<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        start(self.0.allocate(layout))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        start(self.0.allocate_zeroed(layout))
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: by contract a live block, so not null.
        unsafe { self.0.deallocate(NonNull::new_unchecked(block), layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: by contract a live block, and a layout can have the size.
        unsafe {
            let block = NonNull::new_unchecked(block);
            let new = Layout::from_size_align_unchecked(size, layout.align());
            start(match size < layout.size() {
                true => self.0.shrink(block, layout, new),
                false => self.0.grow(block, layout, new),
            })
        }
    }
}

/// acid_alloc's buddy: 32 blocks of 1 MiB, down to 64 bytes.
pub struct Acid(Mutex<acid_alloc_0_1::Buddy<{ 1 << 20 }, 15, acid_alloc_0_1::Raw>>);

impl Acid {
    /// Over the 32 MiB of a region.
    pub fn over(region: Region) -> Acid {
        type Buddy = acid_alloc_0_1::Buddy<{ 1 << 20 }, 15, acid_alloc_0_1::Raw>;
        let blocks = region.len >> 20;
        let layout = Buddy::metadata_layout(blocks).expect("a valid configuration");
        // SAFETY: the metadata and the region are the heap's alone, for good.
        let buddy = unsafe {
            let metadata = NonNull::new(std::alloc::alloc(layout)).expect("memory");
            let region = NonNull::new(region.start).expect("a region");
            Buddy::new_raw(metadata, region, blocks)
        };
        Acid(Mutex::new(buddy.expect("a valid configuration")))
    }
}

// SAFETY: the buddy's own promises.
unsafe impl GlobalAlloc for Acid {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        start(self.0.lock().unwrap_or_else(PoisonError::into_inner).allocate(layout))
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        let mut buddy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: by contract a live block, so not null.
        unsafe { buddy.deallocate(NonNull::new_unchecked(block)) };
    }
}
