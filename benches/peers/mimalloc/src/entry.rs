//! mimalloc's entry points and its version, for the library and for the worker.
#![allow(dead_code, reason = "each uses its share")]

use core::ffi::{c_char, c_int, c_void};

use brkpoint_peer_family::version::Version;

#[link(name = "mimalloc", kind = "static")]
unsafe extern "C" {
    pub fn mi_malloc(size: usize) -> *mut c_void;
    pub fn mi_calloc(count: usize, size: usize) -> *mut c_void;
    pub fn mi_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    pub fn mi_free(block: *mut c_void);
    pub fn mi_usable_size(block: *const c_void) -> usize;
    pub fn mi_memalign(alignment: usize, size: usize) -> *mut c_void;
    pub fn mi_version() -> c_int;
}

/// `30602` as `3.6.2`: two digits each for minor and patch.
pub fn version() -> *const c_char {
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
