//! What becomes of a schedule that ends the process, and what was run.

use std::ffi::c_int;
use std::fmt::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use scheduled::scheduler;

/// Signals of a heap that is out of order, and that of a schedule without end.
const SIGNALS: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGPROF];

/// Bytes of the stack on which a signal is told.
const STACK: usize = 64 << 10;

static DONE: AtomicU64 = AtomicU64::new(0);
static POINTS: AtomicU64 = AtomicU64::new(0);
static DIGEST: AtomicU64 = AtomicU64::new(0);
static PLANT: OnceLock<String> = OnceLock::new();

/// Has signals told, also on a stack that is used up.
pub fn signals(plant: Option<&str>) {
    let _ = PLANT.set(plant.map(|name| format!(" --plant {name}")).unwrap_or_default());
    let stack = Box::leak(Box::new([0_u8; STACK]));
    // SAFETY: the stack and the function stay for ever; no field of either
    // structure must be other than zero.
    unsafe {
        let mut alternative: libc::stack_t = std::mem::zeroed();
        alternative.ss_sp = stack.as_mut_ptr().cast();
        alternative.ss_size = STACK;
        libc::sigaltstack(&alternative, std::ptr::null_mut());
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as extern "C" fn(c_int) as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND;
        for signal in SIGNALS {
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

extern "C" fn on_signal(signal: c_int) {
    let what = match signal {
        libc::SIGPROF => "has no end".to_owned(),
        _ => format!("ended by signal {signal}"),
    };
    tell(&what);
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(1) };
}

/// Says what became of the schedule under way, and how to see it again.
pub fn tell(what: &str) {
    let (seed, point, thread) = scheduler::place();
    let plant = PLANT.get().map_or("", String::as_str);
    let mut text = String::new();
    let _ = writeln!(text, "schedule {seed} {what}, at point {point}, in thread {thread}; again:");
    let _ = writeln!(
        text,
        "  cargo run --manifest-path fuzz/Cargo.toml -p brkpoint-schedules -- {seed}{plant}"
    );
    // SAFETY: the text is readable for its length.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}

/// A schedule begins, which may take so many seconds of CPU time.
pub fn begin(seconds: u32) {
    let it_value = libc::timeval { tv_sec: seconds.into(), tv_usec: 0 };
    let it_interval = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = libc::itimerval { it_interval, it_value };
    // SAFETY: a valid timer.
    unsafe { libc::setitimer(libc::ITIMER_PROF, &timer, std::ptr::null_mut()) };
}

/// A schedule has come to its end.
pub fn count() {
    let (_, points, _) = scheduler::place();
    DONE.fetch_add(1, Ordering::Relaxed);
    POINTS.fetch_add(points, Ordering::Relaxed);
    DIGEST.fetch_xor(scheduler::digest().rotate_left(points as u32), Ordering::Relaxed);
}

/// What was run: the same seeds give the same digest.
pub fn summary() -> String {
    let [done, points, digest] = [&DONE, &POINTS, &DIGEST].map(|of| of.load(Ordering::Relaxed));
    format!("{done} schedules, {points} points, digest {digest:016x}: no promise was broken")
}
