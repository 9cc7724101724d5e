//! What happens when a stack is empty or full, a block comes from no unit, a
//! thread begins or ends.

use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

use super::{Brkpoint, DEPOT, PROCESS, hooks, refuse};
use crate::cache::thread::{self, EMPTY, GONE};
use crate::cache::{Cache, Stack};
use crate::heap::{self, Block};
use crate::os::{OS_PAGE_LEAST, raw};
use crate::size_class::GRAIN;

/// A block that lies at a multiple of so many times its size, and of an OS page, may have
/// been aligned. Few others lie there.
const APART: usize = 4;

/// How many blocks are freed at a time when everything is given back.
const BATCH: usize = 64;

impl Brkpoint {
    /// [`Brkpoint::allocate_moved`], from step 1 on, for blocks of any size. Apart from what is
    /// slower still, so that a cached block with a header needs no stack frame.
    #[inline(never)]
    pub(super) fn allocate_slow(&self, size: usize, align: usize, grows: bool) -> Option<Block> {
        let class = PROCESS.front.cached_class(size, align);
        if align <= GRAIN
            && class > PROCESS.front.units_last()
            && let Some(start) = thread::cache().stack(class).pop()
        {
            // SAFETY: chunks of cached classes beyond the units' are marked
            // Cached on every stack.
            unsafe { heap::uncache(start) };
            return Some(Block::dirty(start));
        }
        self.allocate_slower(size, align, grows)
    }

    #[inline(never)]
    fn allocate_slower(&self, size: usize, align: usize, grows: bool) -> Option<Block> {
        if let Some(cache) = self.own_cache() {
            let class = PROCESS.front.cached_class(size, align);
            let stack = cache.stack(class);
            if let Some(start) = stack.pop().or_else(|| self.look(cache, class)) {
                // A block that was freed with its requested size may be another
                // class's, and stand anywhere.
                if align > GRAIN && !start.addr().get().is_multiple_of(align) {
                    stack.push(start);
                    return self.with(|heap| heap.allocate_moved(size, align, grows));
                }
                if class > PROCESS.front.units_last() {
                    // SAFETY: chunks of cached classes beyond the units' are
                    // marked Cached on every stack.
                    unsafe { heap::uncache(start) };
                }
                return Some(Block::dirty(start));
            }
        }
        self.with(|heap| heap.allocate_moved(size, align, grows))
    }

    /// Free, from step 1 on, for blocks of any kind. Keeps errno. As
    /// `allocate_slow`, apart from what is slower still.
    ///
    /// # Safety
    ///
    /// As [`Brkpoint::free`].
    #[inline(never)]
    pub(super) unsafe fn free_slow(&self, block: NonNull<u8>) {
        let class = match PROCESS.front.class_of(block) {
            // SAFETY: in no unit, so a block with a header.
            0 => unsafe { headed_class(block) },
            class => class,
        };
        let stack = thread::cache().stack(class);
        // SAFETY: by contract; a block of such a class is live, and has a
        // header, as has just been inspected.
        unsafe {
            if class > PROCESS.front.units_last() && !stack.is_full() {
                heap::cache(block);
                stack.push(block);
            } else {
                self.free_slower(block, class);
            }
        }
    }

    /// # Safety
    ///
    /// As [`Brkpoint::free`]; `class` is the block's, 0 if it is not cached.
    #[inline(never)]
    unsafe fn free_slower(&self, block: NonNull<u8>, class: usize) {
        let cache = thread::cache();
        let stack = cache.stack(class);
        if class == 0 || !stack.is_used() {
            // SAFETY: by contract.
            return unsafe { self.free_uncached(block, class) };
        }
        if class > PROCESS.front.units_last() {
            // SAFETY: a live block with a header, just inspected.
            unsafe { heap::cache(block) };
        }
        if !stack.push(block) {
            raw::keeping_errno(|| {
                self.make_room(cache, class);
                if !stack.push(block) {
                    // SAFETY: by contract.
                    unsafe { self.free_to_heap(class, &mut [block.as_ptr()], 1, |_| ()) };
                }
            });
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

    /// Has the heap free blocks of a class, and then calls `done`, while
    /// nobody can fork.
    ///
    /// # Safety
    ///
    /// Freed blocks, which nobody has but the caller, Cached if they have headers.
    unsafe fn free_to_heap(
        &self,
        class: usize,
        blocks: &mut [*mut u8],
        count: usize,
        done: impl FnOnce(&mut [*mut u8]),
    ) {
        self.with(|heap| {
            // SAFETY: by contract.
            let freed = unsafe {
                if class > PROCESS.front.units_last() {
                    blocks[..count].iter().copied().filter_map(NonNull::new).for_each(|block| {
                        heap::uncache(block);
                    });
                }
                heap.free_batch(&blocks[..count])
            };
            done(blocks);
            freed
        })
        .unwrap_or_else(|(block, misuse)| refuse("free", block, misuse));
    }

    /// Makes room on a full stack: more of it if the class has not had all it
    /// may have, else by emptying half of it, or all if blocks of the class are
    /// only freed.
    #[cold]
    fn make_room(&self, cache: &Cache, class: usize) {
        let stack = cache.stack(class);
        let full = stack.room();
        if cache.is_only_freed(class) {
            self.flush(stack, class, full);
            cache.trap(PROCESS.front.classes(), raw::coarse_milliseconds().max(1));
            return;
        }
        self.spread(cache, class);
        cache.widen(PROCESS.front.classes(), class);
        if stack.room() == full && !self.flush(stack, class, full.div_ceil(2)) {
            cache.note_flush(class);
        }
    }

    /// Gives a stack that has outgrown its first slots those of its own.
    fn spread(&self, cache: &Cache, class: usize) {
        if cache.is_cramped(class) {
            // SAFETY: cramped, under the lock, and this thread's.
            self.with(|heap| unsafe { cache.spread(&heap.classes, class) });
        }
    }

    /// A stack gave no block: it is empty, or there is a trap.
    fn look(&self, cache: &Cache, class: usize) -> Option<NonNull<u8>> {
        if let Some(trapped) = cache.spring(PROCESS.front.classes()) {
            if self.with(|heap| heap.has_idled(trapped)) {
                self.empty(cache);
                self.empty_depot();
                self.with(|heap| heap.trim_after_idling());
            }
            if let Some(start) = cache.stack(class).pop() {
                return Some(start);
            }
        }
        self.refill(cache, class)
    }

    /// Fills an empty stack and takes a block from it: from the depot, else
    /// from units. `None` if neither has any.
    fn refill(&self, cache: &Cache, class: usize) -> Option<NonNull<u8>> {
        let stack = cache.stack(class);
        if !stack.is_used() {
            return None;
        }
        self.spread(cache, class);
        cache.widen_for_malloc(PROCESS.front.classes(), class, |victim, count| {
            self.flush(cache.stack(victim), victim, count);
        });
        let want = stack.room().div_ceil(2);
        // SAFETY: this thread's stack, used in no other way meanwhile.
        let slots = &mut unsafe { stack.slots() }[..want];
        // SAFETY: so many slots have just been filled.
        let filled = |count| unsafe { stack.set_len(count) };
        if DEPOT.take(class, slots, filled) == 0 {
            if class > PROCESS.front.units_last() {
                return None;
            }
            self.with(|heap| {
                let slots = &mut slots[..heap.portion(class).min(want)];
                let count = heap.allocate_small(class, slots);
                // What was taken first is to be popped first.
                slots[..count].reverse();
                // SAFETY: so many slots have just been filled.
                unsafe { stack.set_len(count) };
            });
        }
        stack.pop()
    }

    /// Takes the `count` blocks that have been on a stack longest off it, to
    /// the depot or, if that is full, to the heap; says whether to the depot.
    fn flush(&self, stack: &Stack, class: usize, count: usize) -> bool {
        let len = stack.len();
        // SAFETY: this thread's stack, used in no other way meanwhile.
        let slots = &mut unsafe { stack.slots() }[..len];
        // SAFETY: the first `count` have been taken off.
        let done = || unsafe { stack.set_len(len - count) };
        let most = PROCESS.front.kept(class);
        if most > 0 && DEPOT.give(class, most, slots, count, done) {
            return true;
        }
        // SAFETY: freed blocks, which only this thread's stack has; the first
        // `count` are taken off.
        unsafe {
            self.free_to_heap(class, slots, count, |slots| {
                slots.copy_within(count.., 0);
                stack.set_len(len - count);
            });
        }
        false
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
                    cache.take_over(&heap.classes);
                    return Some(cache);
                }
                next = cache.next;
            }
            let memory = heap.map_table(Cache::bytes(&heap.classes, most))?;
            // SAFETY: so many bytes of a new mapping, which is never given back.
            let cache = unsafe {
                let mut cache = Cache::make(memory, &heap.classes, most);
                cache.as_mut().next = caches.replace(cache);
                cache.as_ref()
            };
            cache.is_taken.store(1, Ordering::Relaxed);
            PROCESS.front.note_cache();
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
        self.empty_depot();
    }

    fn empty_depot(&self) {
        let mut blocks = [ptr::null_mut(); BATCH];
        let last = self.with(|heap| heap.classes.last());
        for class in 1..=last {
            while let count @ 1.. = DEPOT.take(class, &mut blocks, |_| ()) {
                // SAFETY: freed blocks, which nobody has but us.
                unsafe { self.free_to_heap(class, &mut blocks, count, |_| ()) };
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

/// The class of a block with a header, or 0 if it is not for caches. A small
/// block that no unit could give, mostly for its alignment, or one that lies far
/// apart from others for the same reason, is not kept: it would pin what is round
/// it, and the next request like it would not find it. What is aligned by less
/// than [`APART`] is kept as any other is, and pins no more than a few times what
/// a cache holds. Ends the process if the block is seen to be none.
///
/// # Safety
///
/// As [`heap::cacheable`].
#[inline]
unsafe fn headed_class(block: NonNull<u8>) -> usize {
    let front = &PROCESS.front;
    // SAFETY: by contract.
    match unsafe { heap::cacheable(block, front.units_last() == 0) } {
        Ok(Some(usable)) => match front.classes().within(usable) {
            class if class > front.units_last() && !is_apart(block, usable) => class,
            _ => 0,
        },
        Ok(None) => 0,
        Err(misuse) => refuse("free", block, misuse),
    }
}

/// Whether a block with a header, of so many bytes, may have been aligned far more than
/// others of its size are.
fn is_apart(block: NonNull<u8>, usable: usize) -> bool {
    let address = block.addr().get();
    address.is_multiple_of(OS_PAGE_LEAST)
        && address.is_multiple_of((APART * usable).next_power_of_two())
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    use super::*;

    /// All use the process's heap; where blocks lie is to depend on one test alone.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    fn a_block_that_begins_an_os_page_by_chance_is_kept() {
        let _alone = alone();
        const OURS: Brkpoint = Brkpoint::new();
        const SIZE: usize = 8 << 10;
        // Each is 16 bytes longer than two OS pages: sooner or later one begins a page.
        let blocks: Vec<_> = (0..600).map(|_| OURS.allocate(SIZE, GRAIN).unwrap().start).collect();
        let begins = |address: usize| {
            address.is_multiple_of(OS_PAGE_LEAST) && !address.is_multiple_of(APART * SIZE)
        };
        let found = blocks.iter().find(|block| begins(block.addr().get()));
        let &block = found.expect("one in 256 does, and of those 7 in 8");
        let class = PROCESS.front.cached_class(SIZE, GRAIN);
        let kept = || thread::cache().stack(class).len();
        let before = kept();
        // SAFETY: a live block.
        unsafe { OURS.free(block) };
        assert_eq!(kept(), before + 1);
        for other in blocks.into_iter().filter(|other| *other != block) {
            // SAFETY: a live block.
            unsafe { OURS.free(other) };
        }
    }

    #[test]
    fn a_thread_that_idled_gives_back_what_it_keeps_when_it_resizes_a_block_too() {
        let _alone = alone();
        const OURS: Brkpoint = Brkpoint::new();
        const SIZE: usize = 80;
        let grows = OURS.allocate(20 << 10, GRAIN).unwrap().start;
        let blocks: Vec<_> =
            (0..50_000).map(|_| OURS.allocate(SIZE, GRAIN).unwrap().start).collect();
        for block in blocks {
            // SAFETY: a live block.
            unsafe { OURS.free(block) };
        }
        let class = PROCESS.front.cached_class(SIZE, GRAIN);
        let kept = || thread::cache().stack(class).len();
        assert!(kept() > 0);
        std::thread::sleep(Duration::from_millis(1100));
        // SAFETY: a live block, and what became of it.
        unsafe { OURS.free(OURS.reallocate(grows, 12 << 20, GRAIN).unwrap()) };
        assert_eq!(kept(), 0);
    }

    #[test]
    fn what_a_thread_frees_of_anothers_goes_by_the_depot() {
        let _alone = alone();
        const OURS: Brkpoint = Brkpoint::new();
        const SIZE: usize = 96;
        // So that each has a cache of its own; here the class has no room yet.
        let ours = OURS.allocate(SIZE / 2, GRAIN).unwrap().start;
        let blocks = std::thread::spawn(|| {
            let block = |_| OURS.allocate(SIZE, GRAIN).unwrap().start.expose_provenance();
            (0..5000).map(block).collect::<Vec<_>>()
        });
        let blocks = blocks.join().unwrap();
        let class = PROCESS.front.cached_class(SIZE, GRAIN);
        for (freed, block) in blocks.into_iter().enumerate() {
            // SAFETY: a live block, which only we have.
            unsafe { OURS.free(NonNull::with_exposed_provenance(block)) };
            assert!(freed < 4000 || DEPOT.len(class) > 0);
        }
        assert!(thread::cache().stack(class).room() > 0, "frees make it, too");
        // SAFETY: as they were.
        unsafe { OURS.free(ours) };
    }
}
