//! Buffers that grow by appending: of 64 that are being filled, a random one gets
//! an eighth longer by `realloc`, until it is full and another begins.
//!
//! It provokes `realloc` where there is no doubling: of files, logs, messages
//! that are read piece by piece. The block's neighbour is in use more often than
//! not; who can neither grow in place nor leave room copies every buffer dozens
//! of times, and leaves holes of every size behind. `grow` has the doublings.

use std::io;

use super::hand::{Block, Hand, OS_PAGE};
use super::meter::Meter;
use super::random::Random;
use super::table::Table;
use super::{Driver, scaled};

const BUFFERS: usize = 64;
const FIRST: usize = 128;
/// A buffer is full at one of these.
const FULL: [usize; 4] = [1 << 10, 8 << 10, 64 << 10, 512 << 10];
/// Pieces appended at scale 1.
const PIECES: u64 = 60_000;

#[derive(Debug, Clone, Copy)]
struct Buffer {
    block: Block,
    size: usize,
    full: usize,
}

#[derive(Debug)]
pub(super) struct Append {
    seed: u64,
    pieces: u64,
    buffers: Table<Buffer>,
}

impl Append {
    pub(super) fn new(seed: u64, scale: f64) -> io::Result<Append> {
        Ok(Append { seed, pieces: scaled(PIECES, scale), buffers: Table::new(BUFFERS)? })
    }

    fn begin<M: Meter>(hand: &mut Hand<'_, M>, random: &mut Random) -> Buffer {
        let block = hand.allocate(FIRST, random.next());
        Buffer { block, size: FIRST, full: FULL[random.below(FULL.len())] }
    }
}

/// What happens to a buffer of `size` that is full at `full`: its next size.
fn longer(size: usize, full: usize) -> Option<usize> {
    (size < full).then(|| (size + size / 8).min(full))
}

impl Driver for Append {
    fn operations(&self) -> u64 {
        // A dry run: which buffers become full is chance.
        let mut random = Random::new(self.seed, 0);
        let begin = |random: &mut Random| {
            random.next();
            (FIRST, FULL[random.below(FULL.len())])
        };
        let mut buffers = [(0, 0); BUFFERS];
        buffers.iter_mut().for_each(|buffer| *buffer = begin(&mut random));
        let mut operations = 2 * BUFFERS as u64;
        for _ in 0..self.pieces {
            let buffer = &mut buffers[random.below(BUFFERS)];
            match longer(buffer.0, buffer.1) {
                Some(size) => {
                    random.next();
                    buffer.0 = size;
                    operations += 1;
                }
                None => {
                    *buffer = begin(&mut random);
                    operations += 2;
                }
            }
        }
        operations
    }

    fn table_bytes(&self) -> usize {
        self.buffers.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        self.buffers.clear();
        for _ in 0..BUFFERS {
            self.buffers.push(Self::begin(&mut hand, &mut random));
        }
        for _ in 0..self.pieces {
            let buffer = &mut self.buffers[random.below(BUFFERS)];
            match longer(buffer.size, buffer.full) {
                Some(size) => {
                    buffer.block = hand.grow(buffer.block, size, random.next(), OS_PAGE);
                    buffer.size = size;
                }
                None => {
                    hand.free(buffer.block);
                    *buffer = Self::begin(&mut hand, &mut random);
                }
            }
        }
        for buffer in self.buffers.iter() {
            hand.free(buffer.block);
        }
        hand.digest()
    }
}
