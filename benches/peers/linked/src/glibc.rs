//! A worker on the C library's allocator, Rust's default here.

use std::alloc::System;
use std::ffi::CStr;
use std::process::ExitCode;

use brkpoint_worker::Inside;

#[global_allocator]
static HEAP: System = System;

fn main() -> ExitCode {
    let version = || {
        // SAFETY: it takes nothing and returns a string that lives for ever.
        let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
        version.to_string_lossy().into_owned()
    };
    let inside = Inside { usable_size: Some(usable_size), accounts: None };
    brkpoint_worker::linked_main_telling("glibc", version, inside)
}

fn usable_size(block: *mut u8) -> usize {
    // SAFETY: the worker asks of live blocks of the global allocator, which is malloc.
    unsafe { libc::malloc_usable_size(block.cast()) }
}
