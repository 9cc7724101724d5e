//! An endless program out of a seed.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::draw::Bits;
use super::{ALIGN_MOST, Op, Shape};

/// An endless program, drawn from a seed.
///
/// Sizes are spread evenly over the doublings up to the largest, as far as
/// chance goes; one in eight is a multiple of its alignment, and one in eight
/// lies within 32 bytes of a power of two, where classes and thresholds meet.
#[derive(Clone, Debug)]
pub struct Generator<'a> {
    bits: Random,
    shape: Shape<'a>,
}

impl Generator<'static> {
    /// Programs over `slots` slots with requests of up to `largest` bytes, all
    /// of which can be granted, and no events; both numbers at least 1.
    pub fn new(seed: u64, slots: u32, largest: usize) -> Generator<'static> {
        let shape = Shape { slots, largest, align_most: ALIGN_MOST, ..Shape::PLAIN };
        Generator::shaped(seed, shape)
    }
}

impl<'a> Generator<'a> {
    /// Programs of a shape.
    pub fn shaped(seed: u64, shape: Shape<'a>) -> Generator<'a> {
        let shape = Shape { slots: shape.slots.max(1), largest: shape.largest.max(1), ..shape };
        Generator { bits: Random::new(seed), shape }
    }
}

impl Iterator for Generator<'_> {
    type Item = Op;

    fn next(&mut self) -> Option<Op> {
        Some(Op::draw(&mut self.bits, &self.shape))
    }
}

/// Random bits out of a seed.
#[derive(Clone, Debug)]
pub struct Random(Pcg64);

impl Random {
    /// The bits of a seed.
    pub fn new(seed: u64) -> Random {
        Random(Pcg64::seed_from_u64(seed))
    }
}

impl Bits for Random {
    fn bits(&mut self, bits: u32) -> u64 {
        self.0.next_u64() & (u64::MAX >> (u64::BITS - bits.clamp(1, u64::BITS)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::draw::Events;
    use super::super::draw::IMPOSSIBLE_FROM;
    use super::*;

    #[test]
    fn a_seed_gives_the_same_program_again_and_another_seed_another() {
        let program = |seed| Generator::new(seed, 8, 4096).take(100).collect::<Vec<_>>();
        assert_eq!(program(1), program(1));
        assert_ne!(program(1), program(2));
    }

    #[test]
    fn programs_stay_within_what_was_asked_for_and_use_it() {
        let (mut kinds, mut zeroed, mut aligned) = ([0; 5], 0, 0);
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
                Op::Calloc { slot, count, size } => (3, slot, count * size - size.min(count)),
                Op::Usable { slot } => (4, slot, 0),
                Op::Event(event) => panic!("{event:?} was not asked for"),
            };
            kinds[kind] += 1;
            assert!(slot < 5 && size <= 1000, "{op:?}");
            largest = largest.max(size);
        }
        assert!(kinds[..3].iter().all(|&count| count > 1000), "{kinds:?}");
        assert!(kinds[3..].iter().all(|&count| count > 100), "{kinds:?}");
        assert!(zeroed > 500 && aligned > 200 && largest == 1000);
    }

    #[test]
    fn all_events_and_all_edges_are_met() {
        let events = Events {
            trim: true,
            set: true,
            threads: 3,
            fork: true,
            wait: true,
            fail: true,
            move_break: true,
        };
        let shape = Shape {
            slots: 4,
            largest: 1 << 20,
            align_most: 4096,
            edges: &[131_072],
            impossible: true,
            events,
        };
        let (mut kinds, mut sizes) = ([0; 8], std::collections::BTreeSet::new());
        let mut overflows = 0;
        for op in Generator::shaped(3, shape).take(200_000) {
            match op {
                Op::Alloc { size, .. } => {
                    sizes.insert(size);
                }
                Op::Calloc { count, size, .. } => {
                    overflows += usize::from(count.checked_mul(size).is_none());
                }
                Op::Event(event) => {
                    kinds[match event {
                        Event::Trim { .. } => 0,
                        Event::Set { .. } => 1,
                        Event::Thread { .. } => 2,
                        Event::End { .. } => 3,
                        Event::Fork => 4,
                        Event::Wait { .. } => 5,
                        Event::Fail { .. } => 6,
                        Event::MoveBreak { .. } => 7,
                    }] += 1;
                }
                _ => {}
            }
        }
        assert!(kinds.iter().all(|&count| count > 300), "{kinds:?}");
        for size in [0, 1, 4096, 4097, 131_071, 131_072, 131_073, usize::MAX, isize::MAX as usize] {
            assert!(sizes.contains(&size), "no request of {size} bytes");
        }
        assert!(sizes.iter().any(|&size| size >= IMPOSSIBLE_FROM) && overflows > 100);
    }
}
