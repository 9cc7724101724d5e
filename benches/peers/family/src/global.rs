//! Rust's global allocator over the entry points of an allocator.

use core::alloc::Layout;

/// Whether the allocator's plain entry points align a block for `layout`, which
/// all do for a fundamental type: to 16 bytes from 16 bytes on, to 8 below.
#[inline(always)]
pub fn plain(layout: Layout) -> bool {
    layout.align() <= 8 || layout.align() <= 16 && layout.size() >= layout.align()
}

/// Makes a worker of brkpoint into which an allocator is linked: defines the
/// global allocator and `main`.
///
/// - `name`: of the engine.
/// - `malloc(size)`, `calloc(count, size)`, `realloc(block, size)`: the
///   allocator's own, with C's meaning.
/// - `aligned(alignment, size)`: the allocator's own; the alignment is a power of
///   two above 8.
/// - `free(block, layout)`: with what Rust knows of the block, for allocators that
///   make use of it.
/// - `version`: a function that returns a C string that lives forever.
///
/// Each is called in the unsafe context of `GlobalAlloc`'s promises.
#[macro_export]
macro_rules! link {
    (
        name: $name:literal,
        malloc: $malloc:path,
        calloc: $calloc:path,
        realloc: $realloc:path,
        aligned: |$align:ident, $size:ident| $aligned:expr,
        free: |$block:ident, $layout:ident| $free:expr,
        version: $version:path $(,)?
    ) => {
        use std::alloc::{GlobalAlloc, Layout};
        use std::ffi::{CStr, c_char, c_int, c_void};
        use std::process::ExitCode;

        #[global_allocator]
        static LINKED: Linked = Linked;

        struct Linked;

        // SAFETY: the allocator's blocks are disjoint, at least as large and as
        // aligned as asked for (`plain`), and live until they are freed.
        unsafe impl GlobalAlloc for Linked {
            #[inline]
            unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
                let ($align, $size) = (layout.align(), layout.size());
                match $crate::global::plain(layout) {
                    // SAFETY: any size will do.
                    true => unsafe { $malloc($size).cast() },
                    // SAFETY: a layout's alignment is a power of two.
                    false => unsafe { $aligned.cast() },
                }
            }

            #[inline]
            unsafe fn dealloc(&self, block: *mut u8, $layout: Layout) {
                let $block = block.cast::<c_void>();
                // SAFETY: a live block of this allocator, by contract.
                unsafe { $free };
            }

            #[inline]
            unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
                if $crate::global::plain(layout) {
                    // SAFETY: any size will do.
                    return unsafe { $calloc(1, layout.size()).cast() };
                }
                // SAFETY: the same contract; the block is as long as is cleared.
                unsafe {
                    let block = self.alloc(layout);
                    if !block.is_null() {
                        block.write_bytes(0, layout.size());
                    }
                    block
                }
            }

            #[inline]
            unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
                // SAFETY: by contract the new size is not zero and not too large;
                // two live blocks, each as long as what is copied.
                unsafe {
                    let longer = Layout::from_size_align_unchecked(size, layout.align());
                    if $crate::global::plain(layout) && $crate::global::plain(longer) {
                        return $realloc(block.cast::<c_void>(), size).cast();
                    }
                    let moved = self.alloc(longer);
                    if !moved.is_null() {
                        moved.copy_from_nonoverlapping(block, size.min(layout.size()));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }

        fn main() -> ExitCode {
            brkpoint_worker::linked_main($name, || {
                // SAFETY: it returns a C string that lives forever.
                unsafe { CStr::from_ptr($version()) }.to_string_lossy().into_owned()
            })
        }
    };
}
