//! Pairs: a block is allocated, its first word written, and it is freed again.
//!
//! It provokes the fast path and nothing else: the block freed last comes back,
//! from a free list or a cache that is warm. The oldest of allocator benchmarks
//! (glibc's own `bench-malloc-simple`, the first loop of `alloc-test`); what an
//! allocator loses here it loses everywhere.

use std::io;

use super::hand::Hand;
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::{Driver, scaled};

/// Pairs at scale 1.
const PAIRS: u64 = 4_000_000;

#[derive(Debug)]
pub(super) struct Pair {
    sizes: Sizes,
    seed: u64,
    pairs: u64,
}

impl Pair {
    pub(super) fn new(seed: u64, scale: f64, sizes: Sizes) -> io::Result<Pair> {
        Ok(Pair { sizes, seed, pairs: scaled(PAIRS, scale) })
    }
}

impl Driver for Pair {
    fn operations(&self) -> u64 {
        2 * self.pairs
    }

    fn table_bytes(&self) -> usize {
        0
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        for _ in 0..self.pairs {
            let size = self.sizes.draw(&mut random);
            let block = hand.allocate(size, random.next());
            hand.free(block);
        }
        hand.digest()
    }
}
