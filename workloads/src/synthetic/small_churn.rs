//! Small objects, churned: 16 to 512 bytes, each as likely as the next, random
//! ones of a working set of about 2.6 MB replaced.
//!
//! It provokes what most programs do most of the time: free lists, size classes
//! and splitting decide, and no request is large enough for a mapping of its
//! own unless the engine maps everything, which then costs two system calls and
//! a fault for each object. After the last free it shows what is kept. The
//! pattern is that of the steady-replacement benchmarks (alloc-test, larson
//! with one thread).

use rand_pcg::Pcg64;

use super::churn::{Shape, below};

pub(super) const ABOUT: &str = "small objects (16-512 B) of a working set replaced at random";

pub(super) struct SmallChurn;

impl Shape for SmallChurn {
    const SLOTS: usize = 10_000;
    /// An engine that maps every object needs about a second for them.
    const REPLACEMENTS: u64 = 70_000;
    /// A cache line: an object that is used is read and written all over.
    const STRIDE: usize = 64;

    #[inline]
    fn size(random: &mut Pcg64) -> usize {
        16 + below(random, 497)
    }
}
