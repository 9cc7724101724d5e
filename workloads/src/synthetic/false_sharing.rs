//! False sharing: threads allocate blocks of 16 bytes, write each hundreds of
//! times, and free it.
//!
//! It provokes an allocator to put blocks of several threads into one cache line,
//! which then travels between processors at every write: actively, by handing
//! out neighbours to them (*cache-thrash*), or passively, since each thread first
//! frees a block that lay beside another's, and gets it back (*cache-scratch*).
//! It costs next to no allocator time, and on one processor shows nothing. After
//! Berger, McKinley, Blumofe and Wilson, *Hoard: A Scalable Memory Allocator for
//! Multithreaded Applications* (ASPLOS 2000).

use std::io;
use std::sync::{Barrier, Mutex};
use std::thread;

use super::beside::beside;
use super::hand::{Block, Hand, mix};
use super::meter::Meter;
use super::random::Random;
use super::table::Table;
use super::{Driver, Parameters, locked, scaled};

const SIZE: usize = 16;
/// Writes to a block while it lives.
const WRITES: u64 = 500;
/// Blocks of a thread at scale 1.
const BLOCKS: u64 = 10_000;

#[derive(Debug)]
pub(super) struct FalseSharing {
    seed: u64,
    threads: usize,
    blocks: u64,
    /// Of each thread the block that it begins with, if each has one.
    given: Option<Mutex<Table<Block>>>,
}

impl FalseSharing {
    /// `passive`: each thread begins with a neighbour of another's block.
    pub(super) fn new(parameters: Parameters, passive: bool) -> io::Result<FalseSharing> {
        let Parameters { seed, scale, threads } = parameters;
        let given = passive.then(|| Table::new(threads)).transpose()?.map(Mutex::new);
        Ok(FalseSharing { seed, threads, blocks: scaled(BLOCKS, scale), given })
    }

    fn write<M: Meter>(&self, number: usize, barrier: &Barrier, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, number as u64);
        let mut hand = Hand::new(meter);
        let given = self.given.as_ref().map(|given| locked(given)[number]);
        barrier.wait();
        if let Some(block) = given {
            hand.free(block);
        }
        for _ in 0..self.blocks {
            let mut block = hand.allocate(SIZE, random.next());
            for _ in 0..WRITES {
                hand.write_again(&mut block, random.next());
            }
            hand.free(block);
        }
        hand.digest()
    }
}

impl Driver for FalseSharing {
    fn operations(&self) -> u64 {
        2 * self.threads as u64 * (self.blocks + u64::from(self.given.is_some()))
    }

    fn table_bytes(&self) -> usize {
        self.given.as_ref().map_or(0, |given| locked(given).bytes())
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        if let Some(given) = &self.given {
            let (mut given, mut hand) = (locked(given), Hand::new(meter));
            given.clear();
            (0..self.threads).for_each(|number| given.push(hand.allocate(SIZE, number as u64)));
        }
        let (this, barrier) = (&*self, &Barrier::new(self.threads));
        thread::scope(|scope| {
            let start = |number, mut remote: M::Remote| {
                scope.spawn(move || this.write(number, barrier, &mut remote))
            };
            beside(meter, this.threads - 1, mix, &start, |meter| this.write(0, barrier, meter))
        })
    }
}
