//! A worker on the C library's allocator, Rust's default here.

use std::alloc::System;
use std::ffi::CStr;
use std::process::ExitCode;

#[global_allocator]
static HEAP: System = System;

fn main() -> ExitCode {
    brkpoint_worker::linked_main("glibc", || {
        // SAFETY: it takes nothing and returns a string that lives for ever.
        let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
        version.to_string_lossy().into_owned()
    })
}
