//! OS pages inside the heap that go back to the OS, in counted facts.

mod support;

use std::hint::black_box;
use std::ptr::NonNull;
use std::time::Duration;

use brkpoint_allocator::{
    BreakSource, Brkpoint, Bytes, Config, Heap, PageSource, Preset, Purge, Simulated, System, Trim,
};
use support::{allocate, child, free};

#[global_allocator]
static ALLOCATOR: Brkpoint = Brkpoint::new();

const PAGE: usize = 4096;

fn config(trim: Trim, purge: Purge) -> Config {
    Config { trim, purge, thp: Bytes(0), ..Preset::BrkOnly.config(&Config::DEFAULT) }
}

/// A megabyte in the middle of the heap is freed; the block that pins it stays.
fn hole(heap: &mut Heap<impl PageSource>) -> (NonNull<u8>, NonNull<u8>) {
    let (block, pin) = (allocate(heap, 1 << 20), allocate(heap, 100));
    // SAFETY: a block of a megabyte.
    unsafe { block.write_bytes(0xa5, 1 << 20) };
    free(heap, block);
    (block, pin)
}

/// How many OS pages of a megabyte are resident, as the kernel says.
fn resident(block: NonNull<u8>) -> usize {
    let mut pages = [0_u8; (1 << 20) / PAGE];
    let from = block.as_ptr().map_addr(|address| address.next_multiple_of(PAGE));
    let len = (1 << 20) - PAGE;
    // SAFETY: mapped memory of the heap, and a byte for each OS page of it.
    let failed = unsafe { libc::mincore(from.cast(), len, pages.as_mut_ptr().cast()) };
    assert_eq!(failed, 0);
    pages.iter().filter(|&&page| page & 1 == 1).count()
}

#[test]
fn purge_says_whether_a_hole_goes_back() {
    for (purge, after) in [(Purge::Never, 255), (Purge::DontNeed, 0)] {
        let mut heap = Heap::new(config(Trim::Eager, purge), System::new(BreakSource::Reserved));
        let (block, _) = hole(&mut heap);
        // Its last OS page ends in the pin's.
        assert!(resident(block).abs_diff(after) <= 1, "{purge}: {}", resident(block));
        let stats = heap.stats();
        assert_eq!(stats.returned / PAGE, 255 - after, "{stats}");
        assert_eq!(stats.calls.madvise, u64::from(after == 0));
        heap.check().unwrap();
    }
}

#[test]
fn pages_left_to_the_kernel_count_as_returned_and_not_as_zero() {
    let mut heap = Heap::new(config(Trim::Eager, Purge::Free), Simulated::new(8 << 20));
    let (block, _) = hole(&mut heap);
    assert_eq!(heap.stats().returned, 255 * PAGE);
    heap.check().unwrap();
    let again = heap.allocate(1 << 20, 16).unwrap();
    assert_eq!(again.start, block);
    assert_eq!(again.zero_from, again.zero_to, "some of it is as it was");
    assert_eq!(heap.stats().returned, 0);
}

#[test]
fn what_went_back_is_not_cleared_again() {
    let mut heap = Heap::new(config(Trim::Eager, Purge::DontNeed), Simulated::new(8 << 20));
    let (block, _) = hole(&mut heap);
    let again = heap.allocate(1 << 20, 16).unwrap();
    assert_eq!(again.start, block);
    assert!(again.zero_to - again.zero_from >= 255 * PAGE, "{again:?}");
    // SAFETY: a block of a megabyte, whose every byte was written to.
    let bytes = unsafe {
        again.clear(1 << 20);
        std::slice::from_raw_parts(again.start.as_ptr(), 1 << 20)
    };
    assert!(bytes.iter().all(|&byte| byte == 0));
}

#[test]
fn each_trim_policy_says_when() {
    let returned = |trim, size: usize| {
        let config = Config { trim_threshold: Bytes(512 << 10), ..config(trim, Purge::DontNeed) };
        let mut heap = Heap::new(config, Simulated::new(16 << 20));
        let (block, pin) = (allocate(&mut heap, size), allocate(&mut heap, 100));
        free(&mut heap, block);
        heap.check().unwrap();
        let at_once = heap.stats().returned;
        heap.trim(0);
        let asked = heap.stats().returned;
        assert!(asked >= size - 2 * PAGE, "{trim}: asked for, {size} came back as {asked}");
        free(&mut heap, pin);
        at_once > 0
    };
    assert!(!returned(Trim::Never, 4 << 20));
    assert!(!returned(Trim::Threshold, 256 << 10) && returned(Trim::Threshold, 1 << 20));
    assert!(returned(Trim::Eager, 70 << 10));
    assert!(!returned(Trim::Decay, 256 << 10) && returned(Trim::Decay, 1 << 20));
}

#[test]
fn what_went_back_too_early_is_kept_the_next_time() {
    let mut heap = Heap::new(config(Trim::Decay, Purge::DontNeed), Simulated::new(8 << 20));
    let (block, _) = hole(&mut heap);
    let at_first = heap.stats();
    assert!(at_first.returned > 0, "{at_first}");
    for _ in 0..3 {
        assert_eq!(allocate(&mut heap, 1 << 20), block);
        free(&mut heap, block);
    }
    let stats = heap.stats();
    assert_eq!((stats.returned, stats.calls.madvise), (0, at_first.calls.madvise), "{stats}");
}

#[test]
fn a_trim_says_whether_there_was_anything_to_give() {
    let mut heap = Heap::new(config(Trim::Never, Purge::DontNeed), Simulated::new(8 << 20));
    let (block, _pin) = (allocate(&mut heap, 1 << 20), allocate(&mut heap, 100));
    assert!(heap.trim(0), "the top");
    assert!(heap.stats().top < PAGE);
    free(&mut heap, block);
    assert!(heap.trim(0), "the hole");
    assert!(!heap.trim(0), "nothing any more");
}

#[test]
fn fast_holds_what_small_gives_back() {
    let held = |preset: Preset| {
        let mut heap = Heap::new(preset.config(&Config::DEFAULT), Simulated::new(64 << 20));
        let pin = allocate(&mut heap, 100);
        let blocks: Vec<_> = (0..150).map(|_| allocate(&mut heap, (104 << 10) - 16)).collect();
        blocks.into_iter().for_each(|block| free(&mut heap, block));
        free(&mut heap, pin);
        let stats = heap.stats();
        (stats.break_bytes - stats.returned) >> 10
    };
    let (small, default, fast) = (held(Preset::Small), held(Preset::Default), held(Preset::Fast));
    assert!(small < 1 << 10 && 2 * small < default, "{small} {default} {fast} KiB");
    assert!(default < 5 << 10 && fast > 14 << 10, "{small} {default} {fast} KiB");
}

#[test]
fn a_live_block_between_them_is_left_alone() {
    let config = Config { thp: Bytes(0), ..Config::DEFAULT };
    let mut heap = Heap::new(config, Simulated::new(16 << 20));
    // Of the units of 31 blocks, those of one in the midst stay.
    let blocks: Vec<_> = (0..310).map(|_| allocate(&mut heap, 1024)).collect();
    let is_live = |at: usize| at % 31 == 15;
    for (at, &block) in blocks.iter().enumerate() {
        // SAFETY: a live block of so many bytes.
        unsafe { block.write_bytes(at as u8 | 1, 1024) };
    }
    for (_, &block) in blocks.iter().enumerate().filter(|&(at, _)| !is_live(at)) {
        free(&mut heap, block);
    }
    assert!(heap.trim(0));
    assert!(heap.stats().returned > 10 * 4 * PAGE, "{}", heap.stats());
    for (at, block) in blocks.iter().enumerate().filter(|&(at, _)| is_live(at)) {
        // SAFETY: a live block of so many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), 1024) };
        assert!(bytes.iter().all(|&byte| byte == at as u8 | 1), "{at}");
    }
    heap.check().unwrap();
}

#[test]
fn units_give_back_the_os_pages_between_their_blocks() {
    let config = Config { thp: Bytes(0), ..Config::DEFAULT };
    let mut heap = Heap::new(config, Simulated::new(16 << 20));
    // 31 blocks to a unit; of each unit the first stays.
    let blocks: Vec<_> = (0..310).map(|_| allocate(&mut heap, 1024)).collect();
    for block in blocks.into_iter().filter(|block| !block.addr().get().is_multiple_of(32 << 10)) {
        free(&mut heap, block);
    }
    assert!(heap.trim(0));
    let stats = heap.stats();
    assert_eq!(
        stats.returned / PAGE,
        10 * 6,
        "all but each unit's first and last OS page: {stats}"
    );
    heap.check().unwrap();
    // Used again, none of them counts as returned.
    for _ in 0..300 {
        allocate(&mut heap, 1024);
    }
    assert_eq!(heap.stats().returned, 0);
    heap.check().unwrap();
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_prints_what_is_kept_when_all_is_freed() {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE
    };
    let before = resident();
    // Twice, so that the heap takes the second time for a habit.
    for _ in 0..2 {
        let blocks: Vec<Vec<u8>> = (0..40_000).map(|at| vec![1; 16 + at * 37 % 2000]).collect();
        black_box(blocks);
    }
    std::thread::sleep(Duration::from_millis(1100));
    drop(black_box(Box::new([0_u8; 64])));
    let kept = resident().saturating_sub(before);
    println!("kept {} KiB", kept >> 10);
}

#[test]
fn an_idle_thread_gives_back_what_it_kept_when_it_next_allocates() {
    let kept = |trim: &str| {
        let (text, ok) = child("child_prints_what_is_kept_when_all_is_freed", |command| {
            command.env("BRKPOINT_TRIM", trim);
        });
        assert!(ok, "{text}");
        let kept = text.split("kept ").nth(1).and_then(|rest| rest.split(' ').next());
        kept.unwrap().parse::<usize>().unwrap()
    };
    let (decay, never) = (kept("decay"), kept("never"));
    assert!(never > 30 << 10, "the blocks were 40 MB: {never} KiB");
    assert!(decay < never / 8, "{decay} of {never} KiB");
}
