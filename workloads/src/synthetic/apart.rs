//! Threads that have nothing to do with each other: each replaces random blocks of
//! a small working set of its own, of sizes that are rarer the larger they are.
//!
//! It provokes contention where none is needed: two threads that share no block
//! should not notice each other. The probability of a size falls with its square,
//! as *bench-malloc-thread* of glibc has it, from 8 bytes to 32 KiB.

use std::io;
use std::sync::Mutex;
use std::thread;

use super::hand::{Block, Hand, mix};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, locked, scaled};

/// Live blocks of a thread, as in glibc's.
const SLOTS: usize = 1024;
/// Replacements of all threads at scale 1.
const REPLACEMENTS: u64 = 1_000_000;
const SIZES: Sizes = Sizes::Pareto(8, 12);

#[derive(Debug)]
pub(super) struct Apart {
    seed: u64,
    replacements: u64,
    sets: Vec<Mutex<Table<Block>>>,
}

impl Apart {
    pub(super) fn new(seed: u64, scale: f64, threads: usize) -> io::Result<Apart> {
        let sets = (0..threads).map(|_| Ok(Mutex::new(Table::new(SLOTS)?)));
        let replacements = scaled(REPLACEMENTS / threads as u64, scale);
        Ok(Apart { seed, replacements, sets: sets.collect::<io::Result<_>>()? })
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
            let others: Vec<_> = (1..this.sets.len())
                .map(|number| {
                    let mut remote = meter.remote();
                    scope.spawn(move || this.live(number, &mut remote))
                })
                .collect();
            let own = this.live(0, meter);
            let digests = others.into_iter().map(|t| t.join().expect("a thread that cannot panic"));
            digests.fold(own, mix)
        })
    }
}
