//! Requests, each with a buffer and with small objects of which some stay, and
//! once in a while a buffer larger than any before.
//!
//! It provokes the dynamic threshold's bad case: each time such a buffer is freed,
//! glibc's threshold rises to its size and never falls, and the trim threshold to
//! twice that. From then on all buffers come from the heap, small objects that
//! stay settle above and between them, and what the top holds is kept. A fixed
//! threshold pays for each buffer and keeps nothing. As reported of services:
//! cosmic-bg held 96 MB in place of 25 until the threshold was pinned.

use std::io;

use super::hand::{Block, Hand, OS_PAGE};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, scaled};

/// Requests at scale 1, and how many of them come before the next larger buffer.
const REQUESTS: u64 = 2_400;
const STEP: u64 = 60;
/// The buffers of most requests, and the first and the last of the larger ones.
const USUAL: Sizes = Sizes::Doublings(160 << 10, 2);
const LARGER: [usize; 2] = [192 << 10, 16 << 20];
/// Objects of a request, and how many stay for so many requests.
const OBJECTS: usize = 40;
const OBJECT: Sizes = Sizes::Pareto(32, 6);
const STAY: usize = 2;
const LONG: usize = 600;

#[derive(Debug)]
pub(super) struct Ratchet {
    seed: u64,
    requests: u64,
    objects: Table<Block>,
    stay: Table<Block>,
}

impl Ratchet {
    pub(super) fn new(seed: u64, scale: f64) -> io::Result<Ratchet> {
        Ok(Ratchet {
            seed,
            requests: scaled(REQUESTS, scale),
            objects: Table::new(OBJECTS)?,
            stay: Table::new(STAY * LONG)?,
        })
    }

    fn buffer(&self, request: u64, random: &mut Random) -> usize {
        if request % STEP != STEP - 1 {
            return USUAL.draw(random);
        }
        // From the first to the last by the same factor each time.
        let (steps, step) = ((self.requests / STEP).max(2), request / STEP);
        let [first, last] = LARGER.map(|size| (size as f64).ln());
        let size = (first + (last - first) * step as f64 / (steps - 1) as f64).exp();
        (size as usize).min(LARGER[1])
    }
}

impl Driver for Ratchet {
    fn operations(&self) -> u64 {
        2 * self.requests * (OBJECTS as u64 + 1)
    }

    fn table_bytes(&self) -> usize {
        self.objects.bytes() + self.stay.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        self.stay.clear();
        for request in 0..self.requests {
            let size = self.buffer(request, &mut random);
            let buffer = hand.allocate_touched(size, random.next(), OS_PAGE);
            self.objects.clear();
            for _ in 0..OBJECTS {
                let size = OBJECT.draw(&mut random);
                self.objects.push(hand.allocate(size, random.next()));
            }
            hand.free(buffer);
            for _ in 0..STAY {
                let Some(block) = self.objects.pop() else { break };
                if self.stay.len() < STAY * LONG {
                    self.stay.push(block);
                } else {
                    let slot = random.below(STAY * LONG);
                    hand.free(self.stay[slot]);
                    self.stay[slot] = block;
                }
            }
            for &object in self.objects.iter() {
                hand.free(object);
            }
        }
        for &block in self.stay.iter() {
            hand.free(block);
        }
        hand.digest()
    }
}
