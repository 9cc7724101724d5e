//! Thread caches and the depot, in processes of their own whose
//! `#[global_allocator]` is ours: what is kept where, and that it stays bounded.

mod support;

use std::hint::black_box;
use std::sync::mpsc;
use std::thread;

use brkpoint_allocator::{Brkpoint, Stats};
use brkpoint_workloads::op::Generator;
use brkpoint_workloads::shadow::{Global, Shadow};
use support::child;

#[global_allocator]
static ALLOCATOR: Brkpoint = Brkpoint::new();

/// Settings that change what a malloc and a free go through.
const SETTINGS: [&[(&str, &str)]; 11] = [
    &[],
    &[("BRKPOINT_METADATA", "header")],
    &[("BRKPOINT_THREAD_CACHE", "0")],
    &[("BRKPOINT_THREAD_CACHE", "0"), ("BRKPOINT_METADATA", "header")],
    &[("BRKPOINT_THREAD_CACHE", "4800")],
    &[("BRKPOINT_SLAB_MAX", "256"), ("BRKPOINT_SIZE_CLASSES", "powers")],
    &[("BRKPOINT_SIZE_CLASSES", "spacing16"), ("BRKPOINT_TRIM", "eager")],
    &[("BRKPOINT_SIZE_CLASSES", "steps4"), ("BRKPOINT_MMAP_THRESHOLD", "500")],
    &[("BRKPOINT_PRESET", "mmap-only")],
    &[("BRKPOINT_PLACEMENT", "next"), ("BRKPOINT_SIZE_CLASSES", "list:48+80+992+1008+3K")],
    &[("BRKPOINT_PLACEMENT", "best"), ("BRKPOINT_METADATA", "header")],
];

/// Runs an ignored test under each of the settings.
fn under_all_settings(test: &str) {
    under_all_settings_and(test, &[]);
}

fn under_all_settings_and(test: &str, others: &[(&str, &str)]) {
    for settings in SETTINGS {
        let (text, ok) = child(test, |command| {
            command.envs(settings.iter().chain(others).copied());
        });
        assert!(ok, "{test} under {settings:?}: {text}");
    }
}

fn churn(rounds: usize) {
    for round in 0..rounds {
        let blocks: Vec<Vec<u8>> = (0..500).map(|i| vec![1; (i * 37 + round) % 3000]).collect();
        black_box(blocks);
    }
}

/// What the OS may have to provide memory for, but for tables.
fn held(stats: &Stats) -> usize {
    stats.footprint() - stats.returned - stats.table_bytes
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_threads_pass_blocks_round_under_the_oracle() {
    // Each thread frees what its neighbour allocated, and checks what was in it.
    const THREADS: usize = 4;
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..THREADS).map(|_| mpsc::channel::<Vec<u8>>()).unzip();
    thread::scope(|scope| {
        for (id, receiver) in receivers.into_iter().enumerate() {
            let next = senders[(id + 1) % THREADS].clone();
            scope.spawn(move || {
                let mut shadow = Shadow::new(64);
                let mut subject = Global(ALLOCATOR);
                let program = Generator::new(id as u64, 64, 40 << 10).take(4_000);
                for (at, op) in program.enumerate() {
                    shadow.perform(&mut subject, op).unwrap();
                    // The neighbour may have come to its end.
                    let _ = next.send(vec![at as u8; at * 13 % 5000]);
                    if at % 3 > 0 {
                        let block = receiver.recv().unwrap();
                        assert!(block.iter().all(|&byte| byte == block[0]));
                    }
                    if at % 1000 == 0 {
                        ALLOCATOR.check().unwrap();
                    }
                }
                shadow.free_all(&mut subject).unwrap();
                drop(next);
            });
        }
    });
    drop(senders);
    ALLOCATOR.check().unwrap();
    ALLOCATOR.trim(0);
    ALLOCATOR.check().unwrap();
}

#[test]
fn threads_pass_blocks_round_under_the_oracle() {
    under_all_settings("child_threads_pass_blocks_round_under_the_oracle");
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_ended_threads_leave_nothing_behind() {
    let run = |threads: usize| {
        for _ in 0..threads {
            thread::spawn(|| churn(3)).join().unwrap();
        }
        ALLOCATOR.stats()
    };
    // The table of what went back is there from the first time.
    run(1);
    ALLOCATOR.trim(0);
    let (first, last) = (run(20), run(300));
    assert_eq!(first.table_bytes, last.table_bytes, "more caches:\n{first}\n{last}");
    assert!(held(&last) <= held(&first) + (1 << 20), "{first}\n{last}");
    ALLOCATOR.check().unwrap();
}

#[test]
fn ended_threads_leave_nothing_behind() {
    under_all_settings("child_ended_threads_leave_nothing_behind");
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_one_thread_allocates_what_another_frees() {
    let (sender, receiver) = mpsc::sync_channel::<Vec<Vec<u8>>>(2);
    let consumer = thread::spawn(move || {
        let mut footprints = Vec::new();
        for blocks in receiver {
            drop(blocks);
            footprints.push(held(&ALLOCATOR.stats()));
        }
        footprints
    });
    for round in 0..200 {
        let blocks = (0..2_000).map(|i| vec![1; (i * 7 + round) % 900]).collect();
        sender.send(blocks).unwrap();
    }
    drop(sender);
    let footprints = consumer.join().unwrap();
    let early = *footprints[..50].iter().max().unwrap();
    let late = *footprints[150..].iter().max().unwrap();
    // 180 MB have passed; how far one thread is ahead of the other differs.
    assert!(late <= early + (4 << 20), "{early} grew to {late}");
}

#[test]
fn one_thread_allocates_what_another_frees() {
    // Huge pages would make every step of the break as large as what is allowed.
    let others = [("BRKPOINT_THP", "0")];
    under_all_settings_and("child_one_thread_allocates_what_another_frees", &others);
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_forks_with_caches_in_use() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    churn(1);
                }
            });
        }
        for _ in 0..40 {
            // SAFETY: the child allocates, starts threads and exits.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: a child that hangs is killed.
                unsafe { libc::alarm(20) };
                churn(2);
                // These take over the caches of the threads that are not here.
                let threads: Vec<_> = (0..4).map(|_| thread::spawn(|| churn(2))).collect();
                let joined = threads.into_iter().all(|thread| thread.join().is_ok());
                let whole = ALLOCATOR.check().is_ok();
                // SAFETY: ends the child without running the parent's handlers.
                unsafe { libc::_exit(i32::from(!joined || !whole)) };
            }
            let mut status = 0;
            // SAFETY: waits for our own child.
            unsafe { libc::waitpid(child, &mut status, 0) };
            assert_eq!(status, 0, "the child hung, crashed or found a broken heap");
        }
        stop.store(true, Ordering::Relaxed);
    });
    ALLOCATOR.check().unwrap();
}

#[test]
fn children_take_over_the_caches_of_threads_they_do_not_have() {
    under_all_settings("child_forks_with_caches_in_use");
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_prints_what_is_cached() {
    churn(3);
    let kept = ALLOCATOR.stats();
    assert_eq!(kept.footprint(), kept.parts(), "{kept}");
    ALLOCATOR.trim(0);
    let trimmed = ALLOCATOR.stats();
    println!("kept {} then {}", kept.cached, trimmed.cached);
}

#[test]
fn the_cache_keeps_what_its_size_allows_and_trim_empties_it() {
    let kept = |size: &str| {
        let (text, ok) = child("child_prints_what_is_cached", |command| {
            command.env("BRKPOINT_THREAD_CACHE", size);
        });
        assert!(ok, "{text}");
        let line = text.lines().find_map(|line| line.split("kept ").nth(1)).unwrap();
        let (kept, then) = line.split_once(" then ").unwrap();
        let (kept, then) = (kept.parse::<usize>().unwrap(), then.parse::<usize>().unwrap());
        // The test harness has a thread of its own, which keeps what it kept.
        assert!(then < kept || kept == 0, "{text}");
        kept
    };
    let (none, small, large) = (kept("0"), kept("64K"), kept("1M"));
    assert!(none == 0 && small > 0 && large > 2 * small, "{none} {small} {large}");
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_aligns_small_blocks_over_and_over() {
    let footprint = |rounds: usize, least: usize, step: usize| {
        for round in 0..rounds {
            for align in [64, 4096, 65_536] {
                let block = ALLOCATOR.allocate(least + round % 60 * step, align).unwrap().start;
                assert!(block.addr().get().is_multiple_of(align));
                // SAFETY: a live block.
                unsafe { ALLOCATOR.free(block) };
            }
        }
        held(&ALLOCATOR.stats())
    };
    let ensure_bounded = |warm_up: usize, least: usize, step: usize| {
        let first = footprint(warm_up, least, step);
        let last = footprint(5_000, least, step);
        assert!(last <= first + (512 << 10), "from {least} bytes on, {first} grew to {last}");
    };
    ensure_bounded(200, 17, 16);
    // Up to 31 KiB: it takes more rounds to have had every size at every alignment.
    ensure_bounded(1_000, 1_100, 512);
    assert!(ALLOCATOR.allocate(usize::MAX, 64).is_none());
}

#[test]
fn aligned_small_blocks_do_not_pile_up() {
    under_all_settings("child_aligns_small_blocks_over_and_over");
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_shrinks_in_place_and_frees_by_size() {
    let before = ALLOCATOR.stats();
    let block = ALLOCATOR.allocate(64, 16).unwrap().start;
    // SAFETY: a live block, and the size that it has after realloc.
    unsafe {
        let block = ALLOCATOR.reallocate(block, 40, 16).unwrap();
        ALLOCATOR.free_sized(block, 40, 16);
    }
    let after = ALLOCATOR.stats();
    assert_eq!((after.live, after.live_blocks), (before.live, before.live_blocks));
    assert_eq!(
        (after.mapped_live, after.mapped_blocks),
        (before.mapped_live, before.mapped_blocks)
    );
}

#[test]
fn the_accounts_know_a_cached_block_by_what_it_is() {
    under_all_settings("child_shrinks_in_place_and_frees_by_size");
}
