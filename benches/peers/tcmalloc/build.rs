//! google/tcmalloc has no releases: the crate that bundles it names the state.

fn main() {
    let version = brkpoint_peer_source::package("libtcmalloc-sys").version;
    brkpoint_peer_source::finish(&format!("libtcmalloc-sys {version}"));
    // What its C++ needs, after the archive that needs it; and no personality for
    // Rust frames, since nothing unwinds through a library built with `abort`.
    for argument in ["-lstdc++", "-lgcc_s", "-lm", "-Wl,--defsym=rust_eh_personality=0"] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    for argument in ["-lstdc++", "-lm"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
