//! What the C library promises to check, whatever the allocator does.

use core::ffi::{c_int, c_void};
use core::ptr;

/// No object may be larger than `PTRDIFF_MAX`.
#[inline(always)]
pub fn too_big(size: usize) -> bool {
    size > isize::MAX as usize
}

/// The bytes of `count` elements of `size`, unless that is [`too_big`].
#[inline(always)]
pub fn product(count: usize, size: usize) -> Option<usize> {
    count.checked_mul(size).filter(|&bytes| !too_big(bytes))
}

/// Null, with `errno` ENOMEM.
#[cold]
pub fn out_of_memory() -> *mut c_void {
    set_errno(libc::ENOMEM);
    ptr::null_mut()
}

/// Null, with `errno` EINVAL.
#[cold]
pub fn invalid() -> *mut c_void {
    set_errno(libc::EINVAL);
    ptr::null_mut()
}

/// The size of an OS page in bytes.
pub fn os_page() -> usize {
    // SAFETY: sysconf takes any name, and this one always has an answer.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Sets this thread's `errno`.
fn set_errno(value: c_int) {
    // SAFETY: the location is this thread's and always valid.
    unsafe { *libc::__errno_location() = value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_stop_at_the_largest_object() {
        assert_eq!(product(3, 5), Some(15));
        assert_eq!(product(0, usize::MAX), Some(0));
        assert_eq!(product(1, isize::MAX as usize), Some(isize::MAX as usize));
        assert_eq!(product(2, usize::MAX / 4 + 1), None);
        assert_eq!(product(usize::MAX, 2), None);
    }

    fn errno() -> c_int {
        // SAFETY: the location is this thread's and always valid.
        unsafe { *libc::__errno_location() }
    }

    #[test]
    fn failures_set_errno() {
        assert!(out_of_memory().is_null());
        assert_eq!(errno(), libc::ENOMEM);
        assert!(invalid().is_null());
        assert_eq!(errno(), libc::EINVAL);
    }
}
