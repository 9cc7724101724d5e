//! Two threads replace blocks of two arrays, and swap the arrays now and then: a
//! good part of what a thread frees was allocated by the other.
//!
//! It provokes cross-thread frees between threads that live on: an allocator
//! that sends each block home pays for the way, one that keeps it lets memory
//! drift from thread to thread. After Larson and Krishnan, *Memory Allocation for
//! Long-Running Server Applications* (ISMM 1998), where a thread passes its
//! objects on to its successor.

use std::io;
use std::sync::{Barrier, Mutex};
use std::thread;

use super::hand::{Block, Hand, mix};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, locked, scaled};

const THREADS: usize = 2;
/// Blocks of an array.
const SLOTS: usize = 5_000;
/// Replacements of a thread before the arrays are swapped.
const GENERATION: u64 = 20_000;
/// Times that the arrays are swapped, at scale 1.
const GENERATIONS: u64 = 40;
/// Larson's sizes.
const SIZES: Sizes = Sizes::Uniform(10, 500);

#[derive(Debug)]
pub(super) struct Larson {
    seed: u64,
    generations: u64,
    arrays: [Mutex<Table<Block>>; THREADS],
}

impl Larson {
    pub(super) fn new(seed: u64, scale: f64) -> io::Result<Larson> {
        let arrays = [Mutex::new(Table::new(SLOTS)?), Mutex::new(Table::new(SLOTS)?)];
        Ok(Larson { seed, generations: scaled(GENERATIONS, scale), arrays })
    }

    /// What thread `number` does; returns its digest.
    fn serve<M: Meter>(&self, number: usize, barrier: &Barrier, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, number as u64);
        let mut hand = Hand::new(meter);
        {
            let mut blocks = locked(&self.arrays[number]);
            blocks.clear();
            for _ in 0..SLOTS {
                let size = SIZES.draw(&mut random);
                blocks.push(hand.allocate(size, random.next()));
            }
        }
        for generation in 1..=self.generations {
            barrier.wait();
            let mut blocks = locked(&self.arrays[(number + generation as usize) % THREADS]);
            for _ in 0..GENERATION {
                let slot = &mut blocks[random.below(SLOTS)];
                hand.free(*slot);
                let size = SIZES.draw(&mut random);
                *slot = hand.allocate(size, random.next());
            }
        }
        barrier.wait();
        for &block in locked(&self.arrays[number]).iter() {
            hand.free(block);
        }
        hand.digest()
    }
}

impl Driver for Larson {
    fn operations(&self) -> u64 {
        2 * THREADS as u64 * (SLOTS as u64 + self.generations * GENERATION)
    }

    fn table_bytes(&self) -> usize {
        self.arrays.iter().map(|array| locked(array).bytes()).sum()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let barrier = Barrier::new(THREADS);
        let (this, barrier) = (&*self, &barrier);
        thread::scope(|scope| {
            let mut remote = meter.remote();
            let other = scope.spawn(move || this.serve(1, barrier, &mut remote));
            let own = this.serve(0, barrier, meter);
            mix(own, other.join().expect("a thread that cannot panic"))
        })
    }
}
