//! The library of the repository that the tests of the gate make: the malloc family,
//! handed on to glibc's. `waste` is what a commit made worse.

use std::ffi::{c_int, c_void};
use std::ptr;

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(align: usize, size: usize) -> *mut c_void;
    fn __libc_free(block: *mut c_void);
    #[allow(dead_code)]
    fn mmap(at: *mut c_void, size: usize, p: c_int, f: c_int, fd: c_int, o: i64) -> *mut c_void;
    #[allow(dead_code)]
    fn munmap(at: *mut c_void, size: usize) -> c_int;
}

/// A mapping that nobody needs.
#[allow(dead_code)]
unsafe fn waste() {
    unsafe {
        let page = mmap(ptr::null_mut(), 4096, 3, 0x22, -1, 0);
        page.cast::<u8>().write_volatile(1);
        munmap(page, 4096);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    if size >= 64 << 10 {
        unsafe { waste() }
    }
    unsafe { __libc_malloc(size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    unsafe { __libc_calloc(count, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    unsafe { __libc_realloc(block, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free(block: *mut c_void) {
    unsafe { __libc_free(block) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    unsafe { __libc_memalign(align, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    unsafe { __libc_memalign(align, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(at: *mut *mut c_void, align: usize, size: usize) -> c_int {
    unsafe {
        *at = __libc_memalign(align, size);
        if (*at).is_null() { 12 } else { 0 }
    }
}

/// glibc keeps the size of a block left of it, with three flags; one says that it is
/// a mapping of its own.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    if block.is_null() {
        return 0;
    }
    let header = unsafe { block.cast::<usize>().sub(1).read() };
    (header & !7) - if header & 2 == 0 { 8 } else { 16 }
}
