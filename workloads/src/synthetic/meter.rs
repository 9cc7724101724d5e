//! Who is told of each operation: nobody, or an [`Observer`], also of those of
//! other threads.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::Observer;

/// Told of each operation.
pub(super) trait Meter {
    /// The same, for another thread.
    type Remote: Meter + Send;

    /// An allocation or a free, by which live bytes change so much.
    fn operation(&mut self, change: i64);

    /// A meter for another thread; an observer hears of its operations with the
    /// next one of this thread.
    fn remote(&self) -> Self::Remote;
}

/// Nobody is told: the calls compile to nothing.
#[derive(Debug)]
pub(super) struct Nobody;

impl Meter for Nobody {
    type Remote = Nobody;

    #[inline(always)]
    fn operation(&mut self, _change: i64) {}

    #[inline(always)]
    fn remote(&self) -> Nobody {
        Nobody
    }
}

/// The sums over all threads.
#[derive(Debug, Default)]
pub(super) struct Sums {
    operations: AtomicU64,
    live: AtomicI64,
}

impl Sums {
    /// Returns the sums with this operation in them. Another thread's free may be
    /// counted before its allocation is: live bytes are cut off at zero.
    fn add(&self, change: i64) -> (u64, u64) {
        let live = self.live.fetch_add(change, Ordering::Relaxed) + change;
        let operations = self.operations.fetch_add(1, Ordering::Relaxed) + 1;
        (operations, u64::try_from(live).unwrap_or_default())
    }
}

/// The thread that runs the workload, and the observer.
pub(super) struct Told<'a> {
    sums: &'a Sums,
    observer: &'a mut dyn Observer,
    told: u64,
}

impl<'a> Told<'a> {
    pub(super) fn new(sums: &'a Sums, observer: &'a mut dyn Observer) -> Told<'a> {
        Told { sums, observer, told: 0 }
    }

    /// Tells the sums once more, if other threads went on after the last
    /// operation of this one, and returns the number of operations.
    pub(super) fn finish(self) -> u64 {
        let operations = self.sums.operations.load(Ordering::Relaxed);
        if self.told < operations {
            let live = self.sums.live.load(Ordering::Relaxed);
            self.observer.after(operations, u64::try_from(live).unwrap_or_default());
        }
        operations
    }
}

impl<'a> Meter for Told<'a> {
    type Remote = Counted<'a>;

    fn operation(&mut self, change: i64) {
        let (operations, live) = self.sums.add(change);
        self.told = operations;
        self.observer.after(operations, live);
    }

    fn remote(&self) -> Counted<'a> {
        Counted(self.sums)
    }
}

/// Another thread: its operations are only counted.
#[derive(Debug)]
pub(super) struct Counted<'a>(&'a Sums);

impl<'a> Meter for Counted<'a> {
    type Remote = Counted<'a>;

    fn operation(&mut self, change: i64) {
        self.0.add(change);
    }

    fn remote(&self) -> Counted<'a> {
        Counted(self.0)
    }
}
