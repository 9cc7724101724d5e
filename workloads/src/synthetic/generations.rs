//! Bursts whose blocks die a generation later: half in the order in which they
//! were allocated, half in the reverse order, while the next burst is under way.
//!
//! It provokes free lists that grow long in one order and are used up in
//! another, over all small sizes at once. Of several threads each frees the
//! generation of the next; and now and then there may be a block of 168 KB, which
//! lies beyond glibc's initial mmap threshold. As *sh6bench* and *sh8bench*
//! (MicroQuill, *SmartHeap*), from what is told of their behaviour.

use std::io;
use std::sync::{Barrier, Mutex};
use std::thread;

use super::beside::beside;
use super::hand::{Block, Hand, mix};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, Parameters, locked, scaled};

/// Blocks of a burst.
const BLOCKS: usize = 2_000;
const SIZES: Sizes = Sizes::Pareto(16, 6);
/// One block in so many is large, where some are.
const LARGE_ONE_IN: usize = 8_000;
const LARGE: usize = 168_000;

/// What the two benchmarks differ in beside their threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// Bursts of a thread at scale 1.
    bursts: u64,
    /// Whether some blocks are large.
    large: bool,
}

pub(super) const SH6BENCH: Kind = Kind { bursts: 400, large: false };
pub(super) const SH8BENCH: Kind = Kind { bursts: 200, large: true };

#[derive(Debug)]
pub(super) struct Generations {
    seed: u64,
    kind: Kind,
    bursts: u64,
    /// Of each thread the generation that lives.
    living: Vec<Mutex<Table<Block>>>,
    fresh: Vec<Mutex<Table<Block>>>,
}

impl Generations {
    pub(super) fn new(parameters: Parameters, kind: Kind) -> io::Result<Generations> {
        let Parameters { seed, scale, threads } = parameters;
        let (living, fresh) = (Table::several(threads, BLOCKS)?, Table::several(threads, BLOCKS)?);
        Ok(Generations { seed, kind, bursts: scaled(kind.bursts, scale), living, fresh })
    }

    fn threads(&self) -> usize {
        self.living.len()
    }

    fn live<M: Meter>(&self, number: usize, barrier: &Barrier, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, number as u64);
        let mut hand = Hand::new(meter);
        for _ in 0..self.bursts {
            let mut dying = locked(&self.living[(number + 1) % self.threads()]);
            let mut fresh = locked(&self.fresh[number]);
            fresh.clear();
            for at in 0..BLOCKS {
                let large = self.kind.large && random.below(LARGE_ONE_IN) == 0;
                let size = if large { LARGE } else { SIZES.draw(&mut random) };
                fresh.push(hand.allocate(size, random.next()));
                // One half forwards, from its beginning; the other from its end.
                if let Some(&block) =
                    dying.get(if at % 2 == 0 { at / 2 } else { BLOCKS - 1 - at / 2 })
                {
                    hand.free(block);
                }
            }
            dying.clear();
            drop((dying, fresh));
            barrier.wait();
            let (mut living, mut fresh) =
                (locked(&self.living[number]), locked(&self.fresh[number]));
            std::mem::swap(&mut *living, &mut *fresh);
            drop((living, fresh));
            barrier.wait();
        }
        for &block in locked(&self.living[number]).iter() {
            hand.free(block);
        }
        hand.digest()
    }
}

impl Driver for Generations {
    fn operations(&self) -> u64 {
        2 * self.threads() as u64 * self.bursts * BLOCKS as u64
    }

    fn table_bytes(&self) -> usize {
        self.living.iter().chain(&self.fresh).map(|blocks| locked(blocks).bytes()).sum()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        self.living.iter().for_each(|blocks| locked(blocks).clear());
        let (this, barrier) = (&*self, &Barrier::new(self.threads()));
        thread::scope(|scope| {
            let start = |number, mut remote: M::Remote| {
                scope.spawn(move || this.live(number, barrier, &mut remote))
            };
            beside(meter, this.threads() - 1, mix, &start, |meter| this.live(0, barrier, meter))
        })
    }
}
