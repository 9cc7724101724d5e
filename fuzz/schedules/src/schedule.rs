//! One schedule: a storm of threads under the oracle, on a heap of its own, all
//! drawn from the seed. Each thread begins the one that replaces it, and ends
//! while that one runs.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use brkpoint_workloads::op::draw::{Bits, Events};
use brkpoint_workloads::op::{Event, Random};
use brkpoint_workloads::shadow::{Complaint, Model, Promise, Rules, Subject, Violation};
use brkpoint_workloads::storm::{Market, Storm};

use crate::handle::{Process, ensure_empty};
use crate::scheduler::{self, Spawned};
use crate::{Brkpoint, Bytes, Config, settings};

/// What a thread may keep: little, so that blocks cross threads soon.
const THREAD_CACHES: [usize; 6] = [1 << 10, 2 << 10, 4 << 10, 16 << 10, 64 << 10, 1 << 20];
/// All blocks together may have so many bytes before a request is refused.
const GRANTED: usize = 4 << 20;

/// Runs the schedule of a seed, under the scheduler.
///
/// # Panics
///
/// When a promise is broken: it says which.
pub fn run(seed: u64) {
    if let Err(violation) = attempt(seed) {
        broken(&violation);
    }
    // SAFETY: all threads but this one have ended, all blocks are freed, and
    // each schedule's first thread has no cache when it begins.
    unsafe { Brkpoint::forget() };
}

fn broken(violation: &Violation) -> ! {
    panic!("{violation}\n{}", violation.promise.text().trim())
}

/// What all threads of a schedule share.
struct Shared {
    storm: Storm,
    seed: u64,
    market: Market,
    blocks: Blocks,
    /// Threads that nobody has waited for yet.
    begun: Mutex<Vec<Spawned>>,
}

fn attempt(seed: u64) -> Result<(), Violation> {
    let mut bits = Random::new(seed);
    let (config, storm) = draw(&mut bits);
    scheduler::tell(|| format!("{storm:?}\n{config:?}"));
    // The first request makes the heap, with these settings.
    let _ = Brkpoint::with_config(config).config();
    let (market, blocks) = (Market::new(), Blocks::default());
    let shared = Arc::new(Shared { storm, seed, market, blocks, begun: Mutex::default() });

    // Alone, for a while or not at all.
    let alone = Storm { operations: bits.below(2) * bits.below(40), ..storm };
    alone.thread(seed, &mut shared.watched(), &shared.market)?;
    for thread in 0..storm.threads {
        shared.begin(thread, 0);
    }
    while let Some(thread) = shared.take_begun() {
        thread.join();
    }
    let model = shared.blocks.model();
    Process::new(true).inspect(&model, true).map_err(violated)?;
    storm.clear(&mut shared.watched(), &shared.market)?;
    ensure_empty().map_err(violated)?;
    match Brkpoint::new().fault() {
        Some(fault) => Err(violated(Complaint::new(Promise::Source, fault))),
        None => Ok(()),
    }
}

/// A promise that was seen to be broken in the end.
fn violated(Complaint { promise, what }: Complaint) -> Violation {
    Violation { at: 0, block: 0, promise, what }
}

fn draw(bits: &mut Random) -> (Config, Storm) {
    let mut config = if bits.happens(128) { Config::DEFAULT } else { settings::draw(bits) };
    config.thread_cache = Bytes(THREAD_CACHES[bits.below(THREAD_CACHES.len())]);
    // Most often few classes, so that they become full.
    let doublings = if bits.happens(192) { 5 } else { 14 };
    // Who counts reads what others change, but little else happens meanwhile.
    let inspect_every = [0, 12, 60][bits.below(3)];
    let storm = Storm {
        threads: 2 + bits.bits(8) % 3,
        generations: 1 + bits.bits(8) % 3,
        operations: 10 + bits.below(70),
        slots: 4 << bits.below(4),
        exchanges: 32 << bits.below(3),
        events: Events { trim: true, set: true, ..Events::NONE },
        largest: 32 << bits.below(doublings),
        rules: Rules { granted: GRANTED, inspect_every, verify_every: 16, ..Rules::FAST },
    };
    (config, storm)
}

impl Shared {
    fn watched(&self) -> Watched {
        Watched { inner: Process::new(false), blocks: self.blocks.clone(), complaint: None }
    }

    /// Begins a thread of a generation, and it the one that replaces it.
    fn begin(self: &Arc<Shared>, thread: u64, generation: u64) {
        let shared = Arc::clone(self);
        let spawned = scheduler::spawn(move || {
            let seed = shared.seed ^ ((generation + 1) << 32 | thread << 48);
            if let Err(violation) = shared.storm.thread(seed, &mut shared.watched(), &shared.market)
            {
                broken(&violation);
            }
            if generation + 1 < shared.storm.generations {
                shared.begin(thread, generation + 1);
            }
        });
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).push(spawned);
    }

    fn take_begun(&self) -> Option<Spawned> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// The blocks of all threads: where each begins, and its usable bytes. An oracle
/// knows those of its thread only.
#[derive(Clone, Default)]
struct Blocks(Arc<Mutex<BTreeMap<usize, usize>>>);

impl Blocks {
    fn with<R>(&self, f: impl FnOnce(&mut BTreeMap<usize, usize>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn model(&self) -> Model {
        self.with(|blocks| {
            let usable = blocks.values().sum();
            Model { blocks: blocks.len(), requested: 0, usable }
        })
    }

    /// A thread is given a block.
    fn add(&self, start: usize, usable: usize) -> Result<(), Complaint> {
        self.with(|blocks| {
            let before = blocks.range(..start + usable).next_back();
            if let Some((other, len)) = before.filter(|&(other, len)| other + len > start) {
                let what = format!(
                    "{usable} bytes at {start:#x} overlap {len} bytes at {other:#x}, which live"
                );
                return Err(Complaint::new(Promise::Disjoint, what));
            }
            blocks.insert(start, usable);
            Ok(())
        })
    }

    fn remove(&self, start: usize) -> Option<usize> {
        self.with(|blocks| blocks.remove(&start))
    }
}

/// The process's heap for one thread, watched over all threads.
struct Watched {
    inner: Process,
    blocks: Blocks,
    complaint: Option<Complaint>,
}

impl Watched {
    fn note(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: a new block.
        let usable = unsafe { self.inner.usable_size(block, layout) };
        let start = block.addr().get();
        scheduler::note(start);
        if let Err(complaint) = self.blocks.add(start, usable) {
            self.complaint.get_or_insert(complaint);
        }
    }
}

impl Subject for Watched {
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        scheduler::tell(|| {
            let zeroed = if zeroed { " of zeros" } else { "" };
            format!("allocates {} bytes{zeroed} at a multiple of {}", layout.size(), layout.align())
        });
        let block = self.inner.allocate(layout, zeroed)?;
        scheduler::tell(|| format!("has {block:p}"));
        self.note(block, layout);
        Some(block)
    }

    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        scheduler::tell(|| format!("frees {block:p}, {} bytes", layout.size()));
        // Before: during the call another thread may be given it.
        self.blocks.remove(block.addr().get());
        // SAFETY: by contract.
        unsafe { self.inner.free(block, layout) };
        scheduler::tell(|| format!("has freed {block:p}"));
    }

    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        scheduler::tell(|| format!("resizes {block:p} from {} to {size} bytes", layout.size()));
        let usable = self.blocks.remove(block.addr().get());
        // SAFETY: by contract.
        let new = unsafe { self.inner.reallocate(block, layout, size) };
        scheduler::tell(|| format!("has {new:?} for {block:p}"));
        match new {
            Some(new) => self.note(new, layout),
            None => self.blocks.with(|blocks| {
                blocks.extend(usable.map(|usable| (block.addr().get(), usable)));
            }),
        }
        new
    }

    unsafe fn usable_size(&mut self, block: NonNull<u8>, layout: Layout) -> usize {
        // SAFETY: by contract.
        unsafe { self.inner.usable_size(block, layout) }
    }

    fn event(&mut self, event: Event) -> Result<(), Complaint> {
        scheduler::tell(|| format!("{event:?}"));
        self.inner.event(event)
    }

    fn inspect(&mut self, model: &Model, thorough: bool) -> Result<(), Complaint> {
        match self.complaint.take() {
            Some(complaint) => Err(complaint),
            None => self.inner.inspect(model, thorough),
        }
    }
}
