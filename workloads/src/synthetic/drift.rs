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
use super::table::{AHEAD, Table};
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
/// Blocks that are born together, after enough of the others died: which of the two
/// comes next could not be foretold, and a processor would lose more time than the
/// requests take.
const TURN: usize = 16;
/// Blocks that live at a time, at most: the smallest is three quarters of the least.
const MOST_BLOCKS: usize = LIVE / (LEAST - LEAST / 4) + 1;

#[derive(Debug)]
pub(super) struct Drift {
    seed: u64,
    /// Drawn beforehand: powers take longer than requests.
    sizes: Table<u16>,
    deaths: Deaths,
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

/// Whom new blocks replace, any of the living as likely: drawn beforehand, so that
/// nobody waits for the table of those that live.
#[derive(Debug)]
struct Deaths {
    /// Where in the table each is that dies.
    places: Table<u32>,
    /// How many of them make room for the blocks of a turn.
    counts: Table<u32>,
}

impl Deaths {
    fn draw(sizes: &[u16], random: &mut Random) -> io::Result<Deaths> {
        let mut deaths = Deaths {
            places: Table::new(sizes.len())?,
            counts: Table::new(sizes.len().div_ceil(TURN))?,
        };
        let mut living: Table<u16> = Table::new(MOST_BLOCKS)?;
        let mut live = 0;
        for turn in sizes.chunks(TURN) {
            let before = deaths.places.len();
            live += turn.iter().map(|&size| usize::from(size)).sum::<usize>();
            while live > LIVE {
                let dying = random.below(living.len());
                live -= usize::from(living.swap_remove(dying));
                deaths.places.push(dying as u32);
            }
            deaths.counts.push((deaths.places.len() - before) as u32);
            turn.iter().for_each(|&size| living.push(size));
        }
        Ok(deaths)
    }

    fn bytes(&self) -> usize {
        self.places.bytes() + self.counts.bytes()
    }
}

impl Drift {
    pub(super) fn new(seed: u64, scale: f64) -> io::Result<Drift> {
        let drawn =
            || Sizes { random: Random::new(seed, 0), ways: scaled(WAYS, scale), way: 0, bytes: 0 };
        let mut sizes = Table::new(drawn().count())?;
        drawn().for_each(|size| sizes.push(size as u16));
        let deaths = Deaths::draw(&sizes, &mut Random::new(seed, 1))?;
        Ok(Drift { seed, sizes, deaths, blocks: Table::new(MOST_BLOCKS)? })
    }
}

impl Driver for Drift {
    fn operations(&self) -> u64 {
        2 * self.sizes.len() as u64
    }

    fn table_bytes(&self) -> usize {
        self.sizes.bytes() + self.deaths.bytes() + self.blocks.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 2);
        let mut hand = Hand::new(meter);
        self.blocks.clear();
        let mut died = 0;
        for (turn, &dying) in self.sizes.chunks(TURN).zip(self.deaths.counts.iter()) {
            for at in died..died + dying as usize {
                if let Some(&later) = self.deaths.places.get(at + AHEAD) {
                    self.blocks.prefetch(later as usize);
                }
                hand.free(self.blocks.swap_remove(self.deaths.places[at] as usize));
            }
            died += dying as usize;
            for &size in turn {
                self.blocks.push(hand.allocate(usize::from(size), random.next()));
            }
        }
        for &block in self.blocks.iter() {
            hand.free(block);
        }
        hand.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_die_that_twelve_mebibytes_live() {
        let drift = Drift::new(1, 0.3).expect("maps");
        let Deaths { places, counts } = &drift.deaths;
        let (mut living, mut live, mut died) = (Vec::new(), 0, 0);
        for (turn, &dying) in drift.sizes.chunks(TURN).zip(counts.iter()) {
            for &place in &places[died..died + dying as usize] {
                live -= usize::from(living.swap_remove(place as usize));
            }
            died += dying as usize;
            living.extend_from_slice(turn);
            live += turn.iter().map(|&size| usize::from(size)).sum::<usize>();
            let full = live > LIVE - TURN * MOST * 2;
            assert!(live <= LIVE && (full || died == 0), "{live} bytes after {died} deaths");
            assert!(living.len() <= MOST_BLOCKS);
        }
        assert_eq!(died, places.len());
        assert!(died > 0);
    }
}
