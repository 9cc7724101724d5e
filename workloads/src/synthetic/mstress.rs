//! Rounds of four threads at a time that all end, while objects of each live on
//! and are freed by a thread of the next round.
//!
//! It provokes memory without an owner: what a dead thread's heap holds must be
//! taken over, freed into, and used again, by threads that are born as many at a
//! time as die. As *mstress* (Daan Leijen and others, mimalloc's
//! `test-stress.c`), whose objects are passed on at random; here each thread
//! inherits those of its neighbour in the round before, so that a run can be
//! repeated.

use std::io;
use std::sync::Mutex;
use std::thread;

use super::beside::beside;
use super::hand::{Block, Hand, mix};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, Parameters, locked, scaled};

/// Allocations of a thread, and how many of them outlive it.
const BLOCKS: usize = 1_000;
const LEFT: usize = 250;
/// Rounds at scale 1.
const ROUNDS: u64 = 60;
/// Most are small; one in a hundred is a buffer.
const SMALL: Sizes = Sizes::Pareto(16, 6);
const BUFFER: Sizes = Sizes::Doublings(4 << 10, 6);

#[derive(Debug)]
pub(super) struct Mstress {
    seed: u64,
    rounds: u64,
    /// What each thread has, and leaves.
    own: Vec<Mutex<Table<Block>>>,
    inherited: Vec<Mutex<Table<Block>>>,
}

impl Mstress {
    pub(super) fn new(Parameters { seed, scale, threads }: Parameters) -> io::Result<Mstress> {
        Ok(Mstress {
            seed,
            rounds: scaled(ROUNDS, scale),
            own: Table::several(threads, BLOCKS)?,
            inherited: Table::several(threads, BLOCKS)?,
        })
    }

    fn live<M: Meter>(&self, round: u64, number: usize, meter: &mut M) -> u64 {
        let threads = self.own.len();
        let mut random = Random::new(self.seed, round * threads as u64 + number as u64);
        let mut hand = Hand::new(meter);
        let inherited = &mut *locked(&self.inherited[(number + 1) % threads]);
        let own = &mut *locked(&self.own[number]);
        own.clear();
        for at in 0..BLOCKS {
            let sizes = if at % 100 == 99 { BUFFER } else { SMALL };
            let size = sizes.draw(&mut random);
            own.push(hand.allocate(size, random.next()));
            if at % (BLOCKS / LEFT) == 0 && !inherited.is_empty() {
                hand.free(inherited.swap_remove(random.below(inherited.len())));
            }
            if own.len() > LEFT {
                hand.free(own.swap_remove(random.below(own.len())));
            }
        }
        hand.digest()
    }
}

impl Driver for Mstress {
    fn operations(&self) -> u64 {
        2 * self.rounds * (self.own.len() * BLOCKS) as u64
    }

    fn table_bytes(&self) -> usize {
        self.own.iter().chain(&self.inherited).map(|blocks| locked(blocks).bytes()).sum()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        self.inherited.iter().for_each(|blocks| locked(blocks).clear());
        let mut digest = 0;
        for round in 0..self.rounds {
            let this = &*self;
            digest = thread::scope(|scope| {
                let start = |number, mut remote: M::Remote| {
                    scope.spawn(move || this.live(round, number - 1, &mut remote))
                };
                beside(meter, this.own.len(), mix, &start, |_| digest)
            });
            for (own, inherited) in self.own.iter().zip(&self.inherited) {
                std::mem::swap(&mut *locked(own), &mut *locked(inherited));
            }
        }
        let mut hand = Hand::new(meter);
        for blocks in &self.inherited {
            for &block in locked(blocks).iter() {
                hand.free(block);
            }
        }
        mix(digest, hand.digest())
    }
}
