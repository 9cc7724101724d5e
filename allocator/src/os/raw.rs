//! The system calls, each with its arguments made plain. None allocates.

use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::AtomicU32;

use super::{Discard, OS_PAGE_LEAST, Range};

/// What a mapping may be used for.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    /// Address space only.
    None,
    /// Reading and writing.
    ReadWrite,
}

impl Access {
    const fn prot(self) -> i32 {
        match self {
            Access::None => libc::PROT_NONE,
            Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        }
    }
}

fn range_of(start: *mut c_void, len: usize) -> Option<Range> {
    if start == libc::MAP_FAILED {
        return None;
    }
    NonNull::new(start.cast()).map(|start| Range { start, len })
}

/// The size of an OS page in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: getauxval only reads the auxiliary vector.
    let size = unsafe { libc::getauxval(libc::AT_PAGESZ) } as usize;
    if size.is_power_of_two() { size } else { OS_PAGE_LEAST }
}

/// A new private anonymous mapping.
pub(crate) fn map(len: usize, access: Access) -> Option<Range> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let flags = match access {
        Access::None => flags | libc::MAP_NORESERVE,
        Access::ReadWrite => flags,
    };
    // SAFETY: without MAP_FIXED the kernel chooses addresses nobody uses.
    range_of(unsafe { libc::mmap(null_mut(), len, access.prot(), flags, -1, 0) }, len)
}

/// Drops the OS pages of `range` and leaves its address space reserved.
///
/// # Safety
///
/// `range` is whole OS pages of a mapping of the caller's, unused.
pub(crate) unsafe fn decommit(range: Range) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    let start = range.start.as_ptr().cast();
    // SAFETY: the caller owns the range and uses nothing in it.
    let got = unsafe { libc::mmap(start, range.len, libc::PROT_NONE, flags, -1, 0) };
    got != libc::MAP_FAILED
}

/// Makes a reserved range usable.
///
/// # Safety
///
/// `range` is whole OS pages of a mapping of the caller's.
pub(crate) unsafe fn commit(range: Range) -> bool {
    let prot = Access::ReadWrite.prot();
    // SAFETY: the caller owns the range; allowing access harms nobody.
    unsafe { libc::mprotect(range.start.as_ptr().cast(), range.len, prot) == 0 }
}

/// Gives a mapping back.
///
/// # Safety
///
/// As [`super::PageSource::unmap`].
pub(crate) unsafe fn unmap(range: Range) -> bool {
    // SAFETY: the caller owns the range and uses nothing in it.
    unsafe { libc::munmap(range.start.as_ptr().cast(), range.len) == 0 }
}

/// Resizes a mapping.
///
/// # Safety
///
/// As [`super::PageSource::remap`].
pub(crate) unsafe fn remap(range: Range, len: usize, may_move: bool) -> Option<Range> {
    let flags = if may_move { libc::MREMAP_MAYMOVE } else { 0 };
    // SAFETY: the caller owns the mapping and accepts that it moves.
    let start = unsafe { libc::mremap(range.start.as_ptr().cast(), range.len, len, flags) };
    range_of(start, len)
}

/// Lets the kernel take OS pages and keeps the address space.
///
/// # Safety
///
/// As [`super::PageSource::discard`].
pub(crate) unsafe fn discard(range: Range, how: Discard) -> bool {
    let advice = match how {
        Discard::Now => libc::MADV_DONTNEED,
        Discard::Lazily => libc::MADV_FREE,
    };
    // SAFETY: the caller owns the range and uses nothing in it.
    unsafe { libc::madvise(range.start.as_ptr().cast(), range.len, advice) == 0 }
}

/// Asks for huge pages.
pub(crate) fn prefer_huge(range: Range) {
    debug_assert!(range.start.addr().get().is_multiple_of(OS_PAGE_LEAST), "refused by the kernel");
    // SAFETY: a hint, which changes nothing that a program can see.
    unsafe { libc::madvise(range.start.as_ptr().cast(), range.len, libc::MADV_HUGEPAGE) };
}

/// The program break as libc sees it, or `None` if there is none.
pub(crate) fn program_break() -> Option<NonNull<u8>> {
    // SAFETY: sbrk(0) moves nothing.
    let now = unsafe { libc::sbrk(0) };
    range_of(now, 0).map(|range| range.start)
}

/// Moves the program break by `delta` bytes and returns where it was.
///
/// Through libc's `sbrk` and not the bare system call: libc remembers where it
/// believes the break to be, and a foreign `sbrk` after a move behind its back
/// would hand out our memory.
///
/// # Safety
///
/// A negative `delta` releases only memory that the caller owns and uses no more.
pub(crate) unsafe fn move_program_break(delta: isize) -> Option<NonNull<u8>> {
    // SAFETY: growing takes nothing from anybody; for shrinking see the contract.
    let before = unsafe { libc::sbrk(delta) };
    range_of(before, 0).map(|range| range.start)
}

/// The limit on the process's address space in bytes, if it has one.
pub(crate) fn address_space_limit() -> Option<usize> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) } != 0;
    if failed || limit.rlim_cur == libc::RLIM_INFINITY {
        return None;
    }
    usize::try_from(limit.rlim_cur).ok()
}

/// The time since some moment, in milliseconds, as of the kernel's last tick:
/// no system call.
pub(crate) fn coarse_milliseconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the answer. A refusal leaves it at zero.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Writes to stderr; short writes and errors are nobody's concern here.
pub(crate) fn write_stderr(bytes: &[u8]) {
    // SAFETY: the slice is readable for its length.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

/// Ends the process.
pub(crate) fn abort() -> ! {
    // SAFETY: abort takes nothing and does not return.
    unsafe { libc::abort() }
}

/// Sleeps while `word` holds `value`, or until woken; may return early.
pub(crate) fn futex_wait(word: &AtomicU32, value: u32) {
    let no_timeout: *const libc::timespec = core::ptr::null();
    // SAFETY: `word` outlives the call; the kernel only reads it.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            value,
            no_timeout,
        )
    };
}

/// Wakes one thread that sleeps on `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: the address only names the queue.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        )
    };
}

/// What tells this thread from every other; a forked child keeps its parent's.
pub(crate) fn thread_id() -> usize {
    // SAFETY: pthread_self only reads the thread pointer.
    unsafe { libc::pthread_self() as usize }
}

/// Whether glibc says that this thread is the only one, so that an atomic
/// operation, which waits until all that was written before has left the store
/// buffer, is not needed. False where nobody says so.
///
/// As glibc's own malloc we take its word: a thread that a program begins by a
/// bare `clone` must not allocate.
#[inline(always)]
pub(crate) fn is_single_threaded() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
    {
        let flag: *const u8;
        // SAFETY: loads the address of `__libc_single_threaded`, which the
        // linker or loader has filled in: 0 before glibc 2.32.
        unsafe {
            core::arch::asm!(
                ".weak __libc_single_threaded",
                "mov {0}, qword ptr [rip + __libc_single_threaded@GOTPCREL]",
                out(reg) flag,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        // SAFETY: a byte of glibc's, which other threads do not write while
        // it says that there are none.
        !flag.is_null() && unsafe { flag.read_volatile() } != 0
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")))]
    false
}

/// Runs `f` and puts `errno` back to what it was.
pub(crate) fn keeping_errno<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: the location is valid for this thread's lifetime.
    let errno = unsafe { &mut *libc::__errno_location() };
    let before = *errno;
    let result = f();
    *errno = before;
    result
}
