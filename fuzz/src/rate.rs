//! How many operations a second of CPU time a run performs, told when it ends.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static OPERATIONS: AtomicU64 = AtomicU64::new(0);
static BEGUN: Once = Once::new();

/// Counts operations.
pub(crate) fn count(operations: usize) {
    BEGUN.call_once(|| {
        // SAFETY: a function that lives as long as the program.
        unsafe { libc::atexit(tell) };
    });
    OPERATIONS.fetch_add(operations as u64, Ordering::Relaxed);
}

/// The CPU time of this process so far, in seconds.
fn cpu() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the time.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

extern "C" fn tell() {
    let operations = OPERATIONS.load(Ordering::Relaxed);
    let seconds = cpu();
    eprintln!(
        "{operations} operations in {seconds:.1} s of CPU time: {:.0} a second",
        operations as f64 / seconds
    );
}
