//! The oracle that every heap answers to: a shadow of its live blocks.
//!
//! - this file: [`Shadow`], through which every operation goes
//! - [`Promise`]: what is watched; [`Violation`]: a broken promise
//! - [`Rules`]: how often and how thoroughly
//! - [`Subject`]: what an allocator must offer; [`Global`] makes one of any
//!   `GlobalAlloc`, and [`Shared`] several of one
//! - [`Parcel`]: a block on its way to another thread's oracle
//!
//! An oracle keeps what it knows in mappings of its own: the allocator under
//! test may be the process's.

use std::alloc::Layout;
use std::ptr::NonNull;

use crate::mapped::Mapped;
use crate::op::Op;

mod ensure;
mod events;
mod pattern;
mod promise;
mod subject;

use pattern::Canvas;
pub use promise::{Complaint, Promise, Violation, Watch};
pub use subject::{Global, Model, Shared, Subject};

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, or there was nothing to do.
    Done,
    /// The allocator refused.
    Refused,
}

/// How often and how thoroughly an oracle looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The promises that are watched.
    pub watch: Watch,
    /// The contents of all blocks are verified every so many operations; 0 is
    /// never. Those of a block always are when it is freed or resized.
    pub verify_every: u64,
    /// The subject inspects itself thoroughly every so many operations; 0 is
    /// never.
    pub inspect_every: u64,
    /// Blocks of up to so many bytes carry a pattern on every byte; larger ones
    /// at both ends and on each OS page.
    pub whole: usize,
    /// A request must be granted as long as the live blocks and it have no
    /// more than so many bytes in all; 0 if any request may be refused.
    pub granted: usize,
}

impl Rules {
    /// The compromise for tests.
    pub const THOROUGH: Rules = Rules {
        watch: Watch::ALL,
        verify_every: 32,
        inspect_every: 1,
        whole: 16 << 10,
        granted: 0,
    };
    /// For millions of operations a second: patterns at both ends and on each
    /// OS page.
    pub const FAST: Rules =
        Rules { verify_every: 64, inspect_every: 64, whole: 64, ..Rules::THOROUGH };
    /// Everything after every operation.
    pub const EXHAUSTIVE: Rules =
        Rules { verify_every: 1, inspect_every: 1, whole: usize::MAX, ..Rules::THOROUGH };
}

/// A live block as the oracle knows it.
#[derive(Clone, Copy, Debug)]
struct Live {
    start: NonNull<u8>,
    layout: Layout,
    canvas: Canvas,
}

/// A block that has left one oracle, for another one to take: what a program
/// does that frees in another thread than it allocates in.
#[derive(Debug)]
pub struct Parcel(Live);

// SAFETY: a parcel owns its block, and a block is not tied to a thread.
unsafe impl Send for Parcel {}

/// The oracle. Every operation goes through [`Shadow::perform`].
#[derive(Debug)]
pub struct Shadow {
    rules: Rules,
    slots: Mapped<Option<Live>>,
    /// The blocks' addresses in ascending order, and their slots. A vector,
    /// since programs have few blocks.
    places: Mapped<(usize, u32)>,
    model: Model,
    serial: u64,
    performed: u64,
    refused: u64,
}

// SAFETY: an oracle owns the blocks of its slots, and blocks are not tied to a
// thread.
unsafe impl Send for Shadow {}

impl Shadow {
    /// An oracle that watches every promise and verifies the contents of all
    /// blocks every `verify_every` operations; 0 is never.
    pub fn new(verify_every: u64) -> Shadow {
        Shadow::with(Rules { verify_every, ..Rules::THOROUGH })
    }

    /// An oracle with rules of your own.
    pub fn with(rules: Rules) -> Shadow {
        Shadow {
            rules,
            slots: Mapped::new(),
            places: Mapped::new(),
            model: Model::default(),
            serial: 0,
            performed: 0,
            refused: 0,
        }
    }

    /// Makes room for programs over so many slots.
    pub fn reserve(&mut self, slots: u32) {
        let slots = slots as usize;
        self.places.reserve(slots.saturating_sub(self.places.len()));
        if self.slots.len() < slots {
            self.slots.resize(slots, None);
        }
    }

    /// How many blocks live.
    pub fn live_blocks(&self) -> usize {
        self.model.blocks
    }

    /// The sum of their requested sizes, in bytes.
    pub fn live_bytes(&self) -> usize {
        self.model.requested
    }

    /// What the program has.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How many operations were performed.
    pub fn performed(&self) -> u64 {
        self.performed
    }

    /// How many of them were refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Performs an operation on `subject`, always the same one.
    ///
    /// # Errors
    ///
    /// The promise that the allocator broke.
    pub fn perform(&mut self, subject: &mut impl Subject, op: Op) -> Result<Outcome, Violation> {
        let outcome = match op {
            Op::Alloc { slot, size, align, zeroed } => {
                let request = Request { slot, align, zeroed, size: Some(size) };
                self.alloc(subject, request, |subject| {
                    match Layout::from_size_align(size, align) {
                        Ok(layout) => subject.allocate(layout, zeroed),
                        Err(_) => subject.allocate_beyond(size, align, zeroed),
                    }
                })?
            }
            Op::Calloc { slot, count, size } => {
                let total = count.checked_mul(size);
                let request = Request { slot, align: 16, zeroed: true, size: total };
                self.alloc(subject, request, |subject| subject.allocate_array(count, size))?
            }
            Op::Realloc { slot, size } => self.realloc(subject, slot, size)?,
            Op::Free { slot } => self.free(subject, slot)?,
            Op::Usable { slot } => self.ask(subject, slot)?,
            Op::Event(event) => self.happen(subject, event)?,
        };
        self.performed += 1;
        self.refused += u64::from(outcome == Outcome::Refused);
        let due = |every: u64| every != 0 && self.performed.is_multiple_of(every);
        let refused = outcome == Outcome::Refused && self.watches(Promise::Harmless);
        if due(self.rules.verify_every) && self.watches(Promise::Contents) {
            self.verify()?;
        } else if refused {
            self.verify().map_err(|violation| self.harmed(violation))?;
        }
        match subject.inspect(&self.model, refused || due(self.rules.inspect_every)) {
            Err(complaint) if self.watches(complaint.promise) => Err(self.complain(complaint)),
            Err(complaint) if refused => Err(self.harmed(self.complain(complaint))),
            _ => Ok(outcome),
        }
    }

    /// Verifies the contents of every live block.
    ///
    /// # Errors
    ///
    /// The first block whose contents changed.
    pub fn verify(&self) -> Result<(), Violation> {
        self.slots.iter().flatten().try_for_each(|live| self.verify_block(live, Promise::Contents))
    }

    /// Frees every block, in the order of slots, and has the subject inspect
    /// itself.
    ///
    /// # Errors
    ///
    /// The promise that the allocator broke.
    pub fn free_all(&mut self, subject: &mut impl Subject) -> Result<(), Violation> {
        for slot in 0..self.slots.len() {
            self.free(subject, slot as u32)?;
        }
        self.inspect(subject)
    }

    /// Has the subject inspect itself thoroughly.
    ///
    /// # Errors
    ///
    /// The promise that is broken.
    pub fn inspect(&mut self, subject: &mut impl Subject) -> Result<(), Violation> {
        match subject.inspect(&self.model, true) {
            Err(complaint) if self.watches(complaint.promise) => Err(self.complain(complaint)),
            _ => Ok(()),
        }
    }

    /// Takes a block out, for another oracle to go on with.
    pub fn take(&mut self, slot: u32) -> Option<Parcel> {
        self.forget(slot).map(Parcel)
    }

    /// Goes on with a block of another oracle; the slot must be empty, or the
    /// parcel comes back.
    ///
    /// # Errors
    ///
    /// The promise broken meanwhile: its contents changed, or it overlaps a
    /// block that is here.
    pub fn give(&mut self, slot: u32, parcel: Parcel) -> Result<Option<Parcel>, Violation> {
        if self.slots.get(slot as usize).is_some_and(Option::is_some) {
            return Ok(Some(parcel));
        }
        let Parcel(mut live) = parcel;
        if self.watches(Promise::Contents) {
            self.verify_block(&live, Promise::Contents)?;
        }
        self.ensure_disjoint(live.start, live.canvas.len)?;
        live.canvas = self.canvas(live.start, live.canvas.len);
        // SAFETY: the bytes of a live block, which only this oracle has.
        unsafe { live.canvas.paint(live.start) };
        self.note(slot, live);
        Ok(None)
    }

    fn watches(&self, promise: Promise) -> bool {
        self.rules.watch.has(promise)
    }

    fn alloc<S: Subject>(
        &mut self,
        subject: &mut S,
        request: Request,
        make: impl FnOnce(&mut S) -> Option<NonNull<u8>>,
    ) -> Result<Outcome, Violation> {
        self.free(subject, request.slot)?;
        let Some(start) = make(subject) else {
            self.ensure_refusable(request.size, request.align, 0)?;
            return Ok(Outcome::Refused);
        };
        let Some(layout) = self.ensure_possible(start, request.size, request.align)? else {
            // Nobody can write to such a block, so it is as if there were none.
            return Ok(Outcome::Refused);
        };
        let usable = self.ensure_sound(subject, start, layout, false)?;
        if request.zeroed && self.watches(Promise::Zeroed) {
            let canvas = self.canvas(start, layout.size());
            // SAFETY: as many bytes are the block's as were requested.
            if let Some((offset, byte)) = unsafe { canvas.dirt(start) } {
                let what = format!("byte {offset} of zeroed memory is {byte:#x}");
                return Err(self.violation(start, Promise::Zeroed, what));
            }
        }
        self.adopt(request.slot, start, layout, usable);
        Ok(Outcome::Done)
    }

    fn realloc(
        &mut self,
        subject: &mut impl Subject,
        slot: u32,
        size: usize,
    ) -> Result<Outcome, Violation> {
        let Some(&Some(old)) = self.slots.get(slot as usize) else {
            return Ok(Outcome::Done);
        };
        if self.watches(Promise::Contents) {
            self.verify_block(&old, Promise::Contents)?;
        }
        // SAFETY: a live block with its layout; the old pointer is dropped.
        let Some(start) = (unsafe { subject.reallocate(old.start, old.layout, size) }) else {
            self.ensure_refusable(Some(size), old.layout.align(), old.layout.size())?;
            return Ok(Outcome::Refused);
        };
        self.forget(slot);
        let Some(layout) = self.ensure_possible(start, Some(size), old.layout.align())? else {
            return Ok(Outcome::Refused);
        };
        let usable = self.ensure_sound(subject, start, layout, true)?;
        if self.watches(Promise::Prefix) {
            let kept = old.layout.size().min(size);
            // SAFETY: the new block has at least as many bytes as are kept.
            let damage = unsafe { old.canvas.damage(start, kept) };
            self.ensure_undamaged(start, old.canvas.len, damage, Promise::Prefix)?;
        }
        self.adopt(slot, start, layout, usable);
        Ok(Outcome::Done)
    }

    fn free(&mut self, subject: &mut impl Subject, slot: u32) -> Result<Outcome, Violation> {
        let Some(live) = self.forget(slot) else {
            return Ok(Outcome::Done);
        };
        if self.watches(Promise::Contents) {
            self.verify_block(&live, Promise::Contents)?;
        }
        // SAFETY: a live block with its layout, of which nothing is kept.
        unsafe { subject.free(live.start, live.layout) };
        Ok(Outcome::Done)
    }

    fn ask(&mut self, subject: &mut impl Subject, slot: u32) -> Result<Outcome, Violation> {
        let Some(&Some(live)) = self.slots.get(slot as usize) else {
            return Ok(Outcome::Done);
        };
        // SAFETY: a live block with its layout.
        let usable = unsafe { subject.usable_size(live.start, live.layout) };
        if usable < live.canvas.len && self.watches(Promise::UsableSize) {
            let what = format!("usable size {usable}, after {}", live.canvas.len);
            return Err(self.violation(live.start, Promise::UsableSize, what));
        }
        Ok(Outcome::Done)
    }

    fn canvas(&self, start: NonNull<u8>, len: usize) -> Canvas {
        Canvas::new(start, self.serial, len, self.rules.whole)
    }

    /// Notes a new block and writes its pattern.
    fn adopt(&mut self, slot: u32, start: NonNull<u8>, layout: Layout, usable: usize) {
        let canvas = self.canvas(start, usable);
        // SAFETY: the usable bytes of a live block.
        unsafe { canvas.paint(start) };
        self.note(slot, Live { start, layout, canvas });
    }

    fn note(&mut self, slot: u32, live: Live) {
        self.serial += 1;
        let place = (live.start.addr().get(), slot);
        let at = self.places.partition_point(|other| *other < place);
        self.places.insert(at, place);
        self.model.blocks += 1;
        self.model.requested += live.layout.size();
        self.model.usable += live.canvas.len;
        let slot = slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, None);
        }
        self.slots[slot] = Some(live);
    }

    fn forget(&mut self, slot: u32) -> Option<Live> {
        let live = self.slots.get_mut(slot as usize)?.take()?;
        let place = (live.start.addr().get(), slot);
        if let Ok(at) = self.places.binary_search(&place) {
            self.places.remove(at);
        }
        self.model.blocks -= 1;
        self.model.requested -= live.layout.size();
        self.model.usable -= live.canvas.len;
        Some(live)
    }
}

/// A request for a new block; no size if the product overflows.
#[derive(Clone, Copy)]
struct Request {
    slot: u32,
    size: Option<usize>,
    align: usize,
    zeroed: bool,
}
