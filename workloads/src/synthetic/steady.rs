//! Steady replacement: of so many live blocks, a random one is freed and another
//! allocated in its place.
//!
//! It provokes the memory hierarchy and the heap's order: with more live blocks
//! than caches hold, every free touches what an allocator keeps about a block,
//! and every allocation takes the hole that another left. Sizes and lifetimes
//! have nothing to do with each other, so fragmentation shows in the resident
//! set. The loop of `alloc-test` (ramosbugs and others), and of larson's one
//! thread, with sizes of one doubling as likely as those of the next.

use std::io;

use super::hand::{Block, Hand};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::{Places, Table};
use super::{Driver, scaled};

/// Replacements at scale 1.
const REPLACEMENTS: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Steady {
    seed: u64,
    replacements: u64,
    slots: usize,
    sizes: Sizes,
    blocks: Table<Block>,
}

impl Steady {
    pub(super) fn new(seed: u64, scale: f64, slots: usize, sizes: Sizes) -> io::Result<Steady> {
        let replacements = scaled(REPLACEMENTS, scale);
        Ok(Steady { seed, replacements, slots, sizes, blocks: Table::new(slots)? })
    }
}

impl Driver for Steady {
    fn operations(&self) -> u64 {
        2 * (self.slots as u64 + self.replacements)
    }

    fn table_bytes(&self) -> usize {
        self.blocks.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        self.blocks.clear();
        for _ in 0..self.slots {
            let size = self.sizes.draw(&mut random);
            self.blocks.push(hand.allocate(size, random.next()));
        }
        let mut places = Places::new(self.seed, self.slots);
        for _ in 0..self.replacements {
            let slot = places.next(&self.blocks);
            let slot = &mut self.blocks[slot];
            hand.free(*slot);
            let size = self.sizes.draw(&mut random);
            *slot = hand.allocate(size, random.next());
        }
        for &block in self.blocks.iter() {
            hand.free(block);
        }
        hand.digest()
    }
}
