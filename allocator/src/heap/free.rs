//! The free chunks, in the structure that the placement is made for.
//!
//! Whatever it is, the top comes last: it is cut, and the break moved, when no
//! free chunk fits (the wilderness preservation of Korn and Vo, 1985).

use super::bins::{Bins, Sized};
use super::chunk::Chunk;
use super::tree::{Order, Tree};
use crate::config::Placement;
use crate::size_class::GRAIN;

/// All free chunks of a heap.
#[expect(clippy::large_enum_variant, reason = "there is one in a heap, and nothing moves it")]
pub(super) enum FreeChunks {
    Bins(Bins),
    Tree(Tree),
}

impl FreeChunks {
    /// No chunk at all.
    pub(super) const fn new(placement: Placement) -> FreeChunks {
        FreeChunks::Tree(Tree::new(match placement {
            Placement::Good => return FreeChunks::Bins(Bins::EMPTY),
            Placement::First => Order::First,
            Placement::Next => Order::Next,
            Placement::Best => Order::Best,
        }))
    }

    /// Puts a chunk in.
    ///
    /// # Safety
    ///
    /// A chunk of the heap in state `Free`, `size` bytes long, not in here.
    #[inline]
    pub(super) unsafe fn insert(&mut self, chunk: Chunk, size: usize) {
        // SAFETY: by contract.
        unsafe {
            match self {
                FreeChunks::Bins(bins) => bins.insert(chunk, size),
                FreeChunks::Tree(tree) => tree.insert(chunk, size),
            }
        }
    }

    /// Takes a chunk out.
    ///
    /// # Safety
    ///
    /// A chunk in here, `size` bytes long.
    #[inline]
    pub(super) unsafe fn remove(&mut self, chunk: Chunk, size: usize) {
        // SAFETY: by contract.
        unsafe {
            match self {
                FreeChunks::Bins(bins) => bins.remove(chunk, size),
                FreeChunks::Tree(tree) => tree.remove(chunk, size),
            }
        }
    }

    /// Takes out a chunk of at least `size` bytes. The bins may have one and
    /// not find it.
    #[inline]
    pub(super) fn take(&mut self, size: usize) -> Option<Sized> {
        match self {
            FreeChunks::Bins(bins) => bins.take(size),
            FreeChunks::Tree(tree) => tree.take(size, GRAIN),
        }
    }

    /// As `take`, but finds one wherever it is: the last resort when the OS
    /// refuses more.
    pub(super) fn take_any(&mut self, size: usize) -> Option<Sized> {
        match self {
            FreeChunks::Bins(bins) => bins.take_any(size),
            FreeChunks::Tree(tree) => tree.take(size, GRAIN),
        }
    }

    /// As `take`, a chunk in which a block of `size - HEADER` bytes at a
    /// multiple of `align` fits.
    pub(super) fn take_aligned(&mut self, size: usize, align: usize) -> Option<Sized> {
        match self {
            FreeChunks::Bins(bins) => bins.take_aligned(size, align),
            FreeChunks::Tree(tree) => tree.take(size, align),
        }
    }

    /// A chunk of at least `least` bytes; with the `last` one that this gave,
    /// the one that comes after it. Bins give larger ones first.
    ///
    /// # Safety
    ///
    /// `last` is in here still.
    pub(super) unsafe fn large(&self, last: Option<Sized>, least: usize) -> Option<Sized> {
        match self {
            FreeChunks::Bins(bins) => match last {
                None => bins.largest(),
                // SAFETY: by contract.
                Some((chunk, size)) => unsafe { bins.next_smaller(chunk, size) },
            }
            .filter(|&(_, size)| size >= least),
            FreeChunks::Tree(tree) => tree
                .after(last.map_or((0, 0), |last| tree.key(last)), least)
                .filter(|&(_, size)| size >= least),
        }
    }
}
