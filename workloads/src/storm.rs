//! Several threads at once on one allocator, which hand blocks to each other.
//!
//! Each has an oracle of its own. A block that a thread hands over is verified
//! by the one that takes it, which may resize or free it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::op::draw::{Bits, Events};
use crate::op::{Generator, Random, Shape};
use crate::shadow::{Parcel, Rules, Shadow, Subject, Violation};

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
    /// Slots of each thread.
    pub slots: u32,
    /// In so many of 256 operations a block is handed over or taken first.
    pub exchanges: u8,
    /// What else happens; not to threads or to the process.
    pub events: Events,
    /// The largest request in bytes.
    pub largest: usize,
    /// How each oracle judges. A subject's own accounts are all threads', so
    /// they must not be watched unless the subject allows for that.
    pub rules: Rules,
}

impl Storm {
    /// What it is called among the chapters of a conformance run.
    pub const NAME: &'static str = "storm";

    /// What a few seconds have room for.
    pub const USUAL: Storm = Storm {
        threads: 4,
        generations: 6,
        operations: 4000,
        slots: 64,
        exchanges: 64,
        events: Events::NONE,
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
        let market = Market::new();
        for generation in 0..self.generations {
            thread::scope(|scope| {
                let threads: Vec<_> = (0..self.threads)
                    .map(|thread| {
                        let seed = seed ^ (generation << 32 | thread << 48);
                        let (make, market) = (&make, &market);
                        scope.spawn(move || self.thread(seed, &mut make(), market))
                    })
                    .collect();
                // All are waited for, and the first violation is told.
                let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
                ends.into_iter().try_for_each(|end| {
                    end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
            })?;
        }
        self.clear(&mut make(), &market)?;
        Ok(self.generations * self.threads * self.operations as u64)
    }

    /// What one thread does, which may be of any kind; then all blocks are freed
    /// but those on the market.
    ///
    /// # Errors
    ///
    /// The first promise that was seen to be broken.
    pub fn thread(
        &self,
        seed: u64,
        subject: &mut impl Subject,
        market: &Market,
    ) -> Result<(), Violation> {
        let mut shadow = Shadow::with(self.rules);
        shadow.reserve(self.slots);
        let mut random = Random::new(!seed);
        let Storm { slots, largest, events, .. } = *self;
        let shape = Shape { slots, largest, events, ..Shape::PLAIN };
        for op in Generator::shaped(seed, shape).take(self.operations) {
            if random.happens(self.exchanges) {
                let slot = random.below(slots as usize) as u32;
                let taken = market.exchange(shadow.take(slot), || random.below(MARKET));
                taken.map_or(Ok(None), |parcel| shadow.give(slot, parcel))?;
            }
            shadow.perform(subject, op)?;
        }
        shadow.verify()?;
        shadow.free_all(subject)
    }

    /// Frees the blocks on the market; the thread that does so allocated none of
    /// them, if it is none of the storm's.
    ///
    /// # Errors
    ///
    /// The first promise that was seen to be broken.
    pub fn clear(&self, subject: &mut impl Subject, market: &Market) -> Result<(), Violation> {
        let mut shadow = Shadow::with(self.rules);
        for (slot, parcel) in market.parcels().drain(..).enumerate() {
            shadow.give(slot as u32, parcel)?;
        }
        shadow.free_all(subject)
    }
}

/// Where threads hand blocks to each other.
#[derive(Debug)]
pub struct Market(Mutex<Vec<Parcel>>);

impl Market {
    /// An empty one.
    pub fn new() -> Market {
        Market(Mutex::new(Vec::with_capacity(MARKET)))
    }

    fn parcels(&self) -> MutexGuard<'_, Vec<Parcel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a block there; on a full market, for the one at the place that `at`
    /// says. Who has none takes the last one, if there is any.
    fn exchange(&self, parcel: Option<Parcel>, at: impl FnOnce() -> usize) -> Option<Parcel> {
        let mut parcels = self.parcels();
        match parcel {
            Some(parcel) if parcels.len() < MARKET => {
                parcels.push(parcel);
                None
            }
            Some(parcel) => Some(std::mem::replace(&mut parcels[at()], parcel)),
            None => parcels.pop(),
        }
    }
}

impl Default for Market {
    fn default() -> Market {
        Market::new()
    }
}
