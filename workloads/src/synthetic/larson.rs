//! Threads replace blocks of an array each, and pass the arrays on now and then: a
//! good part of what a thread frees was allocated by another.
//!
//! It provokes cross-thread frees between threads that live on: an allocator
//! that sends each block home pays for the way, one that keeps it lets memory
//! drift from thread to thread. After Larson and Krishnan, *Memory Allocation for
//! Long-Running Server Applications* (ISMM 1998), where a thread passes its
//! objects on to its successor. With sizes up to 16 KB it does what *rptest* does
//! (Mattias Jansson, rpmalloc's benchmark).

use std::io;
use std::sync::{Barrier, Mutex};
use std::thread;

use super::beside::beside;
use super::hand::{Block, Hand, mix};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, Parameters, locked, scaled};

/// Replacements of a thread before the arrays are passed on.
const GENERATION: u64 = 20_000;
/// Times that they are passed on, at scale 1.
const GENERATIONS: u64 = 40;

#[derive(Debug)]
pub(super) struct Larson {
    seed: u64,
    generations: u64,
    slots: usize,
    sizes: Sizes,
    /// One for each thread.
    arrays: Vec<Mutex<Table<Block>>>,
}

impl Larson {
    /// Each thread has so many blocks.
    pub(super) fn new(parameters: Parameters, slots: usize, sizes: Sizes) -> io::Result<Larson> {
        let Parameters { seed, scale, threads } = parameters;
        let arrays = Table::several(threads, slots)?;
        Ok(Larson { seed, generations: scaled(GENERATIONS, scale), slots, sizes, arrays })
    }

    /// What thread `number` does; returns its digest.
    fn serve<M: Meter>(&self, number: usize, barrier: &Barrier, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, number as u64);
        let mut hand = Hand::new(meter);
        {
            let mut blocks = locked(&self.arrays[number]);
            blocks.clear();
            for _ in 0..self.slots {
                let size = self.sizes.draw(&mut random);
                blocks.push(hand.allocate(size, random.next()));
            }
        }
        for generation in 1..=self.generations {
            barrier.wait();
            let at = (number + generation as usize) % self.arrays.len();
            let mut blocks = locked(&self.arrays[at]);
            for _ in 0..GENERATION {
                let slot = &mut blocks[random.below(self.slots)];
                hand.free(*slot);
                let size = self.sizes.draw(&mut random);
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
        2 * self.arrays.len() as u64 * (self.slots as u64 + self.generations * GENERATION)
    }

    fn table_bytes(&self) -> usize {
        self.arrays.iter().map(|array| locked(array).bytes()).sum()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let threads = self.arrays.len();
        let (this, barrier) = (&*self, &Barrier::new(threads));
        thread::scope(|scope| {
            let start = |number, mut remote: M::Remote| {
                scope.spawn(move || this.serve(number, barrier, &mut remote))
            };
            beside(meter, threads - 1, mix, &start, |meter| this.serve(0, barrier, meter))
        })
    }
}
