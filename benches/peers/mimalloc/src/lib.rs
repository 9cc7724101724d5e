//! mimalloc as a preloadable library; it reads its options from `MIMALLOC_*`.
#![no_std]

mod entry;

use entry::*;

unsafe fn usable(block: *mut c_void) -> usize {
    // SAFETY: the same contract; mimalloc only asks for a const pointer.
    unsafe { mi_usable_size(block) }
}

brkpoint_peer_family::export! {
    malloc: mi_malloc,
    calloc: mi_calloc,
    realloc: mi_realloc,
    free: mi_free,
    usable: usable,
    aligned: |alignment, size| mi_memalign(alignment, size),
    version: version,
}
