//! google/tcmalloc as a preloadable library.
#![no_std]

// Linked for its C++; its Rust declares only what Rust's allocator trait needs.
use libtcmalloc_sys as _;

unsafe extern "C" {
    fn TCMallocInternalMalloc(size: usize) -> *mut c_void;
    fn TCMallocInternalCalloc(count: usize, size: usize) -> *mut c_void;
    fn TCMallocInternalRealloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn TCMallocInternalFree(block: *mut c_void);
    fn TCMallocInternalMallocSize(block: *mut c_void) -> usize;
    fn TCMallocInternalMemalign(alignment: usize, size: usize) -> *mut c_void;
}

/// The project has no releases: the crate that bundles it names the state.
fn version() -> *const c_char {
    concat!(env!("ENGINE_VERSION"), "\0").as_ptr().cast()
}

brkpoint_peer_family::export! {
    malloc: TCMallocInternalMalloc,
    calloc: TCMallocInternalCalloc,
    realloc: TCMallocInternalRealloc,
    free: TCMallocInternalFree,
    usable: TCMallocInternalMallocSize,
    aligned: |alignment, size| TCMallocInternalMemalign(alignment, size),
    version: version,
}
