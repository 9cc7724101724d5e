//! Some threads only allocate, as many only free, and batches of blocks of 64
//! bytes go from any of the one kind to any of the other.
//!
//! It provokes what one producer and one consumer do not: memory of several
//! threads is mixed in a batch, so what is freed has to be sorted by where it
//! came from, while its owners keep asking for more. After `xmalloc-test` (Lever
//! and Boreham, *malloc() Performance in a Multithreaded Linux Environment*,
//! USENIX 2000).

use std::io;
use std::sync::Mutex;
use std::thread;

use super::beside::beside;
use super::hand::{Block, Hand, mix};
use super::handoff::Semaphore;
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, Parameters, locked, scaled};

/// Blocks of a batch, and batches that there are for each producer.
const BATCH: usize = 250;
const DEPTH: usize = 4;
/// Batches of a producer at scale 1.
const BATCHES: u64 = 1_200;
const SIZE: Sizes = Sizes::Fixed(64);

#[derive(Debug)]
pub(super) struct Xmalloc {
    seed: u64,
    /// Of each kind.
    threads: usize,
    batches: u64,
    tables: Vec<Mutex<Table<Block>>>,
    /// Tables with blocks, and without.
    full: Line,
    empty: Line,
}

/// The numbers of tables, of which the latest goes first.
#[derive(Debug)]
struct Line {
    there: Semaphore,
    numbers: Mutex<Table<usize>>,
}

impl Line {
    /// Of so many tables, some of which are in it.
    fn new(tables: usize, holds: usize) -> io::Result<Line> {
        let mut numbers = Table::new(tables)?;
        (0..holds).for_each(|number| numbers.push(number));
        Ok(Line { there: Semaphore::new(holds), numbers: Mutex::new(numbers) })
    }

    fn give(&self, number: usize) {
        locked(&self.numbers).push(number);
        self.there.give();
    }

    fn take(&self) -> usize {
        self.there.take();
        locked(&self.numbers).pop().expect("as many as were given")
    }
}

impl Xmalloc {
    /// As many producers, and as many consumers, as the parameters say threads.
    pub(super) fn new(Parameters { seed, scale, threads }: Parameters) -> io::Result<Xmalloc> {
        let depth = DEPTH * threads;
        Ok(Xmalloc {
            seed,
            threads,
            batches: scaled(BATCHES, scale),
            tables: Table::several(depth, BATCH)?,
            full: Line::new(depth, 0)?,
            empty: Line::new(depth, depth)?,
        })
    }

    fn produce<M: Meter>(&self, number: usize, meter: &mut M) {
        let mut random = Random::new(self.seed, number as u64);
        let mut hand = Hand::new(meter);
        for _ in 0..self.batches {
            let at = self.empty.take();
            let mut blocks = locked(&self.tables[at]);
            blocks.clear();
            for _ in 0..BATCH {
                let size = SIZE.draw(&mut random);
                blocks.push(hand.allocate(size, random.next()));
            }
            drop(blocks);
            self.full.give(at);
        }
    }

    /// A sum: nobody knows which batches go to which consumer.
    fn consume<M: Meter>(&self, meter: &mut M) -> u64 {
        let mut sum = 0_u64;
        for _ in 0..self.batches {
            let at = self.full.take();
            let mut hand = Hand::new(meter);
            for &block in locked(&self.tables[at]).iter() {
                hand.free(block);
            }
            sum = sum.wrapping_add(hand.digest());
            self.empty.give(at);
        }
        sum
    }
}

impl Driver for Xmalloc {
    fn operations(&self) -> u64 {
        2 * self.threads as u64 * self.batches * BATCH as u64
    }

    fn table_bytes(&self) -> usize {
        let lines = [&self.full, &self.empty].map(|line| locked(&line.numbers).bytes());
        self.tables.iter().map(|blocks| locked(blocks).bytes()).chain(lines).sum()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let this = &*self;
        thread::scope(|scope| {
            for number in 0..this.threads {
                let mut remote = meter.remote();
                scope.spawn(move || this.produce(number, &mut remote));
            }
            let start = |_, mut remote: M::Remote| scope.spawn(move || this.consume(&mut remote));
            let others = this.threads - 1;
            mix(0, beside(meter, others, u64::wrapping_add, &start, |meter| this.consume(meter)))
        })
    }
}
