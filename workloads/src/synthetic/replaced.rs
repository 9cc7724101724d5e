//! Small blocks replaced at random that are asked for in another way than by
//! `malloc`: zeroed (`calloc`), or at a multiple of 32 bytes to an OS page.
//!
//! Zeroed memory provokes clearing: who knows that memory is fresh from the OS
//! need not, and who clears the whole block pays by its size. Alignment provokes
//! waste: who serves it from a larger block, cut to measure, leaves a remainder
//! at either end; vectors of SIMD code, buffers of direct I/O, cache lines of
//! concurrent queues ask for it.

use std::io;

use super::hand::{Block, Hand};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::{Places, Table};
use super::{Driver, scaled};

/// Live blocks.
const SLOTS: usize = 10_000;
/// Replacements at scale 1.
const REPLACEMENTS: u64 = 300_000;
const SIZES: Sizes = Sizes::Doublings(16, 6);
/// Distance of the words of a zeroed block that are looked at.
const STRIDE: usize = 256;
/// 32 bytes, and so many doublings of it.
const LEAST: usize = 32;
const ALIGNMENTS: usize = 8;

/// How blocks are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    Zeroed,
    Aligned,
}

#[derive(Debug)]
pub(super) struct Replaced {
    seed: u64,
    replacements: u64,
    way: Way,
    blocks: Table<(Block, u32)>,
}

impl Replaced {
    pub(super) fn new(seed: u64, scale: f64, way: Way) -> io::Result<Replaced> {
        Ok(Replaced {
            seed,
            replacements: scaled(REPLACEMENTS, scale),
            way,
            blocks: Table::new(SLOTS)?,
        })
    }

    #[inline(always)]
    fn allocate<M: Meter>(&self, hand: &mut Hand<'_, M>, random: &mut Random) -> (Block, u32) {
        let size = SIZES.draw(random);
        match self.way {
            Way::Zeroed => (hand.allocate_zeroed(size, random.next(), STRIDE), 0),
            Way::Aligned => {
                // As rare as they are large.
                let zeros = random.next().leading_zeros() as usize;
                let alignment = LEAST << zeros.min(ALIGNMENTS - 1);
                let block = hand.allocate_aligned(size, alignment, random.next());
                (block, alignment as u32)
            }
        }
    }

    #[inline(always)]
    fn free<M: Meter>(&self, hand: &mut Hand<'_, M>, (block, alignment): (Block, u32)) {
        match self.way {
            Way::Zeroed => hand.free(block),
            Way::Aligned => hand.free_aligned(block, alignment as usize),
        }
    }
}

impl Driver for Replaced {
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
        let mut places = Places::new(self.seed, SLOTS);
        for _ in 0..self.replacements {
            let slot = places.next(&self.blocks);
            self.free(&mut hand, self.blocks[slot]);
            self.blocks[slot] = self.allocate(&mut hand, &mut random);
        }
        for at in 0..SLOTS {
            self.free(&mut hand, self.blocks[at]);
        }
        hand.digest()
    }
}
