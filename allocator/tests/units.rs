//! Units of small blocks, in counted facts.

mod support;

use brkpoint_allocator::{Bytes, Config, Heap, Metadata, Misuse, Simulated};
use support::{allocate, free};

fn simulated(config: Config) -> Heap<Simulated> {
    Heap::new(config, Simulated::new(64 << 20))
}

/// As many blocks of a size as are served before it gets a unit.
const FIRST: usize = 8;

#[test]
fn without_headers_small_blocks_lie_side_by_side_up_to_slab_max() {
    let distance = |metadata, slab_max, size| {
        let config = Config { metadata, slab_max: Bytes(slab_max), ..Config::DEFAULT };
        let mut heap = simulated(config);
        let blocks: Vec<_> = (0..FIRST + 2).map(|_| allocate(&mut heap, size)).collect();
        let distance = |at: usize| blocks[at + 1].addr().get() - blocks[at].addr().get();
        assert_eq!(distance(0), size + 16, "one OS page holds the first of all classes");
        distance(FIRST)
    };
    assert_eq!(distance(Metadata::Header, 1024, 64), 64 + 16);
    assert_eq!(distance(Metadata::OutOfBand, 1024, 64), 64);
    assert_eq!(distance(Metadata::OutOfBand, 64, 64), 64);
    assert_eq!(distance(Metadata::OutOfBand, 48, 64), 64 + 16);
    assert_eq!(distance(Metadata::OutOfBand, 0, 16), 16 + 16);
}

#[test]
fn units_that_empty_go_back_and_serve_any_size() {
    let mut heap = simulated(Config::DEFAULT);
    let blocks: Vec<_> = (0..20_000).map(|_| allocate(&mut heap, 64)).collect();
    let pinned = allocate(&mut heap, 60_000);
    let held = heap.stats().break_bytes;
    for block in blocks {
        free(&mut heap, block);
    }
    let stats = heap.stats();
    assert!(stats.free + stats.returned > 1_200_000, "{stats}");
    let large = allocate(&mut heap, 900_000);
    assert!(large < pinned);
    assert_eq!(heap.stats().break_bytes, held, "it came from what the units left");
    heap.check().unwrap();
}

#[test]
fn out_of_band_misuse_is_refused_by_the_heap_and_changes_nothing() {
    let mut heap = simulated(Config::DEFAULT);
    let first: Vec<_> = (0..FIRST).map(|_| allocate(&mut heap, 48)).collect();
    let (block, other) = (allocate(&mut heap, 48), allocate(&mut heap, 48));
    // SAFETY: `block` has 48 bytes.
    unsafe {
        assert_eq!(heap.free(block.add(1)), Err(Misuse::NotABlock));
        assert_eq!(heap.free(block.add(16)), Err(Misuse::NotABlock));
        let live = heap.stats().live;
        // To a size that it could stay with, and to one that it could not.
        for size in [40, 200] {
            assert_eq!(heap.reallocate(block.add(1), size, 16), Err(Misuse::NotABlock));
            assert_eq!(heap.reallocate(block.add(16), size, 16), Err(Misuse::NotABlock));
        }
        assert_eq!(heap.usable_size(block.add(16)), Err(Misuse::NotABlock));
        assert_eq!(heap.stats().live, live, "nothing was allocated");
        assert_eq!(heap.free(block), Ok(()));
        assert_eq!(heap.free(block), Err(Misuse::DoubleFree));
        for size in [40, 200] {
            assert_eq!(heap.reallocate(block, size, 16), Err(Misuse::DoubleFree));
        }
        assert_eq!(heap.usable_size(block), Err(Misuse::DoubleFree));
    }
    heap.check().unwrap();
    assert_eq!(heap.stats().live_blocks, 1 + FIRST);
    first.into_iter().for_each(|block| free(&mut heap, block));
    free(&mut heap, other);
}
