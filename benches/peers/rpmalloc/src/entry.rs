//! rpmalloc's entry points, its wrapper of `pthread_create` and its version, for
//! the library and for the worker.
//!
//! Each of its threads has a heap of its own, and nothing gives that back unless
//! told that the thread ends: its preload build wraps `pthread_create` for that.
#![allow(dead_code, reason = "each uses its share")]

use core::ffi::{c_char, c_int, c_void};

#[link(name = "rpmalloc", kind = "static")]
unsafe extern "C" {
    pub fn rpmalloc(size: usize) -> *mut c_void;
    pub fn rpcalloc(count: usize, size: usize) -> *mut c_void;
    pub fn rprealloc(block: *mut c_void, size: usize) -> *mut c_void;
    pub fn rpfree(block: *mut c_void);
    pub fn rpmalloc_usable_size(block: *mut c_void) -> usize;
    pub fn rpmemalign(alignment: usize, size: usize) -> *mut c_void;
    pub fn rp_pthread_create(
        thread: *mut libc::pthread_t,
        attributes: *const libc::pthread_attr_t,
        start: extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ) -> c_int;
}

/// `pthread_create(3)`, through rpmalloc's wrapper.
///
/// # Safety
/// As C has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: the C caller's promises.
    unsafe { rp_pthread_create(thread, attributes, start, argument) }
}

/// rpmalloc has no version symbol: the release its change log opens with.
pub fn version() -> *const c_char {
    concat!(env!("ENGINE_VERSION"), "\0").as_ptr().cast()
}
