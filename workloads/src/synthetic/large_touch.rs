//! Large buffers, touched and freed: 256 KiB to 4 MiB, replaced at random.
//!
//! It provokes the price of fresh memory. Every page of every buffer is written
//! once; an engine that returns buffers to the OS pays a fault for each page of
//! the next one, an engine that keeps them pays in resident memory. It is the
//! pattern of image, network and numeric buffers (malloc-large with smaller
//! blocks).

use rand_pcg::Pcg64;

use super::churn::{Shape, below};

pub(super) const ABOUT: &str = "large buffers (256 KiB-4 MiB) touched and freed";

pub(super) struct LargeTouch;

impl Shape for LargeTouch {
    const SLOTS: usize = 8;
    const REPLACEMENTS: u64 = 480;
    /// An OS page: each costs one fault when it is fresh.
    const STRIDE: usize = 4096;

    #[inline]
    fn size(random: &mut Pcg64) -> usize {
        let doubling = (256 << 10) << below(random, 4);
        doubling + below(random, doubling)
    }
}
