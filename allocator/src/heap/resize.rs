//! Realloc: in place where possible, by the kernel for mapped blocks, else by
//! a new block and a copy.

use core::ptr::NonNull;

use super::chunk::{Chunk, HEADER, State};
use super::misuse::inspect;
use super::units::Unit;
use super::{Block, Heap, Misuse};
use crate::os::PageSource;

/// What became of an attempt to resize a block without copying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resized {
    /// It is resized, and this is where it is now.
    Done(NonNull<u8>),
    /// It is as it was, `usable` bytes long: a new one must be made.
    Move {
        /// Bytes of the old block.
        usable: usize,
    },
}

impl<S: PageSource> Heap<S> {
    /// Resizes a block to `size` bytes, its contents kept up to the smaller of
    /// both sizes. `None` if there is no memory; then it is as it was.
    ///
    /// # Errors
    ///
    /// What is wrong with the pointer; then nothing has changed.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this heap, allocated with `align`; once
    /// resized, nobody uses the old pointer.
    pub unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        size: usize,
        align: usize,
    ) -> Result<Option<NonNull<u8>>, Misuse> {
        // SAFETY: by contract.
        let usable = match unsafe { self.resize(block, size, align) }? {
            Resized::Done(block) => return Ok(Some(block)),
            Resized::Move { usable } => usable,
        };
        let Some(Block { start, .. }) = self.allocate_moved(size, align, size > usable) else {
            // It was to move only to be smaller: it may as well stay.
            return Ok((size <= usable).then_some(block));
        };
        // SAFETY: two live blocks, as `resize` and `allocate` say, each at least as long as
        // what is copied.
        unsafe {
            start.copy_from_nonoverlapping(block, size.min(usable));
            self.free(block)?;
        }
        Ok(Some(start))
    }

    /// Resizes a block without copying, if that can be done.
    ///
    /// # Errors
    ///
    /// What is wrong with the pointer; then nothing has changed.
    ///
    /// # Safety
    ///
    /// As [`Heap::reallocate`].
    pub unsafe fn resize(
        &mut self,
        block: NonNull<u8>,
        size: usize,
        align: usize,
    ) -> Result<Resized, Misuse> {
        if let Some((unit, _)) = self.units.unit_of(block) {
            // SAFETY: the record of its unit.
            let usable = unsafe { Unit::inspect(unit, block) }?;
            // A block of a unit never grows; one that is more than half used
            // is not worth a move.
            let stays = size <= usable && size > usable / 2;
            return Ok(if stays { Resized::Done(block) } else { Resized::Move { usable } });
        }
        // SAFETY: by contract.
        let (chunk, has, state) = unsafe { inspect(block) }?;
        let usable = has - HEADER;
        if size > super::REQUEST_MOST {
            return Ok(Resized::Move { usable });
        }
        if state == State::Mapped {
            // SAFETY: by contract.
            return Ok(unsafe { self.resize_mapped(chunk, usable, size, align) });
        }
        // SAFETY: a Live chunk.
        unsafe { self.inspect_neighbours(chunk, has)? };
        let need = self.chunk_size(size);
        // SAFETY: a Live chunk of `has` bytes, whose end beyond `need` the
        // caller has given up.
        unsafe {
            let has = if need > has {
                match self.extend(chunk, has, need) {
                    Some(has) => has,
                    None => return Ok(Resized::Move { usable }),
                }
            } else {
                has
            };
            self.cut_tail(chunk, has, need);
        }
        Ok(Resized::Done(block))
    }

    /// # Safety
    ///
    /// As [`Heap::reallocate`]; `chunk` is Mapped.
    unsafe fn resize_mapped(
        &mut self,
        chunk: Chunk,
        usable: usize,
        size: usize,
        align: usize,
    ) -> Resized {
        // Much smaller, and of a size that would not be mapped today: home.
        if size <= usable / 2 && !self.should_map(size, align) {
            return Resized::Move { usable };
        }
        // A move by whole OS pages keeps no greater alignment than theirs.
        let may_move = align <= self.source.page_size();
        // SAFETY: by contract.
        match unsafe { self.remap_block(chunk, size, may_move) } {
            Some(block) => Resized::Done(block),
            // SAFETY: a chunk of the heap, which stays as long as it was.
            None if size <= usable => Resized::Done(unsafe { chunk.block() }),
            None => Resized::Move { usable },
        }
    }

    /// Makes a chunk at least `need` bytes long by what is free on its right,
    /// and gives its new size.
    ///
    /// # Safety
    ///
    /// A Live chunk of `has < need` bytes.
    unsafe fn extend(&mut self, chunk: Chunk, has: usize, need: usize) -> Option<usize> {
        // SAFETY: a Live chunk has one on its right.
        let right = unsafe { chunk.offset(has) };
        // SAFETY: as above.
        match unsafe { right.get() } {
            Some((free, State::Free)) if has + free >= need => {
                let has = has + free;
                self.counters.live_bytes += free;
                self.touch(right.address()..chunk.address() + has);
                // SAFETY: a Free chunk is among the free ones; merged into `chunk`, what
                // is right of it becomes the neighbour of the whole.
                unsafe {
                    self.unfile(right, free);
                    chunk.set(has, State::Live);
                    chunk.offset(has).set_previous(has);
                }
                Some(has)
            }
            Some((_, State::Top)) => {
                let more = need - has;
                if !self.top_has(more) {
                    // Beyond the threshold a mapping grows more cheaply.
                    if self.should_map(need - HEADER, 1) || !self.grow(more) {
                        return None;
                    }
                    // The break was moved by somebody else: the top is elsewhere.
                    if self.top != Some(right) {
                        return None;
                    }
                }
                self.counters.live_bytes += more;
                self.touch(right.address()..right.address() + more);
                // SAFETY: `more` bytes of the top and a header behind them.
                unsafe {
                    chunk.set(need, State::Live);
                    self.move_top(right.offset(more), need, self.top_size - more);
                }
                Some(need)
            }
            _ => None,
        }
    }
}
