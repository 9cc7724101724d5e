//! A worker with google/tcmalloc linked into it.

mod entry;

use entry::*;

brkpoint_peer_family::link! {
    name: "tcmalloc",
    malloc: TCMallocInternalMalloc,
    calloc: TCMallocInternalCalloc,
    realloc: TCMallocInternalRealloc,
    aligned: |align, size| TCMallocInternalMemalign(align, size),
    free: |block, layout| free(block, layout),
    version: version,
}

/// C's `free_sized` is for blocks of the plain entry points.
#[inline(always)]
unsafe fn free(block: *mut c_void, layout: Layout) {
    match brkpoint_peer_family::global::plain(layout) {
        // SAFETY: the caller's promises; the size is that which was requested.
        true => unsafe { TCMallocInternalFreeSized(block, layout.size()) },
        // SAFETY: the caller's promises.
        false => unsafe { TCMallocInternalFree(block) },
    }
}
