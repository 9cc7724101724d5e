//! A worker with jemalloc linked into it; it reads its options from
//! `_RJEM_MALLOC_CONF`.

mod version;

use tikv_jemalloc_sys as je;

/// The flags that the extended entry points want for `layout`.
#[inline(always)]
fn flags(layout: Layout) -> c_int {
    match brkpoint_peer_family::global::plain(layout) {
        true => 0,
        false => je::MALLOCX_ALIGN(layout.align()),
    }
}

brkpoint_peer_family::link! {
    name: "jemalloc",
    malloc: je::malloc,
    calloc: je::calloc,
    realloc: je::realloc,
    aligned: |align, size| je::mallocx(size, je::MALLOCX_ALIGN(align)),
    free: |block, layout| je::sdallocx(block, layout.size(), flags(layout)),
    version: version::version,
}
