//! A burst of 48 MiB of mixed blocks, all freed, and then a trickle of small
//! requests that need next to nothing.
//!
//! It provokes the question what is kept, and for how long, of memory that was
//! needed once: memory over the operations shows it. What goes back at the end
//! of the burst, with the next operations, or never? The program does not sleep:
//! who waits for a clock to pass has some milliseconds. A service after its
//! peak; the memory after a burst is what users complain of most.

use std::io;

use super::hand::{Block, Hand, OS_PAGE};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, scaled};

/// Bursts at scale 1, and bytes of each.
const BURSTS: u64 = 2;
const BURST: usize = 48 << 20;
const SIZES: Sizes = Sizes::Doublings(32, 12);
/// More blocks than fill it: the smallest size on average is a doubling's mean.
const MOST: usize = 20_000;
/// Pairs after each burst, around so many objects that stay.
const PAIRS: u64 = 300_000;
const OBJECTS: usize = 500;
const OBJECT: Sizes = Sizes::Uniform(16, 400);

#[derive(Debug)]
pub(super) struct Trickle {
    seed: u64,
    bursts: u64,
    pairs: u64,
    /// Blocks of a burst: computed, so that operations are known beforehand.
    blocks: usize,
    burst: Table<Block>,
    objects: Table<Block>,
}

impl Trickle {
    pub(super) fn new(seed: u64, scale: f64) -> io::Result<Trickle> {
        // What a burst is made of is drawn once to learn how many blocks it has.
        let mut random = Random::new(seed, 1);
        let (mut blocks, mut bytes) = (0, 0);
        while bytes < BURST && blocks < MOST {
            bytes += SIZES.draw(&mut random);
            blocks += 1;
        }
        Ok(Trickle {
            seed,
            bursts: scaled(BURSTS, scale),
            pairs: scaled(PAIRS, scale.min(1.0)),
            blocks,
            burst: Table::new(blocks)?,
            objects: Table::new(OBJECTS)?,
        })
    }
}

impl Driver for Trickle {
    fn operations(&self) -> u64 {
        2 * (OBJECTS as u64 + self.bursts * (self.blocks as u64 + self.pairs))
    }

    fn table_bytes(&self) -> usize {
        self.burst.bytes() + self.objects.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        self.objects.clear();
        for _ in 0..OBJECTS {
            let size = OBJECT.draw(&mut random);
            self.objects.push(hand.allocate(size, random.next()));
        }
        for _ in 0..self.bursts {
            let mut sizes = Random::new(self.seed, 1);
            self.burst.clear();
            for _ in 0..self.blocks {
                let size = SIZES.draw(&mut sizes);
                self.burst.push(hand.allocate_touched(size, random.next(), OS_PAGE));
            }
            for &block in self.burst.iter() {
                hand.free(block);
            }
            for _ in 0..self.pairs {
                let slot = &mut self.objects[random.below(OBJECTS)];
                hand.free(*slot);
                let size = OBJECT.draw(&mut random);
                *slot = hand.allocate(size, random.next());
            }
        }
        for &object in self.objects.iter() {
            hand.free(object);
        }
        hand.digest()
    }
}
