//! snmalloc as a preloadable library.
#![no_std]

mod entry;

use entry::{sn_memalign, version};
use snmalloc_sys as sn;

brkpoint_peer_family::export! {
    malloc: sn::sn_malloc,
    calloc: sn::sn_calloc,
    realloc: sn::sn_realloc,
    free: sn::sn_free,
    usable: sn::sn_malloc_usable_size,
    aligned: |alignment, size| sn_memalign(alignment, size),
    version: version,
}
