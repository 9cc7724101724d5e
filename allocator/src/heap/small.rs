//! Small blocks: taken out of units and put back, units made and given back.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering;

use super::chunk::State;
use super::units::{
    FULL, UNIT, UNIT_BITS, Unit, UnitMap, blocks_of, number_of, reciprocal_of, tier_of, words_of,
};
use super::{Heap, Misuse};
use crate::cache::STACK_BITS;
use crate::os::{OS_PAGE_LEAST, PageSource, round_up};
use crate::size_class::GRAIN;

impl<S: PageSource> Heap<S> {
    /// The class of unit that serves a request, or 0: block `i` of a class lies
    /// at `i` times its size, so that classes that are multiples of an
    /// alignment have it.
    pub(super) fn small_class(&self, size: usize, align: usize) -> usize {
        let Some(padded) = round_up(size.max(1), align) else { return 0 };
        let class = self.classes.of(padded);
        let fits = class <= self.units.last.into()
            && (align <= GRAIN || self.classes.size(class).is_multiple_of(align));
        if fits { class } else { 0 }
    }

    /// How many blocks of a class a thread should take at a time: an OS page of them, as
    /// long as the class has few units. What a thread took and does not need is to be
    /// little beside what it needs.
    pub(crate) fn portion(&self, class: usize) -> usize {
        match self.units.is_large(class) {
            true => usize::MAX,
            false => (OS_PAGE_LEAST / self.classes.size(class)).max(1),
        }
    }

    /// Malloc, step 2: blocks of a class, of the fullest units first and of each as
    /// [`Unit::take`] orders them, until `out` is full; gives how many. Fewer only if
    /// the class does not deserve a unit yet, or if there is no memory for one.
    pub(crate) fn allocate_small(&mut self, class: usize, out: &mut [*mut u8]) -> usize {
        let size = self.classes.size(class);
        let mut taken = 0;
        while taken < out.len() {
            let found = self.units.tiers[class].iter().find_map(|head| *head);
            let Some(mut unit) = found.or_else(|| self.make_unit(class)) else {
                break;
            };
            // SAFETY: units in lists are alive, and have a free block.
            unsafe {
                if unit.as_ref().has_returned {
                    let start = unit.as_ref().start.addr().get();
                    self.touch(start..start + UNIT);
                    unit.as_mut().has_returned = false;
                }
                let count = Unit::take(unit, size, &mut out[taken..]);
                unit.as_mut().used += count as u16;
                self.units.settle(unit);
                taken += count;
            }
        }
        self.counters.small_blocks += taken;
        self.counters.small_bytes += taken * size;
        self.note_idle();
        taken
    }

    /// Frees blocks.
    ///
    /// # Errors
    ///
    /// The first that is no live block, and why; those before it are freed.
    ///
    /// # Safety
    ///
    /// As [`Heap::free`], for each.
    pub(crate) unsafe fn free_batch(
        &mut self,
        blocks: &[*mut u8],
    ) -> Result<(), (NonNull<u8>, Misuse)> {
        let mut rest = blocks;
        while let Some((&block, others)) = rest.split_first() {
            let Some(block) = NonNull::new(block) else {
                rest = others;
                continue;
            };
            rest = match self.units.unit_of(block) {
                // SAFETY: by contract; the record and index of its unit.
                Some((unit, index)) => unsafe { self.free_run(unit, index, rest) }?,
                None => {
                    // SAFETY: by contract.
                    unsafe { self.free_headed(block) }.map_err(|misuse| (block, misuse))?;
                    others
                }
            };
        }
        self.trim_by_time();
        Ok(())
    }

    /// Free, step 2: frees blocks as long as they lie in one unit, and gives the rest.
    ///
    /// # Safety
    ///
    /// The record and the index of the unit that contains the first of them.
    #[inline]
    unsafe fn free_run<'a>(
        &mut self,
        mut unit: NonNull<Unit>,
        index: usize,
        blocks: &'a [*mut u8],
    ) -> Result<&'a [*mut u8], (NonNull<u8>, Misuse)> {
        // SAFETY: by contract; bits and words are those of the unit's blocks.
        unsafe {
            let Unit { start, reciprocal, size, blocks: most, .. } = *unit.as_ref();
            let (size, most) = (usize::from(size), usize::from(most));
            let mut rest = blocks;
            let mut wrong = None;
            while let Some(&block) = rest.first() {
                let offset = block.addr().wrapping_sub(start.addr().get());
                if offset >= UNIT {
                    break;
                }
                let Some(number) = number_of(offset, reciprocal, most) else {
                    wrong = Some(Misuse::NotABlock);
                    break;
                };
                // Those right behind it, as after a run of allocations, go
                // with it.
                let (shift, mut run) = (number % 64, 1);
                let room = (64 - shift).min(most - number);
                while run < room && rest.get(run) == Some(&block.wrapping_add(run * size)) {
                    run += 1;
                }
                let mask = u64::MAX >> (64 - run) << shift;
                let mut word = Unit::bits(unit).add(number / 64);
                let free = *word.as_ref() & mask;
                if free != 0 {
                    // Those before the first that is free already are freed.
                    run = free.trailing_zeros() as usize - shift;
                    *word.as_mut() |= mask & !(u64::MAX << (shift + run));
                    rest = &rest[run..];
                    wrong = Some(Misuse::DoubleFree);
                    break;
                }
                *word.as_mut() |= mask;
                rest = &rest[run..];
            }
            let count = blocks.len() - rest.len();
            self.counters.small_blocks -= count;
            self.counters.small_bytes -= count * size;
            unit.as_mut().used -= count as u16;
            if unit.as_ref().used < unit.as_ref().floor {
                self.sink(unit, index);
            }
            match wrong.zip(rest.first().copied().and_then(NonNull::new)) {
                Some((misuse, block)) => Err((block, misuse)),
                None => Ok(rest),
            }
        }
    }

    /// Brings a unit that is emptier than others of its tier to another, or
    /// gives it back.
    ///
    /// # Safety
    ///
    /// A unit's record and index.
    unsafe fn sink(&mut self, unit: NonNull<Unit>, index: usize) {
        // SAFETY: by contract.
        unsafe {
            if unit.as_ref().used == 0 {
                self.drop_unit(unit, index);
            } else {
                self.units.settle(unit);
            }
        }
    }

    /// A new unit of a class, in the list of its tier.
    fn make_unit(&mut self, class: usize) -> Option<NonNull<Unit>> {
        if !self.units.deserves(class, self.classes.size(class)) {
            return None;
        }
        self.make_unit_map()?;
        // Such as a region where the break is blocked.
        if self.units.uncovered.is_some() && self.units.uncovered == self.segments {
            return None;
        }
        let size = self.classes.size(class);
        let blocks = blocks_of(size);
        let words = words_of(blocks);
        let record = self.allocate_inner(size_of::<Unit>() + words * size_of::<u64>())?;
        let unit = record.cast::<Unit>();
        let place = self.allocate_aligned(UNIT, UNIT);
        let map = self.units.map.as_ref()?;
        let Some((start, index)) =
            place.and_then(|place| Some((place.start, map.index(place.start.addr().get())?)))
        else {
            // SAFETY: just allocated, and used by nobody.
            unsafe {
                self.free_inner(record);
                if let Some(place) = place {
                    self.units.uncovered = self.segments;
                    self.reserve(place.start, State::Inner);
                    self.free_inner(place.start);
                }
            }
            return None;
        };
        // SAFETY: record, unit and map entries are ours; the record's block
        // has room for `words`.
        unsafe {
            unit.write(Unit {
                next: None,
                previous: None,
                start,
                reciprocal: reciprocal_of(size),
                size: size as u16,
                class: class as u8,
                tier: FULL,
                blocks: blocks as u16,
                used: 0,
                floor: 0,
                has_returned: false,
            });
            for word in 0..words {
                let bits = blocks - 64 * word;
                let all = if bits < 64 { (1 << bits) - 1 } else { u64::MAX };
                Unit::bits(unit).add(word).write(all);
            }
            map.record(index).write(unit.as_ptr());
            map.classes.add(index).as_ref().store((class << STACK_BITS) as u32, Ordering::Relaxed);
            self.reserve(start, State::Unit);
            self.units.enlist(unit, tier_of(0, blocks));
        }
        self.units.note_unit(class);
        self.counters.unit_room += blocks * size;
        Some(unit)
    }

    /// Gives an unused unit back to the chunks.
    ///
    /// # Safety
    ///
    /// The record and the index of a unit of which no block is in use.
    unsafe fn drop_unit(&mut self, unit: NonNull<Unit>, index: usize) {
        // SAFETY: by contract.
        unsafe {
            let Unit { start, class, blocks, .. } = unit.read();
            self.units.delist(unit);
            self.units.note_unit_gone(class.into());
            self.counters.unit_room -= usize::from(blocks) * self.classes.size(class.into());
            if let Some(map) = &self.units.map {
                map.classes.add(index).as_ref().store(0, Ordering::Relaxed);
                map.record(index).write(null_mut());
            }
            self.free_inner(unit.cast());
            self.free_inner(start);
        }
    }

    /// The map, made if there is none yet, to cover all that the break may
    /// ever reach from here.
    fn make_unit_map(&mut self) -> Option<()> {
        if self.units.map.is_some() {
            return Some(());
        }
        // The first segment says where that is.
        if self.segments.is_none() && !self.grow(UNIT) {
            return None;
        }
        let (base, len) = self.span()?;
        let len = len >> UNIT_BITS;
        let records = self.map_table(len * (size_of::<u32>() + size_of::<*mut Unit>()))?.cast();
        self.units.map = Some(UnitMap {
            base,
            len,
            // SAFETY: the map has 8 bytes for each record and one for each class.
            classes: unsafe { records.add(len) }.cast(),
            records,
        });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, SizeClasses};
    use crate::os::Simulated;

    /// 200 blocks of 48 bytes: the 84 that begin in the last OS page of a unit, then the
    /// first.
    fn heap_and_blocks() -> (Heap<Simulated>, usize, [*mut u8; 200]) {
        let mut heap = Heap::new(Config::DEFAULT, Simulated::new(1 << 20));
        let (class, mut blocks) = (heap.classes.of(48), [null_mut(); 200]);
        heap.units.deserve(class);
        assert_eq!(heap.allocate_small(class, &mut blocks), blocks.len());
        (heap, class, blocks)
    }

    #[test]
    fn a_class_gets_a_unit_for_what_is_live_or_for_many_requests() {
        let new = || Heap::new(Config::DEFAULT, Simulated::new(1 << 20));
        let allocate = |heap: &mut Heap<Simulated>| {
            let block = heap.allocate(100, GRAIN).expect("there is memory").start;
            (block, heap.units.class_of(block) != 0)
        };
        // Of 112 bytes, each counted as 128, the class wants 1 KiB.
        let mut heap = new();
        let kept = core::array::from_fn::<_, 9, _>(|_| allocate(&mut heap).1);
        assert_eq!(kept, [false, false, false, false, false, false, false, false, true]);
        // One that comes and goes is put where it was, up to the 17th.
        let mut heap = new();
        let come_and_go = core::array::from_fn::<_, 17, _>(|_| {
            let (block, in_unit) = allocate(&mut heap);
            // SAFETY: live.
            unsafe { heap.free(block) }.expect("a live block");
            (block, in_unit)
        });
        assert!(come_and_go[..16].iter().all(|&each| each == (come_and_go[0].0, false)));
        assert!(come_and_go[16].1);
        heap.check().expect("the heap is whole");
    }

    #[test]
    fn a_batch_is_freed_up_to_the_first_that_is_no_live_block() {
        for bad in [0, 1, 41, 42, 83, 84, 85, 147, 148, 149, 199] {
            let (mut heap, _, blocks) = heap_and_blocks();
            // SAFETY: a live block.
            unsafe { heap.free_batch(&blocks[bad..=bad]) }.expect("a live block");
            let used = heap.counters.small_blocks;
            // SAFETY: blocks of the heap; that one is free is to be noticed.
            let (at, misuse) = unsafe { heap.free_batch(&blocks) }.expect_err("one is free");
            assert_eq!((at.as_ptr(), misuse), (blocks[bad], Misuse::DoubleFree));
            assert_eq!(heap.counters.small_blocks, used - bad);
            heap.check().expect("the heap is whole");
            // SAFETY: the rest are live.
            unsafe { heap.free_batch(&blocks[bad + 1..]) }.expect("live blocks");
            assert_eq!((heap.counters.small_blocks, heap.counters.small_bytes), (0, 0));
            heap.check().expect("the heap is whole");
        }
    }

    #[test]
    fn a_class_of_few_units_is_taken_from_by_portions() {
        let mut heap = Heap::new(Config::DEFAULT, Simulated::new(1 << 20));
        let class = heap.classes.of(48);
        heap.units.deserve(class);
        let mut blocks = [null_mut(); 3 * blocks_of(48)];
        assert_eq!(heap.allocate_small(class, &mut blocks), blocks.len());
        assert_eq!(heap.portion(class), 4096 / 48);
        let mut other = [null_mut(); 1];
        assert_eq!(heap.allocate_small(class, &mut other), 1);
        assert_eq!(heap.portion(class), usize::MAX);
        heap.check().expect("the heap is whole");
        // SAFETY: a live block, and then the others.
        unsafe { heap.free_batch(&other) }.expect("a live block");
        assert_eq!(heap.portion(class), 4096 / 48);
        // SAFETY: live blocks.
        unsafe { heap.free_batch(&blocks) }.expect("live blocks");
        assert_eq!(heap.units.room(&heap.classes), 0);
    }

    #[test]
    fn blocks_where_the_next_header_lies_come_first_and_then_the_lowest() {
        for &size_classes in SizeClasses::ALL {
            let config = Config { size_classes, ..Config::DEFAULT };
            let mut heap = Heap::new(config, Simulated::new(4 << 20));
            for class in 1..=usize::from(heap.units.last) {
                let size = heap.classes.size(class);
                heap.units.deserve(class);
                let mut blocks = [null_mut(); blocks_of(GRAIN)];
                let blocks = &mut blocks[..blocks_of(size)];
                assert_eq!(heap.allocate_small(class, blocks), blocks.len());
                let numbers = blocks.iter().map(|block| block.addr() % UNIT / size);
                let from = (UNIT - 4096).div_ceil(size);
                assert!(numbers.eq((from..blocks.len()).chain(0..from)), "{size} bytes");
            }
            heap.check().expect("the heap is whole");
        }
    }

    #[test]
    fn blocks_are_freed_in_any_order_and_taken_again_lowest_first_after_the_last_few() {
        let (mut heap, class, blocks) = heap_and_blocks();
        let mut mixed = blocks;
        // 77 and 200 have no divisor in common: each comes once.
        for (at, block) in mixed.iter_mut().enumerate() {
            *block = blocks[at * 77 % 200];
        }
        for batch in mixed[..150].chunks(7) {
            // SAFETY: live blocks.
            unsafe { heap.free_batch(batch) }.expect("live blocks");
            heap.check().expect("the heap is whole");
        }
        let mut again = [null_mut(); 150];
        assert_eq!(heap.allocate_small(class, &mut again), 150);
        mixed[..150].sort();
        let lowest = again.iter().position(|block| *block == mixed[0]);
        again.rotate_left(lowest.expect("it is among them"));
        assert_eq!(again, mixed[..150]);
    }
}
