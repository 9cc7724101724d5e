//! An adversary: blocks of one size, every other of which is freed, then of twice
//! the size, which fit into no hole, and so on up to 64 KiB; never more than 8 MiB
//! live.
//!
//! It provokes the worst that a heap without moving can be brought to. Robson
//! (*Bounds for Some Functions Concerning Dynamic Storage Allocation*, JACM 1974)
//! proves that whatever the allocator, a program with at most M live bytes in
//! blocks of 1 to n units, all powers of two, can force it to M (1 + log2(n) / 2):
//! six times the live bytes here. His program looks at addresses. This one
//! does not, so that its requests are the same under every allocator, and it
//! stays below: with half of each size surviving, a heap that joins neighbours
//! holds the survivors' holes as well, one that keeps sizes apart each size's peak.

use std::io;

use super::hand::{Block, Hand, OS_PAGE};
use super::meter::Meter;
use super::random::Random;
use super::table::Table;
use super::{Driver, scaled};

/// Live bytes at most.
const LIVE: usize = 8 << 20;
const FIRST: usize = 64;
const DOUBLINGS: usize = 10;
/// Times that it is done at scale 1.
const ROUNDS: u64 = 4;

/// What no allocator can avoid against Robson's own program, as a multiple of the
/// live bytes: [`ABOUT`] says it.
#[cfg(test)]
const BOUND: f64 = 1.0 + DOUBLINGS as f64 / 2.0;

pub(super) const ABOUT: &str = "sizes double, every other block stays; the worst of such programs takes 6.0 times the live bytes";

#[derive(Debug)]
pub(super) struct Robson {
    seed: u64,
    rounds: u64,
    blocks: Table<Block>,
}

/// Blocks that each size begins with: as many as fit beside the survivors, of
/// which half go each time a larger size comes.
fn counts() -> impl Iterator<Item = (usize, usize)> {
    (0..=DOUBLINGS).map(|doubling| {
        let size = FIRST << doubling;
        let room = if doubling == 0 { LIVE } else { LIVE / 2 };
        (size, room / size)
    })
}

impl Robson {
    pub(super) fn new(seed: u64, scale: f64) -> io::Result<Robson> {
        Ok(Robson { seed, rounds: scaled(ROUNDS, scale), blocks: Table::new(LIVE / FIRST)? })
    }
}

impl Driver for Robson {
    fn operations(&self) -> u64 {
        2 * self.rounds * counts().map(|(_, count)| count as u64).sum::<u64>()
    }

    fn table_bytes(&self) -> usize {
        self.blocks.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        for _ in 0..self.rounds {
            self.blocks.clear();
            for (size, count) in counts() {
                // Half of what lives goes, every other block: the holes are as large
                // as the blocks that are left, and what comes is larger.
                let living = self.blocks.len();
                let mut stays = 0;
                for at in 0..living {
                    if at % 2 == 1 {
                        hand.free(self.blocks[at]);
                    } else {
                        self.blocks.swap(stays, at);
                        stays += 1;
                    }
                }
                while self.blocks.len() > stays {
                    self.blocks.pop();
                }
                for _ in 0..count {
                    self.blocks.push(hand.allocate_touched(size, random.next(), OS_PAGE));
                }
            }
            for &block in self.blocks.iter() {
                hand.free(block);
            }
        }
        hand.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_that_is_told_is_the_one_of_these_sizes() {
        assert!(ABOUT.contains(&format!("{BOUND:.1} times")));
    }
}
