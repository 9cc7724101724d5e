//! tcmalloc's entry points and its version, for the library and for the worker.
#![allow(dead_code, reason = "each uses its share")]

use core::ffi::{c_char, c_void};

// Linked for its C++; its Rust declares only what Rust's allocator trait needs.
use libtcmalloc_sys as _;

unsafe extern "C" {
    pub fn TCMallocInternalMalloc(size: usize) -> *mut c_void;
    pub fn TCMallocInternalCalloc(count: usize, size: usize) -> *mut c_void;
    pub fn TCMallocInternalRealloc(block: *mut c_void, size: usize) -> *mut c_void;
    pub fn TCMallocInternalFree(block: *mut c_void);
    pub fn TCMallocInternalFreeSized(block: *mut c_void, size: usize);
    pub fn TCMallocInternalMallocSize(block: *mut c_void) -> usize;
    pub fn TCMallocInternalMemalign(alignment: usize, size: usize) -> *mut c_void;
}

/// The project has no releases: the crate that bundles it names the state.
pub fn version() -> *const c_char {
    concat!(env!("ENGINE_VERSION"), "\0").as_ptr().cast()
}
