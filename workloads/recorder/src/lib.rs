//! Records what a program asks of its allocator: preloaded, it stands in front of
//! the malloc family, passes each call on, and writes it down.
//!
//! - this file: the functions; a free is stamped before its call and an allocation
//!   after, so that by the stamps an address is free before it is handed out again
//! - `real`: the functions behind these
//! - `pen`: where a thread writes: 16 bytes of a shared mapping of its own file,
//!   taken by one instruction, so that a signal's handler may write in between
//! - `page`: how it gets the next stretch of that file, rarely
//! - `residence`: how much of large blocks is resident when they go
//! - `image`: what is noted of a program, at its start and in a forked child
//! - `system`: system calls that leave `errno` alone
//! - `raw`: the layout of the files; `packed`: entries in fewer bytes
//!
//! It takes no lock and allocates nothing through the functions that it records.
#![no_std]

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("the recorder reads the time stamp counter of x86-64, and is for Linux");

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

use raw::{CALLOC, FREE, MALLOC, REFUSED};

mod image;
#[path = "../../src/trace/packed.rs"]
#[allow(dead_code, reason = "the reader of the files includes it too")]
mod packed;
mod page;
mod pen;
#[path = "../../src/trace/raw.rs"]
#[allow(dead_code, reason = "the reader of the files includes it too")]
mod raw;
mod real;
mod residence;
mod system;

/// Runs while the library is loaded: what was allocated before is written too,
/// since the first call begins the recording.
#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn() = {
    extern "C" fn on_load() {
        page::begin();
    }
    on_load
};

/// Runs when the program ends in good order.
#[used]
#[unsafe(link_section = ".fini_array")]
static ON_END: extern "C" fn() = {
    extern "C" fn on_end() {
        page::end();
    }
    on_end
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

/// Makes a call of a function behind ours.
#[inline(always)]
fn inside<T>(call: impl FnOnce() -> T) -> T {
    let _inside = pen::Inside::enter();
    call()
}

/// Writes an allocation down that has just returned.
#[inline(always)]
fn allocated(kind: u64, block: *mut c_void, size: usize) -> *mut c_void {
    if block.is_null() {
        pen::write(REFUSED, 0, size, pen::stamp());
    } else {
        residence::note(block.addr(), size);
        pen::write(kind, block.addr(), size, pen::stamp());
    }
    block
}

/// The same, of an alignment.
fn aligned(block: *mut c_void, size: usize, align: usize) -> *mut c_void {
    if block.is_null() {
        pen::write(REFUSED, 0, size, pen::stamp());
    } else {
        residence::note(block.addr(), size);
        pen::write_aligned(block.addr(), size, align, pen::stamp());
    }
    block
}

/// `malloc(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    let block = inside(|| real::malloc(size));
    allocated(MALLOC, block, size)
}

/// `free(3)`.
///
/// # Safety
///
/// As of the function behind it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    if block.is_null() || real::is_ours(block) {
        return;
    }
    pen::write(FREE, block.addr(), residence::of(block), pen::stamp());
    if pen::nobody_asks() {
        // Nothing is left to be done: it is a jump.
        // SAFETY: by contract.
        return unsafe { real::free(block) };
    }
    // SAFETY: by contract.
    inside(|| unsafe { real::free(block) });
}

/// `calloc(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let block = inside(|| real::calloc(count, size));
    allocated(CALLOC, block, count.saturating_mul(size))
}

/// `realloc(3)`.
///
/// # Safety
///
/// As of the function behind it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    if block.is_null() {
        return malloc(size);
    }
    if real::is_ours(block) {
        return real::moved_out(block, malloc(size), size);
    }
    let there = residence::of_resized(block, size);
    let before = pen::stamp();
    // SAFETY: by contract.
    let new = inside(|| unsafe { real::realloc(block, size) });
    if !new.is_null() {
        residence::note(new.addr(), size);
        pen::write_resize(block.addr(), there, before, new.addr(), size);
    } else if size == 0 {
        pen::write(FREE, block.addr(), there, before);
    } else {
        pen::write(REFUSED, 0, size, before);
    }
    new
}

/// `reallocarray(3)`.
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
        Some(bytes) => unsafe { realloc(block, bytes) },
        None => {
            set_errno(libc::ENOMEM);
            null_mut()
        }
    }
}

/// `posix_memalign(3)`.
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
    // SAFETY: by contract.
    let error = inside(|| unsafe { real::posix_memalign(result, align, size) });
    if error == 0 {
        // SAFETY: it has just been written.
        aligned(unsafe { *result }, size, align);
    } else if error == libc::ENOMEM {
        aligned(null_mut(), size, align);
    }
    error
}

/// `memalign(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    aligned(inside(|| real::memalign(align, size)), size, align)
}

/// `aligned_alloc(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    aligned(inside(|| real::aligned_alloc(align, size)), size, align)
}

/// `valloc(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    aligned(inside(|| real::memalign(system::OS_PAGE, size)), size, system::OS_PAGE)
}

/// `pvalloc(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let Some(size) = size.checked_next_multiple_of(system::OS_PAGE) else {
        set_errno(libc::ENOMEM);
        return null_mut();
    };
    valloc(size)
}
