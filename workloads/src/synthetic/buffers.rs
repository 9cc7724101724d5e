//! Buffers: of 16 that are live, a random one is freed and another allocated,
//! and a word of each of its OS pages is written.
//!
//! It provokes the price of fresh memory: an allocator that returns a buffer to
//! the OS pays system calls and a fault for each page of the next one, an
//! allocator that keeps it must find it again under another size. 16 to 512 KiB
//! is the range that glibc's threshold slides through; 64 KiB to 8 MiB is that
//! of images, messages and matrices (`malloc-large` of mimalloc-bench has larger
//! ones). As zeroed memory it asks `calloc`, which must clear what it cannot
//! prove to be clear.

use std::io;

use super::hand::{Block, Hand, OS_PAGE};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, scaled};

/// Live buffers.
const SLOTS: usize = 16;

#[derive(Debug)]
pub(super) struct Buffers {
    seed: u64,
    replacements: u64,
    sizes: Sizes,
    zeroed: bool,
    blocks: Table<Block>,
}

impl Buffers {
    /// `replacements` at scale 1; `zeroed`: by `calloc`.
    pub(super) fn new(
        seed: u64,
        scale: f64,
        sizes: Sizes,
        replacements: u64,
        zeroed: bool,
    ) -> io::Result<Buffers> {
        let replacements = scaled(replacements, scale);
        Ok(Buffers { seed, replacements, sizes, zeroed, blocks: Table::new(SLOTS)? })
    }

    fn allocate<M: Meter>(&self, hand: &mut Hand<'_, M>, random: &mut Random) -> Block {
        let (size, seal) = (self.sizes.draw(random), random.next());
        match self.zeroed {
            true => hand.allocate_zeroed(size, seal, OS_PAGE),
            false => hand.allocate_touched(size, seal, OS_PAGE),
        }
    }
}

impl Driver for Buffers {
    fn operations(&self) -> u64 {
        2 * (SLOTS as u64 + self.replacements)
    }

    fn table_bytes(&self) -> usize {
        self.blocks.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        self.blocks.clear();
        for _ in 0..SLOTS {
            let block = self.allocate(&mut hand, &mut random);
            self.blocks.push(block);
        }
        for _ in 0..self.replacements {
            let slot = random.below(SLOTS);
            hand.free(self.blocks[slot]);
            self.blocks[slot] = self.allocate(&mut hand, &mut random);
        }
        for &block in self.blocks.iter() {
            hand.free(block);
        }
        hand.digest()
    }
}
