//! The driver: fill a working set, replace blocks of it at random, free it all.
//!
//! Each block is written when it is allocated and read back when it is freed;
//! what was read goes into the digest, so a block that was handed out twice,
//! moved or cleared shows.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::hint::black_box;
use std::io;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::table::Table;
use super::{Observer, Outcome};

/// What a workload asks for.
pub(super) trait Shape {
    /// Blocks of the working set.
    const SLOTS: usize;
    /// Replacements at scale 1.
    const REPLACEMENTS: u64;
    /// Distance in bytes between the words that are written in a block.
    const STRIDE: usize;
    /// The size of the next request, in bytes; at least [`WORD`].
    fn size(random: &mut Pcg64) -> usize;
}

/// Bytes of a word that is written and read back.
pub(super) const WORD: usize = size_of::<u64>();

/// What `malloc` promises without being asked.
const ALIGNMENT: usize = 16;

/// A live block, and the word that its contents are made from.
#[derive(Debug, Clone, Copy)]
struct Block {
    start: *mut u8,
    size: usize,
    seal: u64,
}

/// A working set before its first allocation.
#[derive(Debug)]
pub(super) struct Churn {
    blocks: Table<Block>,
    seed: u64,
    replacements: u64,
}

impl Churn {
    pub(super) fn new<S: Shape>(seed: u64, scale: f64) -> io::Result<Churn> {
        let replacements = (S::REPLACEMENTS as f64 * scale).ceil() as u64;
        Ok(Churn { blocks: Table::new(S::SLOTS)?, seed, replacements })
    }

    pub(super) fn operations(&self) -> u64 {
        2 * (self.blocks.capacity() as u64 + self.replacements)
    }

    pub(super) fn run<S: Shape, O: Observer>(&mut self, observer: &mut O) -> Outcome {
        let mut random = Pcg64::seed_from_u64(self.seed);
        let mut run = Run { digest: 0, operations: 0, live: 0, observer };
        self.blocks.clear();
        for _ in 0..S::SLOTS {
            self.blocks.push(run.allocate::<S>(&mut random));
        }
        for _ in 0..self.replacements {
            let slot = &mut self.blocks[below(&mut random, S::SLOTS)];
            run.free::<S>(*slot);
            *slot = run.allocate::<S>(&mut random);
        }
        for &block in self.blocks.iter() {
            run.free::<S>(block);
        }
        Outcome { digest: run.digest, operations: run.operations }
    }
}

/// A number below `limit`, which is far below 2^32: the bias does not matter.
#[inline]
pub(super) fn below(random: &mut Pcg64, limit: usize) -> usize {
    (((random.next_u64() >> 32) * limit as u64) >> 32) as usize
}

/// The state of a run.
struct Run<'o, O> {
    digest: u64,
    operations: u64,
    live: u64,
    observer: &'o mut O,
}

impl<O: Observer> Run<'_, O> {
    #[inline]
    fn allocate<S: Shape>(&mut self, random: &mut Pcg64) -> Block {
        let size = S::size(random);
        let layout = layout(size);
        // SAFETY: the size is at least WORD (`Shape::size`), so not zero.
        let start = black_box(unsafe { alloc(layout) });
        if start.is_null() {
            handle_alloc_error(layout);
        }
        let block = Block { start, size, seal: random.next_u64() };
        for word in words::<S>(block) {
            // SAFETY: `words` stays inside the block, which is live and ours.
            unsafe { word.write_unaligned(block.seal ^ (word.addr() - start.addr()) as u64) };
        }
        self.live += size as u64;
        self.done();
        block
    }

    #[inline]
    fn free<S: Shape>(&mut self, block: Block) {
        for word in words::<S>(block) {
            // SAFETY: `words` stays inside the block, which `allocate` wrote.
            let read = unsafe { black_box(word).read_unaligned() };
            self.digest = (self.digest.rotate_left(5) ^ read).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        // SAFETY: `allocate` got the block under this layout, and it is freed
        // once: its slot is overwritten, or the run ends.
        unsafe { dealloc(block.start, layout(block.size)) };
        self.live -= block.size as u64;
        self.done();
    }

    #[inline(always)]
    fn done(&mut self) {
        self.operations += 1;
        self.observer.after(self.operations, self.live);
    }
}

/// The words of `block` that are written: one every stride, and its last.
#[inline]
fn words<S: Shape>(block: Block) -> impl Iterator<Item = *mut u64> {
    let last = block.size - WORD;
    (0..last).step_by(S::STRIDE).chain([last]).map(move |offset| {
        // SAFETY: offset <= size - WORD, so the word ends inside the block.
        unsafe { block.start.add(offset) }.cast::<u64>()
    })
}

#[inline]
fn layout(size: usize) -> Layout {
    debug_assert!((WORD..=isize::MAX as usize - ALIGNMENT).contains(&size));
    // SAFETY: the alignment is a power of two, and no workload's size comes near
    // the limit.
    unsafe { Layout::from_size_align_unchecked(size, ALIGNMENT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tiny;
    impl Shape for Tiny {
        const SLOTS: usize = 4;
        const REPLACEMENTS: u64 = 100;
        const STRIDE: usize = 64;
        fn size(random: &mut Pcg64) -> usize {
            WORD + below(random, 300)
        }
    }

    #[test]
    fn the_words_written_cover_both_ends_and_stay_inside() {
        let mut memory = [0_u8; 200];
        for size in [8, 9, 63, 64, 65, 72, 128, 200] {
            let block = Block { start: memory.as_mut_ptr(), size, seal: 0 };
            let offsets: Vec<usize> =
                words::<Tiny>(block).map(|w| w.addr() - block.start.addr()).collect();
            assert!(offsets.iter().all(|&o| o + WORD <= size), "{size}: {offsets:?}");
            assert_eq!(offsets.last(), Some(&(size - WORD)));
            assert!(offsets.windows(2).all(|w| w[1] - w[0] <= 64), "{size}: {offsets:?}");
        }
    }

    #[test]
    fn a_byte_changed_behind_its_back_changes_the_digest() {
        struct Corrupt(bool);
        impl Observer for Corrupt {
            fn after(&mut self, _: u64, _: u64) {}
        }
        let digest = |corrupt: bool| {
            let mut churn = Churn::new::<Tiny>(3, 1.0).expect("maps");
            let mut observer = Corrupt(corrupt);
            let mut random = Pcg64::seed_from_u64(3);
            let mut run = Run { digest: 0, operations: 0, live: 0, observer: &mut observer };
            churn.blocks.clear();
            let block = run.allocate::<Tiny>(&mut random);
            if run.observer.0 {
                // SAFETY: the block is live and has at least WORD bytes.
                unsafe { *block.start ^= 1 };
            }
            run.free::<Tiny>(block);
            run.digest
        };
        assert_ne!(digest(false), digest(true));
    }
}
