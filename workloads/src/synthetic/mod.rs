//! The synthetic workloads: deterministic programs of allocations and frees,
//! driven through the global allocator.
//!
//! - [`ALL`], [`find`]: the registry (`registry`); each [`Workload`] has a file
//!   that says what it provokes, which may serve several by its parameters
//! - [`Amount`]: how much of a workload is run, and in how many threads
//! - [`Prepared`]: a workload with its tables mapped, ready to be measured
//! - [`Observer`]: who looks on while it runs; without one nothing is spent on it
//! - [`Mix`]: which sizes a workload asks for, as measured
//! - [`Latencies`], [`Ledger`]: how long calls take, and what lies on which OS page
//! - `hand`: allocates, writes, reads back and frees; `meter`: stands beside each call
//! - `random`: sizes and choices; `churn`: a driver that workloads share
//! - `table`: memory of the drivers, outside the heap that is measured; `beside`:
//!   threads of a driver
//!
//! Seed, scale and number of threads fix every request and every byte written, so
//! the digest of what was read back is the same under every correct allocator.

mod apart;
mod append;
mod batch;
mod beside;
mod buffers;
mod churn;
mod drift;
mod false_sharing;
mod fleet;
mod generations;
mod grow;
mod hand;
mod handoff;
mod idle;
mod large_touch;
mod larson;
mod latency;
mod ledger;
mod meter;
mod mix;
mod mstress;
mod pair;
mod phases;
mod pinned_top;
mod random;
mod ratchet;
mod registry;
mod replaced;
mod robson;
mod service;
mod small_churn;
mod small_program;
mod steady;
mod straddle;
mod table;
mod temporaries;
#[cfg(test)]
mod tests;
mod threads;
mod trickle;
mod xmalloc;

use std::sync::{Mutex, MutexGuard};
use std::{fmt, io};

pub use hand::calls_alone;
pub use latency::{Clock, Latencies, Quantiles};
pub use ledger::{Ledger, Live, UsableSize};
use meter::{Clocked, Meter, Nobody, Sums, Told};
pub use mix::{LARGE, Mix};
pub use registry::{ALL, Group};

/// Looks on while a workload runs.
pub trait Observer {
    /// Called after operations of the thread that runs the workload, with the
    /// number of operations so far, and the bytes requested and not yet freed:
    /// those of all its threads. The last call comes after the last operation.
    fn after(&mut self, operations: u64, live_bytes: u64);
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Of everything read back from the blocks; equal under correct allocators.
    pub digest: u64,
    /// Calls of the allocator (allocations, reallocations and frees).
    pub operations: u64,
}

/// Why a workload could not be prepared.
#[derive(Debug)]
pub enum PrepareError {
    /// The scale is no number, not positive, or too large.
    Scale(f64),
    /// No thread, or too many.
    Threads(usize),
    /// The number of threads is no parameter of this workload.
    OneThread(&'static str),
    /// The driver's tables could not be mapped.
    Map(io::Error),
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrepareError::Scale(scale) => {
                write!(f, "scale {scale}: it must be above 0 and at most {MAX_SCALE}")
            }
            PrepareError::Threads(threads) => {
                write!(f, "{threads} threads: there may be 1 to {MAX_THREADS}")
            }
            PrepareError::OneThread(name) => {
                let threaded = ALL.iter().filter(|workload| workload.threads.is_some());
                let names: Vec<&str> = threaded.map(|workload| workload.name).collect();
                write!(
                    f,
                    "{name} runs in one thread; those whose number of threads can be set are {}",
                    names.join(", ")
                )
            }
            PrepareError::Map(error) => write!(f, "cannot map the driver's tables: {error}"),
        }
    }
}

impl std::error::Error for PrepareError {}

/// A larger scale is refused as a slip of the finger.
pub const MAX_SCALE: f64 = 1e6;

/// So are more threads: each has a working set of its own, of up to some 12 MiB.
pub const MAX_THREADS: usize = 256;

/// How much of a workload is run. A bare number is a scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amount {
    /// Multiplies the number of operations, but not the size of the working set.
    pub scale: f64,
    /// Multiplies both, since each thread does what each of them does by default.
    /// `None`: as many as there are by default.
    pub threads: Option<usize>,
}

impl From<f64> for Amount {
    fn from(scale: f64) -> Amount {
        Amount { scale, threads: None }
    }
}

/// A workload of the registry.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// The name on the command line and in records.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Where lists show it.
    pub group: Group,
    /// Its threads by default (where there are two kinds of them, those of each; where
    /// one follows another, those at a time), if it takes other numbers.
    pub threads: Option<usize>,
    make: Make,
}

type Make = fn(Parameters) -> io::Result<Box<dyn Prepare>>;

/// What a driver is made of: what was asked for, with the defaults filled in.
#[derive(Debug, Clone, Copy)]
struct Parameters {
    seed: u64,
    scale: f64,
    threads: usize,
}

impl Workload {
    /// Maps the driver's tables.
    ///
    /// # Errors
    /// A bad amount, or no memory for the tables.
    pub fn prepare(&self, seed: u64, amount: impl Into<Amount>) -> Result<Prepared, PrepareError> {
        let Amount { scale, threads } = amount.into();
        if !(scale > 0.0 && scale <= MAX_SCALE) {
            return Err(PrepareError::Scale(scale));
        }
        let threads = self.in_threads(threads)?;
        (self.make)(Parameters { seed, scale, threads }).map(Prepared).map_err(PrepareError::Map)
    }

    /// In how many threads it runs where so many are asked for.
    ///
    /// # Errors
    /// A bad number, or any where the number is no parameter.
    pub fn in_threads(&self, asked: Option<usize>) -> Result<usize, PrepareError> {
        match (asked, self.threads) {
            (None, usual) => Ok(usual.unwrap_or(1)),
            (Some(_), None) => Err(PrepareError::OneThread(self.name)),
            (Some(threads @ 1..=MAX_THREADS), _) => Ok(threads),
            (Some(threads), _) => Err(PrepareError::Threads(threads)),
        }
    }

    /// Whether it sleeps for seconds to show what is kept: its time says nothing,
    /// and neighbours do not disturb it.
    pub fn idles(&self) -> bool {
        self.group == Group::Idle
    }
}

/// The workload called `name`.
pub fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

/// A workload with its tables mapped: nothing but the heap moves from here on.
pub struct Prepared(Box<dyn Prepare>);

impl Prepared {
    /// The operations that a run will perform.
    pub fn operations(&self) -> u64 {
        self.0.operations()
    }

    /// Bytes of the driver's own tables: resident, and not in the heap.
    pub fn table_bytes(&self) -> usize {
        self.0.table_bytes()
    }

    /// Runs the workload to its end, where every block is free again.
    pub fn run(&mut self) -> Outcome {
        self.0.run_alone()
    }

    /// The same, while `observer` looks on.
    pub fn run_observed(&mut self, observer: &mut dyn Observer) -> Outcome {
        self.0.run_observed(None, observer)
    }

    /// The same, while each block is entered in `ledger`.
    pub fn run_entered(&mut self, ledger: &Ledger, observer: &mut dyn Observer) -> Outcome {
        self.0.run_observed(Some(ledger), observer)
    }

    /// Runs the workload while each call is timed.
    pub fn run_clocked(&mut self, latencies: &Latencies) -> Outcome {
        self.0.run_clocked(latencies)
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("operations", &self.operations()).finish()
    }
}

/// What a workload's file implements.
trait Driver {
    /// The operations of a run, computed from the parameters.
    fn operations(&self) -> u64;

    /// Bytes of its tables.
    fn table_bytes(&self) -> usize;

    /// Runs it, each call of the allocator by way of `meter`, and returns the digest.
    fn run<M: Meter>(&mut self, meter: &mut M) -> u64;
}

/// A [`Driver`] whose type is forgotten, compiled once for each kind of meter.
trait Prepare {
    fn operations(&self) -> u64;
    fn table_bytes(&self) -> usize;
    fn run_alone(&mut self) -> Outcome;
    fn run_observed(&mut self, ledger: Option<&Ledger>, observer: &mut dyn Observer) -> Outcome;
    fn run_clocked(&mut self, latencies: &Latencies) -> Outcome;
}

impl<D: Driver> Prepare for D {
    fn operations(&self) -> u64 {
        Driver::operations(self)
    }

    fn table_bytes(&self) -> usize {
        Driver::table_bytes(self)
    }

    fn run_alone(&mut self) -> Outcome {
        Outcome { digest: self.run(&mut Nobody), operations: Driver::operations(self) }
    }

    fn run_observed(&mut self, ledger: Option<&Ledger>, observer: &mut dyn Observer) -> Outcome {
        let sums = Sums::default();
        let mut told = Told::new(&sums, ledger, observer);
        let digest = self.run(&mut told);
        Outcome { digest, operations: told.finish() }
    }

    fn run_clocked(&mut self, latencies: &Latencies) -> Outcome {
        let digest = self.run(&mut Clocked(latencies));
        Outcome { digest, operations: Driver::operations(self) }
    }
}

/// `count` at `scale`, at least one.
fn scaled(count: u64, scale: f64) -> u64 {
    (count as f64 * scale).ceil() as u64
}

/// The lock on what threads of a driver share; none of them panics.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}
