//! What the C library tells us: that a thread ends, that the process forks.

use core::ffi::c_void;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{Brkpoint, DEPOT, PROCESS};
use crate::cache::{Cache, thread};

/// Nothing has been registered yet; somebody is at it; it failed; a key beyond.
const NOTHING: u64 = 0;
const BUSY: u64 = 1;
const REFUSED: u64 = 2;
const MADE: u64 = 3;

static STATE: AtomicU64 = AtomicU64::new(NOTHING);

/// Registers both hooks, once per process, however often it is called.
/// Registering may allocate, and so come here again.
pub(super) fn register() {
    if STATE.load(Ordering::Relaxed) != NOTHING
        || STATE.compare_exchange(NOTHING, BUSY, Ordering::Relaxed, Ordering::Relaxed).is_err()
    {
        return;
    }
    let mut key = 0;
    // SAFETY: a valid place for the key, and functions that live as long as
    // the program.
    let made = unsafe { libc::pthread_key_create(&mut key, Some(thread_ends)) } == 0;
    STATE.store(if made { MADE + u64::from(key) } else { REFUSED }, Ordering::Release);
    // SAFETY: as above.
    unsafe {
        libc::pthread_atfork(
            Some(before_fork),
            Some(after_fork_in_parent),
            Some(after_fork_in_child),
        );
    }
}

/// Has `thread_ends` called when this thread ends; `false` if that cannot be.
/// May allocate.
pub(super) fn watch_thread(cache: &'static Cache) -> bool {
    let state = STATE.load(Ordering::Acquire);
    // SAFETY: a key of our own.
    state >= MADE
        && unsafe {
            libc::pthread_setspecific((state - MADE) as _, (&raw const *cache).cast()) == 0
        }
}

/// Whether threads can be watched.
pub(super) fn can_watch() -> bool {
    STATE.load(Ordering::Acquire) >= MADE
}

extern "C" fn thread_ends(_: *mut c_void) {
    Brkpoint::new().detach();
}

extern "C" fn before_fork() {
    // The heap's first: who has it may want another.
    PROCESS.lock.before_fork();
    DEPOT.locks().for_each(crate::lock::Lock::before_fork);
}

extern "C" fn after_fork_in_parent() {
    DEPOT.locks().for_each(crate::lock::Lock::after_fork_in_parent);
    PROCESS.lock.after_fork_in_parent();
}

extern "C" fn after_fork_in_child() {
    DEPOT.locks().for_each(crate::lock::Lock::after_fork_in_child);
    PROCESS.lock.after_fork_in_child();
    // The threads that had the other caches do not exist here.
    Brkpoint::new().orphan_caches_but(thread::cache());
}
