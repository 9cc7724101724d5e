//! A heap of 24 MiB, one small block allocated last, all but that freed, and work
//! that needs little; then the next such heap, under the same block's successor.
//!
//! It provokes the brk heap's weakness: memory below a live block cannot go back
//! by lowering the break, so one block at the top pins everything beneath it.
//! Only who gives back OS pages in the middle (purge), or maps its memory, gets
//! rid of it. Wilson, Johnstone, Neely and Boles, *Dynamic Storage Allocation: A
//! Survey and Critical Review* (1995), on why freed memory is not given back.

use std::io;

use super::hand::{Block, Hand, OS_PAGE};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, scaled};

/// Blocks of a heap: below any usual mmap threshold.
const BLOCKS: usize = 4_000;
const SIZES: Sizes = Sizes::Doublings(2 << 10, 3);
/// The block that stays.
const PIN: usize = 1 << 10;
/// Heaps at scale 1, and pairs of small blocks while nothing else is live.
const HEAPS: u64 = 8;
const PAIRS: u64 = 20_000;
const SMALL: Sizes = Sizes::Uniform(16, 512);

#[derive(Debug)]
pub(super) struct PinnedTop {
    seed: u64,
    heaps: u64,
    blocks: Table<Block>,
}

impl PinnedTop {
    pub(super) fn new(seed: u64, scale: f64) -> io::Result<PinnedTop> {
        Ok(PinnedTop { seed, heaps: scaled(HEAPS, scale), blocks: Table::new(BLOCKS)? })
    }
}

impl Driver for PinnedTop {
    fn operations(&self) -> u64 {
        2 * self.heaps * (BLOCKS as u64 + 1 + PAIRS)
    }

    fn table_bytes(&self) -> usize {
        self.blocks.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        let mut pin: Option<Block> = None;
        for _ in 0..self.heaps {
            self.blocks.clear();
            for _ in 0..BLOCKS {
                let size = SIZES.draw(&mut random);
                self.blocks.push(hand.allocate_touched(size, random.next(), OS_PAGE));
            }
            let above = hand.allocate(PIN, random.next());
            if let Some(before) = pin.replace(above) {
                hand.free(before);
            }
            for &block in self.blocks.iter() {
                hand.free(block);
            }
            for _ in 0..PAIRS {
                let size = SMALL.draw(&mut random);
                let block = hand.allocate(size, random.next());
                hand.free(block);
            }
        }
        pin.into_iter().for_each(|pin| hand.free(pin));
        hand.digest()
    }
}
