//! mimalloc as a preloadable library; it reads its options from `MIMALLOC_*`.
#![no_std]

use brkpoint_peer_family::version::Version;

#[link(name = "mimalloc", kind = "static")]
unsafe extern "C" {
    fn mi_malloc(size: usize) -> *mut c_void;
    fn mi_calloc(count: usize, size: usize) -> *mut c_void;
    fn mi_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn mi_free(block: *mut c_void);
    fn mi_usable_size(block: *const c_void) -> usize;
    fn mi_memalign(alignment: usize, size: usize) -> *mut c_void;
    fn mi_version() -> c_int;
}

unsafe fn usable(block: *mut c_void) -> usize {
    // SAFETY: the same contract; mimalloc only asks for a const pointer.
    unsafe { mi_usable_size(block) }
}

/// `30602` as `3.6.2`: two digits each for minor and patch.
fn version() -> *const c_char {
    static VERSION: Version = Version::new();
    // SAFETY: mi_version takes nothing and returns a constant.
    let number = unsafe { mi_version() }.unsigned_abs();
    let digit = |value: u32| b'0' + (value % 10) as u8;
    let part = move |value: u32| {
        let tens = (value >= 10).then(|| digit(value / 10));
        tens.into_iter().chain([digit(value)])
    };
    let minor = part(number / 100 % 100);
    VERSION
        .set(part(number / 10_000).chain(*b".").chain(minor).chain(*b".").chain(part(number % 100)))
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
