//! Which cache is this thread's: one word of thread-local memory, which is
//! never null.
//!
//! On x86-64 Linux it is read in the initial-exec model, two instructions and
//! no call; elsewhere it is a pthread key's value.

use super::Cache;

/// What a thread has before its first request, and without thread caches.
pub(crate) static EMPTY: Cache = Cache::none();
/// What a thread has that is ending, or cannot have a cache.
pub(crate) static GONE: Cache = Cache::none();

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod word {
    use core::arch::{asm, global_asm};

    use super::{Cache, EMPTY};

    // Initialised, so that no thread needs a test for null.
    global_asm!(
        ".pushsection .tdata.brkpoint_thread_cache,\"awT\",@progbits",
        ".p2align 3",
        ".globl brkpoint_thread_cache",
        ".hidden brkpoint_thread_cache",
        ".type brkpoint_thread_cache, @object",
        ".size brkpoint_thread_cache, 8",
        "brkpoint_thread_cache:",
        ".quad {empty}",
        ".popsection",
        empty = sym EMPTY,
    );

    #[inline(always)]
    pub(super) fn get() -> *const Cache {
        let cache;
        // SAFETY: loads the word's distance from the thread pointer, which the
        // linker or loader has filled in, and then the word.
        unsafe {
            asm!(
                "mov {0}, qword ptr [rip + brkpoint_thread_cache@GOTTPOFF]",
                "mov {0}, qword ptr fs:[{0}]",
                out(reg) cache,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        cache
    }

    pub(super) fn set(cache: *const Cache) {
        // SAFETY: as in `get`; the word is this thread's own.
        unsafe {
            asm!(
                "mov {0}, qword ptr [rip + brkpoint_thread_cache@GOTTPOFF]",
                "mov qword ptr fs:[{0}], {1}",
                out(reg) _,
                in(reg) cache,
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod word {
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::{Cache, EMPTY};

    /// The key and a mark that there is one.
    static KEY: AtomicU64 = AtomicU64::new(0);
    const MADE: u64 = 1 << 63;

    fn key() -> Option<libc::pthread_key_t> {
        match KEY.load(Ordering::Acquire) {
            0 => None,
            key => Some((key & !MADE) as libc::pthread_key_t),
        }
    }

    pub(super) fn get() -> *const Cache {
        let Some(key) = key() else { return &raw const EMPTY };
        // SAFETY: a key of our own making.
        let cache = unsafe { libc::pthread_getspecific(key) };
        if cache.is_null() { &raw const EMPTY } else { cache.cast() }
    }

    pub(super) fn set(cache: *const Cache) {
        if key().is_none() {
            let mut new = 0;
            // SAFETY: a valid place for the key.
            if unsafe { libc::pthread_key_create(&mut new, None) } != 0 {
                return;
            }
            let made = u64::from(new) | MADE;
            if KEY.compare_exchange(0, made, Ordering::Release, Ordering::Relaxed).is_err() {
                // SAFETY: a key that nobody else has seen.
                unsafe { libc::pthread_key_delete(new) };
            }
        }
        if let Some(key) = key() {
            // SAFETY: a key of our own making. A refusal leaves the thread
            // without a cache.
            unsafe { libc::pthread_setspecific(key, cache.cast()) };
        }
    }
}

/// This thread's cache; it, [`EMPTY`] or [`GONE`].
#[inline(always)]
pub(crate) fn cache() -> &'static Cache {
    // SAFETY: never null, and caches stay for ever.
    unsafe { &*word::get() }
}

/// Gives this thread a cache.
pub(crate) fn set_cache(cache: &'static Cache) {
    word::set(cache);
}
