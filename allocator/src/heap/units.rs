//! Units: 32 KiB of small blocks of one class, side by side, without headers.
//!
//! ```text
//! unit address     == the start of a Unit chunk's block, a multiple of UNIT
//! map[index]       == the class of the unit at base + index * UNIT, shifted by STACK_BITS;
//!                     0 if none is there
//! records[index]   == its record; null where map[index] == 0
//! blocks, used     == how many blocks it has, how many are handed out
//! bit i is set    <=> block i is free, for i < blocks; else clear
//! tier, floor      == tier_of(used, blocks), floor_of(tier, blocks); the lists of a class,
//!                     fullest first, hold the units that have a free block
//! used == 0        => the unit is given back to the chunks
//! unit_room        == sum over classes of units * blocks * size
//! ```
//!
//! The chunk's header lies in the 16 bytes left of the unit, the next one's in
//! its last 16, so that units tile. What is known of blocks is kept apart from
//! them: allocating and freeing touches no block. The map is four bytes for
//! each 32 KiB of where the break may ever be, and never moves: threads read it
//! without the lock for the class of a pointer they free.

use core::iter;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use super::chunk::HEADER;
use super::misuse::Misuse;
use super::segment::Segment;
use crate::cache::STACK_BITS;
use crate::config::{Config, Metadata};
use crate::os::OS_PAGE_LEAST;
use crate::size_class::{Classes, GRAIN};

/// log2 of a unit's bytes.
pub(crate) const UNIT_BITS: u32 = 15;
/// Bytes of a unit.
pub(super) const UNIT: usize = 1 << UNIT_BITS;
/// The largest class that units hold, in bytes.
pub(crate) const SMALL_MOST: usize = 1 << 10;
/// The last class that units hold under any scheme.
const SMALL_LAST: usize = SMALL_MOST / GRAIN;

/// A class of which so many bytes are live or wanted deserves a unit: with fewer,
/// it would make an OS page or two resident for a block or two.
const DESERVING: usize = 1 << 10;
/// A block counts for no fewer bytes: a class deserves a unit after a few.
const DESERVED_EACH: usize = DESERVING / 8;
/// So does a class of which so many blocks were asked for, whatever became of them:
/// a block that comes and goes is served faster from a unit.
const DESERVED_BY: u8 = 16;

/// A class of so many units is large.
const LARGE: u32 = 4;

/// Lists of units with a free block, by how full they are.
pub(super) const TIERS: usize = 4;
/// The tier of a unit without a free block, which is in no list.
pub(super) const FULL: u8 = TIERS as u8;

/// A unit's record. Behind it come its bits, [`words_of`] its blocks.
#[repr(C)]
pub(super) struct Unit {
    pub(super) next: Option<NonNull<Unit>>,
    pub(super) previous: Option<NonNull<Unit>>,
    pub(super) start: NonNull<u8>,
    /// To find a block's number by a multiplication.
    pub(super) reciprocal: u32,
    /// Bytes of a block.
    pub(super) size: u16,
    pub(super) class: u8,
    pub(super) tier: u8,
    pub(super) blocks: u16,
    pub(super) used: u16,
    /// With fewer used it is of another tier, or of none.
    pub(super) floor: u16,
    /// Whether OS pages of it may have gone back to the OS.
    pub(super) has_returned: bool,
}

pub(super) const fn words_of(blocks: usize) -> usize {
    blocks.div_ceil(64)
}

/// How many blocks of `size` bytes a unit has: its last 16 bytes are the next
/// chunk's header.
pub(super) const fn blocks_of(size: usize) -> usize {
    (UNIT - HEADER) / size
}

/// 0 for the fullest.
pub(super) fn tier_of(used: usize, blocks: usize) -> u8 {
    if used == blocks {
        return FULL;
    }
    // No division: this is asked on every flush.
    let quarters = (1..TIERS).filter(|quarter| used * TIERS >= quarter * blocks).count();
    (TIERS - 1 - quarters) as u8
}

/// How many blocks of a unit of a tier are used at least.
pub(super) fn floor_of(tier: u8, blocks: usize) -> usize {
    if tier == FULL {
        return blocks;
    }
    ((TIERS - 1).saturating_sub(tier.into()) * blocks).div_ceil(TIERS).max(1)
}

/// ceil(2^32 / size): a division by it, exact below 2^15.
pub(super) const fn reciprocal_of(size: usize) -> u32 {
    (1_u64 << 32).div_ceil(size as u64) as u32
}

/// The number of the block that begins `offset` bytes from the start of a unit of
/// `blocks` blocks; `None` if none does. What is left of the multiplication is less
/// than one `reciprocal` only at a block's start.
#[inline(always)]
pub(super) fn number_of(offset: usize, reciprocal: u32, blocks: usize) -> Option<usize> {
    let quotient = offset as u64 * u64::from(reciprocal);
    let number = (quotient >> 32) as usize;
    ((quotient as u32) < reciprocal && number < blocks).then_some(number)
}

impl Unit {
    /// Whether `block` is one of the unit's that is handed out, and how many bytes it
    /// has.
    ///
    /// # Errors
    ///
    /// Why not.
    ///
    /// # Safety
    ///
    /// The record of the unit that contains `block`.
    pub(super) unsafe fn inspect(unit: NonNull<Unit>, block: NonNull<u8>) -> Result<usize, Misuse> {
        // SAFETY: by contract; there are so many bits.
        unsafe {
            let Unit { start, reciprocal, size, blocks, .. } = *unit.as_ref();
            let offset = block.addr().get() - start.addr().get();
            let number = number_of(offset, reciprocal, blocks.into()).ok_or(Misuse::NotABlock)?;
            let word = Unit::bits(unit).add(number / 64).read();
            if word >> (number % 64) & 1 == 1 { Err(Misuse::DoubleFree) } else { Ok(size.into()) }
        }
    }

    /// The bits' words.
    ///
    /// # Safety
    ///
    /// A unit's record.
    pub(super) unsafe fn bits(unit: NonNull<Unit>) -> NonNull<u64> {
        // SAFETY: the words lie right behind the record, in the same block.
        unsafe { unit.add(1) }.cast()
    }

    /// How many bits are set.
    ///
    /// # Safety
    ///
    /// A unit's record.
    pub(super) unsafe fn free_bits(unit: NonNull<Unit>) -> usize {
        // SAFETY: by contract; there are so many words.
        unsafe {
            (0..words_of(unit.as_ref().blocks.into()))
                .map(|word| Unit::bits(unit).add(word).read().count_ones() as usize)
                .sum()
        }
    }

    /// Calls `each` with the addresses of every run of OS pages in which all
    /// blocks are free.
    ///
    /// # Safety
    ///
    /// A unit's record, of blocks of `size` bytes.
    pub(super) unsafe fn free_pages<E>(
        unit: NonNull<Unit>,
        size: usize,
        page: usize,
        mut each: impl FnMut(Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        // SAFETY: by contract; there are so many bits.
        let is_free = |block: usize| unsafe {
            Unit::bits(unit).add(block / 64).read() >> (block % 64) & 1 == 1
        };
        // SAFETY: by contract.
        let (start, most) = unsafe { (unit.as_ref().start.addr().get(), unit.as_ref().blocks) };
        let mut run = 0..0;
        for offset in (0..UNIT).step_by(page) {
            let (first, last) = (offset / size, (offset + page - 1) / size);
            // What is right of the last block is no block's.
            if last < most.into() && (first..=last).all(is_free) {
                run = if run.is_empty() { offset..offset + page } else { run.start..offset + page };
            } else if !run.is_empty() {
                each(start + run.start..start + run.end)?;
                run = 0..0;
            }
        }
        if run.is_empty() { Ok(()) } else { each(start + run.start..start + run.end) }
    }

    /// Takes free blocks until `out` is full, and gives how many: first those that begin in
    /// the unit's last OS page, which is resident anyway, then the others, lowest first.
    ///
    /// # Safety
    ///
    /// A unit's record, of blocks of `size` bytes.
    pub(super) unsafe fn take(unit: NonNull<Unit>, size: usize, out: &mut [*mut u8]) -> usize {
        // SAFETY: by contract; there are so many words, and a set bit stands
        // for a block of the unit.
        unsafe {
            let Unit { start, blocks, reciprocal, .. } = unit.read();
            let words = words_of(blocks.into());
            // The first that begins in the last page: behind the block of the byte before.
            let before = (UNIT - OS_PAGE_LEAST - 1) as u64 * u64::from(reciprocal);
            let from = (before >> 32) as usize + 1;
            let few = iter::once((from / 64, u64::MAX << (from % 64)));
            let others = (from / 64 + 1..words).chain(0..=from / 64);
            let order = few.chain(others.map(|word| (word, u64::MAX)));
            let mut taken = 0;
            for (word, mask) in order {
                let at = Unit::bits(unit).add(word);
                let free = at.read();
                let mut bits = free & mask;
                let first = start.add(word * 64 * size);
                let rest = &mut out[taken..];
                if bits == u64::MAX && rest.len() >= 64 {
                    // A new unit, mostly: no need to look at each bit.
                    for (number, block) in rest[..64].iter_mut().enumerate() {
                        *block = first.add(number * size).as_ptr();
                    }
                    at.write(0);
                    taken += 64;
                    continue;
                }
                for block in rest.iter_mut().take(bits.count_ones() as usize) {
                    *block = first.add(bits.trailing_zeros() as usize * size).as_ptr();
                    bits &= bits - 1;
                    taken += 1;
                }
                at.write(bits | free & !mask);
                if taken == out.len() {
                    break;
                }
            }
            taken
        }
    }
}

/// Where units are, for all threads to read.
#[derive(Clone, Copy)]
pub(crate) struct UnitMap {
    /// A multiple of UNIT.
    pub(crate) base: usize,
    /// How many units it covers.
    pub(crate) len: usize,
    /// Where a cache has the stack of the unit's class, or 0.
    pub(crate) classes: NonNull<AtomicU32>,
    pub(super) records: NonNull<*mut Unit>,
}

impl UnitMap {
    /// The index of the unit that would contain `address`.
    pub(super) fn index(&self, address: usize) -> Option<usize> {
        let index = address.wrapping_sub(self.base) >> UNIT_BITS;
        (index < self.len).then_some(index)
    }

    /// The class of the unit that contains `address`; 0 if none does.
    fn class(&self, address: usize) -> usize {
        match self.index(address) {
            Some(index) => {
                // SAFETY: `index < len`, and the map has so many bytes.
                (unsafe { self.classes.add(index).as_ref() }.load(Ordering::Relaxed) as usize)
                    >> STACK_BITS
            }
            None => 0,
        }
    }

    /// Where the pointer to a record is.
    ///
    /// # Safety
    ///
    /// `index < len`.
    pub(super) unsafe fn record(&self, index: usize) -> NonNull<*mut Unit> {
        // SAFETY: by contract.
        unsafe { self.records.add(index) }
    }
}

/// A heap's units.
pub(super) struct Units {
    pub(super) map: Option<UnitMap>,
    /// A segment that the map does not cover, as found when a unit was wanted.
    pub(super) uncovered: Option<NonNull<Segment>>,
    /// The last class that they hold; 0 if there are to be none.
    pub(super) last: u8,
    pub(super) tiers: [[Option<NonNull<Unit>>; TIERS]; SMALL_LAST + 1],
    /// Of each class, how much it is in use.
    demands: [Demand; SMALL_LAST + 1],
}

/// How much a class is in use.
#[derive(Clone, Copy)]
struct Demand {
    /// The bytes of live chunks that serve requests of it, since it did not deserve a unit
    /// yet: up to [`DESERVING`] or a little more, each counted as [`Demand::weight`] says.
    bytes: u16,
    /// How many of them there were, up to [`DESERVED_BY`].
    asked: u8,
    /// How many units it has.
    units: u32,
}

impl Demand {
    const NONE: Demand = Demand { bytes: 0, asked: 0, units: 0 };

    fn weight(size: usize) -> u16 {
        size.clamp(DESERVED_EACH, DESERVING) as u16
    }
}

impl Units {
    pub(super) const fn new(config: &Config, classes: &Classes) -> Units {
        let mut units = Units {
            map: None,
            uncovered: None,
            last: 0,
            tiers: [[None; TIERS]; SMALL_LAST + 1],
            demands: [Demand::NONE; SMALL_LAST + 1],
        };
        if matches!(config.metadata, Metadata::Header) {
            return units;
        }
        while (units.last as usize) < SMALL_LAST && (units.last as usize) < classes.last() {
            let class = units.last as usize + 1;
            let size = classes.size(class);
            if size > SMALL_MOST || size > config.slab_max.0 {
                break;
            }
            units.last += 1;
        }
        units
    }

    /// Whether a class of which one block more, of `size` bytes, is wanted is worth a
    /// unit.
    pub(super) fn deserves(&self, class: usize, size: usize) -> bool {
        let demand = self.demands[class];
        demand.asked == DESERVED_BY || usize::from(demand.bytes) + size >= DESERVING
    }

    /// A chunk of `size` bytes serves a request of a class.
    pub(super) fn note_apart(&mut self, class: usize, size: usize) {
        let demand = &mut self.demands[class];
        if usize::from(demand.bytes) < DESERVING {
            demand.bytes += Demand::weight(size);
        }
        demand.asked = DESERVED_BY.min(demand.asked + 1);
    }

    /// A chunk of `size` bytes is freed that may have served a request of a class.
    pub(super) fn note_apart_freed(&mut self, class: usize, size: usize) {
        if (1..=self.last.into()).contains(&class) {
            let demand = &mut self.demands[class];
            demand.bytes = demand.bytes.saturating_sub(Demand::weight(size));
        }
    }

    /// A class deserves units from now on.
    pub(super) fn deserve(&mut self, class: usize) {
        self.demands[class].asked = DESERVED_BY;
    }

    /// There is one unit more of a class: it deserves others.
    pub(super) fn note_unit(&mut self, class: usize) {
        self.deserve(class);
        self.demands[class].units += 1;
    }

    /// There is one less.
    pub(super) fn note_unit_gone(&mut self, class: usize) {
        self.demands[class].units -= 1;
    }

    /// Whether a class has so many units that some blocks more make no difference.
    pub(super) fn is_large(&self, class: usize) -> bool {
        self.demands[class].units >= LARGE
    }

    /// The bytes of the blocks of all units, by the number of each class's.
    pub(super) fn room(&self, classes: &Classes) -> usize {
        (1..=self.last.into())
            .map(|class| (self.demands[class].units as usize, classes.size(class)))
            .map(|(units, size)| units * blocks_of(size) * size)
            .sum()
    }

    /// The class of the unit that contains a block; 0 if none does.
    pub(super) fn class_of(&self, block: NonNull<u8>) -> usize {
        self.map.map_or(0, |map| map.class(block.addr().get()))
    }

    /// The unit that contains a block, and its index in the map.
    pub(super) fn unit_of(&self, block: NonNull<u8>) -> Option<(NonNull<Unit>, usize)> {
        let map = self.map.as_ref()?;
        let index = map.index(block.addr().get())?;
        // SAFETY: `index < len`; null where no unit is.
        NonNull::new(unsafe { map.record(index).read() }).map(|unit| (unit, index))
    }

    /// Brings a unit to the list that it belongs to.
    ///
    /// # Safety
    ///
    /// A unit's record, in the list of its `tier`.
    pub(super) unsafe fn settle(&mut self, mut unit: NonNull<Unit>) {
        // SAFETY: by contract; records in lists are alive.
        let now = unsafe { unit.as_mut() };
        let tier = tier_of(now.used.into(), now.blocks.into());
        if tier != now.tier {
            // SAFETY: in its list, and then in none.
            unsafe {
                self.delist(unit);
                self.enlist(unit, tier);
            }
        }
    }

    /// # Safety
    ///
    /// A unit's record, in no list.
    pub(super) unsafe fn enlist(&mut self, mut unit: NonNull<Unit>, tier: u8) {
        // SAFETY: by contract; records in lists are alive.
        unsafe {
            let new = unit.as_mut();
            new.tier = tier;
            new.floor = floor_of(tier, new.blocks.into()) as u16;
            if tier == FULL {
                return;
            }
            new.previous = None;
            new.next = self.tiers[new.class as usize][tier as usize].replace(unit);
            if let Some(mut next) = new.next {
                next.as_mut().previous = Some(unit);
            }
        }
    }

    /// # Safety
    ///
    /// A unit's record, in the list of its `tier`.
    pub(super) unsafe fn delist(&mut self, unit: NonNull<Unit>) {
        // SAFETY: by contract; records in lists are alive.
        unsafe {
            let Unit { next, previous, class, tier, .. } = unit.read();
            if tier == FULL {
                return;
            }
            match previous {
                Some(mut previous) => previous.as_mut().next = next,
                None => self.tiers[class as usize][tier as usize] = next,
            }
            if let Some(mut next) = next {
                next.as_mut().previous = previous;
            }
        }
    }

    /// Calls `each` with every unit in the list of a class and tier.
    pub(super) fn walk(&self, class: usize, tier: usize, mut each: impl FnMut(&Unit) -> bool) {
        let mut next = self.tiers[class][tier];
        while let Some(unit) = next {
            // SAFETY: records in lists are alive.
            let unit = unsafe { unit.as_ref() };
            if !each(unit) {
                return;
            }
            next = unit.next;
        }
    }

    /// The record of the unit that starts at `block`, for `check`.
    pub(super) fn starting_at(&self, block: NonNull<u8>) -> Option<NonNull<Unit>> {
        // SAFETY: records in the map are alive.
        self.unit_of(block)
            .map(|(unit, _)| unit)
            .filter(|unit| unsafe { unit.as_ref() }.start == block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SizeClasses;

    #[test]
    fn reciprocals_divide_exactly_and_know_a_block_by_its_start() {
        for &scheme in SizeClasses::ALL {
            let config = Config { size_classes: scheme, ..Config::DEFAULT };
            let classes = Classes::new(&scheme);
            let units = Units::new(&config, &classes);
            for class in 1..=usize::from(units.last) {
                let (size, reciprocal) = (classes.size(class), reciprocal_of(classes.size(class)));
                for offset in 0..UNIT {
                    let quotient = offset as u64 * u64::from(reciprocal);
                    assert_eq!((quotient >> 32) as usize, offset / size);
                    assert_eq!((quotient as u32) < reciprocal, offset.is_multiple_of(size));
                }
            }
        }
    }

    #[test]
    fn tiers_are_quarters() {
        for blocks in [31, 512, 2047] {
            assert_eq!(tier_of(blocks, blocks), FULL);
            for used in 0..blocks {
                let tier = tier_of(used, blocks);
                assert_eq!(usize::from(tier), TIERS - 1 - used * TIERS / blocks);
                assert_eq!(used < floor_of(tier, blocks), used == 0);
                assert_eq!(tier_of(floor_of(tier, blocks), blocks), tier);
            }
        }
    }
}
