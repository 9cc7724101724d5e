//! What the target `abi` calls beside programs, in a library that has little of it.

use std::path::Path;
use std::process::Command;

use brkpoint_fuzz::library::Library;
use brkpoint_workloads::family::Functions;

/// The library aborts on blocks of others, and the C library on the library's.
#[test]
fn nothing_is_called_that_the_library_does_not_define() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workloads/tests/family/four.c");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libfour.so");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-fno-builtin", "-shared", "-fPIC", "-o"]).arg(&path).arg(source);
    assert!(cc.status().expect("cc runs").success(), "the library does not compile");
    // SAFETY: it defines four functions, as C has them.
    let library = Library::of(unsafe { Functions::of_library(&path) }.unwrap());
    for size in [1, 100, 5000] {
        library.exercise(size);
    }
}
