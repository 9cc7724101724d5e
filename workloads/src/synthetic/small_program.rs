//! A small program: some hundred long-lived objects, and requests that come and
//! go, each with its objects, a few buffers and a string that grows; the heap
//! stays below 1 MB.
//!
//! It provokes what an allocator costs before it has paid off: the resident
//! memory of its own tables and of classes that are hardly used, and the faults
//! on them. Most processes of a system are such programs (a shell, a filter, a
//! small interpreter's script); espresso and cfrac are their classics (Zorn and
//! Grunwald, *Empirical Measurements of Six Allocation-intensive C Programs*,
//! 1992).

use std::io;

use super::hand::{Block, Hand, OS_PAGE};
use super::meter::Meter;
use super::random::{Random, Sizes};
use super::table::Table;
use super::{Driver, scaled};

/// Long-lived objects, of which each request replaces some.
const KEPT: usize = 1_200;
const REPLACED: usize = 12;
const OBJECT: Sizes = Sizes::Doublings(16, 5);
/// Objects and buffers of a request.
const OBJECTS: usize = 300;
const BUFFERS: usize = 6;
const BUFFER: Sizes = Sizes::Doublings(1024, 4);
/// The string of a request, doubled from the first to the last size.
const STRING: [usize; 2] = [32, 16 << 10];
const DOUBLINGS: u64 = (STRING[1] / STRING[0]).ilog2() as u64;
/// Requests at scale 1.
const REQUESTS: u64 = 5_000;

#[derive(Debug)]
pub(super) struct SmallProgram {
    seed: u64,
    requests: u64,
    kept: Table<Block>,
    objects: Table<Block>,
}

impl SmallProgram {
    pub(super) fn new(seed: u64, scale: f64) -> io::Result<SmallProgram> {
        Ok(SmallProgram {
            seed,
            requests: scaled(REQUESTS, scale),
            kept: Table::new(KEPT)?,
            objects: Table::new(OBJECTS + BUFFERS)?,
        })
    }

    fn request<M: Meter>(&mut self, hand: &mut Hand<'_, M>, random: &mut Random) {
        let mut string = hand.allocate(STRING[0], random.next());
        self.objects.clear();
        for number in 0..OBJECTS + BUFFERS {
            let sizes = if number < OBJECTS { OBJECT } else { BUFFER };
            let size = sizes.draw(random);
            self.objects.push(hand.allocate(size, random.next()));
        }
        for doubling in 1..=DOUBLINGS {
            string = hand.grow(string, STRING[0] << doubling, random.next(), OS_PAGE);
        }
        for _ in 0..REPLACED {
            let slot = random.below(KEPT);
            hand.free(self.kept[slot]);
            let size = OBJECT.draw(random);
            self.kept[slot] = hand.allocate(size, random.next());
        }
        hand.free(string);
        // The half that was made last goes first; the rest in the order of its making.
        let half = self.objects.len() / 2;
        for _ in 0..half {
            self.objects.pop().into_iter().for_each(|object| hand.free(object));
        }
        for &object in self.objects.iter() {
            hand.free(object);
        }
    }
}

impl Driver for SmallProgram {
    fn operations(&self) -> u64 {
        let request = 2 * (OBJECTS + BUFFERS + REPLACED + 1) as u64 + DOUBLINGS;
        2 * KEPT as u64 + self.requests * request
    }

    fn table_bytes(&self) -> usize {
        self.kept.bytes() + self.objects.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        self.kept.clear();
        for _ in 0..KEPT {
            let size = OBJECT.draw(&mut random);
            self.kept.push(hand.allocate(size, random.next()));
        }
        for _ in 0..self.requests {
            self.request(&mut hand, &mut random);
        }
        for &object in self.kept.iter() {
            hand.free(object);
        }
        hand.digest()
    }
}
