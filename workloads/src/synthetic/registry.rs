//! The registry: every workload with its name and parameters.

use std::fmt;

use super::apart::Apart;
use super::append::Append;
use super::batch::{Batch, Order};
use super::buffers::Buffers;
use super::churn::Churn;
use super::drift::Drift;
use super::false_sharing::FalseSharing;
use super::generations::{self, Generations};
use super::grow::Grow;
use super::handoff::Handoff;
use super::idle::Idle;
use super::large_touch::{self, LargeTouch};
use super::larson::Larson;
use super::mstress::Mstress;
use super::pair::Pair;
use super::phases::Phases;
use super::pinned_top::PinnedTop;
use super::random::Sizes;
use super::ratchet::Ratchet;
use super::replaced::{Replaced, Way};
use super::robson::{self, Robson};
use super::service::Service;
use super::small_churn::{self, SmallChurn};
use super::small_program::SmallProgram;
use super::steady::Steady;
use super::straddle::{self, Straddle};
use super::temporaries::{self, Temporaries};
use super::threads::{Life, Threads};
use super::trickle::Trickle;
use super::xmalloc::Xmalloc;
use super::{Parameters, Workload};

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
    /// What the known suites do.
    Classic,
    /// Sizes on both sides of mmap thresholds.
    Straddling,
    /// Holes in the heap, and memory that was needed once.
    Holes,
    /// Sizes and lifetimes of real services.
    Services,
}

impl Group {
    /// All of them, in the order of lists.
    pub const ALL: [Group; 10] = [
        Group::Tour,
        Group::Small,
        Group::Threads,
        Group::Large,
        Group::Shape,
        Group::Idle,
        Group::Classic,
        Group::Straddling,
        Group::Holes,
        Group::Services,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Tour => "tour",
            Group::Small => "small",
            Group::Threads => "threads",
            Group::Large => "large",
            Group::Shape => "shape",
            Group::Idle => "idle",
            Group::Classic => "classic",
            Group::Straddling => "straddling",
            Group::Holes => "holes",
            Group::Services => "services",
        }
    }

    /// Whether its workloads are rows of the benchmark of allocators.
    pub const fn is_ranked(self) -> bool {
        match self {
            Group::Small | Group::Threads | Group::Large | Group::Shape | Group::Idle => true,
            Group::Tour | Group::Classic | Group::Straddling | Group::Holes | Group::Services => {
                false
            }
        }
    }
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
            Group::Classic => "what the known suites do",
            Group::Straddling => "sizes on both sides of mmap thresholds",
            Group::Holes => "holes, and memory that was needed once",
            Group::Services => "sizes and lifetimes of real services",
        })
    }
}

const MIXED: Sizes = Sizes::Uniform(16, 1024);
const BATCH: Sizes = Sizes::Uniform(16, 256);
const BURST: Sizes = Sizes::Fixed(64);
const MEDIUM: Sizes = Sizes::Doublings(16 << 10, 5);
const LARGE: Sizes = Sizes::Doublings(64 << 10, 7);
const STEADY: Sizes = Sizes::Doublings(16, 4);
/// Larson's sizes, and those of rptest.
const LARSON: Sizes = Sizes::Uniform(10, 500);
const RPTEST: Sizes = Sizes::Uniform(8, 16_000);
/// From 64 KiB to 4 MiB in three ways.
const UNIFORM: Sizes = Sizes::Uniform(64 << 10, 4 << 20);
const LOG_UNIFORM: Sizes = Sizes::Doublings(64 << 10, 6);
const BIMODAL: Sizes = Sizes::Either(64 << 10, 4 << 20);
const SHORT: Life = Life { threads: 1_000, blocks: 200, left: 20 };
const LEAKY: Life = Life { threads: 2_000, blocks: 30, left: 2 };

/// One entry: the group, the name, the number of threads if it is a parameter, the
/// line, and how to make its driver: from a seed and a scale, or from all parameters.
macro_rules! workload {
    ($group:ident, $name:literal, $about:expr, |$seed:ident, $scale:ident| $make:expr) => {
        Workload {
            name: $name,
            about: $about,
            group: Group::$group,
            threads: None,
            make: |Parameters { seed: $seed, scale: $scale, .. }| Ok(Box::new($make?)),
        }
    };
    ($group:ident, $name:literal, $threads:literal, $about:expr, |$all:ident| $make:expr) => {
        Workload {
            name: $name,
            about: $about,
            group: Group::$group,
            threads: Some($threads),
            make: |$all| Ok(Box::new($make?)),
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
    workload!(Small, "pair-64", "a block of 64 B", |s, x| Pair::new(s, x, Sizes::Fixed(64))),
    workload!(Small, "pair-256", "a block of 256 B", |s, x| Pair::new(s, x, Sizes::Fixed(256))),
    workload!(Small, "pair-1k", "a block of 1 KiB", |s, x| Pair::new(s, x, Sizes::Fixed(1 << 10))),
    workload!(Small, "pair-8k", "a block of 8 KiB", |s, x| Pair::new(s, x, Sizes::Fixed(8 << 10))),
    workload!(Small, "pair-mixed", "blocks of 16 B to 1 KiB", |s, x| Pair::new(s, x, MIXED)),
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
        Steady::new(s, x, 10_000, STEADY)
    }),
    workload!(Small, "steady-100k", "100,000 live blocks replaced at random", |s, x| {
        Steady::new(s, x, 100_000, STEADY)
    }),
    workload!(Small, "steady-1m", "1,000,000 live blocks replaced at random", |s, x| {
        Steady::new(s, x, 1_000_000, STEADY)
    }),
    workload!(Threads, "larson", 2, "two threads replace each other's blocks (10-500 B)", |p| {
        Larson::new(p, 5_000, LARSON)
    }),
    workload!(Threads, "handoff", 1, "one thread allocates (16-511 B), another frees", |p| {
        Handoff::new(p)
    }),
    workload!(Threads, "threads", 1, "many short threads, whose blocks outlive them", |p| {
        Threads::new(p, SHORT)
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
    workload!(
        Idle,
        "idle",
        4,
        "a burst in four threads, all freed, then seconds of nothing",
        |p| { Idle::new(p) }
    ),
    workload!(
        Classic,
        "alloc-test",
        "10,000 live blocks, sizes of a Pareto law from 16 B",
        |s, x| { Steady::new(s, x, 10_000, Sizes::Pareto(16, 7)) }
    ),
    workload!(
        Classic,
        "cache-scratch",
        2,
        "two threads write to blocks that lay side by side",
        |p| { FalseSharing::new(p, true) }
    ),
    workload!(Classic, "cache-thrash", 2, "two threads write to tiny blocks of their own", |p| {
        FalseSharing::new(p, false)
    }),
    workload!(Classic, "cfrac", "tiny temporaries (16-48 B), few of which stay", |s, x| {
        Temporaries::new(s, x, temporaries::CFRAC)
    }),
    workload!(Classic, "espresso", "temporaries of 16 B to 8 KiB, some of which stay", |s, x| {
        Temporaries::new(s, x, temporaries::ESPRESSO)
    }),
    workload!(Classic, "glibc-simple", "400 blocks of 128 B, freed first in first out", |s, x| {
        Batch::new(s, x, 400, Sizes::Fixed(128), Order::Fifo)
    }),
    workload!(Classic, "glibc-thread", 2, "two threads apart, sizes (8 B-32 KiB) as 1/x²", |p| {
        Apart::new(p)
    }),
    workload!(Classic, "mleak", 1, "many short threads that leave next to nothing", |p| {
        Threads::new(p, LEAKY)
    }),
    workload!(Classic, "mstress", 4, "rounds of four threads, whose blocks outlive them", |p| {
        Mstress::new(p)
    }),
    workload!(Classic, "rptest", 2, "two threads replace each other's blocks (8 B-16 KB)", |p| {
        Larson::new(p, 1_000, RPTEST)
    }),
    workload!(Classic, "sh6bench", 1, "bursts freed a generation later, from both ends", |p| {
        Generations::new(p, generations::SH6BENCH)
    }),
    workload!(
        Classic,
        "sh8bench",
        2,
        "bursts of two threads, freed a generation later by the other",
        |p| { Generations::new(p, generations::SH8BENCH) }
    ),
    workload!(Classic, "xmalloc", 2, "two threads allocate (64 B), two free", |p| {
        Xmalloc::new(p)
    }),
    workload!(Straddling, "uniform", "16 buffers, 64 KiB to 4 MiB, each size as likely", |s, x| {
        Buffers::new(s, x, UNIFORM, 400, false)
    }),
    workload!(
        Straddling,
        "log-uniform",
        "16 buffers, 64 KiB to 4 MiB, each doubling as likely",
        |s, x| { Buffers::new(s, x, LOG_UNIFORM, 1_000, false) }
    ),
    workload!(Straddling, "bimodal", "16 buffers of 64 KiB or 4 MiB", |s, x| {
        Buffers::new(s, x, BIMODAL, 400, false)
    }),
    workload!(
        Straddling,
        "ratchet",
        "a buffer a request, now and then the largest so far",
        |s, x| { Ratchet::new(s, x) }
    ),
    workload!(
        Straddling,
        "append",
        "64 buffers (up to 512 KiB) grow by eighths, by realloc",
        |s, x| { Append::new(s, x) }
    ),
    workload!(Holes, "trickle", "a burst of 48 MiB, all freed, then small requests", |s, x| {
        Trickle::new(s, x)
    }),
    workload!(
        Holes,
        "pinned-top",
        "a heap of 24 MiB freed but for the block at its top",
        |s, x| { PinnedTop::new(s, x) }
    ),
    workload!(Holes, "robson", robson::ABOUT, |s, x| Robson::new(s, x)),
    workload!(Holes, "drift", "12 MiB whose sizes drift from 32 B to 4 KiB and back", |s, x| {
        Drift::new(s, x)
    }),
    workload!(Holes, "calloc-small", "10,000 zeroed blocks (16 B-1 KiB) replaced", |s, x| {
        Replaced::new(s, x, Way::Zeroed)
    }),
    workload!(Holes, "aligned", "10,000 blocks at multiples of 32 B to 4 KiB replaced", |s, x| {
        Replaced::new(s, x, Way::Aligned)
    }),
    workload!(Services, "service-0", "profile 0 of google/fleetbench, 24 MiB live", |s, x| {
        Service::new(s, x, 0)
    }),
    workload!(Services, "service-1", "profile 1", |s, x| Service::new(s, x, 1)),
    workload!(Services, "service-2", "profile 2", |s, x| Service::new(s, x, 2)),
    workload!(Services, "service-3", "profile 3", |s, x| Service::new(s, x, 3)),
    workload!(Services, "service-4", "profile 4", |s, x| Service::new(s, x, 4)),
    workload!(Services, "service-5", "profile 5", |s, x| Service::new(s, x, 5)),
    workload!(Services, "service-6", "profile 6", |s, x| Service::new(s, x, 6)),
    workload!(Services, "service-7", "profile 7", |s, x| Service::new(s, x, 7)),
    workload!(Services, "service-8", "profile 8", |s, x| Service::new(s, x, 8)),
    workload!(Services, "service-9", "profile 9", |s, x| Service::new(s, x, 9)),
];
