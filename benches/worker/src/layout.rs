//! How a heap lies on its OS pages: at operation counts the resident pages of the
//! process, less those before the region, against the ledger of live blocks.
//!
//! It needs nothing of the allocator, so it works for any; only of usable sizes
//! an allocator has to be asked.

use brkpoint_reports::record::{Occupancy, PageState};
use brkpoint_workloads::mapped::Mapped;
use brkpoint_workloads::synthetic::{Ledger, Observer};

use crate::answer::{Compared, Layout};
use crate::heap_map::Mapper;
use crate::identity::{self, Accounts};
use crate::memory::os_page;
use crate::residence::Residence;

/// Looks at the pages in a run; more would take long for large heaps.
const LOOKS: u64 = 32;

/// A page with less of it live is stranded: it cannot go back, for next to nothing.
const STRANDED: f64 = 0.1;

/// Looks at the pages every so many operations.
#[derive(Debug)]
pub(super) struct Surveyor<'l> {
    ledger: &'l Ledger,
    residence: Residence,
    /// Runs of pages that were resident before the region: start and bytes.
    baseline: Mapped<(usize, usize)>,
    every: u64,
    next: u64,
    last: u64,
    looks: u64,
    sums: Seen,
    kept: Seen,
    /// The allocator's own accounts before the region.
    before: Option<Accounts>,
    fullest: Option<Compared>,
    mapper: Mapper,
    trouble: Option<String>,
}

/// What a look sees, in bytes; and pages by how full they are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Seen {
    /// Of live blocks, wherever they lie.
    pub requested: u64,
    /// What may be used of these.
    pub usable: u64,
    /// The same, of the part that lies on resident pages.
    pub resident_usable: u64,
    /// Resident pages of the heap.
    pub heap: u64,
    /// Those of them that are stranded.
    pub stranded: u64,
    /// The histogram of [`Occupancy`].
    pub pages: [u64; Occupancy::BINS],
}

/// What a [`Surveyor`] saw.
#[derive(Debug)]
pub(super) struct Survey {
    pub layout: Layout,
    pub notes: Vec<String>,
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        self.requested += other.requested;
        self.usable += other.usable;
        self.resident_usable += other.resident_usable;
        self.heap += other.heap;
        self.stranded += other.stranded;
        for (own, other) in self.pages.iter_mut().zip(other.pages) {
            *own += other;
        }
    }
}

/// The part of `whole` that `part` leaves; 0 of nothing.
fn rest(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 1.0 - part as f64 / whole as f64 }
}

impl<'l> Surveyor<'l> {
    /// For a region of so many operations, which begins now.
    pub(super) fn new(ledger: &'l Ledger, operations: u64) -> Result<Surveyor<'l>, String> {
        let told = |error| format!("cannot see which OS pages are resident: {error}");
        let mut residence = Residence::open().map_err(told)?;
        let mut count = 0;
        residence.runs(|_, _| count += 1).map_err(told)?;
        let mut baseline = Mapped::new();
        // Runs may be split by what is done meanwhile, but not that often.
        baseline.resize(2 * count + 1024, (0, 0));
        let every = operations.div_ceil(LOOKS).max(1);
        let mut surveyor = Surveyor {
            ledger,
            residence,
            baseline,
            every,
            next: every,
            last: operations,
            looks: 0,
            sums: Seen::default(),
            kept: Seen::default(),
            before: identity::accounts(),
            fullest: None,
            mapper: Mapper::new(),
            trouble: None,
        };
        // Twice: the first look runs code and touches stack for the first time.
        surveyor.look(|_, _| true).map_err(told)?;
        let mut at = 0;
        let Surveyor { residence, baseline, .. } = &mut surveyor;
        residence
            .runs(|start, bytes| {
                if let Some(place) = baseline.get_mut(at) {
                    *place = (start, bytes);
                    at += 1;
                }
            })
            .map_err(told)?;
        surveyor.baseline.resize(at, (0, 0));
        Ok(surveyor)
    }

    /// Looks at the pages of which `counts` is true: those of the heap, if it
    /// says so of a page's address and whether something in it is live.
    fn look(&mut self, mut counts: impl FnMut(usize, bool) -> bool) -> std::io::Result<Seen> {
        let live = self.ledger.live();
        let mut seen = Seen { requested: live.requested, usable: live.usable, ..Seen::default() };
        let (page, ledger) = (os_page(), self.ledger);
        self.residence.runs(|start, bytes| {
            for address in (start..start + bytes).step_by(page) {
                let live = ledger.page(address);
                if !counts(address, live.requested > 0) {
                    continue;
                }
                let share = live.requested as f64 / page as f64;
                seen.resident_usable += live.usable;
                seen.heap += page as u64;
                if share < STRANDED {
                    seen.stranded += page as u64;
                }
                seen.pages[(share * 10.0).ceil() as usize] += 1;
            }
        })?;
        Ok(seen)
    }

    fn survey(&mut self, operations: u64) {
        let (ledger, baseline) = (self.ledger, std::mem::take(&mut self.baseline));
        // Both ascend: the run that may hold a page is looked for from the last on.
        let mut at = 0;
        let looked = self.look(|address, live| {
            while baseline.get(at).is_some_and(|(start, bytes)| start + bytes <= address) {
                at += 1;
            }
            let before = baseline.get(at).is_some_and(|(start, _)| *start <= address);
            // What lay there before may be a page that the heap now uses.
            live || !(before || ledger.holds(address))
        });
        self.baseline = baseline;
        let mapped = looked.and_then(|seen| {
            self.map(operations, seen.requested)?;
            Ok(seen)
        });
        match mapped {
            Ok(seen) if seen.requested > 0 => {
                self.looks += 1;
                self.sums.add(&seen);
                self.compare(&seen);
            }
            Ok(seen) => self.kept = seen,
            Err(error) => self.trouble = Some(format!("which OS pages are resident: {error}")),
        }
    }

    /// Takes a map, if this is a moment for one.
    fn map(&mut self, operations: u64, requested: u64) -> std::io::Result<()> {
        let Some(place) = self.mapper.due(requested, operations == self.last) else {
            return Ok(());
        };
        let Surveyor { ledger, residence, baseline, mapper, .. } = self;
        let state_of = |address: usize| {
            if ledger.page(address).requested > 0 {
                return Some(PageState::Live);
            }
            let at = baseline.partition_point(|(start, bytes)| start + bytes <= address);
            let before = baseline.get(at).is_some_and(|(start, _)| *start <= address);
            (!before && !ledger.holds(address)).then_some(PageState::Kept)
        };
        mapper.take(place, (operations, requested), |each| residence.runs(each), &state_of)
    }

    /// Asks the allocator for its accounts, if this is the fullest moment so far.
    fn compare(&mut self, seen: &Seen) {
        let (Some(before), Some(now)) = (self.before, identity::accounts()) else { return };
        if self.fullest.is_none_or(|fullest| fullest.live < seen.usable) {
            self.fullest = Some(Compared {
                told: Accounts {
                    live: now.live - before.live.min(now.live),
                    held: now.held - before.held.min(now.held),
                    untouched: now.untouched,
                },
                live: seen.usable,
                heap: seen.heap,
            });
        }
    }

    /// The means, and what was left when all was free.
    pub(super) fn finish(self) -> Result<Survey, String> {
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        let (sums, looks) = (self.sums, self.looks.max(1) as f64);
        let layout = Layout {
            internal: self.ledger.knows_usable().then(|| rest(sums.requested, sums.usable)),
            external: rest(sums.resident_usable, sums.heap),
            stranded_bytes: sums.stranded as f64 / looks,
            heap_bytes: sums.heap as f64 / looks,
            kept_heap_bytes: self.kept.heap,
            occupancy: Occupancy { pages: sums.pages.map(|pages| pages as f64 / looks) },
            inside: self.fullest,
            heap: self.mapper.finish(),
        };
        Ok(Survey { layout, notes: Vec::from_iter(self.residence.note()) })
    }
}

impl Observer for Surveyor<'_> {
    #[inline]
    fn after(&mut self, operations: u64, _: u64) {
        if operations >= self.next || operations == self.last {
            self.survey(operations);
            self.next = operations + self.every;
        }
    }
}
