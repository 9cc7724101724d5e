//! Many short threads, one or more at a time: each allocates, frees most, and
//! leaves some blocks to its successor and to the thread that started it.
//!
//! It provokes the birth and death of whatever an allocator keeps for a thread:
//! caches to set up, to fill, and to give back; memory of dead threads that must
//! be used again. As `mleak` of mimalloc-bench (the number of threads), and
//! `mstress` (blocks that outlive their thread).

use std::io;
use std::sync::Mutex;
use std::thread;

use super::beside::beside;
use super::hand::{Block, Hand, mix};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, Parameters, locked, scaled};

const SIZES: Sizes = Sizes::Doublings(16, 6);

/// The lives of the threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    /// Threads in succession, at scale 1.
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
    /// For each that runs at a time its blocks, and before that its predecessor's.
    blocks: Vec<Mutex<Table<Block>>>,
}

impl Threads {
    /// As many run at a time as the parameters say.
    pub(super) fn new(parameters: Parameters, life: Life) -> io::Result<Threads> {
        let Parameters { seed, scale, threads } = parameters;
        let life = Life { threads: scaled(life.threads, scale), ..life };
        Ok(Threads { seed, life, blocks: Table::several(threads, life.blocks)? })
    }

    /// A thread: it frees what was left to it, and leaves some.
    fn live<M: Meter>(&self, round: u64, number: usize, meter: &mut M) -> u64 {
        let life = self.life;
        let mut random = Random::new(self.seed, round * self.blocks.len() as u64 + number as u64);
        let mut hand = Hand::new(meter);
        let mut blocks = locked(&self.blocks[number]);
        while let Some(block) = blocks.pop() {
            hand.free(block);
        }
        for _ in 0..life.blocks {
            let size = SIZES.draw(&mut random);
            blocks.push(hand.allocate(size, random.next()));
        }
        while blocks.len() > life.left {
            let at = random.below(blocks.len());
            hand.free(blocks.swap_remove(at));
        }
        hand.digest()
    }
}

impl Driver for Threads {
    fn operations(&self) -> u64 {
        2 * self.life.threads * (self.blocks.len() * self.life.blocks) as u64
    }

    fn table_bytes(&self) -> usize {
        self.blocks.iter().map(|blocks| locked(blocks).bytes()).sum()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let (this, together) = (&*self, self.blocks.len());
        this.blocks.iter().for_each(|blocks| locked(blocks).clear());
        let mut digest = 0;
        for round in 0..this.life.threads {
            digest = thread::scope(|scope| {
                let start = |number, mut remote: M::Remote| {
                    scope.spawn(move || this.live(round, number - 1, &mut remote))
                };
                beside(meter, together, mix, &start, |_| digest)
            });
            let mut hand = Hand::new(meter);
            for blocks in &this.blocks {
                let mut blocks = locked(blocks);
                for _ in 0..this.life.left / 2 {
                    blocks.pop().into_iter().for_each(|block| hand.free(block));
                }
            }
            digest = mix(digest, hand.digest());
        }
        let mut hand = Hand::new(meter);
        for blocks in &this.blocks {
            let mut blocks = locked(blocks);
            while let Some(block) = blocks.pop() {
                hand.free(block);
            }
        }
        mix(digest, hand.digest())
    }
}
