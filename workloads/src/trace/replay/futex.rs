//! Waiting for a word to change.

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Acquire;

/// Waits until `word` is no longer `value`, or somebody wakes; `nap_ns` at most,
/// unless it is 0.
pub(super) fn wait(word: &AtomicU32, value: u32, nap_ns: i64) {
    for _ in 0..200 {
        if word.load(Acquire) != value {
            return;
        }
        std::hint::spin_loop();
    }
    let nap = libc::timespec { tv_sec: 0, tv_nsec: nap_ns };
    let nap = if nap_ns == 0 { ptr::null() } else { &raw const nap };
    futex(word, libc::FUTEX_WAIT, value, nap);
}

/// Wakes all who wait for `word`.
pub(super) fn wake(word: &AtomicU32) {
    futex(word, libc::FUTEX_WAKE, i32::MAX as u32, ptr::null());
}

fn futex(word: &AtomicU32, what: c_int, value: u32, time: *const libc::timespec) {
    // SAFETY: the word lives; errors mean that there is nothing to wait for.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            what | libc::FUTEX_PRIVATE_FLAG,
            value,
            time,
            ptr::null::<u32>(),
            0,
        );
    }
}
