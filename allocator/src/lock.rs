//! The lock round the process's heap: a futex, which survives `fork`, and no
//! atomic operation as long as there is one thread.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::os::raw;

const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// Taken, and somebody may sleep on it.
const AWAITED: u32 = 2;

/// How often a thread looks again before it sleeps: critical sections are
/// short, but for system calls.
const SPINS: u32 = 100;

/// A mutual exclusion without an owner, except during `fork`.
pub(crate) struct Lock {
    state: AtomicU32,
    /// The thread that forks just now, and so holds the lock; 0 if none does.
    forking: AtomicUsize,
}

/// Whether the holder of the lock has to release it.
#[must_use]
pub(crate) struct Held<'a>(Option<&'a Lock>);

impl Lock {
    pub(crate) const fn new() -> Lock {
        Lock { state: AtomicU32::new(FREE), forking: AtomicUsize::new(0) }
    }

    /// Waits until the lock is free and takes it.
    ///
    /// The thread that forks passes: other handlers of `pthread_atfork` may
    /// allocate between ours. No copy of this for each of the many callers: all
    /// have more to do than a call.
    #[inline(never)]
    pub(crate) fn take(&self) -> Held<'_> {
        if self.try_take() {
            return Held(Some(self));
        }
        self.wait()
    }

    #[inline]
    fn try_take(&self) -> bool {
        if raw::is_single_threaded() {
            let is_free = self.state.load(Ordering::Relaxed) == FREE;
            if is_free {
                self.state.store(TAKEN, Ordering::Relaxed);
            }
            return is_free;
        }
        self.state.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn wait(&self) -> Held<'_> {
        if self.forking.load(Ordering::Relaxed) == raw::thread_id() {
            return Held(None);
        }
        for _ in 0..SPINS {
            core::hint::spin_loop();
            if self.state.load(Ordering::Relaxed) == FREE && self.try_take() {
                return Held(Some(self));
            }
        }
        while self.state.swap(AWAITED, Ordering::Acquire) != FREE {
            raw::futex_wait(&self.state, AWAITED);
        }
        Held(Some(self))
    }

    #[inline(never)]
    fn release(&self) {
        // Who is alone is not awaited.
        if raw::is_single_threaded() {
            self.state.store(FREE, Ordering::Release);
        } else if self.state.swap(FREE, Ordering::Release) == AWAITED {
            raw::futex_wake(&self.state);
        }
    }

    /// Before `fork`: nobody may be half-way through when memory is copied.
    pub(crate) fn before_fork(&self) {
        core::mem::forget(self.take());
        self.forking.store(raw::thread_id(), Ordering::Relaxed);
    }

    /// After `fork`, in the parent.
    pub(crate) fn after_fork_in_parent(&self) {
        self.forking.store(0, Ordering::Relaxed);
        self.release();
    }

    /// After `fork`, in the child, where whoever waited is gone.
    pub(crate) fn after_fork_in_child(&self) {
        self.forking.store(0, Ordering::Relaxed);
        self.state.store(FREE, Ordering::Release);
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(lock) = self.0 {
            lock.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::UnsafeCell;

    #[test]
    fn threads_exclude_each_other() {
        struct Shared(Lock, UnsafeCell<u64>);
        // SAFETY: the cell is only touched under the lock.
        unsafe impl Sync for Shared {}
        let shared = Shared(Lock::new(), UnsafeCell::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let shared = &shared;
                    for _ in 0..20_000 {
                        let _held = shared.0.take();
                        // SAFETY: under the lock.
                        unsafe { *shared.1.get() += 1 };
                    }
                });
            }
        });
        assert_eq!(shared.1.into_inner(), 80_000);
    }

    #[test]
    fn the_forking_thread_passes_and_others_wait() {
        let lock = Lock::new();
        lock.before_fork();
        drop(lock.take());
        std::thread::scope(|scope| {
            let other = scope.spawn(|| drop(lock.take()));
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!other.is_finished(), "another thread took the lock during fork");
            lock.after_fork_in_parent();
        });
    }
}
