//! What happens when a stack is empty or full, a block comes from no unit, a
//! thread begins or ends.

use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

use super::{Brkpoint, DEPOT, PROCESS, hooks, refuse};
use crate::cache::thread::{self, EMPTY, GONE};
use crate::cache::{Cache, Stack};
use crate::heap::{Block, cacheable, set_cached};
use crate::os::raw;
use crate::size_class::GRAIN;

/// How many blocks are freed at a time when everything is given back.
const BATCH: usize = 64;

impl Brkpoint {
    /// Malloc, from step 1 on, for blocks of any size.
    #[inline(never)]
    pub(super) fn allocate_slow(&self, size: usize, align: usize) -> Option<Block> {
        if let Some(cache) = self.own_cache() {
            let class = PROCESS.front.cached_class(size, align);
            let stack = cache.stack(class);
            if let Some(start) = stack.pop().or_else(|| self.refill(stack, class)) {
                // A block that was freed with its requested size may be another
                // class's, and stand anywhere.
                if align > GRAIN && !start.addr().get().is_multiple_of(align) {
                    stack.push(start);
                    return self.with(|heap| heap.allocate(size, align));
                }
                if class > PROCESS.front.units_last() {
                    // SAFETY: chunks of cached classes beyond the units' are
                    // marked Cached on every stack.
                    unsafe { set_cached(start, false) };
                }
                return Some(Block { start, dirty: size });
            }
        }
        self.with(|heap| heap.allocate(size, align))
    }

    /// Free, from step 1 on, for blocks of any kind. Keeps errno.
    ///
    /// # Safety
    ///
    /// As [`Brkpoint::free`].
    #[inline(never)]
    pub(super) unsafe fn free_slow(&self, block: NonNull<u8>) {
        let front = &PROCESS.front;
        let cache = thread::cache();
        let class = match front.class_of(block) {
            0 => {
                // SAFETY: in no unit, so a block with a header.
                match unsafe { cacheable(block, front.units_last() == 0) } {
                    Ok(Some(usable)) => front.classes().within(usable),
                    Ok(None) => 0,
                    Err(misuse) => refuse("free", block, misuse),
                }
            }
            class => class,
        };
        let stack = cache.stack(class);
        if class == 0 || !stack.is_used() {
            // SAFETY: by contract.
            return unsafe { self.free_uncached(block, class) };
        }
        if class > front.units_last() {
            // SAFETY: a live block with a header, just inspected.
            unsafe { set_cached(block, true) };
        }
        if !stack.push(block) {
            self.make_room(stack, class);
            stack.push(block);
        }
    }

    /// Free, step 3: a block of no class that is cached, or of a thread that
    /// has no cache yet, or any more.
    ///
    /// # Safety
    ///
    /// As [`Brkpoint::free`].
    #[cold]
    unsafe fn free_uncached(&self, block: NonNull<u8>, class: usize) {
        raw::keeping_errno(|| {
            if class != 0
                && let Some(cache) = self.attach()
                && cache.stack(class).is_used()
            {
                // SAFETY: by contract; the second time there is a cache.
                return unsafe { self.free_slow(block) };
            }
            // SAFETY: by contract.
            if let Err(misuse) = self.with(|heap| unsafe { heap.free(block) }) {
                refuse("free", block, misuse);
            }
        });
    }

    /// Makes room on a full stack: more of it if the class has not had all it
    /// may have, else by emptying half of it. Keeps errno.
    #[cold]
    fn make_room(&self, stack: &Stack, class: usize) {
        let full = stack.room();
        stack.widen();
        if stack.room() == full {
            raw::keeping_errno(|| self.flush(stack, class, (full / 2).max(1)));
        }
    }

    /// Fills an empty stack and takes a block from it: from the depot, else
    /// from units. `None` if neither has any.
    fn refill(&self, stack: &Stack, class: usize) -> Option<NonNull<u8>> {
        if !stack.is_used() {
            return None;
        }
        stack.widen();
        let want = (stack.room() / 2).max(1);
        // SAFETY: this thread's stack, used in no other way meanwhile.
        let slots = &mut unsafe { stack.slots() }[..want];
        // SAFETY: so many slots have just been filled.
        let filled = |count| unsafe { stack.set_len(count) };
        if DEPOT.take(class, slots, filled) == 0 {
            if class > PROCESS.front.units_last() {
                return None;
            }
            self.with(|heap| {
                let count = heap.allocate_small(class, slots);
                // The lowest address is to be popped first.
                slots[..count].reverse();
                // SAFETY: so many slots have just been filled.
                unsafe { stack.set_len(count) };
            });
        }
        stack.pop()
    }

    /// Takes the `count` blocks that have been on a stack longest off it, to
    /// the depot or, if that is full, to the heap.
    fn flush(&self, stack: &Stack, class: usize, count: usize) {
        let len = stack.len();
        // SAFETY: this thread's stack, used in no other way meanwhile.
        let slots = &mut unsafe { stack.slots() }[..len];
        // SAFETY: the first `count` have been taken off.
        let done = || unsafe { stack.set_len(len - count) };
        let most = PROCESS.front.kept(class);
        if DEPOT.give(class, most, slots, count, done) {
            return;
        }
        let headed = class > PROCESS.front.units_last();
        self.with(|heap| {
            // SAFETY: freed blocks, which only this thread's stack has.
            let freed = unsafe {
                if headed {
                    uncache(&slots[..count]);
                }
                heap.free_batch(&slots[..count])
            };
            slots.copy_within(count.., 0);
            // SAFETY: the first `count` have been taken off.
            unsafe { stack.set_len(len - count) };
            freed
        })
        .unwrap_or_else(|(block, misuse)| refuse("free", block, misuse));
    }

    /// This thread's cache, if it has or can have one.
    #[inline]
    fn own_cache(&self) -> Option<&'static Cache> {
        let cache = thread::cache();
        if ptr::eq(cache, &EMPTY) {
            return self.attach();
        }
        (!ptr::eq(cache, &GONE)).then_some(cache)
    }

    /// Gives this thread a cache: one whose thread has ended, or a new one.
    #[cold]
    fn attach(&self) -> Option<&'static Cache> {
        if ptr::eq(thread::cache(), &GONE) {
            return None;
        }
        // May allocate, and so give this thread a cache before we do.
        hooks::register();
        if !hooks::can_watch() {
            return None;
        }
        if !ptr::eq(thread::cache(), &EMPTY) {
            return self.own_cache();
        }
        let (most, below) = self.with(|heap| (heap.config().thread_cache.0, heap.cached_below()));
        if most == 0 {
            thread::set_cache(&GONE);
            return None;
        }
        // As long as every block is to be mapped, there is nothing to keep.
        if below <= GRAIN {
            return None;
        }
        let cache = self.with_caches(|heap, caches| {
            let mut next = *caches;
            while let Some(cache) = next {
                // SAFETY: caches stay for ever.
                let cache: &'static Cache = unsafe { cache.as_ref() };
                if cache.is_taken.swap(1, Ordering::Relaxed) == 0 {
                    return Some(cache);
                }
                next = cache.next;
            }
            let memory = heap.allocate_inner(Cache::bytes(&heap.classes, most))?;
            // SAFETY: so many bytes, ours alone, and never freed.
            let cache = unsafe {
                let mut cache = Cache::make(memory, &heap.classes, most);
                cache.as_mut().next = caches.replace(cache);
                cache.as_ref()
            };
            cache.is_taken.store(1, Ordering::Relaxed);
            Some(cache)
        })?;
        thread::set_cache(cache);
        if !hooks::watch_thread(cache) {
            self.detach();
            return None;
        }
        Some(cache)
    }

    /// Takes this thread's cache from it, for another thread to have.
    pub(super) fn detach(&self) {
        let Some(cache) = self.own_cache() else { return };
        thread::set_cache(&GONE);
        self.empty(cache);
        self.with(|_| cache.is_taken.store(0, Ordering::Relaxed));
    }

    fn empty(&self, cache: &Cache) {
        for class in 1..=PROCESS.front.classes().last() {
            let stack = cache.stack(class);
            while let len @ 1.. = stack.len() {
                self.flush(stack, class, len.min(BATCH));
            }
        }
    }

    /// Gives back to the heap what this thread and the depot keep.
    pub(super) fn empty_caches(&self) {
        let cache = thread::cache();
        if !ptr::eq(cache, &EMPTY) && !ptr::eq(cache, &GONE) {
            self.empty(cache);
        }
        let mut blocks = [ptr::null_mut(); BATCH];
        let last = self.with(|heap| heap.classes.last());
        for class in 1..=last {
            while let count @ 1.. = DEPOT.take(class, &mut blocks, |_| ()) {
                let blocks = &blocks[..count];
                self.with(|heap| {
                    // SAFETY: freed blocks, which nobody has but us.
                    unsafe {
                        if class > PROCESS.front.units_last() {
                            uncache(blocks);
                        }
                        heap.free_batch(blocks)
                    }
                })
                .unwrap_or_else(|(block, misuse)| refuse("free", block, misuse));
            }
        }
    }

    /// Frees all caches but one for other threads to have, blocks and all.
    pub(super) fn orphan_caches_but(&self, own: &Cache) {
        self.with_caches(|_, caches| {
            let mut next = *caches;
            while let Some(cache) = next {
                // SAFETY: caches stay for ever.
                let cache = unsafe { cache.as_ref() };
                if !ptr::eq(cache, own) {
                    cache.is_taken.store(0, Ordering::Relaxed);
                }
                next = cache.next;
            }
        });
    }
}

/// Marks chunks that leave a cache live.
///
/// # Safety
///
/// Blocks with headers, Cached, which nobody else has.
unsafe fn uncache(blocks: &[*mut u8]) {
    for block in blocks.iter().copied().filter_map(NonNull::new) {
        // SAFETY: by contract.
        unsafe { set_cached(block, false) };
    }
}
