//! google/tcmalloc as a preloadable library.
#![no_std]

mod entry;

use entry::*;

brkpoint_peer_family::export! {
    malloc: TCMallocInternalMalloc,
    calloc: TCMallocInternalCalloc,
    realloc: TCMallocInternalRealloc,
    free: TCMallocInternalFree,
    usable: TCMallocInternalMallocSize,
    aligned: |alignment, size| TCMallocInternalMemalign(alignment, size),
    version: version,
}
