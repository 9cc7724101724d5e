//! Threads that have nothing to do with each other: each replaces random blocks of
//! a small working set of its own, of sizes that are rarer the larger they are.
//!
//! It provokes contention where none is needed: threads that share no block should
//! not notice each other. The probability of a size falls with its square,
//! as *bench-malloc-thread* of glibc has it, from 8 bytes to 32 KiB.

use std::io;
use std::sync::Mutex;
use std::thread;

use super::beside::beside;
use super::hand::{Block, Hand, mix};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, Parameters, locked, scaled};

/// Live blocks of a thread, as in glibc's.
const SLOTS: usize = 1024;
/// Replacements of a thread at scale 1.
const REPLACEMENTS: u64 = 500_000;
const SIZES: Sizes = Sizes::Pareto(8, 12);

#[derive(Debug)]
pub(super) struct Apart {
    seed: u64,
    replacements: u64,
    sets: Vec<Mutex<Table<Block>>>,
}

impl Apart {
    pub(super) fn new(Parameters { seed, scale, threads }: Parameters) -> io::Result<Apart> {
        let sets = Table::several(threads, SLOTS)?;
        Ok(Apart { seed, replacements: scaled(REPLACEMENTS, scale), sets })
    }

    fn live<M: Meter>(&self, number: usize, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, number as u64);
        let mut hand = Hand::new(meter);
        let mut blocks = locked(&self.sets[number]);
        blocks.clear();
        for _ in 0..SLOTS {
            let size = SIZES.draw(&mut random);
            blocks.push(hand.allocate(size, random.next()));
        }
        for _ in 0..self.replacements {
            let slot = &mut blocks[random.below(SLOTS)];
            hand.free(*slot);
            let size = SIZES.draw(&mut random);
            *slot = hand.allocate(size, random.next());
        }
        for &block in blocks.iter() {
            hand.free(block);
        }
        hand.digest()
    }
}

impl Driver for Apart {
    fn operations(&self) -> u64 {
        2 * self.sets.len() as u64 * (SLOTS as u64 + self.replacements)
    }

    fn table_bytes(&self) -> usize {
        self.sets.iter().map(|blocks| locked(blocks).bytes()).sum()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let this = &*self;
        thread::scope(|scope| {
            let start =
                |number, mut remote: M::Remote| scope.spawn(move || this.live(number, &mut remote));
            beside(meter, this.sets.len() - 1, mix, &start, |meter| this.live(0, meter))
        })
    }
}
