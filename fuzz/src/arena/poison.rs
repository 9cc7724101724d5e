//! AddressSanitizer's own marks on memory; without it, nothing.

use std::ptr::NonNull;

#[cfg(feature = "asan")]
unsafe extern "C" {
    fn __asan_poison_memory_region(start: *const std::ffi::c_void, len: usize);
    fn __asan_unpoison_memory_region(start: *const std::ffi::c_void, len: usize);
}

/// Has any access to the range reported.
pub(super) fn poison(start: NonNull<u8>, len: usize) {
    #[cfg(feature = "asan")]
    // SAFETY: only changes the sanitizer's own record of the arena's memory.
    unsafe {
        __asan_poison_memory_region(start.as_ptr().cast(), len);
    }
    let _ = (start, len);
}

/// Allows access again.
pub(super) fn unpoison(start: NonNull<u8>, len: usize) {
    #[cfg(feature = "asan")]
    // SAFETY: as above.
    unsafe {
        __asan_unpoison_memory_region(start.as_ptr().cast(), len);
    }
    let _ = (start, len);
}
