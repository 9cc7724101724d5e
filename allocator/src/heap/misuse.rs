//! What programs do wrong: how it is noticed and what is said of it.

use core::fmt;
use core::ptr::NonNull;

use super::Heap;
use super::chunk::{Chunk, HEADER, State};
use crate::message::die;
use crate::os::PageSource;
use crate::size_class::GRAIN;

/// Why a pointer cannot be freed or resized. The heap is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// No block begins there, or the header left of it was overwritten.
    NotABlock,
    /// The block there is already free.
    DoubleFree,
    /// The header right of the block was overwritten: something wrote past the
    /// block's end.
    Overrun,
    /// The header's boundary tag was overwritten: something wrote past the end
    /// of the block on the left.
    Underrun,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Misuse::NotABlock => "not the start of a block, or its header was overwritten",
            Misuse::DoubleFree => "the block is already free (double free)",
            Misuse::Overrun => "something wrote past the end of this block",
            Misuse::Underrun => "something wrote past the end of the block on its left",
        })
    }
}

/// Ends the process: free memory of the heap was overwritten.
#[cold]
pub(super) fn corrupt(chunk: Chunk, what: &str) -> ! {
    die(format_args!("{what}: near {:#x}; the heap is corrupt", chunk.address()))
}

/// The chunk of a block, its size and state, which is Live or Mapped.
///
/// # Safety
///
/// The 16 bytes left of `block` are readable.
pub(crate) unsafe fn inspect(block: NonNull<u8>) -> Result<(Chunk, usize, State), Misuse> {
    if !block.addr().get().is_multiple_of(GRAIN) {
        return Err(Misuse::NotABlock);
    }
    // SAFETY: by contract.
    let chunk = unsafe { Chunk::of_block(block) };
    // SAFETY: by contract.
    match unsafe { chunk.get() } {
        Some((size, state @ (State::Live | State::Mapped))) => Ok((chunk, size, state)),
        Some((_, State::Free | State::Top | State::Cached)) => Err(Misuse::DoubleFree),
        Some((_, State::Fence | State::Inner | State::Unit)) | None => Err(Misuse::NotABlock),
    }
}

/// The bytes of a live block that a thread's cache may keep; `None` if it is
/// mapped. If `thorough`, the tag on its right is inspected, too. Takes no
/// lock: a live chunk, and that tag, change only by its owner's doing.
///
/// # Safety
///
/// As for [`inspect`], and in no unit.
pub(crate) unsafe fn cacheable(
    block: NonNull<u8>,
    thorough: bool,
) -> Result<Option<usize>, Misuse> {
    // SAFETY: by contract; a Live chunk has one on its right.
    unsafe {
        let chunk = Chunk::of_block(block);
        if !block.addr().get().is_multiple_of(GRAIN) {
            return Err(Misuse::NotABlock);
        }
        match chunk.size_as(State::Live) {
            // All but this is rare: mapped, or no live block.
            None => inspect(block).map(|_| None),
            Some(size) if thorough && chunk.offset(size).previous() != Some(size) => {
                Err(Misuse::Overrun)
            }
            Some(size) => Ok(Some(size - HEADER)),
        }
    }
}

/// Marks a block that enters a thread's cache.
///
/// # Safety
///
/// A block of a Live chunk, of which [`cacheable`] has said so.
pub(crate) unsafe fn cache(block: NonNull<u8>) {
    // SAFETY: by contract.
    unsafe { Chunk::of_block(block).toggle_cached() };
}

/// Marks a block that leaves a thread's cache.
///
/// # Safety
///
/// A block of a Cached chunk, which only the caller has.
pub(crate) unsafe fn uncache(block: NonNull<u8>) {
    // SAFETY: by contract.
    unsafe {
        let chunk = Chunk::of_block(block);
        if chunk.size_as(State::Cached).is_none() {
            corrupt(chunk, "a freed block's header was overwritten");
        }
        chunk.toggle_cached();
    }
}

impl<S: PageSource> Heap<S> {
    /// Whether the tags between a chunk and its neighbours are as written.
    ///
    /// # Safety
    ///
    /// A Live chunk of `size` bytes.
    pub(super) unsafe fn inspect_neighbours(
        &self,
        chunk: Chunk,
        size: usize,
    ) -> Result<(), Misuse> {
        // SAFETY: a chunk that is not the top has a chunk on its right, and an
        // intact tag leads to the chunk on its left.
        unsafe {
            let right = chunk.offset(size);
            if right.previous() != Some(size) || right.get().is_none() {
                return Err(Misuse::Overrun);
            }
            match chunk.previous() {
                Some(0) => Ok(()),
                Some(left) if chunk.back(left).get().is_some_and(|(size, _)| size == left) => {
                    Ok(())
                }
                _ => Err(Misuse::Underrun),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::os::Simulated;
    use brkpoint_workloads::forked::{self, End};

    #[test]
    fn a_header_that_was_overwritten_in_a_cache_ends_the_process() {
        let mut heap = Heap::new(Config::DEFAULT, Simulated::new(1 << 20));
        let block = heap.allocate(2000, GRAIN).expect("there is memory").start;
        let end = |overwrite: bool| {
            // SAFETY: a live block that this thread has; in the child its header is
            // overwritten on purpose.
            let end = forked::run(None, || unsafe {
                cache(block);
                let header = block.sub(8).cast::<u64>();
                header.write(header.read() ^ u64::from(overwrite));
                uncache(block);
                0
            });
            end.expect("a child can be made")
        };
        assert_eq!((end(false), end(true)), (End::Exited(0), End::Killed(libc::SIGABRT)));
    }
}
