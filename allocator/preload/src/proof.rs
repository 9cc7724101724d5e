//! How a process tells, from inside, which allocator it runs on.

use core::ffi::{c_char, c_void};

use crate::MALLOC;
use crate::tuning::Text;

/// The version, as a NUL-terminated string. That the symbol is there proves
/// that the library is loaded; that `malloc` lies in the same object
/// (`dladdr`) proves that it is in use.
#[unsafe(no_mangle)]
pub extern "C" fn brkpoint_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Writes the settings in force, one `NAME=value` line each, NUL-terminated
/// and cut off at `len` bytes. Returns how long the text is without the NUL,
/// so that a result of `len` or more says that it was cut off.
///
/// # Safety
///
/// `buffer` is writable for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brkpoint_settings(buffer: *mut c_char, len: usize) -> usize {
    // SAFETY: by contract.
    unsafe { give(&Text::of(format_args!("{}", MALLOC.config())), buffer, len) }
}

/// As [`brkpoint_settings`], for the accounts of the heap.
///
/// # Safety
///
/// `buffer` is writable for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brkpoint_stats(buffer: *mut c_char, len: usize) -> usize {
    // SAFETY: by contract.
    unsafe { give(&Text::of(format_args!("{}", MALLOC.stats())), buffer, len) }
}

/// Tells `each` the address and the usable bytes of every block that caches keep, and
/// `context`. Exact while no other thread allocates or frees.
///
/// # Safety
///
/// `each` neither allocates nor frees, and does not unwind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brkpoint_cached(
    each: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
    context: *mut c_void,
) {
    // SAFETY: by contract; the block is not touched.
    MALLOC.cached(|block, size| unsafe { each(context, block.cast(), size) });
}

/// Verifies every invariant of the heap: 0 if all hold. For tests.
#[unsafe(no_mangle)]
pub extern "C" fn brkpoint_check() -> core::ffi::c_int {
    core::ffi::c_int::from(MALLOC.check().is_err())
}

/// # Safety
///
/// `buffer` is writable for `len` bytes.
unsafe fn give(text: &Text, buffer: *mut c_char, len: usize) -> usize {
    let bytes = text.as_bytes();
    if let Some(room) = len.checked_sub(1) {
        let count = bytes.len().min(room);
        // SAFETY: `count + 1 <= len` bytes are writable by contract.
        unsafe {
            buffer.copy_from_nonoverlapping(bytes.as_ptr().cast(), count);
            *buffer.add(count) = 0;
        }
    }
    bytes.len()
}
