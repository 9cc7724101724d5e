//! Mixed sizes that straddle 128 KiB: 16 B to 512 KiB, each doubling as likely
//! as the next and any size within a doubling, replaced at random.
//!
//! It provokes the choice that gives this project its name. An eighth of the
//! requests lies above glibc's initial mmap threshold: mapped, each costs system calls and
//! fresh zeroed pages; from the brk heap they are reused but hold the pages of
//! their neighbours. A fixed threshold, a dynamic one, trimming and top_pad all
//! change its faults by an order of magnitude.

use rand_pcg::Pcg64;

use super::churn::{Shape, below};

pub(super) const ABOUT: &str =
    "mixed sizes (16 B-512 KiB) on both sides of 128 KiB replaced at random";

pub(super) struct Straddle;

impl Shape for Straddle {
    const SLOTS: usize = 200;
    const REPLACEMENTS: u64 = 24_000;
    /// An OS page: what the block holds is resident, and time is the allocator's.
    const STRIDE: usize = 4096;

    #[inline]
    fn size(random: &mut Pcg64) -> usize {
        let doubling = 1 << (4 + below(random, 15));
        doubling + below(random, doubling)
    }
}
