//! A producer allocates, a consumer frees: every block crosses threads, and
//! always in the same direction.
//!
//! It provokes the one-way stream: what the consumer frees must find its way
//! back to the producer, or the heap grows without bound. As `xmalloc-test`
//! (Lever and Boreham, *malloc() Performance in a Multithreaded Linux
//! Environment*, USENIX 2000). Blocks go in batches, and who has to wait sleeps,
//! so that waiting costs no time on a CPU.

use std::io;
use std::sync::{Condvar, Mutex};
use std::thread;

use super::hand::{Block, Hand};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, locked, scaled};

/// Blocks of a batch, and batches that are under way at most.
const BATCH: usize = 1_000;
const DEPTH: usize = 4;
/// Batches at scale 1.
const BATCHES: u64 = 1_200;
const SIZES: Sizes = Sizes::Doublings(16, 5);

#[derive(Debug)]
pub(super) struct Handoff {
    seed: u64,
    batches: u64,
    /// A ring; `filled` and `emptied` say whose turn each is.
    ring: [Mutex<Table<Block>>; DEPTH],
    filled: Semaphore,
    emptied: Semaphore,
}

impl Handoff {
    pub(super) fn new(seed: u64, scale: f64) -> io::Result<Handoff> {
        let mut ring = Vec::new();
        for _ in 0..DEPTH {
            ring.push(Mutex::new(Table::new(BATCH)?));
        }
        Ok(Handoff {
            seed,
            batches: scaled(BATCHES, scale),
            ring: ring.try_into().expect("DEPTH of them"),
            filled: Semaphore::new(0),
            emptied: Semaphore::new(DEPTH),
        })
    }

    fn batch(&self, number: u64) -> &Mutex<Table<Block>> {
        &self.ring[number as usize % DEPTH]
    }

    fn produce<M: Meter>(&self, meter: &mut M) {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        for number in 0..self.batches {
            self.emptied.take();
            let mut blocks = locked(self.batch(number));
            blocks.clear();
            for _ in 0..BATCH {
                let size = SIZES.draw(&mut random);
                blocks.push(hand.allocate(size, random.next()));
            }
            drop(blocks);
            self.filled.give();
        }
    }

    fn consume<M: Meter>(&self, meter: &mut M) -> u64 {
        let mut hand = Hand::new(meter);
        for number in 0..self.batches {
            self.filled.take();
            for &block in locked(self.batch(number)).iter() {
                hand.free(block);
            }
            self.emptied.give();
        }
        hand.digest()
    }
}

impl Driver for Handoff {
    fn operations(&self) -> u64 {
        2 * self.batches * BATCH as u64
    }

    fn table_bytes(&self) -> usize {
        self.ring.iter().map(|blocks| locked(blocks).bytes()).sum()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let this = &*self;
        thread::scope(|scope| {
            let mut remote = meter.remote();
            scope.spawn(move || this.produce(&mut remote));
            this.consume(meter)
        })
    }
}

/// Counts what is there to be taken.
#[derive(Debug)]
pub(super) struct Semaphore {
    count: Mutex<usize>,
    given: Condvar,
}

impl Semaphore {
    pub(super) fn new(count: usize) -> Semaphore {
        Semaphore { count: Mutex::new(count), given: Condvar::new() }
    }

    pub(super) fn give(&self) {
        *locked(&self.count) += 1;
        self.given.notify_one();
    }

    pub(super) fn take(&self) {
        let mut count = locked(&self.count);
        while *count == 0 {
            count = self.given.wait(count).expect("no holder panics");
        }
        *count -= 1;
    }
}
