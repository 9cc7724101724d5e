//! Small blocks: taken out of units and put back, units made and given back.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering;

use super::chunk::State;
use super::units::{FULL, UNIT, UNIT_BITS, Unit, UnitMap, blocks_of, tier_of, words_of};
use super::{Heap, Misuse};
use crate::cache::STACK_BITS;
use crate::os::{PageSource, round_up};
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

    /// Malloc, step 2: blocks of a class, lowest addresses first, until `out` is full; gives
    /// how many. Fewer only if there is no memory for a unit.
    pub(crate) fn allocate_small(&mut self, class: usize, out: &mut [*mut u8]) -> usize {
        let size = self.classes.size(class);
        let mut taken = 0;
        while taken < out.len() {
            let found = self.units.tiers[class].iter().find_map(|head| *head);
            let Some(mut unit) = found.or_else(|| self.make_unit(class)) else { break };
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
    unsafe fn free_run<'a>(
        &mut self,
        mut unit: NonNull<Unit>,
        index: usize,
        blocks: &'a [*mut u8],
    ) -> Result<&'a [*mut u8], (NonNull<u8>, Misuse)> {
        // SAFETY: by contract; bits and words are those of the unit's blocks.
        unsafe {
            let Unit { start, class, blocks: most, .. } = unit.read();
            let size = self.classes.size(class.into());
            let reciprocal = u64::from(self.units.reciprocals[usize::from(class)]);
            let bits = Unit::bits(unit);
            let mut count = 0;
            let mut wrong = None;
            // One word at a time stays in a register: blocks that are freed
            // together mostly lie together.
            let mut at = bits;
            let mut word = at.read();
            while let [block, others @ ..] = &blocks[count..] {
                let offset = block.addr().wrapping_sub(start.addr().get());
                if offset >= UNIT {
                    break;
                }
                // The number of the block, and what is left of it: less than
                // one only at a block's start.
                let quotient = offset as u64 * reciprocal;
                let number = (quotient >> 32) as usize;
                if u64::from(quotient as u32) >= reciprocal || number >= most.into() {
                    wrong = Some(Misuse::NotABlock);
                    break;
                }
                // Those right behind it, as after a run of allocations, go
                // with it.
                let room = (64 - number % 64).min(usize::from(most) - number);
                let next = (1..room).map(|ahead| block.wrapping_add(ahead * size));
                let run =
                    1 + others.iter().zip(next).take_while(|&(&one, next)| one == next).count();
                let mask = u64::MAX >> (64 - run) << (number % 64);
                if bits.add(number / 64) != at {
                    at.write(word);
                    at = bits.add(number / 64);
                    word = at.read();
                }
                if word & mask != 0 {
                    let good = (word & mask).trailing_zeros() as usize - number % 64;
                    word |= mask & ((1 << (number % 64 + good)) - 1);
                    count += good;
                    wrong = Some(Misuse::DoubleFree);
                    break;
                }
                word |= mask;
                count += run;
            }
            at.write(word);
            self.counters.small_blocks -= count;
            self.counters.small_bytes -= count * size;
            unit.as_mut().used -= count as u16;
            if unit.as_ref().used == 0 {
                self.drop_unit(unit, index);
            } else {
                self.units.settle(unit);
            }
            match wrong.zip(NonNull::new(blocks[count.min(blocks.len() - 1)])) {
                Some((misuse, block)) => Err((block, misuse)),
                None => Ok(&blocks[count..]),
            }
        }
    }

    /// A new unit of a class, in the list of its tier.
    fn make_unit(&mut self, class: usize) -> Option<NonNull<Unit>> {
        self.make_unit_map()?;
        // Such as a region where the break is blocked.
        if self.units.uncovered.is_some() && self.units.uncovered == self.segments {
            return None;
        }
        let blocks = blocks_of(self.classes.size(class));
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
                class: class as u8,
                tier: FULL,
                blocks: blocks as u16,
                used: 0,
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
        self.counters.unit_room += blocks * self.classes.size(class);
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
