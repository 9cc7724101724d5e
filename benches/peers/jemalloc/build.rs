//! Links strictly; jemalloc tells its version itself.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    brkpoint_peer_source::strict_link();
}
