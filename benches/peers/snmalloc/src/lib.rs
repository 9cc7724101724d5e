//! snmalloc as a preloadable library.
#![no_std]

use snmalloc_sys as sn;

unsafe extern "C" {
    /// Exported by the crate's C++, but not declared in its Rust.
    fn sn_memalign(alignment: usize, size: usize) -> *mut c_void;
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
fn version() -> *const c_char {
    concat!(env!("ENGINE_VERSION"), "\0").as_ptr().cast()
}

brkpoint_peer_family::export! {
    malloc: sn::sn_malloc,
    calloc: sn::sn_calloc,
    realloc: sn::sn_realloc,
    free: sn::sn_free,
    usable: sn::sn_malloc_usable_size,
    aligned: |alignment, size| sn_memalign(alignment, size),
    version: version,
}
