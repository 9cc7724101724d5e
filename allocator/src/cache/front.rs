//! What every thread reads without a lock: which class a request is of, and
//! which class a pointer is of.

use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use super::STACK_BITS;
use crate::heap::{SMALL_MOST, UNIT_BITS, UnitMap};
use crate::size_class::{Classes, GRAIN};

/// The tables. All zero, every request and every free takes the slow path.
pub(crate) struct Front {
    /// Where in a cache the stack of a request's class is, by 16 bytes of
    /// request; 0, stack 0, if the class has no units or if such a request is
    /// to be mapped.
    offsets: [AtomicU32; SMALL_MOST / GRAIN + 1],
    /// The first unit of the map, as an address in units, and how many there
    /// are; the entry of the unit at address 0, which is not part of the map.
    first: AtomicUsize,
    len: AtomicUsize,
    map: AtomicPtr<AtomicU32>,
    /// Requests of this many bytes or more are not for caches.
    below: AtomicUsize,
    /// The last class that units hold.
    units_last: AtomicUsize,
    /// Bytes of a class that the depot keeps.
    kept: AtomicUsize,
    /// How many caches there are.
    caches: AtomicUsize,
    classes: UnsafeCell<Classes>,
}

// SAFETY: `classes` is written once, before anything that leads to it is
// published (see `classes`).
unsafe impl Sync for Front {}

impl Front {
    pub(crate) const fn new() -> Front {
        Front {
            offsets: [const { AtomicU32::new(0) }; SMALL_MOST / GRAIN + 1],
            first: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            map: AtomicPtr::new(null_mut()),
            below: AtomicUsize::new(0),
            units_last: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            caches: AtomicUsize::new(0),
            classes: UnsafeCell::new(Classes::NONE),
        }
    }

    /// Says which classes there are.
    ///
    /// # Safety
    ///
    /// Called once, before any thread has a cache.
    pub(crate) unsafe fn begin(&self, classes: &Classes, units_last: usize, kept: usize) {
        self.kept.store(kept, Ordering::Relaxed);
        // SAFETY: nobody reads it yet.
        unsafe { *self.classes.get() = classes.clone() };
        self.units_last.store(units_last, Ordering::Relaxed);
    }

    /// Lets requests of less than `below` bytes be served from caches.
    pub(crate) fn allow(&self, below: usize) {
        self.below.store(below, Ordering::Relaxed);
        for (grains, offset) in self.offsets.iter().enumerate() {
            // The largest request that this entry stands for.
            let class = self.classes().of(grains * GRAIN);
            let fast = grains * GRAIN < below && class <= self.units_last();
            let new = if fast { class << STACK_BITS } else { 0 };
            offset.store(new as u32, Ordering::Relaxed);
        }
    }

    /// Says where units are.
    pub(crate) fn show(&self, map: &UnitMap) {
        if self.len.load(Ordering::Relaxed) == 0 {
            self.first.store(map.base >> UNIT_BITS, Ordering::Relaxed);
            self.map
                .store(map.classes.as_ptr().wrapping_sub(map.base >> UNIT_BITS), Ordering::Relaxed);
            // Last: with a `len` of 0 nobody looks at the others. Whoever is
            // given a block of a unit is given it after this.
            self.len.store(map.len, Ordering::Release);
        }
    }

    /// The classes. For threads that have a cache, or the heap's lock.
    pub(crate) fn classes(&self) -> &Classes {
        // SAFETY: written before the first cache was handed out.
        unsafe { &*self.classes.get() }
    }

    /// The last class that units hold.
    pub(crate) fn units_last(&self) -> usize {
        self.units_last.load(Ordering::Relaxed)
    }

    /// How many blocks of a class the depot keeps at most: none as long as
    /// there has been one thread only, which has no use for it.
    pub(crate) fn kept(&self, class: usize) -> usize {
        if self.caches.load(Ordering::Relaxed) < 2 {
            return 0;
        }
        self.kept.load(Ordering::Relaxed) / self.classes().size(class)
    }

    /// One cache more was made.
    pub(crate) fn note_cache(&self) {
        self.caches.fetch_add(1, Ordering::Relaxed);
    }

    /// Where the stack is that serves a request, in bytes from the cache's
    /// start. `size` is at most [`SMALL_MOST`].
    #[inline(always)]
    pub(crate) fn offset(&self, size: usize) -> usize {
        match self.offsets.get(size.div_ceil(GRAIN)) {
            Some(offset) => offset.load(Ordering::Relaxed) as usize,
            None => 0,
        }
    }

    /// The class of a request that a cache may serve, or 0.
    pub(crate) fn cached_class(&self, size: usize, align: usize) -> usize {
        if size >= self.below.load(Ordering::Relaxed) {
            return 0;
        }
        let classes = self.classes();
        if align <= GRAIN {
            return classes.of(size);
        }
        // A unit's blocks have the alignment that divides their size.
        match size.max(1).checked_next_multiple_of(align).map_or(0, |size| classes.of(size)) {
            class if class <= self.units_last() && classes.size(class).is_multiple_of(align) => {
                class
            }
            _ => 0,
        }
    }

    /// The class of the unit that a block lies in; 0 if in none.
    pub(crate) fn class_of(&self, block: NonNull<u8>) -> usize {
        self.offset_of(block) >> STACK_BITS
    }

    /// Where the stack of that class is, in bytes from a cache's start.
    #[inline(always)]
    pub(crate) fn offset_of(&self, block: NonNull<u8>) -> usize {
        let unit = block.addr().get() >> UNIT_BITS;
        // First: while it is 0, the others may not have been stored.
        let len = self.len.load(Ordering::Acquire);
        if unit.wrapping_sub(self.first.load(Ordering::Relaxed)) >= len {
            return 0;
        }
        // SAFETY: the map has `len` entries; what leads to it was stored before.
        unsafe {
            (*self.map.load(Ordering::Relaxed).wrapping_add(unit)).load(Ordering::Relaxed) as usize
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SizeClasses;

    #[test]
    fn requests_find_the_stack_of_their_class_up_to_a_bound() {
        let classes = Classes::new(&SizeClasses::Steps8);
        let front = Front::new();
        let offset = |size: usize| classes.of(size) << STACK_BITS;
        // SAFETY: called once, and no other thread knows of it.
        unsafe { front.begin(&classes, classes.of(512), 1 << 16) };
        assert_eq!(front.offset(100), 0, "not allowed yet");

        front.allow(400);
        for size in 0..=SMALL_MOST + GRAIN {
            let is_fast = size.next_multiple_of(GRAIN) < 400;
            assert_eq!(front.offset(size), if is_fast { offset(size) } else { 0 }, "{size}");
            assert_eq!(front.cached_class(size, GRAIN) > 0, size < 400, "{size}");
        }
        front.allow(usize::MAX);
        assert_eq!((front.offset(512), front.offset(513)), (offset(512), 0), "has no units");
        assert_eq!(front.cached_class(513, GRAIN), classes.of(513));
        assert_eq!(front.cached_class(100, 64), classes.of(128), "whose blocks are aligned");
        assert_eq!(front.cached_class(1000, 64), 0, "as none without units need be");

        front.note_cache();
        assert_eq!(front.kept(classes.of(64)), 0, "for one thread alone");
        front.note_cache();
        assert_eq!(front.kept(classes.of(64)), (1 << 16) / 64);
    }
}
