//! Expressions: temporaries that are allocated one after the other and freed in
//! the reverse order, of which one now and then becomes a part of the result.
//!
//! It provokes nothing but the price of an object: programs of many tiny
//! short-lived objects beside few that stay, in one thread. *cfrac* (factors a
//! number: bignums of some words) and *espresso* (minimises logic: bit sets of
//! very different sizes, more of which stay) are the classics; see Zorn and
//! Grunwald, *Empirical Measurements of Six Allocation-intensive C Programs*
//! (1992), whose shapes these are.

use std::io;

use super::hand::{Block, Hand};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, scaled};

/// What an expression is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) sizes: Sizes,
    /// Most temporaries at a time.
    pub(super) deep: usize,
    /// One expression in so many leaves an object.
    pub(super) leaves_one_in: usize,
    /// Objects that stay, until others take their places.
    pub(super) kept: usize,
}

pub(super) const CFRAC: Shape =
    Shape { sizes: Sizes::Uniform(16, 48), deep: 6, leaves_one_in: 20, kept: 400 };
pub(super) const ESPRESSO: Shape =
    Shape { sizes: Sizes::Pareto(16, 9), deep: 24, leaves_one_in: 3, kept: 4_000 };

/// Temporaries at scale 1.
const TEMPORARIES: u64 = 2_000_000;

#[derive(Debug)]
pub(super) struct Temporaries {
    seed: u64,
    expressions: u64,
    shape: Shape,
    stack: Table<Block>,
    kept: Table<Block>,
}

impl Temporaries {
    pub(super) fn new(seed: u64, scale: f64, shape: Shape) -> io::Result<Temporaries> {
        let (stack, kept) = (Table::new(shape.deep + 1)?, Table::new(shape.kept)?);
        let expressions = scaled(TEMPORARIES / shape.deep as u64, scale);
        Ok(Temporaries { seed, expressions, shape, stack, kept })
    }
}

impl Driver for Temporaries {
    fn operations(&self) -> u64 {
        2 * (self.shape.kept as u64 + self.expressions * self.shape.deep as u64)
    }

    fn table_bytes(&self) -> usize {
        self.stack.bytes() + self.kept.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let Shape { sizes, deep, leaves_one_in, kept } = self.shape;
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        self.kept.clear();
        self.stack.clear();
        for _ in 0..kept {
            let size = sizes.draw(&mut random);
            self.kept.push(hand.allocate(size, random.next()));
        }
        for expression in 0..self.expressions {
            for _ in 0..deep {
                let size = sizes.draw(&mut random);
                self.stack.push(hand.allocate(size, random.next()));
            }
            if expression % leaves_one_in as u64 == 0 {
                // The oldest temporary stays, in the place of another object.
                std::mem::swap(&mut self.stack[0], &mut self.kept[random.below(kept)]);
            }
            while let Some(block) = self.stack.pop() {
                hand.free(block);
            }
        }
        for &block in self.kept.iter() {
            hand.free(block);
        }
        hand.digest()
    }
}
