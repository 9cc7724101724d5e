//! Sizes and choices for drivers that may cost no more than they measure.

use super::hand::WORD;

/// A linear congruential generator (Knuth's MMIX constants) of which the upper
/// half is used: a few cycles a number, which overlap with the allocator's.
#[derive(Debug, Clone)]
pub(super) struct Random {
    /// The number that was given last, and the one that comes.
    last: u64,
    next: u64,
}

const FACTOR: u64 = 6_364_136_223_846_793_005;
const TERM: u64 = 0x1405_7b7e_f767_814f;

/// The same for two steps at once: each number is computed from the one before the
/// last, so that two multiplications are under way at a time.
const FACTOR_OF_TWO: u64 = FACTOR.wrapping_mul(FACTOR);
const TERM_OF_TWO: u64 = FACTOR.wrapping_mul(TERM).wrapping_add(TERM);

impl Random {
    /// Different numbers for each seed and each `stream` (a thread, a use).
    pub(super) fn new(seed: u64, stream: u64) -> Random {
        let last = seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let random = Random { last, next: last.wrapping_mul(FACTOR).wrapping_add(TERM) };
        // Neighbouring seeds begin with neighbouring numbers.
        random.ahead(4)
    }

    /// The same numbers, so many of them left out.
    pub(super) fn ahead(&self, numbers: usize) -> Random {
        let mut random = self.clone();
        for _ in 0..numbers {
            random.next();
        }
        random
    }

    /// 64 bits, the lower ones of which are not random enough to choose by.
    #[inline(always)]
    pub(super) fn next(&mut self) -> u64 {
        let number = self.next;
        self.next = self.last.wrapping_mul(FACTOR_OF_TWO).wrapping_add(TERM_OF_TWO);
        self.last = number;
        number
    }

    /// A number below `limit`, which is far below 2^32: the bias does not matter.
    #[inline(always)]
    pub(super) fn below(&mut self, limit: usize) -> usize {
        (((self.next() >> 32) * limit as u64) >> 32) as usize
    }
}

/// How sizes are distributed, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sizes {
    /// All alike.
    Fixed(usize),
    /// From the first to the second, each as likely.
    Uniform(usize, usize),
    /// From the first size on so many doublings, each as likely, and any size
    /// within a doubling.
    Doublings(usize, usize),
    /// The same, but each doubling is half as likely as the one before it: what is
    /// larger than x is as rare as 1/x (Pareto), and the density falls as 1/x².
    Pareto(usize, usize),
    /// Either of two, each as likely.
    Either(usize, usize),
}

impl Sizes {
    #[inline(always)]
    pub(super) fn draw(self, random: &mut Random) -> usize {
        let size = match self {
            Sizes::Fixed(size) => size,
            Sizes::Uniform(least, most) => least + random.below(most - least + 1),
            Sizes::Doublings(least, doublings) => {
                let doubling = least << random.below(doublings);
                doubling + random.below(doubling)
            }
            Sizes::Pareto(least, doublings) => {
                let zeros = random.next().leading_zeros() as usize;
                let doubling = least << zeros.min(doublings - 1);
                doubling + random.below(doubling)
            }
            Sizes::Either(one, other) => {
                if random.below(2) == 0 {
                    one
                } else {
                    other
                }
            }
        };
        debug_assert!(size >= WORD);
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fill_their_range() {
        let mut random = Random::new(1, 0);
        let mut range = |sizes: Sizes| {
            let drawn: Vec<usize> = (0..20_000).map(|_| sizes.draw(&mut random)).collect();
            (*drawn.iter().min().unwrap(), *drawn.iter().max().unwrap())
        };
        assert_eq!(range(Sizes::Fixed(64)), (64, 64));
        assert_eq!(range(Sizes::Uniform(16, 1024)), (16, 1024));
        assert_eq!(range(Sizes::Doublings(16, 4)), (16, 255));
        assert_eq!(range(Sizes::Pareto(16, 4)), (16, 255));
        assert_eq!(range(Sizes::Either(9, 70)), (9, 70));
    }

    #[test]
    fn pareto_sizes_halve_with_each_doubling() {
        let mut random = Random::new(3, 0);
        let drawn: Vec<usize> =
            (0..40_000).map(|_| Sizes::Pareto(16, 10).draw(&mut random)).collect();
        for doublings in 1..6 {
            let beyond = drawn.iter().filter(|size| **size >= 16 << doublings).count();
            let expected = 40_000 >> doublings;
            assert!(beyond.abs_diff(expected) * 10 < expected, "{doublings}: {beyond}");
        }
    }

    #[test]
    fn two_steps_at_once_are_two_steps() {
        let mut random = Random::new(42, 7);
        let mut last = random.next();
        for _ in 0..1000 {
            let number = random.next();
            assert_eq!(number, last.wrapping_mul(FACTOR).wrapping_add(TERM));
            last = number;
        }
    }

    #[test]
    fn who_is_ahead_gives_the_same_numbers_sooner() {
        let mut random = Random::new(3, 1);
        let mut ahead = random.ahead(2);
        let numbers: Vec<u64> = (0..5).map(|_| random.next()).collect();
        assert_eq!((0..3).map(|_| ahead.next()).collect::<Vec<u64>>(), numbers[2..]);
    }

    #[test]
    fn seeds_and_streams_differ() {
        let first = |seed, stream| Random::new(seed, stream).below(1 << 30);
        assert_ne!(first(1, 0), first(2, 0));
        assert_ne!(first(1, 0), first(1, 1));
        assert_eq!(first(1, 1), first(1, 1));
    }
}
