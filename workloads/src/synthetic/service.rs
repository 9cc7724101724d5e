//! Services as they are: sizes and lifetimes of the requests of ten profiles of a
//! large fleet, each replayed as births and deaths round a heap of 24 MiB.
//!
//! It provokes what real programs do and no formula does: nine of ten requests
//! below 1 KiB, most bytes above, and lifetimes that depend on the size. The
//! distributions are in `fleet`, with their source. By Little's law an object of a
//! size lives as long as there are live objects of it for each that is requested
//! in a second; lifetimes are exponential. So at each step an object dies, of those
//! of a size by their rate, and one is born, of a size by its rate. Not modelled:
//! heaps that grow and shrink, blocks freed by other threads, bursts, alignment,
//! `realloc`. Sizes above an eighth of the heap are left out.

use std::io;

use super::fleet::{BINS, LEAST, PROFILES};
use super::hand::{Block, Hand, OS_PAGE};
use super::meter::Meter;
use super::random::Random;
use super::table::{AHEAD, Table};
use super::{Driver, scaled};

/// Live bytes that the heap is scaled to.
const HEAP: f64 = (24 << 20) as f64;
/// Deaths, each followed by a birth, at scale 1.
const STEPS: u64 = 250_000;

/// A death and a birth.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Whose block dies, and who gets the new one.
    slot: u32,
    size: u32,
}

/// Drawn beforehand, so that nothing but the requests is left to be done.
#[derive(Debug)]
pub(super) struct Service {
    seed: u64,
    /// Of the blocks that are live before the first step.
    sizes: Table<u32>,
    steps: Table<Step>,
    blocks: Table<Block>,
}

/// First size of a bin.
fn least(bin: usize) -> usize {
    let doubling = LEAST << (bin / 2);
    doubling + bin % 2 * (doubling / 2)
}

fn draw(bin: usize, random: &mut Random) -> usize {
    least(bin) + random.below(least(bin + 1) - least(bin))
}

/// What a profile comes to, bin by bin.
struct Rates {
    /// Live objects at the beginning.
    begin: [u32; BINS],
    /// Births, of whatever unit of time.
    births: [f64; BINS],
    /// Deaths of each object in it: as many as are born die, when there are as many
    /// as at the beginning.
    deaths: [f64; BINS],
}

impl Rates {
    fn of(profile: usize) -> Rates {
        let profile = &PROFILES[profile];
        let mean = |bin: usize| (least(bin) + least(bin + 1) - 1) as f64 / 2.0;
        let fits = |bin: &usize| mean(*bin) <= HEAP / 8.0;
        let bytes = (0..BINS).filter(fits).map(|bin| f64::from(profile.live[bin]) * mean(bin));
        let factor = HEAP / bytes.sum::<f64>();
        // Bins that nobody lives in are nobody's.
        let expected: [f64; BINS] = std::array::from_fn(|bin| match fits(&bin) {
            true if profile.requests[bin] > 0 => f64::from(profile.live[bin]) * factor,
            _ => 0.0,
        });
        let births: [f64; BINS] = std::array::from_fn(|bin| match expected[bin] > 0.0 {
            true => f64::from(profile.requests[bin]),
            false => 0.0,
        });
        Rates {
            begin: expected.map(|count| count.round() as u32),
            births,
            deaths: std::array::from_fn(|bin| births[bin] / expected[bin].max(1e-9)),
        }
    }

    /// Draws the bins of `count` deaths and births.
    fn draw(&self, count: u64, random: &mut Random) -> io::Result<Table<(u16, u16)>> {
        let mut live = self.begin;
        let mut bins = Table::new(count as usize)?;
        for _ in 0..count {
            let dying = one_of(random, |bin| f64::from(live[bin]) * self.deaths[bin]);
            live[dying] -= 1;
            let born = one_of(random, |bin| self.births[bin]);
            live[born] += 1;
            bins.push((dying as u16, born as u16));
        }
        Ok(bins)
    }
}

/// A bin, each as likely as its weight says.
fn one_of(random: &mut Random, weight: impl Fn(usize) -> f64) -> usize {
    let unit = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
    let mut at = unit * (0..BINS).map(&weight).sum::<f64>();
    // The bin that the rest falls into; the last that can be, if rounding errs.
    let mut found = 0;
    for bin in (0..BINS).filter(|&bin| weight(bin) > 0.0) {
        found = bin;
        if at < weight(bin) {
            break;
        }
        at -= weight(bin);
    }
    found
}

impl Service {
    pub(super) fn new(seed: u64, scale: f64, profile: usize) -> io::Result<Service> {
        let rates = Rates::of(profile);
        let mut random = Random::new(seed, 1);
        let bins = rates.draw(scaled(STEPS, scale), &mut random)?;
        let mut most = rates.begin;
        let mut live = most;
        for &(dying, born) in bins.iter() {
            live[dying as usize] -= 1;
            live[born as usize] += 1;
            most[born as usize] = most[born as usize].max(live[born as usize]);
        }
        // Which slots hold an object of the bin.
        let mut slots = most
            .iter()
            .map(|&most| Table::new(most.max(1) as usize))
            .collect::<io::Result<Vec<Table<u32>>>>()?;
        let count: u32 = rates.begin.iter().sum();
        let mut sizes = Table::new(count as usize)?;
        // One of each bin in turn, so that sizes are mixed from the beginning.
        let mut left = rates.begin;
        while left.iter().any(|&left| left > 0) {
            for (bin, left) in left.iter_mut().enumerate().filter(|(_, left)| **left > 0) {
                *left -= 1;
                slots[bin].push(sizes.len() as u32);
                sizes.push(draw(bin, &mut random) as u32);
            }
        }
        let mut steps = Table::new(bins.len())?;
        for &(dying, born) in bins.iter() {
            let dying = &mut slots[dying as usize];
            let slot = dying.swap_remove(random.below(dying.len()));
            slots[born as usize].push(slot);
            steps.push(Step { slot, size: draw(born as usize, &mut random) as u32 });
        }
        Ok(Service { seed, sizes, steps, blocks: Table::new(count as usize)? })
    }
}

impl Driver for Service {
    fn operations(&self) -> u64 {
        2 * (self.sizes.len() + self.steps.len()) as u64
    }

    fn table_bytes(&self) -> usize {
        self.sizes.bytes() + self.steps.bytes() + self.blocks.bytes()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        self.blocks.clear();
        for &size in self.sizes.iter() {
            self.blocks.push(hand.allocate_touched(size as usize, random.next(), OS_PAGE));
        }
        for (at, step) in self.steps.iter().enumerate() {
            if let Some(later) = self.steps.get(at + AHEAD) {
                self.blocks.prefetch(later.slot as usize);
            }
            let slot = &mut self.blocks[step.slot as usize];
            hand.free(*slot);
            *slot = hand.allocate_touched(step.size as usize, random.next(), OS_PAGE);
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
    fn bins_follow_each_other() {
        assert_eq!([least(0), least(1), least(2), least(3)], [8, 12, 16, 24]);
        let mut random = Random::new(1, 0);
        for bin in 0..BINS {
            let size = draw(bin, &mut random);
            assert!((least(bin)..least(bin + 1)).contains(&size));
        }
    }

    #[test]
    fn every_profile_is_whole() {
        for profile in &PROFILES {
            for shares in [&profile.requests, &profile.live] {
                let sum: u32 = shares.iter().sum();
                assert!(sum.abs_diff(1_000_000) <= BINS as u32, "{sum}");
            }
        }
    }

    #[test]
    fn the_heap_keeps_its_size_and_requests_their_shares() {
        let service = Service::new(1, 0.4, 0).expect("maps");
        let mut live: Vec<usize> = service.sizes.iter().map(|&size| size as usize).collect();
        let before: usize = live.iter().sum();
        assert!((before as f64 / HEAP - 1.0).abs() < 0.05, "{before}");
        for step in service.steps.iter() {
            live[step.slot as usize] = step.size as usize;
        }
        let after: usize = live.iter().sum();
        assert!((after as f64 / before as f64 - 1.0).abs() < 0.2, "{before}, {after}");
        let of_bin = |bin| {
            let sizes = least(bin)..least(bin + 1);
            service.steps.iter().filter(|step| sizes.contains(&(step.size as usize))).count()
        };
        for (bin, &share) in PROFILES[0].requests.iter().enumerate().filter(|(_, s)| **s > 50_000) {
            let expected = service.steps.len() as f64 * f64::from(share) * 1e-6;
            let got = of_bin(bin) as f64;
            assert!((got - expected).abs() < 0.1 * expected, "bin {bin}: {got}, {expected}");
        }
    }
}
