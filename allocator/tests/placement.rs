//! Which free chunk is taken, in counted facts.

mod support;

use std::collections::BTreeSet;
use std::ptr::NonNull;

use brkpoint_allocator::{Bytes, Config, Heap, Placement, Preset, Simulated, Trim};
use support::{allocate, free};

/// Bytes of a header, which the block's size comes on top of in its chunk.
const HEADER: usize = 16;

/// A heap of chunks that give nothing back, and whose break moves only as far
/// as it must.
fn heap(placement: Placement) -> Heap<Simulated> {
    let config = Config {
        placement,
        trim: Trim::Never,
        top_pad: Bytes(0),
        ..Preset::BrkOnly.config(&Config::DEFAULT)
    };
    Heap::new(config, Simulated::new(64 << 20))
}

/// In which of some free chunks, by their order along the heap, chunks of the
/// requested sizes come to lie, one after another (`None`: in none of them), and
/// by how many OS pages the break moves for it.
fn chosen(
    placement: Placement,
    holes: &[usize],
    requests: &[usize],
) -> (Vec<Option<usize>>, usize) {
    let mut heap = heap(placement);
    let blocks: Vec<NonNull<u8>> = holes
        .iter()
        .map(|size| {
            let block = allocate(&mut heap, size - HEADER);
            // Keeps it from its neighbours.
            allocate(&mut heap, 16);
            block
        })
        .collect();
    blocks.iter().for_each(|&block| free(&mut heap, block));
    let before = heap.source().break_bytes();
    let hole_of = |block: NonNull<u8>| {
        let offset = |hole: &NonNull<u8>| block.addr().get().wrapping_sub(hole.addr().get());
        (0..holes.len()).find(|&i| offset(&blocks[i]) < holes[i])
    };
    let places = requests.iter().map(|size| hole_of(allocate(&mut heap, size - HEADER))).collect();
    heap.check().unwrap();
    (places, (heap.source().break_bytes() - before) / 4096)
}

#[test]
fn each_placement_takes_another_free_chunk() {
    let holes = [320, 128, 96, 512, 160, 96];
    let requests = [496, 96, 96, 160];
    for (placement, places) in [
        // The lowest: a small request breaks up a large chunk.
        (Placement::First, [3, 0, 0, 4]),
        // The smallest, and of two equal ones the lower.
        (Placement::Best, [3, 2, 5, 4]),
        // The next behind the last, and then from the start again.
        (Placement::Next, [3, 4, 5, 0]),
        // One of the smallest: of two equal ones that freed last.
        (Placement::Good, [3, 5, 2, 4]),
    ] {
        assert_eq!(chosen(placement, &holes, &requests), (places.map(Some).to_vec(), 0));
    }
}

#[test]
fn neither_first_nor_best_fit_is_better_for_every_program() {
    // Knuth's example (The Art of Computer Programming, vol. 1, 2.5), times 64.
    let (holes, requests) = ([1300 * 64, 1200 * 64], [1000 * 64, 1100 * 64, 250 * 64]);
    let fits = (vec![Some(0), Some(1), Some(0)], 0);
    assert_eq!(chosen(Placement::First, &holes, &requests), fits);
    assert_eq!(chosen(Placement::Next, &holes, &requests), fits);
    let (places, moved) = chosen(Placement::Best, &holes, &requests);
    assert_eq!((places, moved > 0), (vec![Some(1), Some(0), None], true));

    // And the other way round.
    let (holes, requests) = ([512 * 64, 256 * 64], [256 * 64, 512 * 64]);
    assert_eq!(chosen(Placement::Best, &holes, &requests), (vec![Some(1), Some(0)], 0));
    let (places, moved) = chosen(Placement::First, &holes, &requests);
    assert_eq!((places, moved > 0), (vec![Some(0), None], true));
}

#[test]
fn next_fit_touches_the_whole_heap_where_the_others_stay() {
    let touched = |placement| {
        let mut heap = heap(placement);
        let holes: Vec<_> = (0..128).map(|_| allocate(&mut heap, 4096 - 32 - HEADER)).collect();
        // Every second one, so that they stay apart.
        holes.iter().step_by(2).for_each(|&block| free(&mut heap, block));
        let mut pages = BTreeSet::new();
        let mut live = allocate(&mut heap, 100);
        for _ in 0..3000 {
            let block = allocate(&mut heap, 100);
            pages.insert(block.addr().get() / 4096);
            free(&mut heap, live);
            live = block;
        }
        pages.len()
    };
    for placement in [Placement::First, Placement::Best, Placement::Good] {
        assert!(touched(placement) <= 2, "{placement}: {}", touched(placement));
    }
    assert!(touched(Placement::Next) >= 64, "{}", touched(Placement::Next));
}

#[test]
fn the_placement_stays_what_a_heap_was_made_with() {
    let mut heap = heap(Placement::Next);
    heap.configure(Config { placement: Placement::Best, ..*heap.config() });
    assert_eq!(heap.config().placement, Placement::Next);
}
