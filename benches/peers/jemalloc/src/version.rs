//! The version of jemalloc, for the library and for the worker.

use core::ffi::{CStr, c_char};
use core::ptr;

use brkpoint_peer_family::version::Version;
use tikv_jemalloc_sys as je;

/// jemalloc's own answer, without the commit behind the dash: `5.3.1`.
pub fn version() -> *const c_char {
    static VERSION: Version = Version::new();
    let mut text: *const c_char = c"unknown".as_ptr();
    let mut length = size_of_val(&text);
    // SAFETY: "version" reads a pointer to a string that lives forever, and
    // `length` bytes are there for it; on failure `text` keeps its value.
    let text = unsafe {
        je::mallctl(
            c"version".as_ptr(),
            ptr::from_mut(&mut text).cast(),
            &mut length,
            ptr::null_mut(),
            0,
        );
        CStr::from_ptr(text)
    };
    VERSION.set(text.to_bytes().iter().copied().take_while(|&byte| byte != b'-'))
}
