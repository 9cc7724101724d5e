//! A heap as a subject of the oracle, over a page source that can be made to
//! fail and that keeps accounts of its own.

use std::alloc::Layout;
use std::ptr::NonNull;

use brkpoint_allocator::{Config, Heap, Misuse, PageSource, Simulated, System, Trim};
use brkpoint_workloads::op::Event;
use brkpoint_workloads::shadow::{Complaint, Model, Promise, Subject};

use super::settings;

/// A page source that a test has in hand.
pub trait Staged: PageSource {
    /// Makes `count` requests fail after `after` more.
    fn stage_failure(&mut self, after: u64, count: u64);

    /// Lets milliseconds pass.
    fn stage_wait(&mut self, milliseconds: u64);

    /// Moves the break up on behalf of somebody else.
    fn stage_move(&mut self, bytes: usize);

    /// What the heap did that it must not do.
    fn fault(&self) -> Option<&str>;

    /// The bytes that the heap holds of the break and of mappings; `None` if
    /// the source does not know.
    fn held(&self) -> Option<(usize, usize)>;
}

impl Staged for Simulated {
    fn stage_failure(&mut self, after: u64, count: u64) {
        self.fail(after, count);
    }

    fn stage_wait(&mut self, milliseconds: u64) {
        self.advance(milliseconds);
    }

    fn stage_move(&mut self, bytes: usize) {
        // No more room is no matter.
        let _ = self.foreign_sbrk(bytes);
    }

    fn fault(&self) -> Option<&str> {
        // It panics.
        None
    }

    fn held(&self) -> Option<(usize, usize)> {
        Some((self.break_bytes(), self.mapped_bytes()))
    }
}

/// The kernel has its own mind.
impl Staged for System {
    fn stage_failure(&mut self, _: u64, _: u64) {}
    fn stage_wait(&mut self, _: u64) {}
    fn stage_move(&mut self, _: usize) {}

    fn fault(&self) -> Option<&str> {
        None
    }

    fn held(&self) -> Option<(usize, usize)> {
        None
    }
}

/// A heap as a subject of the oracle.
pub struct Subjected<S: PageSource> {
    /// The heap.
    pub heap: Heap<S>,
    complaint: Option<Complaint>,
    /// Settings changed, requests failed or the break was moved: what the trim
    /// policy promises then depends on when.
    pub is_disturbed: bool,
    /// How often somebody else moved the break.
    moves: usize,
}

impl<S: Staged> Subjected<S> {
    pub fn new(heap: Heap<S>) -> Subjected<S> {
        Subjected { heap, complaint: None, is_disturbed: false, moves: 0 }
    }

    /// Notes that the heap took a live block for something else.
    fn refused(&mut self, call: &str, misuse: Misuse) {
        let what = format!("{call} refused a live block: {misuse}");
        self.complaint.get_or_insert(Complaint::new(Promise::Accepted, what));
    }

    fn ensure_accounts(&self, model: &Model) -> Result<(), Complaint> {
        let stats = self.heap.stats();
        let blocks = stats.live_blocks + stats.mapped_blocks;
        let bytes = stats.live + stats.mapped_live;
        if (blocks, bytes) != (model.blocks, model.usable) {
            let Model { blocks, usable, .. } = model;
            let what =
                format!("the program has {blocks} blocks of {usable} usable bytes:\n{stats}");
            return Err(Complaint::new(Promise::Accounts, what));
        }
        let mapped = stats.mapped_bytes + stats.region_bytes + stats.table_bytes;
        // A segment on a break that somebody else moved begins at a multiple of
        // 16; what is before that is lost.
        let lost = 15 * self.moves;
        match self.heap.source().held() {
            Some(held)
                if held.1 != mapped
                    || !(stats.break_bytes..=stats.break_bytes + lost).contains(&held.0) =>
            {
                let what = format!("the source gave {held:?} (break, mappings):\n{stats}");
                Err(Complaint::new(Promise::Source, what))
            }
            _ => Ok(()),
        }
    }

    /// With all freed, and the heap left in peace until then, the trim policy
    /// leaves no more than it says.
    fn ensure_returned(&self) -> Result<(), Complaint> {
        let stats = self.heap.stats();
        let Config { trim, top_pad, thp, .. } = *self.heap.config();
        let page = self.heap.source().page_size();
        let step = if thp.0 != 0 && stats.break_bytes >= thp.0 { 2 << 20 } else { page };
        let most = match trim {
            Trim::Never => return Ok(()),
            Trim::Eager => page,
            // What is not worth a system call stays, too; `decay` may have
            // reason to keep more.
            Trim::Threshold => stats.trim_threshold.max(top_pad.0 + (64 << 10)) + step,
            Trim::Decay => return Ok(()),
        };
        if stats.top > most {
            let what = format!("all is freed, and trim={trim} left a top of {}", stats.top);
            return Err(Complaint::new(Promise::Returned, what));
        }
        Ok(())
    }
}

impl<S: Staged> Subject for Subjected<S> {
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        let block = self.heap.allocate(layout.size(), layout.align())?;
        if zeroed {
            // Only what the heap says: the oracle checks the rest.
            // SAFETY: a new block of at least `size` bytes.
            unsafe { block.clear(layout.size()) };
        }
        Some(block.start)
    }

    fn allocate_beyond(&mut self, size: usize, align: usize, _: bool) -> Option<NonNull<u8>> {
        self.heap.allocate(size, align).map(|block| block.start)
    }

    unsafe fn free(&mut self, block: NonNull<u8>, _: Layout) {
        // SAFETY: by contract.
        if let Err(misuse) = unsafe { self.heap.free(block) } {
            self.refused("free", misuse);
        }
    }

    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: by contract.
        match unsafe { self.heap.reallocate(block, size, layout.align()) } {
            Ok(resized) => resized,
            Err(misuse) => {
                self.refused("realloc", misuse);
                None
            }
        }
    }

    unsafe fn usable_size(&mut self, block: NonNull<u8>, layout: Layout) -> usize {
        // SAFETY: by contract.
        match unsafe { self.heap.usable_size(block) } {
            Ok(size) => size,
            Err(misuse) => {
                self.refused("malloc_usable_size", misuse);
                layout.size()
            }
        }
    }

    fn event(&mut self, event: Event) -> Result<(), Complaint> {
        match event {
            Event::Trim { keep } => {
                self.heap.trim(keep);
            }
            Event::Set { knob, value } => {
                let mut config = *self.heap.config();
                settings::change(&mut config, knob, value);
                self.heap.configure(config);
                self.is_disturbed = true;
            }
            Event::Wait { milliseconds } => {
                self.heap.source_mut().stage_wait(milliseconds.into());
            }
            Event::Fail { after, count } => {
                self.heap.source_mut().stage_failure(after.into(), count.into());
                self.is_disturbed = true;
            }
            Event::MoveBreak { bytes } => {
                self.heap.source_mut().stage_move(bytes as usize);
                self.moves += 1;
                self.is_disturbed = true;
            }
            // A heap as a value knows no threads and no processes.
            Event::Thread { .. } | Event::End { .. } | Event::Fork => {}
        }
        Ok(())
    }

    fn inspect(&mut self, model: &Model, thorough: bool) -> Result<(), Complaint> {
        if let Some(complaint) = self.complaint.take() {
            return Err(complaint);
        }
        if let Some(fault) = self.heap.source().fault() {
            return Err(Complaint::new(Promise::Source, fault));
        }
        if !thorough {
            return Ok(());
        }
        self.heap.check().map_err(|broken| Complaint::new(Promise::Invariants, broken))?;
        self.ensure_accounts(model)?;
        if model.blocks == 0 && !self.is_disturbed { self.ensure_returned() } else { Ok(()) }
    }

    fn footprint(&mut self) -> Option<usize> {
        Some(self.heap.stats().footprint())
    }
}
