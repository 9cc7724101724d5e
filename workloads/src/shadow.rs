//! The oracle that every heap answers to: a shadow of its live blocks.
//!
//! | promise | checked |
//! |---|---|
//! | a block is aligned | when it is allocated or moved |
//! | blocks are disjoint, over all their usable bytes | likewise, as intervals |
//! | usable size >= requested size, all of it writable and kept | by the contents |
//! | contents stay: byte = f(serial, offset) | on free, on realloc, and of all blocks now and then |
//! | realloc keeps the smaller of both sizes | on realloc, also a refused one |
//! | zeroed memory is zero | on allocation, also of recycled blocks |
//!
//! [`Subject`] is what an allocator must offer; [`Op`]s are what is done to it.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::fmt;
use std::ptr::NonNull;

use crate::op::Op;

/// An allocator under test.
pub trait Subject {
    /// A block for `layout`, or `None` if the allocator refuses.
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>>;

    /// Frees a block.
    ///
    /// # Safety
    ///
    /// A live block, allocated with `layout`, which nobody uses any more.
    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout);

    /// Resizes a block; `None` if the allocator refuses, and then it lives on.
    ///
    /// # Safety
    ///
    /// A live block, allocated with `layout`; if it is resized, nobody uses
    /// the old pointer.
    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>>;

    /// The bytes a block has; what was requested, if the allocator cannot tell.
    ///
    /// # Safety
    ///
    /// A live block, allocated with `layout`.
    unsafe fn usable_size(&mut self, block: NonNull<u8>, layout: Layout) -> usize {
        let _ = block;
        layout.size()
    }
}

/// Any `GlobalAlloc` as a subject. A size of 0, which that contract excludes,
/// becomes 1.
#[derive(Clone, Copy, Debug)]
pub struct Global<A>(pub A);

fn sized(layout: Layout) -> Layout {
    Layout::from_size_align(layout.size().max(1), layout.align()).unwrap_or(layout)
}

impl<A: GlobalAlloc> Subject for Global<A> {
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        let layout = sized(layout);
        // SAFETY: the size is not 0.
        NonNull::new(unsafe {
            if zeroed { self.0.alloc_zeroed(layout) } else { self.0.alloc(layout) }
        })
    }

    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: by contract.
        unsafe { self.0.dealloc(block.as_ptr(), sized(layout)) };
    }

    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: by contract, and the size is not 0.
        NonNull::new(unsafe { self.0.realloc(block.as_ptr(), sized(layout), size.max(1)) })
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The operation, counted from 0.
    pub at: u64,
    /// The block's address.
    pub block: usize,
    /// What was promised and not kept.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { at, block, what } = self;
        write!(f, "operation {at}, block {block:#x}: {what}")
    }
}

impl std::error::Error for Violation {}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, or there was nothing to do.
    Done,
    /// The allocator refused.
    Refused,
}

/// A live block as the oracle knows it.
#[derive(Clone, Copy, Debug)]
struct Live {
    start: NonNull<u8>,
    layout: Layout,
    /// Bytes that carry the pattern.
    usable: usize,
    serial: u64,
}

/// The oracle. Every operation goes through [`Shadow::perform`].
#[derive(Debug)]
pub struct Shadow {
    live: BTreeMap<usize, Live>,
    slots: BTreeMap<u32, usize>,
    serial: u64,
    performed: u64,
    verify_every: u64,
}

impl Shadow {
    /// An oracle that verifies the contents of all blocks every `verify_every`
    /// operations; 0 is never.
    pub fn new(verify_every: u64) -> Shadow {
        Shadow {
            live: BTreeMap::new(),
            slots: BTreeMap::new(),
            serial: 0,
            performed: 0,
            verify_every,
        }
    }

    /// How many blocks live.
    pub fn live_blocks(&self) -> usize {
        self.live.len()
    }

    /// The sum of their requested sizes, in bytes.
    pub fn live_bytes(&self) -> usize {
        self.live.values().map(|live| live.layout.size()).sum()
    }

    /// Performs an operation on `subject`, always the same one.
    ///
    /// # Errors
    ///
    /// The promise that the allocator broke.
    pub fn perform(&mut self, subject: &mut impl Subject, op: Op) -> Result<Outcome, Violation> {
        let outcome = match op {
            Op::Alloc { slot, size, align, zeroed } => {
                self.alloc(subject, slot, size, align, zeroed)?
            }
            Op::Realloc { slot, size } => self.realloc(subject, slot, size)?,
            Op::Free { slot } => self.free(subject, slot)?,
        };
        self.performed += 1;
        if self.verify_every != 0 && self.performed.is_multiple_of(self.verify_every) {
            self.verify()?;
        }
        Ok(outcome)
    }

    /// Verifies the contents of every live block.
    ///
    /// # Errors
    ///
    /// The first block whose contents changed.
    pub fn verify(&self) -> Result<(), Violation> {
        self.live.values().try_for_each(|live| self.verify_block(live, live.usable))
    }

    /// Frees every block, in the order of slots.
    ///
    /// # Errors
    ///
    /// The first block whose contents changed.
    pub fn free_all(&mut self, subject: &mut impl Subject) -> Result<(), Violation> {
        let slots: Vec<u32> = self.slots.keys().copied().collect();
        for slot in slots {
            self.free(subject, slot)?;
        }
        Ok(())
    }

    fn alloc(
        &mut self,
        subject: &mut impl Subject,
        slot: u32,
        size: usize,
        align: usize,
        zeroed: bool,
    ) -> Result<Outcome, Violation> {
        self.free(subject, slot)?;
        let Ok(layout) = Layout::from_size_align(size, align) else {
            return Ok(Outcome::Refused);
        };
        let Some(start) = subject.allocate(layout, zeroed) else {
            return Ok(Outcome::Refused);
        };
        // SAFETY: a block just allocated with this layout.
        let usable = unsafe { subject.usable_size(start, layout) };
        self.ensure_sound(start, layout, usable)?;
        if zeroed {
            // SAFETY: `size` bytes are the block's.
            let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), size) };
            if let Some(offset) = bytes.iter().position(|&byte| byte != 0) {
                return Err(self.violation(
                    start,
                    format!("byte {offset} of zeroed memory is {:#x}", bytes[offset]),
                ));
            }
        }
        self.adopt(slot, start, layout, usable);
        Ok(Outcome::Done)
    }

    fn realloc(
        &mut self,
        subject: &mut impl Subject,
        slot: u32,
        size: usize,
    ) -> Result<Outcome, Violation> {
        let Some(&address) = self.slots.get(&slot) else {
            return Ok(Outcome::Done);
        };
        let old = self.live[&address];
        self.verify_block(&old, old.usable)?;
        let Ok(layout) = Layout::from_size_align(size, old.layout.align()) else {
            return Ok(Outcome::Refused);
        };
        // SAFETY: a live block with its layout; the old pointer is dropped.
        let Some(start) = (unsafe { subject.reallocate(old.start, old.layout, size) }) else {
            self.verify_block(&old, old.usable)?;
            return Ok(Outcome::Refused);
        };
        self.live.remove(&address);
        // SAFETY: a block just resized to this layout.
        let usable = unsafe { subject.usable_size(start, layout) };
        self.ensure_sound(start, layout, usable)?;
        let kept = old.layout.size().min(size);
        self.verify_block(&Live { start, ..old }, kept)?;
        self.adopt(slot, start, layout, usable);
        Ok(Outcome::Done)
    }

    fn free(&mut self, subject: &mut impl Subject, slot: u32) -> Result<Outcome, Violation> {
        let Some(address) = self.slots.remove(&slot) else {
            return Ok(Outcome::Done);
        };
        if let Some(live) = self.live.remove(&address) {
            self.verify_block(&live, live.usable)?;
            // SAFETY: a live block with its layout, of which nothing is kept.
            unsafe { subject.free(live.start, live.layout) };
        }
        Ok(Outcome::Done)
    }

    /// Notes a block and writes its pattern.
    fn adopt(&mut self, slot: u32, start: NonNull<u8>, layout: Layout, usable: usize) {
        let live = Live { start, layout, usable, serial: self.serial };
        self.serial += 1;
        for range in sampled(usable) {
            for offset in range {
                // SAFETY: within the usable bytes of a live block.
                unsafe { start.add(offset).write(pattern(live.serial, offset)) };
            }
        }
        self.live.insert(start.addr().get(), live);
        self.slots.insert(slot, start.addr().get());
    }

    /// Alignment, size, and no byte shared with another block.
    fn ensure_sound(
        &self,
        start: NonNull<u8>,
        layout: Layout,
        usable: usize,
    ) -> Result<(), Violation> {
        let address = start.addr().get();
        if !address.is_multiple_of(layout.align()) {
            return Err(self.violation(start, format!("not aligned to {}", layout.align())));
        }
        if usable < layout.size() {
            return Err(self
                .violation(start, format!("usable size {usable} < requested {}", layout.size())));
        }
        // An empty block has no bytes, but its address must be its own.
        let end = address + usable.max(1);
        if let Some((other, live)) = self.live.range(..end).next_back()
            && other + live.usable.max(1) > address
        {
            return Err(self.violation(start, format!("overlaps the block at {other:#x}")));
        }
        Ok(())
    }

    fn verify_block(&self, live: &Live, len: usize) -> Result<(), Violation> {
        for range in sampled(live.usable) {
            for offset in range.take_while(|&offset| offset < len) {
                // SAFETY: within the bytes of a live block.
                let byte = unsafe { live.start.add(offset).read() };
                let expected = pattern(live.serial, offset);
                if byte != expected {
                    let what =
                        format!("byte {offset} of {} is {byte:#x}, not {expected:#x}", live.usable);
                    return Err(self.violation(live.start, what));
                }
            }
        }
        Ok(())
    }

    fn violation(&self, block: NonNull<u8>, what: String) -> Violation {
        Violation { at: self.performed, block: block.addr().get(), what }
    }
}

/// The byte at `offset` of the block with this serial number. Different for
/// each block, lest an overlap goes unnoticed.
fn pattern(serial: u64, offset: usize) -> u8 {
    let mixed = (serial + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ (offset as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed >> 37) as u8
}

/// The offsets of a block of `len` bytes that carry the pattern: all of them,
/// or for a large one its ends and a few bytes of every 4 KiB between.
fn sampled(len: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    const ENDS: usize = 4096;
    const STEP: usize = 4096;
    let whole = len <= 4 * ENDS;
    let (head, tail) = if whole { (len, len) } else { (ENDS, len - ENDS) };
    std::iter::once(0..head)
        .chain((head..tail).step_by(STEP).map(move |at| at..(at + 8).min(tail)))
        .chain(std::iter::once(tail..len))
}
