//! The C malloc family over `brkpoint-allocator`, for `LD_PRELOAD`.
//!
//! - this file: allocation proper, with the errno rules of glibc's manual
//! - [`tuning`]: `mallopt`, `malloc_trim` and the statistics
//! - [`proof`]: how a process tells which allocator it runs on
//!
//! A library of its own that nobody links: these symbols replace a process's
//! malloc wherever they occur.
#![no_std]

use core::ffi::{c_int, c_void};
use core::ptr::{NonNull, null_mut};

use brkpoint_allocator::{BreakSource, Brkpoint, Config, GRAIN};

pub mod proof;
pub mod tuning;

/// Preloaded, the heap is the process's malloc: the program break is its own.
static MALLOC: Brkpoint =
    Brkpoint::with_config(Config { break_source: BreakSource::Program, ..Config::DEFAULT });

/// Runs while the library is loaded, before any thread exists.
#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn() = {
    extern "C" fn on_load() {
        Brkpoint::survive_fork();
    }
    on_load
};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: abort takes no arguments and does not return.
    unsafe { libc::abort() }
}

fn set_errno(error: c_int) {
    // SAFETY: the location is valid for this thread's lifetime.
    unsafe { *libc::__errno_location() = error };
}

/// The block's address, or null and ENOMEM.
fn or_enomem(block: Option<NonNull<u8>>) -> *mut c_void {
    match block {
        Some(block) => block.as_ptr().cast(),
        None => {
            set_errno(libc::ENOMEM);
            null_mut()
        }
    }
}

fn allocate(size: usize, align: usize) -> Option<NonNull<u8>> {
    MALLOC.allocate(size, align).map(|block| block.start)
}

fn page_size() -> usize {
    // SAFETY: sysconf only reads.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// `malloc(3)`: null and ENOMEM if there is no memory; of 0 bytes, a block of
/// its own.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    // Apart, so that the common case has nothing to save and restore.
    #[cold]
    #[inline(never)]
    extern "C" fn otherwise(size: usize) -> *mut c_void {
        or_enomem(allocate(size, GRAIN))
    }
    match MALLOC.allocate_cached(size) {
        Some(block) => block.as_ptr().cast(),
        None => otherwise(size),
    }
}

/// `free(3)`: keeps errno, as [`Brkpoint::free`] does.
///
/// # Safety
///
/// `block` is null or a live block, which nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    let Some(block) = NonNull::new(block.cast()) else {
        return;
    };
    // SAFETY: by contract.
    unsafe { MALLOC.free(block) };
}

/// `calloc(3)`: a product that overflows is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let bytes = count.checked_mul(size);
    or_enomem(bytes.and_then(|bytes| MALLOC.allocate_zeroed(bytes, GRAIN)))
}

/// `realloc(3)`: of null it is malloc, to 0 bytes it is free and null.
///
/// # Safety
///
/// `block` is null or a live block; once resized, nobody uses the old pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { resize(block, size) }
}

/// What [`realloc`] does: no exported function calls another one, which in a library
/// that was opened and not preloaded is the program's.
///
/// # Safety
///
/// As [`realloc`].
#[inline(always)]
unsafe fn resize(block: *mut c_void, size: usize) -> *mut c_void {
    let Some(live) = NonNull::new(block.cast()) else {
        return or_enomem(allocate(size, GRAIN));
    };
    if size == 0 {
        // SAFETY: by contract.
        unsafe { MALLOC.free(live) };
        return null_mut();
    }
    // SAFETY: by contract.
    or_enomem(unsafe { MALLOC.reallocate(live, size, GRAIN) })
}

/// `reallocarray(3)`: a product that overflows is no memory, and nothing is freed.
///
/// # Safety
///
/// As [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(
    block: *mut c_void,
    count: usize,
    size: usize,
) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: by contract.
        Some(bytes) => unsafe { resize(block, bytes) },
        None => or_enomem(None),
    }
}

/// `posix_memalign(3)`: gives EINVAL or ENOMEM, and leaves errno alone.
///
/// # Safety
///
/// `result` is a valid place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(
    result: *mut *mut c_void,
    align: usize,
    size: usize,
) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut c_void>() {
        return libc::EINVAL;
    }
    // SAFETY: the location is valid for this thread's lifetime.
    let errno = unsafe { *libc::__errno_location() };
    let block = allocate(size, align);
    set_errno(errno);
    match block {
        Some(block) => {
            // SAFETY: by contract.
            unsafe { *result = block.as_ptr().cast() };
            0
        }
        None => libc::ENOMEM,
    }
}

/// `memalign(3)`: as glibc, an alignment that is no power of two is raised to one.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => or_enomem(allocate(size, align)),
        None => {
            set_errno(libc::EINVAL);
            null_mut()
        }
    }
}

/// `aligned_alloc(3)`: null and EINVAL if the alignment is no power of two.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if !align.is_power_of_two() {
        set_errno(libc::EINVAL);
        return null_mut();
    }
    or_enomem(allocate(size, align))
}

/// `valloc(3)`: aligned to an OS page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    or_enomem(allocate(size, page_size()))
}

/// `pvalloc(3)`: whole OS pages.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let page = page_size();
    let whole = size.checked_next_multiple_of(page);
    or_enomem(whole.and_then(|size| allocate(size, page)))
}

/// `malloc_usable_size(3)`: 0 of null.
///
/// # Safety
///
/// `block` is null or a live block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    match NonNull::new(block.cast()) {
        // SAFETY: by contract.
        Some(block) => unsafe { MALLOC.usable_size(block) },
        None => 0,
    }
}
