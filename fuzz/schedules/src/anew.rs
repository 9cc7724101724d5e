//! Becomes part of the allocator's `process`: a heap for each schedule.

use super::{Brkpoint, Front, Lock, Locked, PROCESS, Process, UnsafeCell};
use crate::subject::Staged;

impl Brkpoint {
    /// What the source of OS pages has noticed so far.
    pub fn fault(&self) -> Option<String> {
        self.with(|heap| {
            heap.source_mut().verify();
            heap.source().fault().map(str::to_owned)
        })
    }

    /// Forgets the heap: the next request makes another one. What the depot
    /// still has is not forgotten.
    ///
    /// # Safety
    ///
    /// Nobody is in the heap, has a block of it, or has a cache.
    pub unsafe fn forget() {
        let new = Process {
            front: Front::new(),
            lock: Lock::new(),
            locked: UnsafeCell::new(Locked { heap: None, caches: None }),
        };
        // SAFETY: nobody uses it; it consists of cells and atomics, so that it
        // lies where it can be written to.
        drop(unsafe { (&raw const PROCESS).cast_mut().replace(new) });
    }
}
