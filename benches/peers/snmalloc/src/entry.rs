//! What snmalloc needs and its crate does not declare, for the library and for the
//! worker.
#![allow(dead_code, reason = "each uses its share")]

use core::ffi::{c_char, c_int, c_void};

unsafe extern "C" {
    /// Exported by the crate's C++, but not declared in its Rust.
    pub fn sn_memalign(alignment: usize, size: usize) -> *mut c_void;
}

unsafe extern "C" {
    fn __cxa_thread_atexit_impl(
        destructor: extern "C" fn(*mut c_void),
        object: *mut c_void,
        library: *mut c_void,
    ) -> c_int;
}

/// All that snmalloc wants of the C++ library, which passes it on to the C
/// library just so: without this, every process would load libstdc++ for it.
///
/// # Safety
/// As the C++ ABI has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __cxa_thread_atexit(
    destructor: extern "C" fn(*mut c_void),
    object: *mut c_void,
    library: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promises are the same.
    unsafe { __cxa_thread_atexit_impl(destructor, object, library) }
}

/// snmalloc has no version symbol: that of the crate which bundles it.
pub fn version() -> *const c_char {
    concat!(env!("ENGINE_VERSION"), "\0").as_ptr().cast()
}
