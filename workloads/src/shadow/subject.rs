//! What an allocator must offer to be tested.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use super::promise::Complaint;
use crate::op::Event;

/// What the program has, as the oracle knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// How many blocks live.
    pub blocks: usize,
    /// The sum of their requested sizes, in bytes.
    pub requested: usize,
    /// The sum of their usable sizes, in bytes.
    pub usable: usize,
}

/// An allocator under test. What has a default is optional.
pub trait Subject {
    /// A block for `layout`, or `None` if the allocator refuses.
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>>;

    /// As [`allocate`](Subject::allocate), for a request that is too large for
    /// any [`Layout`] and must be refused. By default none is made.
    fn allocate_beyond(&mut self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        let _ = (size, align, zeroed);
        None
    }

    /// A block of `count` times `size` bytes, aligned to 16 bytes and zero;
    /// must be refused if the product overflows.
    fn allocate_array(&mut self, count: usize, size: usize) -> Option<NonNull<u8>> {
        let layout = Layout::from_size_align(count.checked_mul(size)?, 16).ok()?;
        self.allocate(layout, true)
    }

    /// Frees a block.
    ///
    /// # Safety
    ///
    /// A live block, allocated with `layout`, which nobody uses any more.
    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout);

    /// Resizes a block; `None` if the allocator refuses, and then it lives on.
    /// `size` may be anything.
    ///
    /// # Safety
    ///
    /// A live block, allocated with `layout`; if it is resized, nobody uses
    /// the old pointer.
    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>>;

    /// The bytes a block has; what was requested, if the allocator cannot tell.
    ///
    /// # Safety
    ///
    /// A live block, allocated with `layout`.
    unsafe fn usable_size(&mut self, block: NonNull<u8>, layout: Layout) -> usize {
        let _ = block;
        layout.size()
    }

    /// The alignment that is promised for a block of `layout`; less, where an
    /// interface cannot ask for it.
    fn alignment(&self, layout: Layout, resized: bool) -> usize {
        let _ = resized;
        layout.align()
    }

    /// Brings an event about, or passes it over. Not [`Event::Fork`]: see
    /// [`fork`](Subject::fork).
    ///
    /// # Errors
    ///
    /// A promise that was broken at that.
    fn event(&mut self, event: Event) -> Result<(), Complaint> {
        let _ = event;
        Ok(())
    }

    /// Forks the process, if it is the process's allocator that is under test:
    /// 0 in the child, which then tests on and ends, and the child's id in the
    /// parent. By default, and on failure, `None`.
    fn fork(&mut self) -> Option<libc::pid_t> {
        None
    }

    /// What the allocator itself finds wrong; asked after every operation, and
    /// now and then, `thorough`, for all that can be found.
    ///
    /// # Errors
    ///
    /// The promise that is broken.
    fn inspect(&mut self, model: &Model, thorough: bool) -> Result<(), Complaint> {
        let _ = (model, thorough);
        Ok(())
    }

    /// The bytes obtained from the OS and not returned; `None` if nobody knows.
    fn footprint(&mut self) -> Option<usize> {
        None
    }
}

/// Any `GlobalAlloc` as a subject. A size of 0, which that contract excludes,
/// becomes 1.
#[derive(Clone, Copy, Debug)]
pub struct Global<A>(pub A);

fn sized(layout: Layout) -> Layout {
    Layout::from_size_align(layout.size().max(1), layout.align()).unwrap_or(layout)
}

impl<A: GlobalAlloc> Subject for Global<A> {
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        let layout = sized(layout);
        // SAFETY: the size is not 0.
        NonNull::new(unsafe {
            if zeroed { self.0.alloc_zeroed(layout) } else { self.0.alloc(layout) }
        })
    }

    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: by contract.
        unsafe { self.0.dealloc(block.as_ptr(), sized(layout)) };
    }

    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // GlobalAlloc excludes what no layout has.
        Layout::from_size_align(size, layout.align()).ok()?;
        // SAFETY: by contract, the size is not 0, and a layout can have it.
        NonNull::new(unsafe { self.0.realloc(block.as_ptr(), sized(layout), size.max(1)) })
    }
}

/// A `GlobalAlloc` by reference, so that there can be several handles of one:
///
/// ```
/// # use std::alloc::System;
/// use brkpoint_workloads::{shadow::{Global, Shared}, storm::Storm};
/// static ALLOCATOR: System = System;
/// Storm { operations: 100, ..Storm::USUAL }.run(1, || Global(Shared(&ALLOCATOR))).unwrap();
/// ```
#[derive(Debug)]
pub struct Shared<'a, A: ?Sized>(pub &'a A);

// SAFETY: the allocator's own promises.
unsafe impl<A: GlobalAlloc + ?Sized> GlobalAlloc for Shared<'_, A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by contract.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by contract.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: by contract.
        unsafe { self.0.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: by contract.
        unsafe { self.0.realloc(block, layout, size) }
    }
}
