//! The process's own heap: one, over the system, behind one lock.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::config::{BreakSource, Config, apply_environment, options};
use crate::heap::{Block, Heap, Misuse, Resized, Stats};
use crate::lock::Lock;
use crate::message::{Message, die};
use crate::os::{System, raw};

/// A heap that comes to life with its first request.
///
/// There is no flag beside the heap that could be seen too early: who wants to
/// know whether it exists asks under the lock.
struct Process {
    lock: Lock,
    heap: UnsafeCell<Option<Heap<System>>>,
}

// SAFETY: `heap` is only touched under `lock` (see `Brkpoint::with`).
unsafe impl Sync for Process {}

static PROCESS: Process = Process { lock: Lock::new(), heap: UnsafeCell::new(None) };

/// The process's allocator: a handle, free to copy, to the one heap that all
/// handles share.
///
/// ```
/// use brkpoint_allocator::Brkpoint;
///
/// #[global_allocator]
/// static ALLOCATOR: Brkpoint = Brkpoint::new();
/// ```
///
/// The heap begins with the settings of the handle that is used first,
/// overridden by the environment (see [`options`]).
#[derive(Clone, Copy, Debug)]
pub struct Brkpoint {
    config: Config,
}

impl Brkpoint {
    /// With the default settings.
    pub const fn new() -> Brkpoint {
        Brkpoint::with_config(Config::DEFAULT)
    }

    /// With settings of your own.
    ///
    /// [`BreakSource::Program`] is for programs in which nothing else moves
    /// the break, in particular no libc malloc: those that export the malloc
    /// family themselves.
    pub const fn with_config(config: Config) -> Brkpoint {
        Brkpoint { config }
    }

    /// Runs `f` on the heap, under the lock.
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut Heap<System>) -> R) -> R {
        let _held = PROCESS.lock.take();
        // SAFETY: under the lock. (The forking thread passes it, but not
        // while it is in here itself: no allocation forks.)
        let heap = unsafe { &mut *PROCESS.heap.get() };
        match heap {
            Some(heap) => f(heap),
            None => f(self.begin(heap)),
        }
    }

    /// Makes the heap. Allocates nothing: the environment is read in place.
    #[cold]
    fn begin<'a>(&self, heap: &'a mut Option<Heap<System>>) -> &'a mut Heap<System> {
        let mut config = self.config;
        raw::keeping_errno(|| apply_environment(&mut config));
        if config.verbose.0 {
            for option in options() {
                let mut message = Message::new();
                let _ = write!(message, "{}={}", option.env, option.show(&config));
                raw::keeping_errno(|| message.send());
            }
        }
        heap.insert(Heap::new(config, System::new(config.break_source)))
    }

    /// A block of at least `size` bytes at a multiple of `align`, a power of two.
    #[inline]
    pub fn allocate(&self, size: usize, align: usize) -> Option<Block> {
        self.with(|heap| heap.allocate(size, align))
    }

    /// As [`allocate`](Brkpoint::allocate), and its first `size` bytes read as zero.
    pub fn allocate_zeroed(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let Block { start, dirty } = self.allocate(size, align)?;
        // Outside the lock, and only what the kernel has not just cleared.
        // SAFETY: a new block of at least `size` bytes.
        unsafe { start.write_bytes(0, dirty.min(size)) };
        Some(start)
    }

    /// Frees a block; ends the process with a message if `block` is none.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this heap, which nobody uses any more.
    #[inline]
    pub unsafe fn free(&self, block: NonNull<u8>) {
        // SAFETY: by contract.
        if let Err(misuse) = self.with(|heap| unsafe { heap.free(block) }) {
            refuse("free", block, misuse);
        }
    }

    /// Resizes a block; as [`Heap::reallocate`], but the copy is made outside
    /// the lock.
    ///
    /// # Safety
    ///
    /// As [`Heap::reallocate`].
    pub unsafe fn reallocate(
        &self,
        block: NonNull<u8>,
        size: usize,
        align: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: by contract.
        let usable = match self.with(|heap| unsafe { heap.resize(block, size, align) }) {
            Ok(Resized::Done(block)) => return Some(block),
            Ok(Resized::Move { usable }) => usable,
            Err(misuse) => refuse("realloc", block, misuse),
        };
        let Some(Block { start, .. }) = self.allocate(size, align) else {
            // It was to move only to be smaller: it may as well stay.
            return (size <= usable).then_some(block);
        };
        // SAFETY: two live blocks, each at least as long as what is copied;
        // the old one is given up by contract.
        unsafe {
            start.copy_from_nonoverlapping(block, size.min(usable));
            self.free(block);
        }
        Some(start)
    }

    /// The bytes that a block has; ends the process if `block` is none.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this heap.
    pub unsafe fn usable_size(&self, block: NonNull<u8>) -> usize {
        // SAFETY: by contract.
        match self.with(|heap| unsafe { heap.usable_size(block) }) {
            Ok(size) => size,
            Err(misuse) => refuse("malloc_usable_size", block, misuse),
        }
    }

    /// As [`Heap::trim`].
    pub fn trim(&self, keep: usize) -> bool {
        self.with(|heap| heap.trim(keep))
    }

    /// As [`Heap::stats`].
    pub fn stats(&self) -> Stats {
        self.with(|heap| heap.stats())
    }

    /// As [`Heap::check`].
    ///
    /// # Errors
    ///
    /// The first invariant that is broken.
    pub fn check(&self) -> Result<(), crate::heap::Broken> {
        self.with(|heap| heap.check())
    }

    /// The settings in force.
    pub fn config(&self) -> Config {
        self.with(|heap| *heap.config())
    }

    /// Changes settings for what comes; as [`Heap::configure`].
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        self.with(|heap| {
            let mut config = *heap.config();
            change(&mut config);
            heap.configure(config);
        });
    }

    /// Makes `fork` wait until the heap is in order, once per process, however
    /// often it is called.
    ///
    /// A preloaded library calls this while it is loaded; otherwise the first
    /// allocation through [`GlobalAlloc`] does.
    pub fn survive_fork() {
        static DONE: AtomicBool = AtomicBool::new(false);
        // Set first: registering may allocate, and come here again.
        if DONE.load(Ordering::Relaxed) || DONE.swap(true, Ordering::Relaxed) {
            return;
        }
        // SAFETY: three functions that live as long as the program.
        unsafe {
            libc::pthread_atfork(
                Some(before_fork),
                Some(after_fork_in_parent),
                Some(after_fork_in_child),
            );
        }
    }
}

impl Default for Brkpoint {
    fn default() -> Brkpoint {
        Brkpoint::new()
    }
}

extern "C" fn before_fork() {
    PROCESS.lock.before_fork();
}

extern "C" fn after_fork_in_parent() {
    PROCESS.lock.after_fork_in_parent();
}

extern "C" fn after_fork_in_child() {
    PROCESS.lock.after_fork_in_child();
}

#[cold]
fn refuse(call: &str, block: NonNull<u8>, misuse: Misuse) -> ! {
    die(format_args!("{call}({block:p}): {misuse}"))
}

// SAFETY: blocks come from the heap: disjoint, at least as large and aligned
// as the layout says, and live until they are freed; nothing here unwinds.
unsafe impl GlobalAlloc for Brkpoint {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Brkpoint::survive_fork();
        self.allocate(layout.size(), layout.align())
            .map_or(null_mut(), |block| block.start.as_ptr())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Brkpoint::survive_fork();
        self.allocate_zeroed(layout.size(), layout.align()).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: a block of ours, hence not null, by GlobalAlloc's contract.
        unsafe { self.free(NonNull::new_unchecked(block)) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: a block of ours, hence not null, by GlobalAlloc's contract.
        unsafe {
            self.reallocate(NonNull::new_unchecked(block), size, layout.align())
                .map_or(null_mut(), NonNull::as_ptr)
        }
    }
}

const _: () = assert!(
    matches!(Config::DEFAULT.break_source, BreakSource::Reserved),
    "beside libc's malloc the program break is not ours"
);
