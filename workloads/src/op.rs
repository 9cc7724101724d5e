//! An operation on an allocator, as a value.
//!
//! A program of them means the same to every allocator: blocks are named by
//! slots, not by addresses. So tests, fuzzing, traces and replay share it.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// One operation. On an empty slot `Realloc` and `Free` do nothing; a block
/// that is in the way of an `Alloc` is freed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Allocate into a slot.
    Alloc {
        /// Which slot.
        slot: u32,
        /// Bytes requested.
        size: usize,
        /// Alignment in bytes, a power of two.
        align: usize,
        /// Whether the block must read as zero.
        zeroed: bool,
    },
    /// Resize the block of a slot.
    Realloc {
        /// Which slot.
        slot: u32,
        /// Bytes requested.
        size: usize,
    },
    /// Free the block of a slot.
    Free {
        /// Which slot.
        slot: u32,
    },
}

/// An endless program, drawn from a seed.
///
/// Sizes are spread evenly over the doublings up to the largest, as far as
/// chance goes; one in eight is a multiple of its alignment, and one in eight
/// lies within 32 bytes of a power of two, where classes and thresholds meet.
#[derive(Clone, Debug)]
pub struct Generator {
    random: Pcg64,
    slots: u32,
    largest: usize,
}

/// The largest alignment a [`Generator`] asks for, in bytes.
pub const ALIGN_MOST: usize = 64 << 10;

impl Generator {
    /// Programs over `slots` slots with requests of up to `largest` bytes;
    /// both at least 1.
    pub fn new(seed: u64, slots: u32, largest: usize) -> Generator {
        Generator {
            random: Pcg64::seed_from_u64(seed),
            slots: slots.max(1),
            largest: largest.max(1),
        }
    }

    /// A number below `bound`; the bias of the remainder does not matter here.
    fn below(&mut self, bound: usize) -> usize {
        (self.random.next_u64() % bound as u64) as usize
    }

    fn align(&mut self) -> usize {
        match self.below(8) {
            0 => 1 << self.below(ALIGN_MOST.ilog2() as usize + 1),
            1 => 8,
            _ => 16,
        }
    }

    fn size(&mut self, align: usize) -> usize {
        let doublings = self.largest.ilog2() as usize + 1;
        let power = 1 << self.below(doublings);
        let size = match self.below(8) {
            0 => align * (1 + self.below((power / align).max(1))),
            1 => (power + 32).saturating_sub(self.below(65)),
            _ => power + self.below(power),
        };
        size.min(self.largest)
    }
}

impl Iterator for Generator {
    type Item = Op;

    fn next(&mut self) -> Option<Op> {
        let slot = self.below(self.slots as usize) as u32;
        Some(match self.below(16) {
            0..8 => {
                let align = self.align();
                Op::Alloc { slot, size: self.size(align), align, zeroed: self.below(4) == 0 }
            }
            8..11 => Op::Realloc { slot, size: self.size(16) },
            _ => Op::Free { slot },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_program_again_and_another_seed_another() {
        let program = |seed| Generator::new(seed, 8, 4096).take(100).collect::<Vec<_>>();
        assert_eq!(program(1), program(1));
        assert_ne!(program(1), program(2));
    }

    #[test]
    fn programs_stay_within_what_was_asked_for_and_use_it() {
        let (mut kinds, mut zeroed, mut aligned) = ([0; 3], 0, 0);
        let mut largest = 0;
        for op in Generator::new(7, 5, 1000).take(10_000) {
            let (kind, slot, size) = match op {
                Op::Alloc { slot, size, align, zeroed: zero } => {
                    assert!(align.is_power_of_two() && align <= ALIGN_MOST);
                    zeroed += usize::from(zero);
                    aligned += usize::from(align > 16);
                    (0, slot, size)
                }
                Op::Realloc { slot, size } => (1, slot, size),
                Op::Free { slot } => (2, slot, 0),
            };
            kinds[kind] += 1;
            assert!(slot < 5 && size <= 1000);
            largest = largest.max(size);
        }
        assert!(kinds.iter().all(|&count| count > 1000), "{kinds:?}");
        assert!(zeroed > 500 && aligned > 200 && largest == 1000);
    }
}
