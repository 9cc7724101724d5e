//! How the library is linked.

fn main() {
    // A symbol that is missing must be found now, not when a program loads us.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,defs");
    // The compiled `core` names the function that unwinding would call. We
    // never unwind; and exporting one of our own would replace, in a preloaded
    // Rust program, the one that does.
    println!("cargo::rustc-cdylib-link-arg=-Wl,--defsym=rust_eh_personality=0");
    // Built together with users of `std`, the crate `libc` gets its feature
    // `std` and leaves linking to that.
    println!("cargo::rustc-cdylib-link-arg=-lc");
    println!("cargo::rerun-if-changed=build.rs");
}
