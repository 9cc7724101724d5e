//! What each setting does, in counted facts.

mod support;

use std::ptr::NonNull;

use brkpoint_allocator::{
    Block, BreakSource, Bytes, Calls, Config, Count, Heap, MmapThreshold, PageSource, Preset,
    Simulated, System, Trim,
};
use support::{allocate, free};

const HALF: usize = 512 << 20;

fn simulated(config: Config) -> Heap<Simulated> {
    Heap::new(config, Simulated::new(HALF))
}

fn preset(preset: Preset) -> Config {
    preset.config(&Config::DEFAULT)
}

/// The calls that `f` made.
fn calls<S: PageSource>(heap: &mut Heap<S>, f: impl FnOnce(&mut Heap<S>)) -> Calls {
    let before = heap.stats().calls;
    f(heap);
    let after = heap.stats().calls;
    Calls {
        brk: after.brk - before.brk,
        mmap: after.mmap - before.mmap,
        munmap: after.munmap - before.munmap,
        mremap: after.mremap - before.mremap,
        mprotect: after.mprotect - before.mprotect,
        madvise: after.madvise - before.madvise,
    }
}

fn churn<S: PageSource>(heap: &mut Heap<S>, sizes: &[usize]) {
    let blocks: Vec<_> = sizes.iter().map(|&size| allocate(heap, size)).collect();
    for block in blocks {
        free(heap, block);
    }
}

#[test]
fn mmap_only_costs_one_mmap_and_one_munmap_per_block() {
    for source_calls in [
        calls(&mut simulated(preset(Preset::MmapOnly)), |heap| {
            churn(heap, &[0, 1, 100, 4096, 1 << 20])
        }),
        calls(
            &mut Heap::new(preset(Preset::MmapOnly), System::new(BreakSource::Reserved)),
            |heap| churn(heap, &[0, 1, 100, 4096, 1 << 20]),
        ),
    ] {
        assert_eq!(source_calls, Calls { mmap: 5, munmap: 5, ..Calls::NONE });
    }
}

#[test]
fn an_aligned_mapped_block_costs_one_mmap_and_one_munmap_too() {
    let mut heap = simulated(preset(Preset::MmapOnly));
    let calls = calls(&mut heap, |heap| {
        let block = heap.allocate(100, 1 << 20).unwrap().start;
        assert!(block.addr().get().is_multiple_of(1 << 20));
        free(heap, block);
    });
    assert_eq!(calls, Calls { mmap: 1, munmap: 1, ..Calls::NONE });
}

#[test]
fn brk_only_never_maps() {
    let mut heap = simulated(preset(Preset::BrkOnly));
    let calls = calls(&mut heap, |heap| churn(heap, &[1, 100, 128 << 10, 1 << 20, 40 << 20]));
    assert_eq!((calls.mmap, calls.munmap, calls.mremap), (0, 0, 0));
    assert!(calls.brk > 0);
}

#[test]
fn the_threshold_is_exact() {
    for threshold in [1, 16, 4096, 128 << 10, 1 << 20] {
        let mut heap = simulated(Config {
            mmap_threshold: MmapThreshold::Fixed(threshold),
            ..Config::DEFAULT
        });
        allocate(&mut heap, threshold - 1);
        assert_eq!(heap.stats().mapped_blocks, 0, "{threshold}");
        allocate(&mut heap, threshold);
        assert_eq!(heap.stats().mapped_blocks, 1, "{threshold}");
    }
}

#[test]
fn presets_map_blocks_from_the_sizes_they_say() {
    let mapped_from = [
        (Preset::BrkOnly, usize::MAX),
        (Preset::MmapOnly, 0),
        (Preset::Hybrid, 128 << 10),
        (Preset::HybridDynamic, 128 << 10),
        (Preset::Default, 8 << 20),
        (Preset::Fast, 8 << 20),
        (Preset::Small, 256 << 10),
    ];
    for (of, from) in mapped_from {
        for size in [1, (128 << 10) - 1, 128 << 10, 256 << 10, (8 << 20) - 1, 8 << 20, 16 << 20] {
            let mut heap = simulated(preset(of));
            allocate(&mut heap, size);
            let mapped = heap.stats().mapped_blocks;
            assert_eq!(mapped, usize::from(size >= from), "{of}, {size} bytes");
        }
    }
}

#[test]
fn at_most_mmap_max_blocks_are_mapped() {
    let mut heap = simulated(Config { mmap_max: Count(2), ..preset(Preset::MmapOnly) });
    for _ in 0..5 {
        allocate(&mut heap, 5000);
    }
    assert_eq!((heap.stats().mapped_blocks, heap.stats().live_blocks), (2, 3));
}

#[test]
fn a_dynamic_threshold_rises_to_what_was_freed_and_trims_at_twice_that() {
    let mut heap = simulated(preset(Preset::HybridDynamic));
    let first = calls(&mut heap, |heap| churn(heap, &[300 << 10]));
    assert_eq!((first.mmap, first.munmap), (1, 1));
    let stats = heap.stats();
    assert!(stats.mmap_threshold > 300 << 10 && stats.mmap_threshold < 310 << 10);
    assert_eq!(stats.trim_threshold, 2 * stats.mmap_threshold);
    let second = calls(&mut heap, |heap| churn(heap, &[300 << 10; 20]));
    assert_eq!((second.mmap, second.munmap), (0, 0));
    let third = calls(&mut heap, |heap| churn(heap, &[400 << 10]));
    assert_eq!((third.mmap, third.munmap), (1, 1));
    // What is larger than 32 MiB never raises it.
    let before = heap.stats().mmap_threshold;
    churn(&mut heap, &[33 << 20]);
    assert_eq!(heap.stats().mmap_threshold, before);

    let mut fixed = simulated(preset(Preset::Hybrid));
    let calls = calls(&mut fixed, |heap| (0..20).for_each(|_| churn(heap, &[300 << 10])));
    assert_eq!((calls.mmap, calls.munmap), (20, 20));
}

#[test]
fn trim_never_never_lowers_the_break() {
    let mut heap = simulated(Config { trim: Trim::Never, ..preset(Preset::BrkOnly) });
    churn(&mut heap, &[10 << 20, 100]);
    assert!(heap.source().break_bytes() >= 10 << 20);
    assert_eq!(heap.stats().calls.brk, 1, "one growth and nothing else");
    // Unless the program asks for it.
    assert!(heap.trim(0));
    assert!(heap.source().break_bytes() <= 4096);
}

#[test]
fn trim_at_a_threshold_keeps_top_pad() {
    let config = Config {
        trim: Trim::Threshold,
        trim_threshold: Bytes(1 << 20),
        top_pad: Bytes(256 << 10),
        ..preset(Preset::BrkOnly)
    };
    let mut heap = simulated(config);
    churn(&mut heap, &[700 << 10]);
    assert!(heap.source().break_bytes() >= 700 << 10, "below the threshold all stays");
    churn(&mut heap, &[3 << 20]);
    let top = heap.stats().top;
    assert!((256 << 10..(256 << 10) + 4096 + 32).contains(&top), "{top}");
}

#[test]
fn trim_decay_gives_back_what_nobody_needed_for_its_time() {
    let config = Config {
        trim: Trim::Decay,
        trim_decay: Count(1000),
        trim_threshold: Bytes(1 << 20),
        top_pad: Bytes(0),
        ..preset(Preset::BrkOnly)
    };
    let mut heap = simulated(config);
    allocate(&mut heap, 100);
    churn(&mut heap, &[10 << 20]);
    assert!(heap.source().break_bytes() <= 4096, "it might have been the last time");
    // In use time and again, all of it stays.
    let calls = calls(&mut heap, |heap| {
        for _ in 0..10 {
            heap.source_mut().advance(500);
            churn(heap, &[10 << 20]);
        }
    });
    assert_eq!(calls.brk, 1);
    // Four fifths of it unused for a time and a look at the clock: they go.
    for _ in 0..5 {
        churn(&mut heap, &[2 << 20]);
        heap.source_mut().advance(500);
    }
    let held = heap.source().break_bytes();
    assert!((2 << 20..3 << 20).contains(&held), "{held}");
}

#[test]
fn trim_decay_keeps_room_for_a_mapping_that_the_threshold_rose_to() {
    let mut heap = simulated(Config {
        mmap_threshold: MmapThreshold::Dynamic(1 << 20),
        trim: Trim::Decay,
        trim_decay: Count(1000),
        trim_threshold: Bytes(1 << 20),
        top_pad: Bytes(0),
        ..preset(Preset::HybridDynamic)
    });
    allocate(&mut heap, 100);
    churn(&mut heap, &[10 << 20]);
    assert!(heap.source().break_bytes() <= 1 << 20, "it was mapped");
    // The next comes from the heap, and is expected again.
    let calls = calls(&mut heap, |heap| (0..5).for_each(|_| churn(heap, &[9 << 20])));
    assert_eq!((calls.brk, calls.mmap), (1, 0));
    for _ in 0..3 {
        heap.source_mut().advance(1000);
        churn(&mut heap, &[100 << 10]);
    }
    assert!(heap.source().break_bytes() <= 1 << 20, "for its time");
}

#[test]
fn trim_decay_is_for_how_long_nobody_may_need_what_stays() {
    let held = |decay| {
        let mut heap = simulated(Config {
            trim: Trim::Decay,
            trim_decay: Count(decay),
            top_pad: Bytes(0),
            ..preset(Preset::BrkOnly)
        });
        // Twice, so that the second time it is kept; then 500 ms of small blocks.
        churn(&mut heap, &[10 << 20]);
        churn(&mut heap, &[10 << 20]);
        for _ in 0..10 {
            heap.source_mut().advance(50);
            churn(&mut heap, &[100]);
        }
        heap.source().break_bytes()
    };
    assert!(held(100) <= 4096, "{}", held(100));
    assert!(held(10_000) >= 10 << 20, "{}", held(10_000));
}

#[test]
fn the_trim_threshold_is_how_large_a_free_top_may_be() {
    let held = |threshold| {
        let mut heap = simulated(Config {
            trim: Trim::Threshold,
            trim_threshold: Bytes(threshold),
            top_pad: Bytes(0),
            ..preset(Preset::BrkOnly)
        });
        churn(&mut heap, &[3 << 20]);
        heap.source().break_bytes()
    };
    assert!(held(2 << 20) <= 4096, "{}", held(2 << 20));
    assert!(held(4 << 20) >= 3 << 20, "{}", held(4 << 20));
}

#[test]
fn trim_eager_gives_back_every_os_page_at_once() {
    let mut heap = simulated(Config { trim: Trim::Eager, ..preset(Preset::BrkOnly) });
    let first = allocate(&mut heap, 100);
    for _ in 0..3 {
        let block = allocate(&mut heap, 1 << 20);
        free(&mut heap, block);
        assert!(heap.source().break_bytes() <= 4096);
    }
    free(&mut heap, first);
    heap.check().unwrap();
}

#[test]
fn top_pad_saves_moves_of_the_break() {
    let moves = |pad| {
        let mut heap = simulated(Config { top_pad: Bytes(pad), ..preset(Preset::BrkOnly) });
        (0..1000).for_each(|_| {
            allocate(&mut heap, 1000);
        });
        heap.stats().calls.brk
    };
    assert!(moves(0) > 200);
    assert_eq!(moves(2 << 20), 1);
}

#[test]
fn a_large_heap_grows_in_huge_pages_if_it_may() {
    fn grow<S: PageSource>(thp: usize, source: S) -> Heap<S> {
        let config = Config { thp: Bytes(thp), top_pad: Bytes(0), ..preset(Preset::BrkOnly) };
        let mut heap = Heap::new(config, source);
        (0..64).for_each(|_| {
            allocate(&mut heap, 1 << 20);
        });
        heap.check().unwrap();
        heap
    }
    let never = grow(0, Simulated::new(HALF)).stats().calls;
    assert_eq!((never.brk, never.madvise), (64, 0));
    let heap = grow(32 << 20, Simulated::new(HALF));
    let large = heap.stats().calls;
    assert!((32 + 15..32 + 18).contains(&large.brk), "{large:?}");
    assert_eq!(large.madvise, large.brk - 31);
    let source = heap.source();
    assert_eq!(source.prefer_huge_bytes(), source.break_bytes(), "what it had before, too");
    // With a pad, too, which may be what makes it large.
    for (thp, size) in [1, 4 << 20].into_iter().flat_map(|thp| [(thp, 1000), (thp, 100 << 10)]) {
        let mut heap = simulated(Config { thp: Bytes(thp), ..Config::DEFAULT });
        while heap.source().break_bytes() < 4 << 20 {
            allocate(&mut heap, size);
        }
        let source = heap.source();
        assert_eq!(source.prefer_huge_bytes(), source.break_bytes(), "{thp}: blocks of {size}");
    }
    // But not where the pad is refused.
    let thp = Bytes(2 << 20);
    let mut heap = simulated(Config { thp, top_pad: Bytes(1 << 40), ..Config::DEFAULT });
    (0..200).for_each(|_| {
        allocate(&mut heap, 5000);
    });
    assert_eq!(heap.source().prefer_huge_bytes(), 0);
    // How the kernel is asked does not depend on who is the kernel.
    let real = grow(32 << 20, System::new(BreakSource::Reserved)).stats().calls;
    assert_eq!(real.madvise, large.madvise);
}

#[test]
fn a_large_mapping_that_grows_asks_for_huge_pages_once_a_doubling() {
    let advices = |thp, sizes: &[usize]| {
        let config = Config { thp: Bytes(thp), ..preset(Preset::Hybrid) };
        let mut heap = simulated(config);
        let first = allocate(&mut heap, sizes[0]);
        sizes[1..].iter().fold(first, |block, &size| resize(&mut heap, block, size));
        heap.check().unwrap();
        heap.stats().calls.madvise
    };
    let doublings = [1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20];
    assert_eq!(advices(0, &doublings), 0, "never");
    assert_eq!(advices(4 << 20, &doublings), 3, "4, 8 and 16 MiB");
    assert_eq!(advices(4 << 20, &[16 << 20]), 0, "not known to be written");
    let slowly: Vec<usize> = (0..64).map(|step| (5 << 20) + (step << 16)).collect();
    assert_eq!(advices(4 << 20, &slowly), 1, "at 8 MiB");
    assert_eq!(advices(4 << 20, &[16 << 20, 9 << 20, 10 << 20]), 0, "of the same magnitude");
    // Out of the heap, in which it cannot grow.
    let moved = |size| {
        let mut heap = simulated(Config { thp: Bytes(4 << 20), ..preset(Preset::Hybrid) });
        let first = allocate(&mut heap, 100 << 10);
        allocate(&mut heap, 100);
        resize(&mut heap, first, size);
        heap.check().unwrap();
        (heap.stats().mapped_blocks, heap.stats().calls.madvise)
    };
    assert_eq!(moved(4 << 20), (1, 1));
    assert_eq!(moved(3 << 20), (1, 0));
    let mmap_threshold = MmapThreshold::Fixed(3 << 20);
    let thp = Bytes(2 << 20);
    let mut heap = simulated(Config { mmap_threshold, thp, ..preset(Preset::Hybrid) });
    let first = allocate(&mut heap, 5 << 19);
    allocate(&mut heap, 100);
    let advices = calls(&mut heap, |heap| {
        resize(heap, first, 3 << 20);
    });
    assert_eq!(advices.madvise, 1, "a new mapping of the same magnitude");
}

#[test]
fn a_region_goes_back_with_the_last_block_in_it() {
    let mut heap = simulated(preset(Preset::BrkOnly));
    heap.source_mut().refuse_break(true);
    let (first, second) = (allocate(&mut heap, 100_000), allocate(&mut heap, 50_000));
    let region = heap.stats().region_bytes;
    // What is written into a block must not be taken for the region's record.
    // SAFETY: a live block of so many bytes.
    unsafe { first.write_bytes(1, 100_000) };
    allocate(&mut heap, 8 << 20);
    let both = heap.stats().region_bytes;
    assert!(region > 0 && both > region + (8 << 20));
    free(&mut heap, second);
    assert_eq!(heap.stats().region_bytes, both);
    heap.check().unwrap();
    free(&mut heap, first);
    assert_eq!(heap.stats().region_bytes, both - region);
    heap.check().unwrap();
}

#[test]
fn zeroing_is_left_out_where_the_kernel_has_just_done_it() {
    let mut heap = simulated(preset(Preset::Hybrid));
    let zeros = |block: Block| (block.zero_from, block.zero_to.min(50_000));
    assert_eq!(zeros(heap.allocate(1 << 20, 16).unwrap()), (0, 50_000), "a new mapping");
    let fresh = heap.allocate(50_000, 16).unwrap();
    assert_eq!(zeros(fresh), (0, 50_000), "new memory of the break");
    free(&mut heap, fresh.start);
    let again = heap.allocate(50_000, 16).unwrap();
    assert_eq!(again.start, fresh.start);
    let cleared = again.zero_from.min(50_000) + 50_000_usize.saturating_sub(again.zero_to);
    assert!(cleared >= 50_000 - 16, "used before, and must be cleared");
    let beyond = heap.allocate(20_000, 16).unwrap();
    assert_eq!(beyond.zero_from, 0, "beyond all that was used");
    assert!(beyond.zero_to >= 20_000);
    // What goes back to the OS comes back clean.
    free(&mut heap, beyond.start);
    free(&mut heap, again.start);
    assert!(heap.trim(0));
    let regrown = heap.allocate(50_000, 16).unwrap();
    assert!(regrown.zero_from <= 4096 && regrown.zero_to >= 50_000, "{regrown:?}");
}

fn resize(heap: &mut Heap<Simulated>, block: NonNull<u8>, size: usize) -> NonNull<u8> {
    // SAFETY: a live block, whose old pointer the tests drop.
    unsafe { heap.reallocate(block, size, 16) }.unwrap().expect("memory")
}

#[test]
fn a_mapped_block_is_resized_by_mremap() {
    let mut heap = simulated(preset(Preset::Hybrid));
    let mut block = allocate(&mut heap, 1 << 20);
    for size in [8 << 20, 2 << 20] {
        let resized = calls(&mut heap, |heap| block = resize(heap, block, size));
        assert_eq!(resized, Calls { mremap: 1, ..Calls::NONE });
        assert_eq!(heap.stats().mapped_bytes, heap.source().mapped_bytes());
        allocate(&mut heap, 4 << 20);
    }

    // What is free behind it is enough, or is not.
    let (block, behind) = (allocate(&mut heap, 16 << 20), allocate(&mut heap, 16 << 20));
    allocate(&mut heap, 16 << 20);
    free(&mut heap, behind);
    assert_eq!(resize(&mut heap, block, 30 << 20), block);
    assert_ne!(resize(&mut heap, block, 40 << 20), block);
}

#[test]
fn a_mapped_block_that_mremap_refuses_is_copied() {
    let mut heap = simulated(preset(Preset::Hybrid));
    let block = allocate(&mut heap, 1 << 20);
    heap.source_mut().fail(0, 1);
    let resized = calls(&mut heap, |heap| {
        resize(heap, block, 8 << 20);
    });
    assert_eq!(resized, Calls { mremap: 1, mmap: 1, munmap: 1, ..Calls::NONE });
}

#[test]
fn a_mapped_block_that_shrinks_far_below_the_threshold_goes_home() {
    let mut heap = simulated(preset(Preset::Hybrid));
    let block = allocate(&mut heap, 1 << 20);
    resize(&mut heap, block, 100);
    assert_eq!((heap.stats().mapped_blocks, heap.stats().live_blocks), (0, 1));
    heap.check().unwrap();
}

#[test]
fn a_block_grows_in_place_into_free_space_and_at_the_top() {
    let mut heap = simulated(preset(Preset::BrkOnly));
    let block = allocate(&mut heap, 1000);
    let neighbour = allocate(&mut heap, 1000);
    let last = allocate(&mut heap, 16);
    free(&mut heap, neighbour);
    assert_eq!(resize(&mut heap, block, 1900), block, "into the free neighbour");
    assert_eq!(resize(&mut heap, last, 30 << 20), last, "at the top, with the break");
    assert_eq!(resize(&mut heap, last, 16), last, "and back");
    heap.check().unwrap();
    assert_ne!(resize(&mut heap, block, 5000), block, "no room: it moves");
}

#[test]
fn a_growing_block_gets_a_mapping_rather_than_more_of_the_break() {
    let mut heap = simulated(preset(Preset::Hybrid));
    let block = allocate(&mut heap, 100 << 10);
    resize(&mut heap, block, 2 << 20);
    assert_eq!(heap.stats().mapped_blocks, 1);
    assert!(heap.source().break_bytes() < 1 << 20);
}

#[test]
fn the_accounts_add_up_and_equal_what_the_source_gave() {
    let mut heap = simulated(preset(Preset::Hybrid));
    let blocks: Vec<_> = (0..200).map(|i| allocate(&mut heap, i * 997)).collect();
    for block in blocks.iter().step_by(2) {
        free(&mut heap, *block);
    }
    let stats = heap.stats();
    let parts = [stats.live, stats.mapped_live, stats.free, stats.top, stats.metadata];
    assert!(parts.iter().all(|&part| part > 0), "{stats}");
    assert_eq!(stats.parts(), stats.footprint());
    assert_eq!(stats.break_bytes, heap.source().break_bytes());
    assert_eq!(stats.mapped_bytes, heap.source().mapped_bytes());

    let text = stats.to_string();
    let accounts: Vec<_> = text.lines().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(accounts.len(), text.lines().count(), "{text}");
    for (name, value) in [("footprint", stats.footprint()), ("mapped_blocks", stats.mapped_blocks)]
    {
        assert!(accounts.contains(&(name, &value.to_string())), "{text}");
    }
}

#[test]
fn misuse_is_refused_by_kind_and_changes_nothing() {
    use brkpoint_allocator::Misuse;
    let mut heap = simulated(preset(Preset::Hybrid));
    let (left, block, right) =
        (allocate(&mut heap, 40), allocate(&mut heap, 40), allocate(&mut heap, 40));
    // SAFETY: `block` has at least 40 bytes, and its header on its left.
    unsafe {
        assert_eq!(heap.free(block.add(1)), Err(Misuse::NotABlock));
        assert_eq!(heap.free(block.add(16)), Err(Misuse::NotABlock));

        let usable = heap.usable_size(block).unwrap();
        let saved = block.add(usable).read();
        block.add(usable).write(!saved);
        assert_eq!(heap.free(block), Err(Misuse::Overrun));
        assert_eq!(heap.free(right), Err(Misuse::Underrun));
        assert!(heap.check().is_err(), "check() must see it, too");
        block.add(usable).write(saved);

        let own = block.sub(8);
        let saved = own.read();
        own.write(saved ^ 0x10);
        assert_eq!(heap.free(block), Err(Misuse::NotABlock));
        assert_eq!(heap.free(left), Err(Misuse::Overrun));
        own.write(saved);
        heap.check().unwrap();

        assert_eq!(heap.free(block), Ok(()));
        assert_eq!(heap.free(block), Err(Misuse::DoubleFree));
        free(&mut heap, left);
        assert_eq!(heap.free(block), Err(Misuse::DoubleFree), "also when merged");
        assert_eq!(heap.usable_size(block), Err(Misuse::DoubleFree));
    }
    heap.check().unwrap();
}
