//! Who stands beside each call of the allocator: nobody, an [`Observer`], a clock
//! ([`Latencies`]), or the ledger of what lies where ([`Ledger`]).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::Observer;
use super::latency::Latencies;
use super::ledger::Ledger;

/// Performs each call of the allocator, and does what it is there for round it.
pub(super) trait Meter {
    /// The same, for another thread.
    type Remote: Meter + Send;

    /// `call` allocates `size` bytes.
    fn allocate(&mut self, size: usize, call: impl FnOnce() -> *mut u8) -> *mut u8;

    /// `call` makes a block of `size` bytes of the one at `old` of `old_size`.
    fn reallocate(
        &mut self,
        old: *mut u8,
        old_size: usize,
        size: usize,
        call: impl FnOnce() -> *mut u8,
    ) -> *mut u8;

    /// `call` frees the block at `start`, of `size` bytes.
    fn free(&mut self, start: *mut u8, size: usize, call: impl FnOnce());

    /// A meter for another thread; an observer hears of its operations with the
    /// next one of this thread.
    fn remote(&self) -> Self::Remote;
}

/// Nobody: only the calls are left.
#[derive(Debug)]
pub(super) struct Nobody;

impl Meter for Nobody {
    type Remote = Nobody;

    #[inline(always)]
    fn allocate(&mut self, _: usize, call: impl FnOnce() -> *mut u8) -> *mut u8 {
        call()
    }

    #[inline(always)]
    fn reallocate(
        &mut self,
        _: *mut u8,
        _: usize,
        _: usize,
        call: impl FnOnce() -> *mut u8,
    ) -> *mut u8 {
        call()
    }

    #[inline(always)]
    fn free(&mut self, _: *mut u8, _: usize, call: impl FnOnce()) {
        call();
    }

    #[inline(always)]
    fn remote(&self) -> Nobody {
        Nobody
    }
}

/// The clock on either side of each call.
#[derive(Debug)]
pub(super) struct Clocked<'a>(pub(super) &'a Latencies);

impl<'a> Meter for Clocked<'a> {
    type Remote = Clocked<'a>;

    #[inline(always)]
    fn allocate(&mut self, _: usize, call: impl FnOnce() -> *mut u8) -> *mut u8 {
        self.0.allocations.time(call)
    }

    #[inline(always)]
    fn reallocate(
        &mut self,
        _: *mut u8,
        _: usize,
        _: usize,
        call: impl FnOnce() -> *mut u8,
    ) -> *mut u8 {
        self.0.allocations.time(call)
    }

    #[inline(always)]
    fn free(&mut self, _: *mut u8, _: usize, call: impl FnOnce()) {
        self.0.frees.time(call);
    }

    fn remote(&self) -> Clocked<'a> {
        Clocked(self.0)
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

/// The thread that runs the workload, and the observer; with a ledger, if where
/// blocks lie is to be known.
pub(super) struct Told<'a> {
    books: Counted<'a>,
    observer: &'a mut dyn Observer,
    told: u64,
}

impl<'a> Told<'a> {
    pub(super) fn new(
        sums: &'a Sums,
        ledger: Option<&'a Ledger>,
        observer: &'a mut dyn Observer,
    ) -> Told<'a> {
        Told { books: Counted { sums, ledger }, observer, told: 0 }
    }

    /// Tells the sums once more, if other threads went on after the last
    /// operation of this one, and returns the number of operations.
    pub(super) fn finish(self) -> u64 {
        let operations = self.books.sums.operations.load(Ordering::Relaxed);
        if self.told < operations {
            let live = self.books.sums.live.load(Ordering::Relaxed);
            self.observer.after(operations, u64::try_from(live).unwrap_or_default());
        }
        operations
    }

    fn tell(&mut self, (operations, live): (u64, u64)) {
        self.told = operations;
        self.observer.after(operations, live);
    }
}

impl<'a> Meter for Told<'a> {
    type Remote = Counted<'a>;

    fn allocate(&mut self, size: usize, call: impl FnOnce() -> *mut u8) -> *mut u8 {
        let start = self.books.came(size, call());
        let sums = self.books.sums.add(size as i64);
        self.tell(sums);
        start
    }

    fn reallocate(
        &mut self,
        old: *mut u8,
        old_size: usize,
        size: usize,
        call: impl FnOnce() -> *mut u8,
    ) -> *mut u8 {
        self.books.goes(old, old_size);
        let start = self.books.came(size, call());
        let sums = self.books.sums.add(size as i64 - old_size as i64);
        self.tell(sums);
        start
    }

    fn free(&mut self, start: *mut u8, size: usize, call: impl FnOnce()) {
        self.books.goes(start, size);
        call();
        let sums = self.books.sums.add(-(size as i64));
        self.tell(sums);
    }

    fn remote(&self) -> Counted<'a> {
        self.books
    }
}

/// Another thread: its operations are only counted, and its blocks entered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted<'a> {
    sums: &'a Sums,
    ledger: Option<&'a Ledger>,
}

impl Counted<'_> {
    fn came(self, size: usize, start: *mut u8) -> *mut u8 {
        if let Some(ledger) = self.ledger {
            ledger.enter(start, size);
        }
        start
    }

    /// Before the call: afterwards another thread may have the memory.
    fn goes(self, start: *mut u8, size: usize) {
        if let Some(ledger) = self.ledger {
            ledger.strike(start, size);
        }
    }
}

impl<'a> Meter for Counted<'a> {
    type Remote = Counted<'a>;

    fn allocate(&mut self, size: usize, call: impl FnOnce() -> *mut u8) -> *mut u8 {
        let start = self.came(size, call());
        self.sums.add(size as i64);
        start
    }

    fn reallocate(
        &mut self,
        old: *mut u8,
        old_size: usize,
        size: usize,
        call: impl FnOnce() -> *mut u8,
    ) -> *mut u8 {
        self.goes(old, old_size);
        let start = self.came(size, call());
        self.sums.add(size as i64 - old_size as i64);
        start
    }

    fn free(&mut self, start: *mut u8, size: usize, call: impl FnOnce()) {
        self.goes(start, size);
        call();
        self.sums.add(-(size as i64));
    }

    fn remote(&self) -> Counted<'a> {
        *self
    }
}
