//! Sizes that drift: a working set of 12 MiB whose blocks are 32 bytes at first,
//! 4 KiB in the end, and 32 again, a little more at every replacement.
//!
//! It provokes memory that is tied to a size: the heap fills with one, which is
//! then needed less and less. Who joins free neighbours, or lets whole spans
//! change their size, follows; who does not holds the most of each size. A
//! program's phases, without the sharp edges of `phases`. After the randomly
//! drifting sizes of Wilson and others (1995, section 2.4).

use std::io;

use super::hand::{Block, Hand};
use super::meter::Meter;
use super::random::Random;
use super::table::Table;
use super::{Driver, scaled};

/// Live bytes.
const LIVE: usize = 12 << 20;
const LEAST: usize = 32;
const MOST: usize = 4 << 10;
/// Times from the least to the most and back, and turnovers of all live bytes on
/// each way, at scale 1.
const WAYS: u64 = 4;
const TURNOVERS: usize = 6;
/// Bytes allocated on a way.
const WAY: usize = LIVE * TURNOVERS;

#[derive(Debug)]
pub(super) struct Drift {
    seed: u64,
    /// Drawn beforehand: powers take longer than requests.
    sizes: Table<u16>,
    blocks: Table<Block>,
}

/// The size that is usual at a part of the way, which is walked back every other time.
fn usual(way: u64, part: f64) -> f64 {
    let part = if way.is_multiple_of(2) { part } else { 1.0 - part };
    (LEAST as f64) * (MOST as f64 / LEAST as f64).powf(part)
}

/// The sizes that are asked for, way by way.
struct Sizes {
    random: Random,
    ways: u64,
    way: u64,
    bytes: usize,
}

impl Iterator for Sizes {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.bytes >= WAY {
            (self.way, self.bytes) = (self.way + 1, 0);
        }
        if self.way >= self.ways {
            return None;
        }
        let usual = usual(self.way, self.bytes as f64 / WAY as f64) as usize;
        // Half below and half above, by a quarter at most.
        let size = usual - usual / 4 + self.random.below(usual / 2 + 1);
        self.bytes += size;
        Some(size)
    }
}

impl Drift {
    pub(super) fn new(seed: u64, scale: f64) -> io::Result<Drift> {
        let drawn =
            || Sizes { random: Random::new(seed, 0), ways: scaled(WAYS, scale), way: 0, bytes: 0 };
        let mut sizes = Table::new(drawn().count())?;
        drawn().for_each(|size| sizes.push(size as u16));
        // The smallest size is three quarters of the least.
        let blocks = Table::new(LIVE / (LEAST - LEAST / 4) + 1)?;
        Ok(Drift { seed, sizes, blocks })
    }
}

impl Driver for Drift {
    fn operations(&self) -> u64 {
        2 * self.sizes.len() as u64
    }

    fn table_bytes(&self) -> usize {
        self.sizes.bytes() + self.blocks.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 1);
        let mut hand = Hand::new(meter);
        self.blocks.clear();
        let mut live = 0;
        for size in self.sizes.iter().map(|&size| size as usize) {
            while live + size > LIVE {
                let block = self.blocks.swap_remove(random.below(self.blocks.len()));
                live -= block.size();
                hand.free(block);
            }
            self.blocks.push(hand.allocate(size, random.next()));
            live += size;
        }
        for &block in self.blocks.iter() {
            hand.free(block);
        }
        hand.digest()
    }
}
