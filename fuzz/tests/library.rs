//! What the target `abi` calls beside the functions that programs are made of: of the
//! C library, which has all but ours.

use std::path::Path;

use brkpoint_fuzz::child;
use brkpoint_fuzz::library::Library;
use brkpoint_workloads::forked::End;

#[test]
fn the_c_library_does_what_its_manual_says() {
    let (end, said) = child::overhear(|| {
        let library = Library::open(Path::new("libc.so.6"));
        (0..16).for_each(|doublings| library.exercise(1 << doublings));
        library.tell();
        0
    });
    let said = String::from_utf8_lossy(&said);
    assert_eq!(end, End::Exited(0), "{said}");
    assert!(said.contains("system bytes"), "malloc_stats told nothing: {said}");
}
