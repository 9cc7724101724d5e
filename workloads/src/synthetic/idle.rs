//! A burst, then nothing: some threads each allocate and write some megabytes in
//! every class of size, free it all, and sleep; at last each allocates and frees
//! one block.
//!
//! It provokes the question what an allocator keeps when nobody needs it: caches
//! of threads that sleep, free pages that wait for a clock or for the next
//! operation to be returned. A service between two peaks. It is all about the
//! resident set at its end: the last operation is that of the thread which is
//! observed, while the others still live.

use std::io;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use super::beside::beside;
use super::hand::{Block, Hand, OS_PAGE, mix};
use super::meter::Meter;
use super::random::Random;
use super::table::Table;
use super::{Driver, Parameters, locked};

/// Sizes are these and 3/2 of them.
const LEAST: usize = 16;
const MOST: usize = 512 << 10;
const DOUBLINGS: usize = (MOST / LEAST).ilog2() as usize + 1;
/// Bytes of each size that a thread has live, or one block.
const BYTES: usize = 384 << 10;
/// How long it sleeps at scale 1; not longer at larger scales.
const SLEEP: Duration = Duration::from_secs(12);

#[derive(Debug)]
pub(super) struct Idle {
    seed: u64,
    sleep: Duration,
    /// One for each thread.
    blocks: Vec<Mutex<Table<Block>>>,
}

/// The sizes, each with its number of blocks.
fn classes() -> impl Iterator<Item = (usize, usize)> {
    let sizes = (0..DOUBLINGS).flat_map(|doubling| {
        let size = LEAST << doubling;
        [size, size + size / 2]
    });
    sizes.map(|size| (size, (BYTES / size).max(1)))
}

fn blocks() -> usize {
    classes().map(|(_, count)| count).sum()
}

impl Idle {
    pub(super) fn new(Parameters { seed, scale, threads }: Parameters) -> io::Result<Idle> {
        let sleep = SLEEP.mul_f64(scale.min(1.0));
        Ok(Idle { seed, sleep, blocks: Table::several(threads, blocks())? })
    }

    /// What thread `number` does; thread 0 sleeps for all, and ends last.
    fn burst<M: Meter>(&self, number: usize, barrier: &Barrier, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, number as u64);
        let mut hand = Hand::new(meter);
        let mut blocks = locked(&self.blocks[number]);
        blocks.clear();
        for (size, count) in classes() {
            for _ in 0..count {
                blocks.push(hand.allocate_touched(size, random.next(), OS_PAGE));
            }
        }
        for &block in blocks.iter() {
            hand.free(block);
        }
        barrier.wait();
        if number == 0 {
            thread::sleep(self.sleep);
        }
        barrier.wait();
        let mut once = |hand: &mut Hand<'_, M>| {
            let block = hand.allocate(2 * LEAST, random.next());
            hand.free(block);
        };
        if number != 0 {
            once(&mut hand);
        }
        barrier.wait();
        if number == 0 {
            once(&mut hand);
        }
        barrier.wait();
        hand.digest()
    }
}

impl Driver for Idle {
    fn operations(&self) -> u64 {
        2 * self.blocks.len() as u64 * (blocks() as u64 + 1)
    }

    fn table_bytes(&self) -> usize {
        self.blocks.iter().map(|blocks| locked(blocks).bytes()).sum()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let threads = self.blocks.len();
        let (this, barrier) = (&*self, &Barrier::new(threads));
        thread::scope(|scope| {
            let start = |number, mut remote: M::Remote| {
                scope.spawn(move || this.burst(number, barrier, &mut remote))
            };
            beside(meter, threads - 1, mix, &start, |meter| this.burst(0, barrier, meter))
        })
    }
}
