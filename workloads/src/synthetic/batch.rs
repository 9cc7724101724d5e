//! Batches: so many blocks are allocated, then all are freed, over and over.
//!
//! It provokes what lies behind the fast path: caches overflow and are refilled,
//! and the order of the frees decides whether neighbours meet again. A thousand
//! blocks fit the caches of most allocators and the order is the question
//! (last in first out, first in first out, random); of ten or a hundred thousand
//! equal blocks most pass through to the heap behind (sh6bench and sh8bench, by
//! MicroQuill, and glibc's `bench-malloc-thread` with their bursts).

use std::io;

use super::hand::{Block, Hand};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, scaled};

/// Blocks allocated in all, at scale 1.
const BLOCKS: u64 = 2_000_000;

/// In which order a batch is freed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Lifo,
    Fifo,
    Random,
}

#[derive(Debug)]
pub(super) struct Batch {
    sizes: Sizes,
    seed: u64,
    batches: u64,
    blocks: Table<Block>,
    /// The indices of a batch in the order in which they are freed.
    order: Table<u32>,
}

impl Batch {
    pub(super) fn new(
        seed: u64,
        scale: f64,
        length: usize,
        sizes: Sizes,
        order: Order,
    ) -> io::Result<Batch> {
        let mut indices = Table::new(length)?;
        for index in 0..length as u32 {
            indices.push(match order {
                Order::Lifo => length as u32 - 1 - index,
                Order::Fifo | Order::Random => index,
            });
        }
        if let Order::Random = order {
            // Fisher and Yates.
            let mut random = Random::new(seed, 1);
            for end in (1..length).rev() {
                indices.swap(end, random.below(end + 1));
            }
        }
        let batches = scaled(BLOCKS / length as u64, scale);
        Ok(Batch { sizes, seed, batches, blocks: Table::new(length)?, order: indices })
    }
}

impl Driver for Batch {
    fn operations(&self) -> u64 {
        2 * self.batches * self.order.len() as u64
    }

    fn table_bytes(&self) -> usize {
        self.blocks.bytes() + self.order.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        for _ in 0..self.batches {
            self.blocks.clear();
            for _ in 0..self.order.len() {
                let size = self.sizes.draw(&mut random);
                self.blocks.push(hand.allocate(size, random.next()));
            }
            for &index in self.order.iter() {
                hand.free(self.blocks[index as usize]);
            }
        }
        hand.digest()
    }
}
