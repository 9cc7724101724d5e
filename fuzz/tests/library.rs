//! What the target `abi` calls beside the functions that programs are made of.

#[path = "../../workloads/tests/family/four.rs"]
mod four;

use brkpoint_fuzz::child;
use brkpoint_fuzz::library::Library;
use brkpoint_workloads::family::Functions;
use brkpoint_workloads::forked::End;

/// It has all but ours.
#[test]
fn the_c_library_does_what_its_manual_says() {
    let (end, said) = child::overhear(|| {
        // SAFETY: the C library defines them all, as C has them.
        let library = Library::of(unsafe { Functions::of_library("libc.so.6".as_ref()) }.unwrap());
        (0..16).for_each(|doublings| library.exercise(1 << doublings));
        library.tell();
        child::FINE
    });
    let said = String::from_utf8_lossy(&said);
    assert_eq!(end, End::Exited(child::FINE), "{said}");
    assert!(said.contains("system bytes"), "malloc_stats told nothing: {said}");
}

/// The library aborts on blocks of others, and the C library on the library's.
#[test]
fn nothing_is_called_that_the_library_does_not_define() {
    let path = four::library("four");
    // SAFETY: it defines four functions, as C has them.
    let library = Library::of(unsafe { Functions::of_library(&path) }.unwrap());
    for size in [1, 100, 5000] {
        library.exercise(size);
    }
}
