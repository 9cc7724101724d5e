//! Many short threads, one after the other: each allocates, frees most, and
//! leaves some blocks to its successor and to the thread that started it.
//!
//! It provokes the birth and death of whatever an allocator keeps for a thread:
//! caches to set up, to fill, and to give back; memory of dead threads that must
//! be used again. As `mleak` of mimalloc-bench (the number of threads), and
//! `mstress` (blocks that outlive their thread).

use std::io;
use std::thread;

use super::hand::{Block, Hand, mix};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, scaled};

const SIZES: Sizes = Sizes::Doublings(16, 6);

/// The lives of the threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    /// Threads at scale 1.
    pub(super) threads: u64,
    /// Blocks that a thread allocates.
    pub(super) blocks: usize,
    /// How many of them outlive it.
    pub(super) left: usize,
}

#[derive(Debug)]
pub(super) struct Threads {
    seed: u64,
    life: Life,
    /// Blocks of the thread that runs, and before that of its predecessor.
    blocks: Table<Block>,
}

impl Threads {
    pub(super) fn new(seed: u64, scale: f64, life: Life) -> io::Result<Threads> {
        let life = Life { threads: scaled(life.threads, scale), ..life };
        Ok(Threads { seed, life, blocks: Table::new(life.blocks)? })
    }
}

impl Driver for Threads {
    fn operations(&self) -> u64 {
        2 * self.life.threads * self.life.blocks as u64
    }

    fn table_bytes(&self) -> usize {
        self.blocks.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        self.blocks.clear();
        let mut digest = 0;
        for number in 0..self.life.threads {
            let mut random = Random::new(self.seed, number);
            let (life, blocks, mut remote) = (self.life, &mut self.blocks, meter.remote());
            let theirs = thread::scope(|scope| {
                let thread = scope.spawn(move || live(life, blocks, &mut random, &mut remote));
                thread.join().expect("a thread that cannot panic")
            });
            let mut hand = Hand::new(meter);
            for _ in 0..self.life.left / 2 {
                self.blocks.pop().into_iter().for_each(|block| hand.free(block));
            }
            digest = mix(mix(digest, theirs), hand.digest());
        }
        let mut hand = Hand::new(meter);
        while let Some(block) = self.blocks.pop() {
            hand.free(block);
        }
        mix(digest, hand.digest())
    }
}

/// A thread: it frees what was left to it, and leaves some.
fn live<M: Meter>(
    life: Life,
    blocks: &mut Table<Block>,
    random: &mut Random,
    meter: &mut M,
) -> u64 {
    let mut hand = Hand::new(meter);
    while let Some(block) = blocks.pop() {
        hand.free(block);
    }
    for _ in 0..life.blocks {
        let size = SIZES.draw(random);
        blocks.push(hand.allocate(size, random.next()));
    }
    while blocks.len() > life.left {
        hand.free(blocks.swap_remove(random.below(blocks.len())));
    }
    hand.digest()
}
