//! When calls were made.

use std::ptr;

/// Nanoseconds of CLOCK_MONOTONIC.
pub(super) fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Waits for a moment that lies up to `gap` nanoseconds ahead.
pub(super) fn sleep_until(due_ns: u64, gap: u64) {
    // What is shorter than a look at the clock is not waited for on its own.
    if gap < 50 {
        return;
    }
    loop {
        let left = due_ns.saturating_sub(now_ns());
        if left == 0 {
            return;
        }
        if left > 100_000 {
            let nap = left - 60_000;
            let nap = libc::timespec {
                tv_sec: (nap / 1_000_000_000) as i64,
                tv_nsec: (nap % 1_000_000_000) as i64,
            };
            // SAFETY: reads the timespec.
            unsafe { libc::nanosleep(&nap, ptr::null_mut()) };
        } else {
            std::hint::spin_loop();
        }
    }
}
