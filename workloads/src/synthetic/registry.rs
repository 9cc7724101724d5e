//! The registry: every workload with its name and parameters.

use std::fmt;

use super::Workload;
use super::batch::{Batch, Order};
use super::buffers::Buffers;
use super::churn::Churn;
use super::grow::Grow;
use super::handoff::Handoff;
use super::idle::Idle;
use super::large_touch::{self, LargeTouch};
use super::larson::Larson;
use super::pair::Pair;
use super::phases::Phases;
use super::random::Sizes;
use super::small_churn::{self, SmallChurn};
use super::small_program::SmallProgram;
use super::steady::Steady;
use super::straddle::{self, Straddle};
use super::threads::Threads;

/// Workloads that ask the same kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// A working set, of which random blocks are replaced: the tour's.
    Tour,
    /// The fast paths, in one thread.
    Small,
    /// Blocks that cross threads, and threads that end.
    Threads,
    /// Blocks for which the OS is asked.
    Large,
    /// How memory changes shape.
    Shape,
    /// What is kept when nothing is needed.
    Idle,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Group::Tour => "working sets replaced at random (the tour's)",
            Group::Small => "small blocks, one thread",
            Group::Threads => "several threads",
            Group::Large => "large blocks",
            Group::Shape => "changing shapes",
            Group::Idle => "what is kept",
        })
    }
}

const MIXED: Sizes = Sizes::Uniform(16, 1024);
const BATCH: Sizes = Sizes::Uniform(16, 256);
const BURST: Sizes = Sizes::Fixed(64);
const MEDIUM: Sizes = Sizes::Doublings(16 << 10, 5);
const LARGE: Sizes = Sizes::Doublings(64 << 10, 7);

/// One entry: the group, the name, the line, and how to make its driver from a
/// seed and a scale.
macro_rules! workload {
    ($group:ident, $name:literal, $about:expr, |$seed:ident, $scale:ident| $make:expr) => {
        Workload {
            name: $name,
            about: $about,
            group: Group::$group,
            make: |$seed, $scale| Ok(Box::new($make?)),
        }
    };
}

/// All workloads, in the order in which lists and reports show them.
pub static ALL: &[Workload] = &[
    workload!(Tour, "small-churn", small_churn::ABOUT, |s, x| Churn::<SmallChurn>::new(s, x)),
    workload!(Tour, "straddle", straddle::ABOUT, |s, x| Churn::<Straddle>::new(s, x)),
    workload!(Tour, "large-touch", large_touch::ABOUT, |s, x| Churn::<LargeTouch>::new(s, x)),
    workload!(Small, "pair-16", "a block of 16 B allocated and freed", |s, x| {
        Pair::new(s, x, Sizes::Fixed(16))
    }),
    workload!(Small, "pair-64", "of 64 B", |s, x| Pair::new(s, x, Sizes::Fixed(64))),
    workload!(Small, "pair-256", "of 256 B", |s, x| Pair::new(s, x, Sizes::Fixed(256))),
    workload!(Small, "pair-1k", "of 1 KiB", |s, x| Pair::new(s, x, Sizes::Fixed(1 << 10))),
    workload!(Small, "pair-8k", "of 8 KiB", |s, x| Pair::new(s, x, Sizes::Fixed(8 << 10))),
    workload!(Small, "pair-mixed", "of 16 B to 1 KiB", |s, x| Pair::new(s, x, MIXED)),
    workload!(Small, "batch-lifo", "1,000 blocks (16-256 B), freed last in first out", |s, x| {
        Batch::new(s, x, 1_000, BATCH, Order::Lifo)
    }),
    workload!(Small, "batch-fifo", "1,000 blocks, freed first in first out", |s, x| {
        Batch::new(s, x, 1_000, BATCH, Order::Fifo)
    }),
    workload!(Small, "batch-random", "1,000 blocks, freed in random order", |s, x| {
        Batch::new(s, x, 1_000, BATCH, Order::Random)
    }),
    workload!(Small, "burst-10k", "10,000 blocks of 64 B, then all are freed", |s, x| {
        Batch::new(s, x, 10_000, BURST, Order::Fifo)
    }),
    workload!(Small, "burst-100k", "100,000 blocks of 64 B, then all are freed", |s, x| {
        Batch::new(s, x, 100_000, BURST, Order::Fifo)
    }),
    workload!(Small, "steady-10k", "10,000 live blocks (16-255 B) replaced at random", |s, x| {
        Steady::new(s, x, 10_000)
    }),
    workload!(Small, "steady-100k", "100,000 live blocks replaced at random", |s, x| {
        Steady::new(s, x, 100_000)
    }),
    workload!(Small, "steady-1m", "1,000,000 live blocks replaced at random", |s, x| {
        Steady::new(s, x, 1_000_000)
    }),
    workload!(Threads, "larson", "two threads replace each other's blocks (10-500 B)", |s, x| {
        Larson::new(s, x)
    }),
    workload!(Threads, "handoff", "one thread allocates (16-511 B), another frees", |s, x| {
        Handoff::new(s, x)
    }),
    workload!(Threads, "threads", "1,000 short threads, whose blocks outlive them", |s, x| {
        Threads::new(s, x)
    }),
    workload!(Large, "medium", "16 buffers (16-512 KiB) touched and replaced", |s, x| {
        Buffers::new(s, x, MEDIUM, 30_000, false)
    }),
    workload!(Large, "large", "16 buffers (64 KiB-8 MiB) touched and replaced", |s, x| {
        Buffers::new(s, x, LARGE, 1_000, false)
    }),
    workload!(Large, "calloc-large", "16 zeroed buffers (64 KiB-8 MiB) replaced", |s, x| {
        Buffers::new(s, x, LARGE, 500, true)
    }),
    workload!(Shape, "grow", "a vector doubled from 64 B to 16 MiB by realloc", |s, x| {
        Grow::new(s, x, 1)
    }),
    workload!(Shape, "grow-four", "four vectors doubled in turn by realloc", |s, x| {
        Grow::new(s, x, 4)
    }),
    workload!(Shape, "phases", "many blocks, most freed, then of another size", |s, x| {
        Phases::new(s, x)
    }),
    workload!(Shape, "small-program", "requests to a program with a heap below 1 MB", |s, x| {
        SmallProgram::new(s, x)
    }),
    workload!(Idle, "idle", "a burst in four threads, all freed, then 12 s of nothing", |s, x| {
        Idle::new(s, x)
    }),
];
