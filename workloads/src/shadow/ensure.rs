//! The oracle's judgements.

use std::alloc::Layout;
use std::ptr::NonNull;

use super::{Complaint, Live, Promise, Shadow, Subject, Violation};
use crate::op::draw::IMPOSSIBLE_FROM;

impl Shadow {
    /// The layout of a granted request, which must be one that can be granted;
    /// `None` if it is not, and nobody watches.
    pub(super) fn ensure_possible(
        &self,
        start: NonNull<u8>,
        size: Option<usize>,
        align: usize,
    ) -> Result<Option<Layout>, Violation> {
        let layout = size.and_then(|size| Layout::from_size_align(size, align).ok());
        let possible = layout.filter(|layout| layout.size() < IMPOSSIBLE_FROM);
        if possible.is_some() || !self.watches(Promise::Impossible) {
            return Ok(possible);
        }
        let what = match size {
            Some(size) => format!("a request of {size} bytes was granted"),
            None => "a request whose product overflows was granted".to_owned(),
        };
        Err(self.violation(start, Promise::Impossible, what))
    }

    /// A refused request must be one that may be refused.
    pub(super) fn ensure_refusable(
        &self,
        size: Option<usize>,
        align: usize,
        had: usize,
    ) -> Result<(), Violation> {
        let Some(size) = size.filter(|_| self.rules.granted != 0) else { return Ok(()) };
        if !self.watches(Promise::Granted) || size == 0 {
            return Ok(());
        }
        let what = if size <= had {
            format!("{had} bytes could not be made {size}")
        } else if size.saturating_add(align).saturating_add(self.model.usable) <= self.rules.granted
        {
            let usable = self.model.usable;
            format!("{size} bytes, aligned to {align}, were refused while {usable} were in use")
        } else {
            return Ok(());
        };
        Err(self.complain(Complaint { promise: Promise::Granted, what }))
    }

    /// Alignment, size, and no byte shared with another block; gives the
    /// usable size.
    pub(super) fn ensure_sound(
        &self,
        subject: &mut impl Subject,
        start: NonNull<u8>,
        layout: Layout,
        resized: bool,
    ) -> Result<usize, Violation> {
        let align = subject.alignment(layout, resized);
        if self.watches(Promise::Alignment) && !start.addr().get().is_multiple_of(align) {
            return Err(self.violation(
                start,
                Promise::Alignment,
                format!("not aligned to {align}"),
            ));
        }
        // SAFETY: a block just allocated with, or resized to, this layout.
        let usable = unsafe { subject.usable_size(start, layout) };
        if usable < layout.size() && self.watches(Promise::UsableSize) {
            let what = format!("usable size {usable} < requested {}", layout.size());
            return Err(self.violation(start, Promise::UsableSize, what));
        }
        let usable = usable.max(layout.size());
        self.ensure_disjoint(start, usable)?;
        Ok(usable)
    }

    pub(super) fn ensure_disjoint(
        &self,
        start: NonNull<u8>,
        usable: usize,
    ) -> Result<(), Violation> {
        if !self.watches(Promise::Disjoint) {
            return Ok(());
        }
        let address = start.addr().get();
        // An empty block has no bytes, but its address must be its own.
        let end = address + usable.max(1);
        let after = self.places.partition_point(|(other, _)| *other < end);
        // Blocks here are disjoint, so only the last that begins below counts.
        let Some((other, slot)) = after.checked_sub(1).map(|last| self.places[last]) else {
            return Ok(());
        };
        let len = self.slots[slot as usize].map_or(0, |live| live.canvas.len);
        if other + len.max(1) <= address {
            return Ok(());
        }
        let what = format!("its {usable} bytes overlap the block at {other:#x} of {len}");
        Err(self.violation(start, Promise::Disjoint, what))
    }

    pub(super) fn verify_block(&self, live: &Live, promise: Promise) -> Result<(), Violation> {
        // SAFETY: the usable bytes of a live block.
        let damage = unsafe { live.canvas.damage(live.start, usize::MAX) };
        self.ensure_undamaged(live.start, live.canvas.len, damage, promise)
    }

    pub(super) fn ensure_undamaged(
        &self,
        start: NonNull<u8>,
        len: usize,
        damage: Option<(usize, u8, u8)>,
        promise: Promise,
    ) -> Result<(), Violation> {
        let Some((offset, byte, expected)) = damage else { return Ok(()) };
        let what = format!("byte {offset} of {len} is {byte:#x}, not {expected:#x}");
        Err(self.violation(start, promise, what))
    }

    pub(super) fn violation(
        &self,
        block: NonNull<u8>,
        promise: Promise,
        what: String,
    ) -> Violation {
        Violation { at: self.performed, block: block.addr().get(), promise, what }
    }

    /// A complaint as of the operation just performed.
    pub fn broken(&self, complaint: Complaint) -> Violation {
        self.complain(complaint)
    }

    pub(super) fn complain(&self, Complaint { promise, what }: Complaint) -> Violation {
        Violation { at: self.performed, block: 0, promise, what }
    }

    pub(super) fn harmed(&self, violation: Violation) -> Violation {
        let what = format!("after a refusal, {}", violation.what);
        Violation { promise: Promise::Harmless, what, ..violation }
    }
}
