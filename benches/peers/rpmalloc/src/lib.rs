//! rpmalloc as a preloadable library.
#![no_std]

mod entry;

use entry::*;

brkpoint_peer_family::export! {
    malloc: rpmalloc,
    calloc: rpcalloc,
    realloc: rprealloc,
    free: rpfree,
    usable: rpmalloc_usable_size,
    aligned: |alignment, size| rpmemalign(alignment, size),
    version: version,
}
