//! A worker with mimalloc linked into it; it reads its options from `MIMALLOC_*`.

mod entry;

use entry::*;

brkpoint_peer_family::link! {
    name: "mimalloc",
    malloc: mi_malloc,
    calloc: mi_calloc,
    realloc: mi_realloc,
    aligned: |align, size| mi_memalign(align, size),
    // Its functions that are told the size only assert that it is right.
    free: |block, _layout| mi_free(block),
    version: version,
}
