//! The fast path in instructions, counted one by one: no knob adds any.

mod support;

use std::hint::black_box;

use brkpoint_allocator::Brkpoint;
use support::child;

#[global_allocator]
static ALLOCATOR: Brkpoint = Brkpoint::new();

/// Settings that leave small blocks in thread caches. The others have another
/// path by design: `thread_cache=0`, an mmap threshold below the request, and
/// `metadata=header`, or `slab_max` below it, whose frees look at a header.
const SETTINGS: [&[(&str, &str)]; 12] = [
    &[],
    &[("BRKPOINT_PLACEMENT", "first")],
    &[("BRKPOINT_PLACEMENT", "best")],
    &[("BRKPOINT_PLACEMENT", "next")],
    &[("BRKPOINT_SIZE_CLASSES", "list:32+64+96")],
    &[("BRKPOINT_SIZE_CLASSES", "powers")],
    &[("BRKPOINT_SIZE_CLASSES", "spacing16"), ("BRKPOINT_SLAB_MAX", "64")],
    &[("BRKPOINT_THREAD_CACHE", "1M"), ("BRKPOINT_TOP_PAD", "0")],
    &[("BRKPOINT_MMAP_THRESHOLD", "4K"), ("BRKPOINT_MMAP_MAX", "1")],
    &[("BRKPOINT_TRIM", "eager"), ("BRKPOINT_TRIM_THRESHOLD", "0")],
    &[("BRKPOINT_THP", "0"), ("BRKPOINT_TRIM_DECAY", "1")],
    &[("BRKPOINT_BREAK", "program"), ("BRKPOINT_VERBOSE", "1")],
];

fn pair() {
    drop(black_box(Box::new(black_box([0_u64; 8]))));
}

/// Stops the traced process, in a way that a step does not.
fn mark() {
    // SAFETY: its tracer takes the signal.
    unsafe { libc::raise(MARK) };
}

const MARK: libc::c_int = libc::SIGUSR1;

/// Lets the traced process go on as `how` says, and gives the signal with which
/// it stops next.
fn go_on(how: libc::c_uint, tracee: libc::pid_t) -> libc::c_int {
    // SAFETY: our own child, which has stopped; the signal is not delivered.
    assert_eq!(unsafe { libc::ptrace(how, tracee, 0, 0) }, 0, "ptrace");
    next_stop(tracee)
}

fn next_stop(tracee: libc::pid_t) -> libc::c_int {
    let mut status = 0;
    // SAFETY: waits for our own child.
    assert_eq!(unsafe { libc::waitpid(tracee, &mut status, 0) }, tracee);
    assert!(libc::WIFSTOPPED(status), "the traced process has ended: {status:#x}");
    libc::WSTOPSIG(status)
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_counts_its_instructions() {
    // SAFETY: the child allocates, stops for its tracer, and exits.
    let tracee = unsafe { libc::fork() };
    if tracee == 0 {
        // SAFETY: no pointers; should the tracer be gone, it is killed.
        unsafe {
            libc::alarm(60);
            libc::ptrace(libc::PTRACE_TRACEME);
        }
        // The caches, and what is resolved when it is first called.
        (0..100).for_each(|_| pair());
        mark();
        mark();
        mark();
        pair();
        mark();
        // SAFETY: ends the child without running the parent's handlers.
        unsafe { libc::_exit(0) };
    }
    let steps = || {
        let mut steps = 1_usize;
        while go_on(libc::PTRACE_SINGLESTEP, tracee) != MARK {
            steps += 1;
        }
        steps
    };
    assert_eq!(next_stop(tracee), MARK);
    assert_eq!(go_on(libc::PTRACE_CONT, tracee), MARK);
    let (without, with) = (steps(), steps());
    println!("\ninstructions {}", with - without);
    // SAFETY: our own child, which has stopped.
    unsafe { libc::kill(tracee, libc::SIGKILL) };
}

/// The instructions of a malloc and a free under some settings.
fn count(settings: &[(&str, &str)]) -> usize {
    let (text, ok) = child("child_counts_its_instructions", |command| {
        command.envs(settings.iter().copied());
    });
    let said = text.lines().find_map(|line| line.strip_prefix("instructions "));
    match said.and_then(|count| count.parse().ok()) {
        Some(count) if ok => count,
        _ => panic!("{settings:?}: {text}"),
    }
}

#[test]
fn no_knob_adds_an_instruction_to_a_cached_malloc_and_free() {
    let counts = SETTINGS.map(count);
    assert_eq!(counts, [counts[0]; SETTINGS.len()], "{SETTINGS:?}");
    // It is the fast path that was counted, and the count would show another.
    let uncached = count(&[("BRKPOINT_THREAD_CACHE", "0")]);
    assert!(counts[0] > 20 && uncached > 2 * counts[0], "{} and {uncached}", counts[0]);
}
