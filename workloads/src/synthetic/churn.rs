//! A driver for workloads that differ only in sizes: fill a working set, replace
//! blocks of it at random, free it all. Every block is written when it is
//! allocated and read back when it is freed, all over.

use std::io;
use std::marker::PhantomData;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::hand::{Block, Hand};
use super::meter::Meter;
use super::table::Table;
use super::{Driver, scaled};

/// What a workload asks for.
pub(super) trait Shape {
    /// Blocks of the working set.
    const SLOTS: usize;
    /// Replacements at scale 1.
    const REPLACEMENTS: u64;
    /// Distance in bytes between the words that are written in a block.
    const STRIDE: usize;
    /// The size of the next request, in bytes; at least a word.
    fn size(random: &mut Pcg64) -> usize;
}

/// A working set before its first allocation.
#[derive(Debug)]
pub(super) struct Churn<S> {
    blocks: Table<Block>,
    seed: u64,
    replacements: u64,
    shape: PhantomData<S>,
}

impl<S: Shape> Churn<S> {
    pub(super) fn new(seed: u64, scale: f64) -> io::Result<Churn<S>> {
        let replacements = scaled(S::REPLACEMENTS, scale);
        Ok(Churn { blocks: Table::new(S::SLOTS)?, seed, replacements, shape: PhantomData })
    }
}

impl<S: Shape> Driver for Churn<S> {
    fn operations(&self) -> u64 {
        2 * (S::SLOTS as u64 + self.replacements)
    }

    fn table_bytes(&self) -> usize {
        self.blocks.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Pcg64::seed_from_u64(self.seed);
        let mut hand = Hand::new(meter);
        self.blocks.clear();
        for _ in 0..S::SLOTS {
            self.blocks.push(allocate::<S, M>(&mut hand, &mut random));
        }
        for _ in 0..self.replacements {
            let slot = &mut self.blocks[below(&mut random, S::SLOTS)];
            hand.free_touched(*slot, S::STRIDE);
            *slot = allocate::<S, M>(&mut hand, &mut random);
        }
        for &block in self.blocks.iter() {
            hand.free_touched(block, S::STRIDE);
        }
        hand.digest()
    }
}

#[inline]
fn allocate<S: Shape, M: Meter>(hand: &mut Hand<'_, M>, random: &mut Pcg64) -> Block {
    let size = S::size(random);
    hand.allocate_touched(size, random.next_u64(), S::STRIDE)
}

/// A number below `limit`, which is far below 2^32: the bias does not matter.
#[inline]
pub(super) fn below(random: &mut Pcg64, limit: usize) -> usize {
    (((random.next_u64() >> 32) * limit as u64) >> 32) as usize
}
