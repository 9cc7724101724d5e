//! A producer allocates, a consumer frees: every block crosses threads, and
//! always in the same direction. There may be several such pairs.
//!
//! It provokes the one-way stream: what the consumer frees must find its way
//! back to the producer, or the heap grows without bound. As `xmalloc-test`
//! (Lever and Boreham, *malloc() Performance in a Multithreaded Linux
//! Environment*, USENIX 2000). Blocks go in batches, and who has to wait sleeps,
//! so that waiting costs no time on a CPU.

use std::io;
use std::sync::{Condvar, Mutex};
use std::thread;

use super::beside::beside;
use super::hand::{Block, Hand, mix};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, Parameters, locked, scaled};

/// Blocks of a batch, and batches that are under way at most in a pair.
const BATCH: usize = 1_000;
const DEPTH: usize = 4;
/// Batches of a pair at scale 1.
const BATCHES: u64 = 1_200;
const SIZES: Sizes = Sizes::Doublings(16, 5);

#[derive(Debug)]
pub(super) struct Handoff {
    seed: u64,
    batches: u64,
    pairs: Vec<Pair>,
}

/// What a producer and its consumer share.
#[derive(Debug)]
struct Pair {
    /// A ring; `filled` and `emptied` say whose turn each is.
    ring: Vec<Mutex<Table<Block>>>,
    filled: Semaphore,
    emptied: Semaphore,
}

impl Handoff {
    /// As many producers, and as many consumers, as the parameters say threads.
    pub(super) fn new(Parameters { seed, scale, threads }: Parameters) -> io::Result<Handoff> {
        let pair = |_| {
            Ok(Pair {
                ring: Table::several(DEPTH, BATCH)?,
                filled: Semaphore::new(0),
                emptied: Semaphore::new(DEPTH),
            })
        };
        let pairs = (0..threads).map(pair).collect::<io::Result<_>>()?;
        Ok(Handoff { seed, batches: scaled(BATCHES, scale), pairs })
    }

    fn produce<M: Meter>(&self, pair: usize, meter: &mut M) {
        let mut random = Random::new(self.seed, pair as u64);
        let mut hand = Hand::new(meter);
        let pair = &self.pairs[pair];
        for number in 0..self.batches {
            pair.emptied.take();
            let mut blocks = locked(pair.batch(number));
            blocks.clear();
            for _ in 0..BATCH {
                let size = SIZES.draw(&mut random);
                blocks.push(hand.allocate(size, random.next()));
            }
            drop(blocks);
            pair.filled.give();
        }
    }

    fn consume<M: Meter>(&self, pair: usize, meter: &mut M) -> u64 {
        let mut hand = Hand::new(meter);
        let pair = &self.pairs[pair];
        for number in 0..self.batches {
            pair.filled.take();
            for &block in locked(pair.batch(number)).iter() {
                hand.free(block);
            }
            pair.emptied.give();
        }
        hand.digest()
    }
}

impl Pair {
    fn batch(&self, number: u64) -> &Mutex<Table<Block>> {
        &self.ring[number as usize % DEPTH]
    }
}

impl Driver for Handoff {
    fn operations(&self) -> u64 {
        2 * self.pairs.len() as u64 * self.batches * BATCH as u64
    }

    fn table_bytes(&self) -> usize {
        let tables = self.pairs.iter().flat_map(|pair| &pair.ring);
        tables.map(|blocks| locked(blocks).bytes()).sum()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let this = &*self;
        thread::scope(|scope| {
            for pair in 0..this.pairs.len() {
                let mut remote = meter.remote();
                scope.spawn(move || this.produce(pair, &mut remote));
            }
            let start =
                |pair, mut remote: M::Remote| scope.spawn(move || this.consume(pair, &mut remote));
            beside(meter, this.pairs.len() - 1, mix, &start, |meter| this.consume(0, meter))
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
