//! What lies where: for each OS page the live bytes in it, requested and usable.
//!
//! A table of pages and not of blocks: an allocation adds to the pages that it
//! covers, a free takes away, and nothing needs to be sorted to be looked at.
//! It lies in a mapping of its own and knows its addresses, so that who looks at
//! the process's resident pages can leave it out.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::hand::OS_PAGE;
use super::latency::Histogram;
use super::mix::{self, Mix};

/// Addresses of programs are below 2^47.
const PAGES: usize = 1 << (47 - OS_PAGE.ilog2());
/// Pages of a leaf: 256 MiB of addresses.
const LEAF: usize = 1 << 16;
const LEAVES: usize = PAGES / LEAF;
/// Leaves that there may be: they cost address space, and memory as they are used.
const MOST: usize = 4096;

type Leaf = [Page; LEAF];

/// The ledger's one mapping: which leaf is where, and the leaves.
#[repr(C)]
struct Table {
    /// By address; 0 is none, and else one more than the leaf's index.
    index: [AtomicU32; LEAVES],
    leaves: [Leaf; MOST],
}

/// Live bytes of an OS page: requested in the lower half, usable in the upper.
/// Neither exceeds a page, and so neither half overflows.
#[derive(Debug)]
#[repr(transparent)]
struct Page(AtomicU32);

/// Live bytes within an OS page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Live {
    /// Of the sizes that were asked for.
    pub requested: u64,
    /// Of the sizes that may be used.
    pub usable: u64,
}

/// How many bytes of a live block may be used.
pub type UsableSize = fn(*mut u8) -> usize;

/// The ledger; see the head of this file.
pub struct Ledger {
    table: *mut Table,
    usable_size: Option<UsableSize>,
    requested: AtomicI64,
    /// What is usable and was not asked for. Not the usable bytes: of two sums that
    /// other threads change, one is read before the other, and must not seem less.
    slack: AtomicI64,
    /// Leaves that are used.
    used: AtomicU32,
    /// All requests by size, and how many are large.
    requests: Histogram,
    large: AtomicU64,
}

// SAFETY: all that is shared is atomic, and the mapping stays until it is dropped.
unsafe impl Sync for Ledger {}
// SAFETY: as above.
unsafe impl Send for Ledger {}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("live", &self.live()).finish_non_exhaustive()
    }
}

impl Ledger {
    /// An empty one. Without `usable_size`, of an allocator that does not tell, the
    /// usable size of a block is taken to be the requested one.
    ///
    /// # Errors
    /// There is no room for the table.
    pub fn new(usable_size: Option<UsableSize>) -> io::Result<Ledger> {
        // SAFETY: a fresh anonymous mapping of a length above zero.
        let table = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<Table>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if table == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Ledger {
            table: table.cast(),
            usable_size,
            requested: AtomicI64::new(0),
            slack: AtomicI64::new(0),
            used: AtomicU32::new(0),
            requests: Histogram::new(),
            large: AtomicU64::new(0),
        })
    }

    /// Whether usable sizes are known.
    pub fn knows_usable(&self) -> bool {
        self.usable_size.is_some()
    }

    /// All live bytes, also of pages that are not resident.
    pub fn live(&self) -> Live {
        let count = |sum: &AtomicI64| u64::try_from(sum.load(Relaxed)).unwrap_or_default();
        let (requested, slack) = (count(&self.requested), count(&self.slack));
        Live { requested, usable: requested + slack }
    }

    /// Live bytes in the OS page at `address`.
    pub fn page(&self, address: usize) -> Live {
        let (place, within) = (address / OS_PAGE / LEAF, address / OS_PAGE % LEAF);
        let leaf = self.table().index.get(place).map_or(0, |index| index.load(Relaxed));
        if leaf == 0 {
            return Live::default();
        }
        let Some(leaf) = self.table().leaves.get(leaf as usize - 1) else {
            return Live::default();
        };
        let both = leaf[within].0.load(Relaxed);
        Live { requested: u64::from(both & 0xffff), usable: u64::from(both >> 16) }
    }

    /// Whether `address` lies in the ledger itself.
    pub fn holds(&self, address: usize) -> bool {
        address.wrapping_sub(self.table.addr()) < size_of::<Table>()
    }

    fn table(&self) -> &Table {
        // SAFETY: the mapping is ours until `drop`; zeros are a table.
        unsafe { &*self.table }
    }

    /// The sizes of all requests so far.
    pub fn mix(&self) -> Mix {
        let large = self.large.load(Relaxed) * 1_000_000 / self.requests.calls().max(1);
        Mix { p50: self.requests.at(0.5), p99: self.requests.at(0.99), large }
    }

    pub(super) fn enter(&self, start: *mut u8, size: usize) {
        self.requests.add(size as u64);
        if size >= mix::LARGE {
            self.large.fetch_add(1, Relaxed);
        }
        self.post(start, size, 1);
    }

    pub(super) fn strike(&self, start: *mut u8, size: usize) {
        self.post(start, size, -1);
    }

    fn post(&self, start: *mut u8, size: usize, sign: i64) {
        // A block may claim to have less room than it was asked for: then it has that.
        let usable = self.usable_size.map_or(size, |usable| usable(start).max(size));
        self.requested.fetch_add(sign * size as i64, Relaxed);
        self.slack.fetch_add(sign * (usable - size) as i64, Relaxed);
        let (start, end) = (start.addr(), start.addr() + usable);
        for page in start / OS_PAGE..end.div_ceil(OS_PAGE) {
            let within = |end: usize| {
                let (from, to) = (page * OS_PAGE, (page + 1) * OS_PAGE);
                end.clamp(from, to) - start.clamp(from, to)
            };
            let both = (within(end) << 16 | within(start + size)) as u32;
            let Some(leaf) = self.leaf(page / LEAF) else { return };
            match sign {
                1 => leaf[page % LEAF].0.fetch_add(both, Relaxed),
                _ => leaf[page % LEAF].0.fetch_sub(both, Relaxed),
            };
        }
    }

    /// The leaf of a place; `None` for addresses that no program has, and when
    /// there are [`MOST`] leaves.
    fn leaf(&self, place: usize) -> Option<&Leaf> {
        let index = self.table().index.get(place)?;
        let mut leaf = index.load(Relaxed);
        if leaf == 0 {
            // Of two threads at once one wins, and a leaf remains unused.
            let fresh = self.used.fetch_add(1, Relaxed) + 1;
            leaf = match index.compare_exchange(0, fresh, Relaxed, Relaxed) {
                Ok(_) => fresh,
                Err(other) => other,
            };
        }
        self.table().leaves.get(leaf as usize - 1)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // SAFETY: `new` mapped just this range, and nothing borrows it any more.
        unsafe { libc::munmap(self.table.cast(), size_of::<Table>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: usize) -> *mut u8 {
        ptr::without_provenance_mut(address)
    }

    #[test]
    fn a_block_counts_in_the_pages_that_it_covers() {
        let ledger = Ledger::new(None).expect("maps");
        let page = 0x7000_1234_5000;
        ledger.enter(at(page + 100), 50);
        ledger.enter(at(page + 4000), 5000);
        let live = |n: usize| ledger.page(page + n * OS_PAGE).requested;
        assert_eq!([live(0), live(1), live(2), live(3)], [50 + 96, 4096, 808, 0]);
        assert_eq!(ledger.live(), Live { requested: 5050, usable: 5050 });
        ledger.strike(at(page + 4000), 5000);
        assert_eq!([live(0), live(1), live(2)], [50, 0, 0]);
        ledger.strike(at(page + 100), 50);
        assert_eq!(ledger.live(), Live::default());
        assert_eq!(ledger.page(usize::MAX), Live::default());
        assert!(ledger.holds(ledger.table.addr()) && !ledger.holds(ledger.table.addr() - 1));
    }

    #[test]
    fn what_may_be_used_beyond_what_was_asked_is_kept_apart() {
        let ledger = Ledger::new(Some(|_| 4096)).expect("maps");
        ledger.enter(at(0x5555_0000_0000 + 2048), 1000);
        let pages = [0, 1].map(|n| ledger.page(0x5555_0000_0000 + n * OS_PAGE));
        assert_eq!(pages[0], Live { requested: 1000, usable: 2048 });
        assert_eq!(pages[1], Live { requested: 0, usable: 2048 });
        // A full page is 4096 in either half.
        ledger.enter(at(0x5555_0001_0000), 4096);
        let full = ledger.page(0x5555_0001_0000);
        assert_eq!(full, Live { requested: 4096, usable: 4096 });
    }

    #[test]
    fn threads_share_it_and_usable_bytes_never_seem_less_than_what_was_asked_for() {
        let ledger = Ledger::new(Some(|_| 80)).expect("maps");
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let ledger = &ledger;
                    scope.spawn(move || {
                        for turn in 0..10_000 {
                            let block = at(0x1000_0000 + (thread * 1000 + turn % 1000) * 80);
                            ledger.enter(block, 64);
                            ledger.strike(block, 64);
                        }
                    })
                })
                .collect();
            while !threads.iter().all(|thread| thread.is_finished()) {
                let live = ledger.live();
                assert!(live.usable >= live.requested, "{live:?}");
            }
        });
        assert_eq!(ledger.live(), Live::default());
        assert_eq!(ledger.page(0x1000_0000), Live::default());
    }
}
