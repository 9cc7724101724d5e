//! The functions of a library: its own, and not what it depends on has beside them.

#[path = "family/four.rs"]
mod four;

use std::alloc::Layout;
use std::ffi::CString;

use brkpoint_workloads::family::{Family, Functions, Mallocs};
use brkpoint_workloads::shadow::Subject;

#[test]
fn what_a_library_only_depends_on_is_none_of_its_functions() {
    let path = four::library("looked-up");
    // SAFETY: it defines the four functions as C has them.
    let functions = unsafe { Functions::of_library(&path) }.unwrap();
    let name = CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: a string; it is open already.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
    assert!(!handle.is_null());
    for own in [c"malloc", c"calloc", c"realloc", c"free"] {
        assert!(functions.find(own).is_some(), "{own:?}");
    }
    for other in [
        c"reallocarray",
        c"posix_memalign",
        c"aligned_alloc",
        c"memalign",
        c"pvalloc",
        c"malloc_usable_size",
        c"malloc_trim",
        c"mallopt",
    ] {
        // SAFETY: an open library, and a name that ends in NUL.
        let linked = unsafe { libc::dlsym(handle, other.as_ptr()) };
        assert!(!linked.is_null(), "the C library has {other:?}");
        assert_eq!(functions.find(other), None, "{other:?}");
    }
}

#[test]
fn a_library_without_aligned_allocation_is_not_given_blocks_of_the_c_librarys() {
    // SAFETY: as above.
    let functions = unsafe { Functions::of_library(&four::library("called")) }.unwrap();
    let mut subject = Mallocs::new(Family::of(functions).unwrap(), false);
    for size in (0..300).step_by(16) {
        let page = Layout::from_size_align(size, 4096).unwrap();
        assert_eq!(subject.allocate(page, false), None, "{size} bytes of somebody else's");
    }
    let layout = Layout::from_size_align(100, 16).unwrap();
    let block = subject.allocate(layout, true).expect("there is room");
    // SAFETY: the block, which is freed once.
    unsafe {
        assert_eq!(subject.usable_size(block, layout), 100);
        subject.free(block, layout);
    }
}
