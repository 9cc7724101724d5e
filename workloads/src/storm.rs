//! Several threads at once on one allocator, which hand blocks to each other.
//!
//! Each has an oracle of its own. A block that a thread hands over is verified
//! by the one that takes it, which may resize or free it.

use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::op::draw::Bits;
use crate::op::{Generator, Random, Shape};
use crate::shadow::{Parcel, Rules, Shadow, Subject, Violation};

/// Slots of each thread.
const SLOTS: u32 = 64;
/// How many blocks may be on their way at a time.
const MARKET: usize = 128;

/// What a storm is made of.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How many threads there are at a time.
    pub threads: u64,
    /// How many generations of threads; blocks outlive theirs.
    pub generations: u64,
    /// Operations of each thread.
    pub operations: usize,
    /// The largest request in bytes.
    pub largest: usize,
    /// How each oracle judges. A subject's own accounts are all threads', so
    /// they must not be watched unless the subject allows for that.
    pub rules: Rules,
}

impl Storm {
    /// What a few seconds have room for.
    pub const USUAL: Storm = Storm {
        threads: 4,
        generations: 6,
        operations: 4000,
        largest: 20_000,
        rules: Rules { granted: 64 << 20, ..Rules::THOROUGH },
    };

    /// Runs it over handles, all of one allocator, that `make` gives; gives how
    /// many operations that were. Other threads' blocks outlive a violation.
    ///
    /// # Errors
    ///
    /// The first promise that was seen to be broken.
    pub fn run<S: Subject>(
        &self,
        seed: u64,
        make: impl Fn() -> S + Sync,
    ) -> Result<u64, Violation> {
        let market = Mutex::new(Vec::with_capacity(MARKET));
        for generation in 0..self.generations {
            thread::scope(|scope| {
                let threads: Vec<_> = (0..self.threads)
                    .map(|thread| {
                        let seed = seed ^ (generation << 32 | thread << 48);
                        let (make, market) = (&make, &market);
                        scope.spawn(move || self.one(seed, &mut make(), market))
                    })
                    .collect();
                // All are waited for, and the first violation is told.
                let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
                ends.into_iter().try_for_each(|end| {
                    end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
            })?;
        }
        // The last blocks are freed by a thread that allocated none of them.
        let mut shadow = Shadow::with(self.rules);
        let left = market.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (slot, parcel) in left.into_iter().enumerate() {
            shadow.give(slot as u32, parcel)?;
        }
        shadow.free_all(&mut make())?;
        Ok(self.generations * self.threads * self.operations as u64)
    }

    fn one(
        &self,
        seed: u64,
        subject: &mut impl Subject,
        market: &Mutex<Vec<Parcel>>,
    ) -> Result<(), Violation> {
        let mut shadow = Shadow::with(self.rules);
        shadow.reserve(SLOTS);
        let mut random = Random::new(!seed);
        let shape = Shape { slots: SLOTS, largest: self.largest, ..Shape::PLAIN };
        for op in Generator::shaped(seed, shape).take(self.operations) {
            if random.happens(64) {
                let slot = random.below(SLOTS as usize) as u32;
                let mut market = market.lock().unwrap_or_else(PoisonError::into_inner);
                match shadow.take(slot) {
                    Some(parcel) if market.len() < MARKET => market.push(parcel),
                    Some(parcel) => {
                        // Swapped: what was handed in is somebody else's now.
                        let at = random.below(MARKET);
                        let taken = std::mem::replace(&mut market[at], parcel);
                        drop(market);
                        shadow.give(slot, taken)?;
                    }
                    None => {
                        let taken = market.pop();
                        drop(market);
                        taken.map_or(Ok(None), |parcel| shadow.give(slot, parcel))?;
                    }
                }
            }
            shadow.perform(subject, op)?;
        }
        shadow.verify()?;
        shadow.free_all(subject)
    }
}
