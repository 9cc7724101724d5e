//! jemalloc as a preloadable library; it reads its options from
//! `_RJEM_MALLOC_CONF`.
#![no_std]

mod version;

use tikv_jemalloc_sys as je;

brkpoint_peer_family::export! {
    malloc: je::malloc,
    calloc: je::calloc,
    realloc: je::realloc,
    free: je::free,
    usable: je::malloc_usable_size,
    aligned: |alignment, size| je::aligned_alloc(alignment, size),
    version: version::version,
}
