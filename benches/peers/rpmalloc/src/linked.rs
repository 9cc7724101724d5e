//! A worker with rpmalloc linked into it.

mod entry;

use entry::*;

brkpoint_peer_family::link! {
    name: "rpmalloc",
    malloc: rpmalloc,
    calloc: rpcalloc,
    realloc: rprealloc,
    aligned: |align, size| rpmemalign(align, size),
    free: |block, _layout| rpfree(block),
    version: version,
}
