//! Phases: many small blocks, most of them freed, then larger ones, most of
//! them freed, and so on, and around again.
//!
//! It provokes fragmentation: the survivors of each phase lie scattered over its
//! memory, which the next phase wants in other sizes. An allocator that cannot
//! join neighbours, or hand memory from one size to another, holds the sum of
//! all phases. After Robson (*Bounds for some functions concerning dynamic
//! storage allocation*, JACM 1974) in the tame form that programs have: a
//! compiler's passes, a server's changing load.

use std::io;

use super::hand::{Block, Hand};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, scaled};

/// Blocks of each phase, and their sizes: about 10 MB each.
const PHASES: [(usize, Sizes); 4] = [
    (220_000, Sizes::Uniform(16, 64)),
    (60_000, Sizes::Uniform(96, 256)),
    (16_000, Sizes::Uniform(384, 1024)),
    (3_000, Sizes::Doublings(1536, 2)),
];

/// Of so many blocks of a phase, one stays until the same phase comes again.
const SURVIVOR: usize = 10;

/// Times around, at scale 1.
const ROUNDS: u64 = 4;

const BLOCKS: usize = {
    let (mut sum, mut phase) = (0, 0);
    while phase < PHASES.len() {
        sum += PHASES[phase].0;
        phase += 1;
    }
    sum
};

#[derive(Debug)]
pub(super) struct Phases {
    seed: u64,
    rounds: u64,
    /// Blocks of the phases, apart.
    blocks: [Table<Block>; PHASES.len()],
}

impl Phases {
    pub(super) fn new(seed: u64, scale: f64) -> io::Result<Phases> {
        let [a, b, c, d] = PHASES.map(|(blocks, _)| Table::new(blocks));
        Ok(Phases { seed, rounds: scaled(ROUNDS, scale), blocks: [a?, b?, c?, d?] })
    }
}

impl Driver for Phases {
    fn operations(&self) -> u64 {
        2 * self.rounds * BLOCKS as u64
    }

    fn table_bytes(&self) -> usize {
        self.blocks.iter().map(Table::bytes).sum()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        for _ in 0..self.rounds {
            for (blocks, (count, sizes)) in self.blocks.iter_mut().zip(PHASES) {
                while let Some(survivor) = blocks.pop() {
                    hand.free(survivor);
                }
                for _ in 0..count {
                    let size = sizes.draw(&mut random);
                    blocks.push(hand.allocate(size, random.next()));
                }
                while blocks.len() > count / SURVIVOR {
                    hand.free(blocks.swap_remove(random.below(blocks.len())));
                }
            }
        }
        for blocks in &mut self.blocks {
            while let Some(block) = blocks.pop() {
                hand.free(block);
            }
        }
        hand.digest()
    }
}
