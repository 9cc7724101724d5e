//! False sharing: two threads allocate blocks of 16 bytes, write each hundreds of
//! times, and free it.
//!
//! It provokes an allocator to put blocks of two threads into one cache line,
//! which then travels between processors at every write: actively, by handing
//! out neighbours to both (*cache-thrash*), or passively, since each thread first
//! frees a block that lay beside the other's, and gets it back (*cache-scratch*).
//! It costs next to no allocator time, and on one processor shows nothing. After
//! Berger, McKinley, Blumofe and Wilson, *Hoard: A Scalable Memory Allocator for
//! Multithreaded Applications* (ASPLOS 2000).

use std::io;
use std::sync::Barrier;
use std::thread;

use super::hand::{Block, Hand, mix};
use super::meter::Meter;
use super::random::Random;
use super::{Driver, scaled};

const THREADS: usize = 2;
const SIZE: usize = 16;
/// Writes to a block while it lives.
const WRITES: u64 = 500;
/// Blocks of a thread at scale 1.
const BLOCKS: u64 = 10_000;

#[derive(Debug)]
pub(super) struct FalseSharing {
    seed: u64,
    blocks: u64,
    passive: bool,
}

impl FalseSharing {
    /// `passive`: each thread begins with a neighbour of the other's block.
    pub(super) fn new(seed: u64, scale: f64, passive: bool) -> io::Result<FalseSharing> {
        Ok(FalseSharing { seed, blocks: scaled(BLOCKS, scale), passive })
    }

    fn write<M: Meter>(
        &self,
        number: usize,
        given: Option<Block>,
        barrier: &Barrier,
        meter: &mut M,
    ) -> u64 {
        let mut random = Random::new(self.seed, number as u64);
        let mut hand = Hand::new(meter);
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
        2 * THREADS as u64 * (self.blocks + u64::from(self.passive))
    }

    fn table_bytes(&self) -> usize {
        0
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let barrier = Barrier::new(THREADS);
        let (this, barrier) = (&*self, &barrier);
        let given: [Option<Block>; THREADS] = {
            let mut hand = Hand::new(meter);
            std::array::from_fn(|at| this.passive.then(|| hand.allocate(SIZE, at as u64)))
        };
        thread::scope(|scope| {
            let (mut remote, [own, others]) = (meter.remote(), given);
            let other = scope.spawn(move || this.write(1, others, barrier, &mut remote));
            let own = this.write(0, own, barrier, meter);
            mix(own, other.join().expect("a thread that cannot panic"))
        })
    }
}
