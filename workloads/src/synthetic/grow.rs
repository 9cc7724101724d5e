//! Vectors that grow: from 64 bytes to 16 MiB, doubled by `realloc` each time
//! they are full, and written as they grow.
//!
//! It provokes the three ways to make a block longer: in place, by moving its
//! pages (`mremap`), by copying. One alone may sit at the end of the heap and
//! grow there for nothing; of several that grow in turn only one can. The
//! pattern of every dynamic array that is filled without knowing its length.

use std::io;

use super::hand::{Block, Hand, OS_PAGE};
use super::meter::Meter;
use super::random::Random;
use super::table::Table;
use super::{Driver, scaled};

const FIRST: usize = 64;
const LAST: usize = 16 << 20;
const DOUBLINGS: u64 = (LAST / FIRST).ilog2() as u64;
/// Vectors that grow up, at scale 1.
const VECTORS: u64 = 40;

#[derive(Debug)]
pub(super) struct Grow {
    seed: u64,
    rounds: u64,
    vectors: Table<Block>,
    together: usize,
}

impl Grow {
    /// So many vectors grow in turn, each by one doubling.
    pub(super) fn new(seed: u64, scale: f64, together: usize) -> io::Result<Grow> {
        let rounds = scaled(VECTORS / together as u64, scale);
        Ok(Grow { seed, rounds, vectors: Table::new(together)?, together })
    }
}

impl Driver for Grow {
    fn operations(&self) -> u64 {
        self.rounds * self.together as u64 * (2 + DOUBLINGS)
    }

    fn table_bytes(&self) -> usize {
        self.vectors.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        for _ in 0..self.rounds {
            self.vectors.clear();
            for _ in 0..self.together {
                self.vectors.push(hand.allocate(FIRST, random.next()));
            }
            for doubling in 1..=DOUBLINGS {
                for vector in self.vectors.iter_mut() {
                    *vector = hand.grow(*vector, FIRST << doubling, random.next(), OS_PAGE);
                }
            }
            for &vector in self.vectors.iter() {
                hand.free(vector);
            }
        }
        hand.digest()
    }
}
