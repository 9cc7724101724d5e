//! What the C library tells us: that a thread ends, that the process forks.

use core::ffi::{CStr, c_void};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use core::{mem, ptr};

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
    LIBC.find();
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

/// What glibc has for fork, where it has it (it need not be glibc).
struct Libc {
    /// `_IO_list_lock`, `_IO_list_unlock`: recursive; fork takes it after our hook.
    lock_streams: AtomicPtr<c_void>,
    unlock_streams: AtomicPtr<c_void>,
    /// `__libc_single_threaded`, a `char` (glibc 2.32).
    single_threaded: AtomicPtr<c_void>,
}

static LIBC: Libc = Libc {
    lock_streams: AtomicPtr::new(ptr::null_mut()),
    unlock_streams: AtomicPtr::new(ptr::null_mut()),
    single_threaded: AtomicPtr::new(ptr::null_mut()),
};

/// `before_fork` took the locks. Written only by who has all of them.
static LOCKED: AtomicBool = AtomicBool::new(false);

impl Libc {
    /// Looks the symbols up. May allocate.
    fn find(&self) {
        // SAFETY: names that end in NUL; any object may be searched.
        let symbol = |name: &CStr| unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        let (lock, unlock) = (symbol(c"_IO_list_lock"), symbol(c"_IO_list_unlock"));
        if !lock.is_null() && !unlock.is_null() {
            self.unlock_streams.store(unlock, Ordering::Relaxed);
            self.lock_streams.store(lock, Ordering::Relaxed);
        }
        self.single_threaded.store(symbol(c"__libc_single_threaded"), Ordering::Relaxed);
    }

    fn is_single_threaded(&self) -> bool {
        let flag = self.single_threaded.load(Ordering::Relaxed).cast::<u8>();
        // SAFETY: glibc's variable, a byte that lives as long as the process
        // (sys/single_threaded.h); volatile, since glibc changes it.
        !flag.is_null() && unsafe { flag.read_volatile() } != 0
    }

    fn call(function: &AtomicPtr<c_void>) {
        let function = function.load(Ordering::Relaxed);
        if !function.is_null() {
            // SAFETY: `find` stores only the address of a function of glibc
            // that takes nothing and returns nothing.
            unsafe { mem::transmute::<*mut c_void, extern "C" fn()>(function)() };
        }
    }
}

/// Takes every lock, so that the child finds the heap at rest.
extern "C" fn before_fork() {
    // A program of one thread may fork in a signal handler that interrupted us
    // with a lock held; that thread goes on in the child, too.
    if LIBC.is_single_threaded() {
        return;
    }
    // Before ours, as fork takes it after them: somebody may hold it and wait
    // for a stream, whose holder waits for us.
    Libc::call(&LIBC.lock_streams);
    // The heap's first: who has it may want another.
    PROCESS.lock.before_fork();
    DEPOT.locks().for_each(crate::lock::Lock::before_fork);
    LOCKED.store(true, Ordering::Relaxed);
}

extern "C" fn after_fork_in_parent() {
    if !LOCKED.load(Ordering::Relaxed) {
        return;
    }
    LOCKED.store(false, Ordering::Relaxed);
    DEPOT.locks().for_each(crate::lock::Lock::after_fork_in_parent);
    PROCESS.lock.after_fork_in_parent();
    Libc::call(&LIBC.unlock_streams);
}

extern "C" fn after_fork_in_child() {
    if !LOCKED.load(Ordering::Relaxed) {
        return;
    }
    LOCKED.store(false, Ordering::Relaxed);
    DEPOT.locks().for_each(crate::lock::Lock::after_fork_in_child);
    PROCESS.lock.after_fork_in_child();
    // The lock of the streams' list is new here: fork has seen to that. The
    // threads that had the other caches do not exist here.
    Brkpoint::new().orphan_caches_but(thread::cache());
}
