//! The process's own heap: one, over the system, behind one lock, with the
//! threads' caches before it.
//!
//! - this file: [`Brkpoint`] and what needs no cache; `slow`: refills, flushes,
//!   and the cache of a thread; `hooks`: the ends of threads, and `fork`
//!
//! # One malloc, one free
//!
//! ```text
//! malloc(n)                                   free(block)
//!  1 n's class has a stack with a block:       1 the block's unit says its class, and its stack
//!    pop it                                      has room: push it
//!  2 the class is cached: fill half the        2 the class is cached (a block of no unit: its
//!    stack                                       header says): empty half of a full stack
//!      from the depot,                             to the depot,
//!      else from units of the heap (of a           else to the heap
//!      small class an OS page's worth)
//!  3 else ask the heap (`heap/mod.rs`)         3 else give it to the heap (`heap/mod.rs`)
//! ```
//!
//! Only steps 1 are on the fast path; a setting that would change them changes
//! the tables they read instead (`cache::front`).

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::ptr::{NonNull, null_mut};

use crate::cache::depot::Depot;
use crate::cache::front::Front;
use crate::cache::{Cache, thread};
use crate::config::{BreakSource, Config, apply_environment, options};
use crate::heap::{Block, Heap, Misuse, Resized, SMALL_MOST, Stats};
use crate::lock::Lock;
use crate::message::{Message, die};
use crate::os::{System, raw};
use crate::size_class::GRAIN;

mod hooks;
mod slow;

/// A heap that comes to life with its first request.
///
/// There is no flag beside the heap that could be seen too early: who wants to
/// know whether it exists asks under the lock.
#[repr(C)] // The tables first: the fast path reaches them by short offsets.
struct Process {
    front: Front,
    lock: Lock,
    locked: UnsafeCell<Locked>,
}

/// What the lock protects.
struct Locked {
    heap: Option<Heap<System>>,
    /// All caches there are.
    caches: Option<NonNull<Cache>>,
}

// SAFETY: `locked` is only touched under `lock` (see `Brkpoint::with_caches`).
unsafe impl Sync for Process {}

static PROCESS: Process = Process {
    front: Front::new(),
    lock: Lock::new(),
    locked: UnsafeCell::new(Locked { heap: None, caches: None }),
};

/// Apart, since it is all zero at first: its OS pages cost nothing until used.
static DEPOT: Depot = Depot::new();

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
    fn with<R>(&self, f: impl FnOnce(&mut Heap<System>) -> R) -> R {
        self.with_caches(|heap, _| f(heap))
    }

    /// Runs `f` on the heap and the list of caches, under the lock.
    fn with_caches<R>(
        &self,
        f: impl FnOnce(&mut Heap<System>, &mut Option<NonNull<Cache>>) -> R,
    ) -> R {
        let _held = PROCESS.lock.take();
        // SAFETY: under the lock. (The forking thread passes it, but not
        // while it is in here itself: no allocation forks.)
        let Locked { heap, caches } = unsafe { &mut *PROCESS.locked.get() };
        let heap = match heap {
            Some(heap) => heap,
            None => self.begin(heap),
        };
        let result = f(heap, caches);
        if let Some(map) = heap.unit_map() {
            PROCESS.front.show(map);
        }
        result
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
        let heap = heap.insert(Heap::new(config, System::new(config.break_source)));
        // SAFETY: once, and caches come later.
        unsafe {
            PROCESS.front.begin(
                &heap.classes,
                heap.units_last(),
                Cache::class_share(config.thread_cache.0),
            )
        };
        PROCESS.front.allow(heap.cached_below());
        heap
    }

    /// A block of at least `size` bytes at a multiple of `align`, a power of two.
    #[inline]
    pub fn allocate(&self, size: usize, align: usize) -> Option<Block> {
        self.allocate_moved(size, align, false)
    }

    /// As `allocate`; `grows` if the block takes the place of a smaller one.
    #[inline(always)]
    fn allocate_moved(&self, size: usize, align: usize, grows: bool) -> Option<Block> {
        if align <= GRAIN
            && let Some(start) = self.allocate_cached(size)
        {
            return Some(Block::dirty(start));
        }
        self.allocate_slow(size, align, grows)
    }

    /// Malloc, step 1 alone: a small block that this thread has at hand, if it
    /// has one.
    #[inline(always)]
    pub fn allocate_cached(&self, size: usize) -> Option<NonNull<u8>> {
        if size > SMALL_MOST {
            return None;
        }
        let offset = PROCESS.front.offset(size);
        // SAFETY: the front's offsets are those of stacks.
        unsafe { thread::cache().stack_at(offset) }.pop()
    }

    /// As [`allocate`](Brkpoint::allocate), and its first `size` bytes read as zero.
    pub fn allocate_zeroed(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let block = self.allocate(size, align)?;
        // Outside the lock, and only what the kernel has not just cleared.
        // SAFETY: a new block of at least `size` bytes.
        unsafe { block.clear(size) };
        Some(block.start)
    }

    /// Frees a block, and keeps errno; ends the process with a message if
    /// `block` is seen to be none.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this heap, which nobody uses any more.
    #[inline]
    pub unsafe fn free(&self, block: NonNull<u8>) {
        let offset = PROCESS.front.offset_of(block);
        // SAFETY: the map holds classes, of units or 0.
        if !unsafe { thread::cache().stack_at(offset) }.push(block) {
            // SAFETY: by contract.
            unsafe { self.free_slow(block) };
        }
    }

    /// As [`free`](Brkpoint::free), knowing what size was requested, which
    /// must not be more than the block has.
    ///
    /// # Safety
    ///
    /// As [`free`](Brkpoint::free).
    #[inline]
    pub unsafe fn free_sized(&self, block: NonNull<u8>, size: usize, align: usize) {
        if align <= GRAIN && size <= SMALL_MOST {
            // A block that does not lie in a unit of the class is none the
            // less as large, and finds home when its stack is emptied.
            let offset = PROCESS.front.offset(size);
            // SAFETY: the front's offsets are those of stacks.
            if unsafe { thread::cache().stack_at(offset) }.push(block) {
                return;
            }
        }
        // SAFETY: by contract.
        unsafe { self.free(block) };
    }

    /// Resizes a block; as [`Heap::reallocate`], but the copy is made outside
    /// the lock, and a small block that stays where it is is not inspected.
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
        let usable = match PROCESS.front.class_of(block) {
            0 => None,
            class => Some(PROCESS.front.classes().size(class)),
        };
        if usable.is_some_and(|usable| size <= usable && size > usable / 2) {
            return Some(block);
        }
        // SAFETY: by contract.
        let resized = match usable {
            Some(usable) => Ok(Resized::Move { usable }),
            // SAFETY: by contract.
            None => self.with(|heap| unsafe { heap.resize(block, size, align) }),
        };
        let usable = match resized {
            Ok(Resized::Done(block)) => return Some(block),
            Ok(Resized::Move { usable }) => usable,
            Err(misuse) => refuse("realloc", block, misuse),
        };
        let Some(Block { start, .. }) = self.allocate_moved(size, align, size > usable) else {
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
        if let class @ 1.. = PROCESS.front.class_of(block) {
            return PROCESS.front.classes().size(class);
        }
        // SAFETY: by contract.
        match self.with(|heap| unsafe { heap.usable_size(block) }) {
            Ok(size) => size,
            Err(misuse) => refuse("malloc_usable_size", block, misuse),
        }
    }

    /// As [`Heap::trim`], after what this thread's cache and the depot keep
    /// was given back.
    pub fn trim(&self, keep: usize) -> bool {
        self.empty_caches();
        self.with(|heap| heap.trim(keep))
    }

    /// As [`Heap::stats`]. What caches keep is exact while no other thread
    /// allocates or frees.
    pub fn stats(&self) -> Stats {
        self.with_caches(|heap, caches| {
            let mut stats = heap.stats();
            // SAFETY: what is in a cache or in transit is freed and, as long as
            // we have the lock, the heap's.
            each_cached(*caches, |block| unsafe { heap.count_cached(&mut stats, block) });
            stats
        })
    }

    /// Tells `each` the address and the usable bytes of every block that caches keep;
    /// exact while no other thread allocates or frees. `each` is called under the
    /// heap's lock: it may neither allocate nor free.
    pub fn cached(&self, mut each: impl FnMut(*mut u8, usize)) {
        self.with_caches(|heap, caches| {
            each_cached(*caches, |block| {
                // SAFETY: as in `stats`.
                if let Some((size, _)) = unsafe { heap.cached_size(block) } {
                    each(block, size);
                }
            });
        });
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
            PROCESS.front.allow(heap.cached_below());
        });
    }

    /// Makes `fork` wait until the heap is in order, and has the ends of
    /// threads noticed; once per process, however often it is called.
    ///
    /// A preloaded library calls this while it is loaded; otherwise the first
    /// request does.
    pub fn survive_fork() {
        hooks::register();
    }
}

impl Default for Brkpoint {
    fn default() -> Brkpoint {
        Brkpoint::new()
    }
}

#[cold]
fn refuse(call: &str, block: NonNull<u8>, misuse: Misuse) -> ! {
    die(format_args!("{call}({block:p}): {misuse}"))
}

// SAFETY: blocks come from the heap: disjoint, at least as large and aligned
// as the layout says, and live until they are freed; nothing here unwinds.
unsafe impl GlobalAlloc for Brkpoint {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocate(layout.size(), layout.align())
            .map_or(null_mut(), |block| block.start.as_ptr())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.allocate_zeroed(layout.size(), layout.align()).map_or(null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: a block of ours, hence not null, by GlobalAlloc's contract.
        unsafe { self.free_sized(NonNull::new_unchecked(block), layout.size(), layout.align()) };
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

/// Tells `each` what the depot and all of `caches` keep.
fn each_cached(caches: Option<NonNull<Cache>>, mut each: impl FnMut(*mut u8)) {
    DEPOT.each(&mut each);
    let mut next = caches;
    while let Some(cache) = next {
        // SAFETY: caches stay for ever.
        let cache = unsafe { cache.as_ref() };
        cache.each(&mut each);
        next = cache.next;
    }
}
