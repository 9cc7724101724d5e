//! `cargo bench --bench micro`: the fast paths of our allocator and of the
//! process's malloc, in this process and by wall time.
//!
//! Both are called through `GlobalAlloc`: ours as it lies in a Rust program, the
//! process's malloc as `std::alloc::System`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::time::Duration;

use brkpoint::cli::output;
use brkpoint_allocator::Brkpoint;
use brkpoint_reports::criterion::group_id;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};

static OURS: Brkpoint = Brkpoint::new();

/// Sizes of pairs, in bytes: small, medium, and one beyond the thread caches.
const SIZES: [usize; 6] = [16, 64, 256, 1 << 10, 8 << 10, 64 << 10];

/// Alignments, in bytes, of blocks of 256 B.
const ALIGNMENTS: [usize; 3] = [32, 64, 4096];

/// Blocks alive at a time where it is more than one.
const BATCH: usize = 100;

/// Where a vector that is doubled begins and ends, in bytes.
const GROWTH: (usize, usize) = (64, 64 << 10);

const WARM_UP: Duration = Duration::from_millis(500);
const MEASUREMENT: Duration = Duration::from_secs(2);

/// With the analysis, on two idle cores; a quick one stops when it is sure.
const BENCHMARK_S: f64 = 3.0;
const QUICK_BENCHMARK_S: f64 = 0.4;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(WARM_UP)
        .measurement_time(MEASUREMENT)
        .configure_from_args();
    let quick = std::env::args_os().any(|argument| argument == "--quick");
    let benchmarks = 2 * (2 * SIZES.len() + ALIGNMENTS.len() + 1);
    let each = if quick { QUICK_BENCHMARK_S } else { BENCHMARK_S };
    output::tell(format_args!(
        "micro: {benchmarks} benchmarks, if none is filtered out: about {}",
        output::minutes(each * benchmarks as f64)
    ));
    let title = |what: &str| group_id("time of a call", "ns", what);

    let mut group = criterion.benchmark_group(title("malloc and free"));
    for layout in SIZES.map(|size| layout(size, 8)) {
        both(&mut group, layout.size(), |heap| pair(heap, layout));
    }
    group.finish();

    let mut group = criterion.benchmark_group(title("malloc and free of 100"));
    for layout in SIZES.map(|size| layout(size, 8)) {
        let mut blocks = Vec::with_capacity(BATCH);
        both(&mut group, layout.size(), |heap| batch(heap, layout, &mut blocks));
    }
    group.finish();

    let mut group = criterion.benchmark_group(title("aligned to"));
    for align in ALIGNMENTS {
        both(&mut group, align, |heap| pair(heap, layout(256, align)));
    }
    group.finish();

    let mut group = criterion.benchmark_group(title("realloc, doubling up to"));
    both(&mut group, GROWTH.1, grow);
    group.finish();
    criterion.final_summary();
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a power of two")
}

/// `work` on either heap.
fn both(
    group: &mut BenchmarkGroup<'_, WallTime>,
    parameter: usize,
    mut work: impl FnMut(&dyn GlobalAlloc),
) {
    let heaps: [(&str, &dyn GlobalAlloc); 2] = [("brkpoint", &OURS), ("malloc", &System)];
    for (name, heap) in heaps {
        group.bench_function(BenchmarkId::new(name, parameter), |bencher| {
            bencher.iter(|| work(black_box(heap)));
        });
    }
}

/// A block allocated, touched and freed.
fn pair(heap: &dyn GlobalAlloc, layout: Layout) {
    free(heap, allocate(heap, layout), layout);
}

/// A hundred of them, freed in the order in which they came.
fn batch(heap: &dyn GlobalAlloc, layout: Layout, blocks: &mut Vec<*mut u8>) {
    blocks.extend((0..BATCH).map(|_| allocate(heap, layout)));
    for block in blocks.drain(..) {
        free(heap, block, layout);
    }
}

/// A block doubled again and again.
fn grow(heap: &dyn GlobalAlloc) {
    let mut now = layout(GROWTH.0, 8);
    let mut block = allocate(heap, now);
    while now.size() < GROWTH.1 {
        let size = 2 * now.size();
        // SAFETY: `block` is `heap`'s, of layout `now`, and alive; the size is not
        // zero and far below isize::MAX.
        block = unsafe { heap.realloc(block, now, size) };
        assert!(!block.is_null(), "no memory for {size} bytes");
        now = layout(size, 8);
    }
    free(heap, block, now);
}

fn allocate(heap: &dyn GlobalAlloc, layout: Layout) -> *mut u8 {
    // SAFETY: no size here is zero.
    let block = unsafe { heap.alloc(layout) };
    assert!(!block.is_null(), "no memory for {} bytes", layout.size());
    // SAFETY: the block has at least one byte and is nobody else's.
    unsafe { block.write_volatile(1) };
    black_box(block)
}

fn free(heap: &dyn GlobalAlloc, block: *mut u8, layout: Layout) {
    // SAFETY: every caller has the block from `allocate` or `realloc` of this heap
    // with this layout, and lets go of it.
    unsafe { heap.dealloc(black_box(block), layout) };
}
