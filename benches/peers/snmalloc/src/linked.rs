//! A worker with snmalloc linked into it.

mod entry;

use entry::version;
use snmalloc_sys as sn;

brkpoint_peer_family::link! {
    name: "snmalloc",
    malloc: sn::sn_malloc,
    calloc: sn::sn_calloc,
    realloc: sn::sn_realloc,
    aligned: |align, size| sn::sn_rust_alloc(align, size),
    // Told the size, it only checks that it is right.
    free: |block, _layout| sn::sn_free(block),
    version: version,
}
