//! Services as they are: sizes and lifetimes of the requests of ten profiles of a
//! large fleet, each replayed as births and deaths round a heap of 24 MiB.
//!
//! It provokes what real programs do and no formula does: nine of ten requests
//! below 1 KiB, most bytes above, and lifetimes that depend on the size. The
//! distributions are in `fleet`, with their source. By Little's law an object of a
//! size lives as long as there are live objects of it for each that is requested
//! in a second; lifetimes are exponential. So at each step there is a birth, of a
//! size by its rate, or a death, of an object by its rate: as often the one as the
//! other once the heap has the size that it keeps. Not modelled: blocks freed by
//! other threads, bursts, alignment, `realloc`. Sizes above an eighth of the heap
//! are left out.

use std::io;

use super::fleet::{BINS, LEAST, PROFILES};
use super::hand::{Block, Hand, OS_PAGE};
use super::meter::Meter;
use super::random::Random;
use super::table::Table;
use super::{Driver, scaled};

/// Live bytes that the heap is scaled to.
const HEAP: f64 = (24 << 20) as f64;
/// Births and deaths at scale 1.
const STEPS: u64 = 500_000;

/// A birth in a bin, or the death of one of its objects.
#[derive(Debug, Clone, Copy)]
struct Step {
    bin: u16,
    born: bool,
    /// Which of the bin's live objects dies.
    index: u32,
}

#[derive(Debug)]
pub(super) struct Service {
    seed: u64,
    /// What is live before the first step.
    begin: [u32; BINS],
    /// Drawn beforehand, so that nothing but the requests is left to be done.
    steps: Table<Step>,
    live: Vec<Table<Block>>,
}

/// First size of a bin.
fn least(bin: usize) -> usize {
    let doubling = LEAST << (bin / 2);
    doubling + bin % 2 * (doubling / 2)
}

fn draw(bin: usize, random: &mut Random) -> usize {
    least(bin) + random.below(least(bin + 1) - least(bin))
}

impl Service {
    pub(super) fn new(seed: u64, scale: f64, profile: usize) -> io::Result<Service> {
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
        let begin = expected.map(|count| count.round() as u32);
        let mut most = begin;
        let steps = draw_steps(seed, scaled(STEPS, scale), &births, &expected, &mut most)?;
        let live = most.iter().map(|&most| Table::new(most.max(1) as usize));
        Ok(Service { seed, begin, steps, live: live.collect::<io::Result<_>>()? })
    }
}

/// Draws the births and deaths; `most` holds what is live at the beginning, and in
/// the end the most that ever was.
fn draw_steps(
    seed: u64,
    count: u64,
    births: &[f64; BINS],
    expected: &[f64; BINS],
    most: &mut [u32; BINS],
) -> io::Result<Table<Step>> {
    let mut random = Random::new(seed, 1);
    let mut unit = || (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
    let mut live = *most;
    let born: f64 = births.iter().sum();
    // The death rate of an object of each bin: as many as are born die, when there
    // are as many as expected.
    let rate: [f64; BINS] = std::array::from_fn(|bin| births[bin] / expected[bin].max(1e-9));
    let mut steps = Table::new(count as usize)?;
    for _ in 0..count {
        let dying = |bin: usize| f64::from(live[bin]) * rate[bin];
        let deaths: f64 = (0..BINS).map(dying).sum();
        let mut at = unit() * (born + deaths);
        let is_born = at < born;
        let weight = |bin: usize| if is_born { births[bin] } else { dying(bin) };
        if !is_born {
            at -= born;
        }
        // The bin that the rest falls into; the last that can be, if rounding errs.
        let mut bin = 0;
        for candidate in (0..BINS).filter(|&bin| weight(bin) > 0.0) {
            bin = candidate;
            if at < weight(bin) {
                break;
            }
            at -= weight(bin);
        }
        let index = (unit() * f64::from(live[bin])) as u32;
        match is_born {
            true => live[bin] += 1,
            false => live[bin] -= 1,
        }
        most[bin] = most[bin].max(live[bin]);
        steps.push(Step { bin: bin as u16, born: is_born, index });
    }
    Ok(steps)
}

impl Driver for Service {
    fn operations(&self) -> u64 {
        let begin: u64 = self.begin.iter().map(|&count| u64::from(count)).sum();
        2 * (begin + self.steps.iter().filter(|step| step.born).count() as u64)
    }

    fn table_bytes(&self) -> usize {
        self.steps.bytes() + self.live.iter().map(Table::bytes).sum::<usize>()
    }

    fn run<M: Meter>(&mut self, meter: &mut M) -> u64 {
        let mut random = Random::new(self.seed, 0);
        let mut hand = Hand::new(meter);
        let mut bear = |hand: &mut Hand<'_, M>, bin: usize| {
            let size = draw(bin, &mut random);
            hand.allocate_touched(size, random.next(), OS_PAGE)
        };
        self.live.iter_mut().for_each(Table::clear);
        // One of each bin in turn, so that sizes are mixed from the beginning.
        let mut left = self.begin;
        while left.iter().any(|&left| left > 0) {
            for (bin, left) in left.iter_mut().enumerate().filter(|(_, left)| **left > 0) {
                *left -= 1;
                self.live[bin].push(bear(&mut hand, bin));
            }
        }
        for step in self.steps.iter() {
            let (bin, live) = (step.bin as usize, &mut self.live[step.bin as usize]);
            match step.born {
                true => live.push(bear(&mut hand, bin)),
                false => hand.free(live.swap_remove(step.index as usize)),
            }
        }
        for live in &self.live {
            for &block in live.iter() {
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
        let service = Service::new(1, 0.2, 0).expect("maps");
        let births = service.steps.iter().filter(|step| step.born).count();
        let steps = service.steps.len();
        assert!(births.abs_diff(steps / 2) * 50 < steps, "{births} of {steps}");
        let of_bin = |bin: u16| service.steps.iter().filter(|s| s.born && s.bin == bin).count();
        for (bin, &share) in PROFILES[0].requests.iter().enumerate().filter(|(_, s)| **s > 50_000) {
            let expected = births as f64 * f64::from(share) * 1e-6;
            let got = of_bin(bin as u16) as f64;
            assert!((got - expected).abs() < 0.1 * expected, "bin {bin}: {got}, {expected}");
        }
    }
}
