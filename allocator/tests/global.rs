//! A program whose `#[global_allocator]` is ours: this one, test harness and all.

mod support;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::mpsc;
use std::thread;

use brkpoint_allocator::{BreakSource, Brkpoint, Config};
use brkpoint_workloads::op::Generator;
use brkpoint_workloads::shadow::{Global, Shadow};
use support::child;

#[global_allocator]
static ALLOCATOR: Brkpoint = Brkpoint::new();

#[test]
fn it_is_this_heap_that_answers() {
    let before = ALLOCATOR.stats();
    let block = vec![1_u8; 10_000];
    let after = ALLOCATOR.stats();
    assert!(after.live + after.mapped_live > 0 && after.live_blocks > 0, "{before}{after}");
    drop(block);
    assert_eq!(ALLOCATOR.config().break_source, BreakSource::Reserved);
    assert_eq!(after.calls.brk, 0, "beside libc the program break is not ours");
}

#[test]
fn threads_keep_their_blocks_apart() {
    thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || {
                let mut shadow = Shadow::new(64);
                let mut subject = Global(ALLOCATOR);
                for op in Generator::new(seed, 64, 200 << 10).take(3_000) {
                    shadow.perform(&mut subject, op).unwrap();
                }
                shadow.free_all(&mut subject).unwrap();
            });
        }
    });
    ALLOCATOR.check().unwrap();
}

#[test]
fn blocks_are_freed_by_other_threads_and_by_threads_that_outlive_theirs() {
    let (sender, receiver) = mpsc::channel::<Vec<u8>>();
    let producers: Vec<_> = (0..3_u8)
        .map(|id| {
            let sender = sender.clone();
            thread::spawn(move || {
                for size in 0..5_000_usize {
                    sender.send(vec![id; size % 700]).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let mut received = 0;
    for block in receiver {
        assert!(block.windows(2).all(|pair| pair[0] == pair[1]));
        received += 1;
    }
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    assert_eq!(received, 15_000);
    ALLOCATOR.check().unwrap();
}

#[test]
fn a_child_forked_amid_allocating_threads_can_allocate() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..3_usize {
            let stop = &stop;
            scope.spawn(move || {
                let mut size = seed;
                while !stop.load(Ordering::Relaxed) {
                    size = (size * 31 + 7) % 50_000;
                    std::hint::black_box(vec![0_u8; size]);
                }
            });
        }
        for _ in 0..100 {
            // SAFETY: the child only allocates, checks the heap and exits.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let whole = ALLOCATOR.check().is_ok();
                let blocks: Vec<_> = (0..100_usize).map(|i| vec![1_u8; i * 97]).collect();
                let sum: usize = blocks.iter().map(Vec::len).sum();
                // SAFETY: ends the child without running the parent's handlers.
                unsafe { libc::_exit(i32::from(!whole || sum != 97 * 4950)) };
            }
            assert!(child > 0);
            let mut status = 0;
            // A child that hangs would hang the test: give it ten seconds.
            let patience = std::time::Instant::now();
            // SAFETY: waits for our own child.
            while unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == 0 {
                if patience.elapsed().as_secs() > 10 {
                    // SAFETY: our own child.
                    unsafe { libc::kill(child, libc::SIGKILL) };
                }
                thread::sleep(std::time::Duration::from_micros(200));
            }
            assert_eq!(status, 0, "the child hung, crashed or found a broken heap");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn absurd_layouts_are_refused_with_null() {
    let layout = Layout::from_size_align(isize::MAX as usize - 4096, 4096).unwrap();
    // SAFETY: the size is not 0; a refused realloc leaves the block to us.
    unsafe {
        assert!(ALLOCATOR.alloc(layout).is_null());
        assert!(ALLOCATOR.alloc_zeroed(layout).is_null());
        let small = Layout::from_size_align(100, 16).unwrap();
        let block = ALLOCATOR.alloc(small);
        assert!(ALLOCATOR.realloc(block, small, isize::MAX as usize - 15).is_null());
        ALLOCATOR.dealloc(block, small);
    }
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_prints_its_settings() {
    print!("{}", ALLOCATOR.config());
}

#[test]
fn the_environment_sets_and_a_bad_value_is_refused() {
    let (text, ok) = child("child_prints_its_settings", |command| {
        command
            .env("BRKPOINT_TRIM", "never")
            .env("BRKPOINT_PRESET", "mmap-only")
            .env("BRKPOINT_TOP_PAD", "lots")
            .env("BRKPOINT_MMAP_TRESHOLD", "1M");
    });
    assert!(ok, "{text}");
    for part in [
        "BRKPOINT_TRIM=never\n",
        "BRKPOINT_MMAP_THRESHOLD=0\n",
        "brkpoint: BRKPOINT_TOP_PAD=lots refused: not a size in bytes",
        "keeping 128K\n",
        "did you mean BRKPOINT_MMAP_THRESHOLD?\n",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn verbose_prints_the_settings_at_start() {
    let (text, _) = child("child_prints_its_settings", |command| {
        command.env("BRKPOINT_VERBOSE", "1").env("BRKPOINT_TRIM", "eager");
    });
    assert!(text.contains("brkpoint: BRKPOINT_TRIM=eager\n"), "{text}");
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_exhausts_its_address_space() {
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(100_000);
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(50_000).is_err() {
            break;
        }
        blocks.push(block);
    }
    let had = blocks.len();
    let in_break = ALLOCATOR.stats().break_bytes;
    ALLOCATOR.check().unwrap();
    blocks.clear();
    let again: Vec<u8> = Vec::with_capacity(20_000_000);
    println!("had {had} blocks, {in_break} in the break, then {}", again.capacity());
}

#[test]
fn a_limited_address_space_is_used_up_and_survived() {
    for preset in ["default", "brk-only", "mmap-only", "hybrid"] {
        let (text, ok) = child("child_exhausts_its_address_space", |command| {
            use std::os::unix::process::CommandExt;
            let limit = libc::rlimit { rlim_cur: 200 << 20, rlim_max: 200 << 20 };
            command.env("BRKPOINT_PRESET", preset);
            // SAFETY: setrlimit is safe between fork and exec.
            unsafe {
                command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_AS, &limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                });
            }
        });
        assert!(ok && text.contains("then 20000000"), "{preset}: {text}");
        let number = |before: &str| {
            let number = text.split(before).nth(1).unwrap().split(' ').next().unwrap();
            number.parse::<usize>().unwrap()
        };
        let had = number("had ");
        // The rest is the program, its stacks, and what libc reserves for them.
        assert!(had > 2_000, "{preset}: of 200 MiB only {had} blocks of 50 kB could be had");
        // The mapping that plays the break must not take what others need.
        let share = (200 << 20) / 16;
        let in_break = number("blocks, ");
        assert!(in_break <= share, "{preset}: {in_break}");
        assert!(preset != "brk-only" || in_break > share / 2, "{preset}: {in_break}");
    }
}

#[test]
fn a_config_of_ones_own_is_const() {
    const _: Brkpoint =
        Brkpoint::with_config(Config { break_source: BreakSource::Program, ..Config::DEFAULT });
}
