//! Thread caches: freed blocks kept by the thread that freed them, on one stack
//! of pointers for each class.
//!
//! - this file: the stacks; `thread`: which cache is this thread's;
//!   `depot`: what passes from thread to thread; `front`: what all threads
//!   read without a lock
//!
//! ```text
//! base <= top <= high <= base + most  slots [base, top) hold blocks, [base, high) may
//! top <= low                          malloc must look: low == base, the stack is empty,
//!                                     or low > base, there is a trap
//! top == high                         full: free must make room
//! stack 0, and those of EMPTY         base == top == low == high: at once empty and full
//! capacity                            == sum over stacks of (high - base) * size <= budget
//! ```
//!
//! Every stack begins without room. It gets more as the class proves to be in
//! use, at the cost of other classes where the budget is spent. Its first few
//! slots lie beside those of the other stacks, so that a program with little to
//! keep makes little resident; with more it moves to slots of its own.
//!
//! A trap is set for a thread that only frees. If it then does nothing for a
//! while, its next malloc runs into it, and what it keeps goes back: nothing
//! else of ours would run in an idle program.
//!
//! Blocks on a stack are not touched. Only the thread that has a cache changes
//! it; others read `top` for the accounts, and a child after `fork` takes over
//! the caches of threads that it does not have, in whatever state: hence `top`
//! is stored last, with release, and a stack moves only under the heap's lock.

use core::cell::Cell;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::size_class::{CLASS_LAST, Classes};

pub(crate) mod depot;
pub(crate) mod front;
#[cfg(test)]
mod tests;
pub(crate) mod thread;

/// The most slots of a stack.
const SLOTS_MOST: usize = 1024;
/// What one class may have of a cache's bytes.
const CLASS_SHARE: usize = 16;
/// A stack gets at least one part in this many of its slots at a time,
const FIRST_STEP: usize = 64;
/// and at least one part in this many of what it has.
const STEP: usize = 4;
/// After so many flushes to the heap without a refill in between, blocks of a
/// class are only freed.
const STREAK: u8 = 2;
/// Stacks begin at different places of a cache line's set.
const STAGGER: usize = 64;
/// The slots that stacks have side by side: a cache line of them.
const FEW: usize = 8;

/// A slot of a stack: a block, or what is left of one.
pub(crate) type Slot = AtomicPtr<u8>;

/// The stack of one class.
#[repr(C)]
pub(crate) struct Stack {
    top: AtomicPtr<Slot>,
    low: Cell<*mut Slot>,
    high: AtomicPtr<Slot>,
    base: AtomicPtr<Slot>,
}

/// log2 of a stack's bytes, to come from a class to its stack.
pub(crate) const STACK_BITS: u32 = 5;
const _: () = assert!(size_of::<Stack>() == 1 << STACK_BITS);

impl Stack {
    const fn none() -> Stack {
        Stack {
            top: AtomicPtr::new(null_mut()),
            low: Cell::new(null_mut()),
            high: AtomicPtr::new(null_mut()),
            base: AtomicPtr::new(null_mut()),
        }
    }

    /// Where its slots are. Others than the thread that has the cache ask under
    /// the heap's lock.
    fn base(&self) -> *mut Slot {
        self.base.load(Ordering::Relaxed)
    }

    /// Takes the block that was pushed last, unless there is a trap.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<NonNull<u8>> {
        let top = self.top.load(Ordering::Relaxed);
        if top <= self.low.get() {
            return None;
        }
        // SAFETY: `base <= low < top`, so the slot below `top` holds a block.
        unsafe {
            let slot = top.sub(1);
            let block = (*slot).load(Ordering::Relaxed);
            self.top.store(slot, Ordering::Release);
            Some(NonNull::new_unchecked(block))
        }
    }

    /// Whether no further block can be put on it.
    #[inline(always)]
    pub(crate) fn is_full(&self) -> bool {
        self.top.load(Ordering::Relaxed) == self.high.load(Ordering::Relaxed)
    }

    /// Puts a block on the stack; `false` if it is full.
    #[inline(always)]
    pub(crate) fn push(&self, block: NonNull<u8>) -> bool {
        if self.is_full() {
            return false;
        }
        let top = self.top.load(Ordering::Relaxed);
        // SAFETY: `top < high`, so `top` is a slot of the stack.
        unsafe {
            (*top).store(block.as_ptr(), Ordering::Relaxed);
            self.top.store(top.add(1), Ordering::Release);
        }
        true
    }

    /// How many blocks it holds.
    pub(crate) fn len(&self) -> usize {
        (self.top.load(Ordering::Relaxed).addr() - self.base().addr()) / size_of::<Slot>()
    }

    /// How many it may hold now.
    pub(crate) fn room(&self) -> usize {
        (self.high.load(Ordering::Relaxed).addr() - self.base().addr()) / size_of::<Slot>()
    }

    /// Whether the class is cached at all.
    pub(crate) fn is_used(&self) -> bool {
        !self.base().is_null()
    }

    /// Says how many it may hold: no fewer than it does, no more than it has
    /// slots for.
    fn set_room(&self, room: usize) {
        // SAFETY: within the stack's slots.
        self.high.store(unsafe { self.base().add(room) }, Ordering::Relaxed);
    }

    fn set_trap(&self, trap: bool) {
        self.low.set(if trap { self.high.load(Ordering::Relaxed) } else { self.base() });
    }

    /// Moves the blocks and the room to other slots, from `base` on, without a trap.
    ///
    /// # Safety
    ///
    /// As many slots as it has room, which nobody else uses; under the heap's lock,
    /// by the thread that has the cache.
    unsafe fn move_to(&self, base: *mut Slot) {
        let (len, room) = (self.len(), self.room());
        // SAFETY: `len` slots here hold blocks, and there is room for them there;
        // an atomic pointer is laid out as the pointer.
        unsafe { base.cast::<*mut u8>().copy_from(self.base().cast(), len) };
        self.base.store(base, Ordering::Relaxed);
        self.low.set(base);
        self.set_room(room);
        // SAFETY: they have just been moved.
        unsafe { self.set_len(len) };
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
        // SAFETY: `room` slots from `base` on are the stack's, initialised to
        // null; `AtomicPtr` is laid out as the pointer; exclusive by contract.
        unsafe { core::slice::from_raw_parts_mut(self.base().cast(), self.room()) }
    }

    /// Says how many of the slots hold blocks.
    ///
    /// # Safety
    ///
    /// The first `len` slots hold blocks that are nobody else's.
    pub(crate) unsafe fn set_len(&self, len: usize) {
        // SAFETY: within the stack.
        self.top.store(unsafe { self.base().add(len) }, Ordering::Release);
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
    /// The bytes of the blocks that all stacks may hold together now, and at most.
    capacity: Cell<usize>,
    budget: usize,
    /// Where the first few slots of all stacks are, class by class.
    few: *mut Slot,
    /// The class that gave room last.
    victim: Cell<usize>,
    /// For each class, how many slots it has.
    slots: [u16; CLASS_LAST + 1],
    /// For each class, how often it was flushed since it was last refilled.
    streaks: [Cell<u8>; CLASS_LAST + 1],
    /// When the trap was set, in milliseconds; 0 if there is none.
    trapped: Cell<u64>,
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
            capacity: Cell::new(0),
            budget: 0,
            few: null_mut(),
            victim: Cell::new(0),
            slots: [0; CLASS_LAST + 1],
            streaks: [const { Cell::new(0) }; CLASS_LAST + 1],
            trapped: Cell::new(0),
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

    /// The most bytes of one class where a thread may keep `budget`.
    pub(crate) const fn class_share(budget: usize) -> usize {
        budget / CLASS_SHARE
    }

    /// How many slots the class gets where a thread may keep `budget` bytes.
    fn slots_of(classes: &Classes, class: usize, budget: usize) -> usize {
        if class == 0 || class > classes.last() {
            0
        } else {
            (Cache::class_share(budget) / classes.size(class)).min(SLOTS_MOST)
        }
    }

    /// The bytes that [`Cache::make`] needs.
    pub(crate) fn bytes(classes: &Classes, budget: usize) -> usize {
        let own: usize = (1..=classes.last())
            .map(|class| Cache::own_bytes(Cache::slots_of(classes, class, budget)))
            .sum();
        size_of::<Cache>() + classes.last() * FEW * size_of::<Slot>() + own
    }

    /// The bytes that the own slots of a stack take, if it has more than a few.
    fn own_bytes(slots: usize) -> usize {
        if slots > FEW { slots * size_of::<Slot>() + STAGGER } else { 0 }
    }

    /// Makes an empty cache.
    ///
    /// # Safety
    ///
    /// `memory` is [`Cache::bytes`] long, aligned as a cache, zero, nobody
    /// else's, and stays for ever.
    pub(crate) unsafe fn make(
        memory: NonNull<u8>,
        classes: &Classes,
        budget: usize,
    ) -> NonNull<Cache> {
        // SAFETY: `bytes` has room for the cache, and for each class its slots
        // and the stagger.
        unsafe {
            let mut cache = memory.cast::<Cache>();
            let few = cache.add(1).cast::<Slot>().as_ptr();
            cache.write(Cache { budget, few, ..Cache::none() });
            let Cache { stacks, slots: most, .. } = cache.as_mut();
            for (class, stack) in stacks.iter_mut().enumerate() {
                let slots = Cache::slots_of(classes, class, budget);
                if slots == 0 {
                    continue;
                }
                let base = few.add((class - 1) * FEW);
                *stack = Stack {
                    top: AtomicPtr::new(base),
                    low: Cell::new(base),
                    high: AtomicPtr::new(base),
                    base: AtomicPtr::new(base),
                };
                most[class] = slots as u16;
            }
            cache
        }
    }

    /// Lets the stack of a class hold more, as far as the budget allows.
    pub(crate) fn widen(&self, classes: &Classes, class: usize) {
        let step = self.step(class).min(self.spare() / classes.size(class));
        let stack = self.stack(class);
        stack.set_room(stack.room() + step);
        self.capacity.set(self.capacity.get() + step * classes.size(class));
    }

    /// As `widen`, at the cost of other classes where the budget is spent;
    /// `flush` takes the `count` oldest blocks off the stack of a class that
    /// must give room.
    pub(crate) fn widen_for_malloc(
        &self,
        classes: &Classes,
        class: usize,
        flush: impl FnMut(usize, usize),
    ) {
        if self.step(class) * classes.size(class) > self.spare() {
            self.narrow_others(classes, class, flush);
        }
        self.widen(classes, class);
        self.streaks[class].set(0);
    }

    /// How many slots more the stack of a class should be allowed to use.
    fn step(&self, class: usize) -> usize {
        let (room, most) = (self.stack(class).room(), usize::from(self.slots[class]));
        let has = if self.has_few(class) { FEW.min(most) } else { most };
        most.div_ceil(FIRST_STEP).max(room / STEP).min(has - room)
    }

    /// Whether the stack of a class has the slots beside the others'.
    fn has_few(&self, class: usize) -> bool {
        self.stack(class).base() == self.few.wrapping_add((class - 1) * FEW)
    }

    /// Whether the stack of a class uses all its few slots, and may have more.
    pub(crate) fn is_cramped(&self, class: usize) -> bool {
        self.stack(class).room() == FEW
            && usize::from(self.slots[class]) > FEW
            && self.has_few(class)
    }

    /// Moves the stack of a class to slots of its own.
    ///
    /// # Safety
    ///
    /// It is cramped; under the heap's lock, by the thread that has the cache.
    pub(crate) unsafe fn spread(&self, classes: &Classes, class: usize) {
        let before: usize =
            (1..class).map(|other| Cache::own_bytes(self.slots[other].into())).sum();
        // SAFETY: `make` left room for all stacks' few slots, and then for the own
        // ones of each, in this order.
        unsafe {
            let own = self.few.add(classes.last() * FEW).byte_add(before);
            self.stack(class).move_to(own);
        }
        self.stack(class).set_trap(self.trapped.get() > 0);
    }

    fn spare(&self) -> usize {
        self.budget.saturating_sub(self.capacity.get())
    }

    /// Takes half of its room from another class or two, in turn.
    fn narrow_others(&self, classes: &Classes, but: usize, mut flush: impl FnMut(usize, usize)) {
        let mut left = 2;
        for _ in 1..=classes.last() {
            let victim = self.victim.get() % classes.last() + 1;
            self.victim.set(victim);
            let stack = self.stack(victim);
            if victim == but || stack.room() == 0 {
                continue;
            }
            let room = stack.room() / 2;
            if let count @ 1.. = stack.len().saturating_sub(room) {
                flush(victim, count);
            }
            self.set_room(classes, victim, room);
            left -= 1;
            if left == 0 {
                return;
            }
        }
    }

    fn set_room(&self, classes: &Classes, class: usize, room: usize) {
        let stack = self.stack(class);
        let less = stack.room() - room;
        stack.set_room(room);
        self.capacity.set(self.capacity.get() - less * classes.size(class));
    }

    /// The stack of a class was full, and nobody but the heap wanted its blocks.
    pub(crate) fn note_flush(&self, class: usize) {
        self.streaks[class].set(self.streaks[class].get().saturating_add(1));
    }

    /// Whether blocks of a class are freed, and have not been allocated for long.
    pub(crate) fn is_only_freed(&self, class: usize) -> bool {
        self.streaks[class].get() >= STREAK
    }

    /// For a thread that takes over a cache, from one that ended or, in a
    /// child after `fork`, stopped anywhere.
    pub(crate) fn take_over(&self, classes: &Classes) {
        let capacity =
            (1..=classes.last()).map(|class| self.stack(class).room() * classes.size(class)).sum();
        self.capacity.set(capacity);
        self.set_trap(classes, 0);
    }

    /// Makes the next malloc of any class look at the time; `now` is not 0.
    pub(crate) fn trap(&self, classes: &Classes, now: u64) {
        if self.trapped.get() == 0 {
            self.set_trap(classes, now);
        }
        self.trapped.set(now);
    }

    /// Takes the trap away, if there is one, and says when it was set.
    pub(crate) fn spring(&self, classes: &Classes) -> Option<u64> {
        let trapped = self.trapped.get();
        if trapped == 0 {
            return None;
        }
        self.set_trap(classes, 0);
        Some(trapped)
    }

    fn set_trap(&self, classes: &Classes, now: u64) {
        self.trapped.set(now);
        (1..=classes.last()).for_each(|class| self.stack(class).set_trap(now > 0));
    }

    /// Calls `each` with every block in the cache, as far as another thread
    /// can see.
    pub(crate) fn each(&self, mut each: impl FnMut(*mut u8)) {
        for stack in &self.stacks {
            for at in 0..stack.len() {
                // SAFETY: a slot below the top.
                each(unsafe { (*stack.base().add(at)).load(Ordering::Relaxed) });
            }
        }
    }
}
