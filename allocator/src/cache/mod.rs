//! Thread caches: freed blocks kept by the thread that freed them, on one stack
//! of pointers for each class.
//!
//! - this file: the stacks; `thread`: which cache is this thread's;
//!   `depot`: what passes from thread to thread; `front`: what all threads
//!   read without a lock
//!
//! ```text
//! low <= top <= high <= ceiling       slots [low, top) hold blocks
//! top == low                          empty: malloc must refill
//! top == high                         full: free must flush; high rises to ceiling as the
//!                                     class proves to be in use
//! stack 0, and those of EMPTY         low == top == high: at once empty and full
//! ```
//!
//! Blocks on a stack are not touched. Only the thread that has a cache changes
//! it; others read `top` for the accounts, and a child after `fork` takes over
//! the caches of threads that it does not have, in whatever state: hence `top`
//! is stored last, with release.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::size_class::{CLASS_LAST, Classes};

pub(crate) mod depot;
pub(crate) mod front;
pub(crate) mod thread;

/// The most slots of a stack.
pub(crate) const SLOTS_MOST: usize = 256;
/// In how many steps a stack comes to use all of its slots.
const STEPS: usize = 64;
/// Stacks begin at different places of a cache line's set.
const STAGGER: usize = 64;

/// A slot of a stack: a block, or what is left of one.
pub(crate) type Slot = AtomicPtr<u8>;

/// The stack of one class.
#[repr(C)]
pub(crate) struct Stack {
    top: AtomicPtr<Slot>,
    low: *mut Slot,
    high: AtomicPtr<Slot>,
    ceiling: *mut Slot,
}

/// log2 of a stack's bytes, to come from a class to its stack.
pub(crate) const STACK_BITS: u32 = 5;
const _: () = assert!(size_of::<Stack>() == 1 << STACK_BITS);

impl Stack {
    const fn none() -> Stack {
        Stack {
            top: AtomicPtr::new(null_mut()),
            low: null_mut(),
            high: AtomicPtr::new(null_mut()),
            ceiling: null_mut(),
        }
    }

    /// Takes the block that was pushed last.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<NonNull<u8>> {
        let top = self.top.load(Ordering::Relaxed);
        if top == self.low {
            return None;
        }
        // SAFETY: `low < top`, so the slot below `top` holds a block.
        unsafe {
            let slot = top.sub(1);
            let block = (*slot).load(Ordering::Relaxed);
            self.top.store(slot, Ordering::Release);
            Some(NonNull::new_unchecked(block))
        }
    }

    /// Puts a block on the stack; `false` if it is full.
    #[inline(always)]
    pub(crate) fn push(&self, block: NonNull<u8>) -> bool {
        let top = self.top.load(Ordering::Relaxed);
        if top == self.high.load(Ordering::Relaxed) {
            return false;
        }
        // SAFETY: `top < high`, so `top` is a slot of the stack.
        unsafe {
            (*top).store(block.as_ptr(), Ordering::Relaxed);
            self.top.store(top.add(1), Ordering::Release);
        }
        true
    }

    /// How many blocks it holds.
    pub(crate) fn len(&self) -> usize {
        // `low` does not change.
        (self.top.load(Ordering::Relaxed).addr() - self.low.addr()) / size_of::<Slot>()
    }

    /// How many it may hold now.
    pub(crate) fn room(&self) -> usize {
        (self.high.load(Ordering::Relaxed).addr() - self.low.addr()) / size_of::<Slot>()
    }

    /// Whether the class is cached at all.
    pub(crate) fn is_used(&self) -> bool {
        self.ceiling > self.low
    }

    /// Lets it hold a few more from now on, up to its ceiling.
    pub(crate) fn widen(&self) {
        let most = (self.ceiling.addr() - self.low.addr()) / size_of::<Slot>();
        // SAFETY: not beyond the ceiling.
        let high = unsafe { self.low.add(most.min(self.room() + most.div_ceil(STEPS))) };
        self.high.store(high, Ordering::Relaxed);
    }

    /// The slots, for refills and flushes.
    ///
    /// # Safety
    ///
    /// The calling thread has the cache, and uses the stack in no other way
    /// while it uses the slice.
    #[expect(clippy::mut_from_ref, reason = "the thread that has the cache has its slots")]
    pub(crate) unsafe fn slots(&self) -> &mut [*mut u8] {
        if !self.is_used() {
            return &mut [];
        }
        // SAFETY: `room` slots from `low` on are the stack's, initialised to
        // null; `AtomicPtr` is laid out as the pointer; exclusive by contract.
        unsafe { core::slice::from_raw_parts_mut(self.low.cast(), self.room()) }
    }

    /// Says how many of the slots hold blocks.
    ///
    /// # Safety
    ///
    /// The first `len` slots hold blocks that are nobody else's.
    pub(crate) unsafe fn set_len(&self, len: usize) {
        // SAFETY: within the stack.
        self.top.store(unsafe { self.low.add(len) }, Ordering::Release);
    }
}

/// A thread's cache.
#[repr(C, align(64))]
pub(crate) struct Cache {
    stacks: [Stack; CLASS_LAST + 1],
    /// The next of all caches that were ever made.
    pub(crate) next: Option<NonNull<Cache>>,
    /// Whether a thread has it; under the heap's lock.
    pub(crate) is_taken: AtomicUsize,
}

// SAFETY: see the module's text for what threads do to each other's caches.
unsafe impl Sync for Cache {}

impl Cache {
    /// A cache in which every stack is empty and full.
    pub(crate) const fn none() -> Cache {
        Cache {
            stacks: [const { Stack::none() }; CLASS_LAST + 1],
            next: None,
            is_taken: AtomicUsize::new(0),
        }
    }

    /// The stack at `offset` bytes.
    ///
    /// # Safety
    ///
    /// `offset` is a class's number, or 0, shifted by [`STACK_BITS`].
    #[inline(always)]
    pub(crate) unsafe fn stack_at(&self, offset: usize) -> &Stack {
        // SAFETY: by contract, an element of `stacks`, which come first.
        unsafe { &*(&raw const *self).byte_add(offset).cast::<Stack>() }
    }

    /// The stack of a class.
    #[inline(always)]
    pub(crate) fn stack(&self, class: usize) -> &Stack {
        &self.stacks[class]
    }

    /// How many slots the class gets where a thread may keep `most` bytes of it.
    fn slots_of(classes: &Classes, class: usize, most: usize) -> usize {
        if class == 0 || class > classes.last() {
            0
        } else {
            (most / classes.size(class)).min(SLOTS_MOST)
        }
    }

    /// The bytes that [`Cache::make`] needs.
    pub(crate) fn bytes(classes: &Classes, most: usize) -> usize {
        let slots: usize = (1..=classes.last())
            .map(|class| Cache::slots_of(classes, class, most) * size_of::<Slot>() + STAGGER)
            .sum();
        align_of::<Cache>() + size_of::<Cache>() + slots
    }

    /// Makes an empty cache.
    ///
    /// # Safety
    ///
    /// `memory` is [`Cache::bytes`] long, aligned to 16 bytes, nobody else's,
    /// and stays for ever.
    pub(crate) unsafe fn make(
        memory: NonNull<u8>,
        classes: &Classes,
        most: usize,
    ) -> NonNull<Cache> {
        let skip = memory.addr().get().wrapping_neg() % align_of::<Cache>();
        // SAFETY: `bytes` has room for the alignment, the cache, and for each
        // class its slots and the stagger.
        unsafe {
            let mut cache = memory.add(skip).cast::<Cache>();
            cache.write(Cache::none());
            let mut at = cache.add(1).cast::<u8>();
            for (class, stack) in cache.as_mut().stacks.iter_mut().enumerate() {
                let slots = Cache::slots_of(classes, class, most);
                if slots == 0 {
                    continue;
                }
                let low = at.cast::<Slot>();
                // Untouched but for the first: a stack that is never used that
                // far costs nothing.
                stack.low = low.as_ptr();
                stack.top = AtomicPtr::new(low.as_ptr());
                stack.high = AtomicPtr::new(low.add(slots.min(2 * slots.div_ceil(STEPS))).as_ptr());
                stack.ceiling = low.add(slots).as_ptr();
                at = at.add(slots * size_of::<Slot>() + STAGGER);
            }
            cache
        }
    }

    /// Blocks and bytes in the cache, as far as another thread can see.
    pub(crate) fn held(&self, classes: &Classes) -> (usize, usize) {
        (1..=classes.last()).fold((0, 0), |(blocks, bytes), class| {
            let len = self.stack(class).len();
            (blocks + len, bytes + len * classes.size(class))
        })
    }
}
