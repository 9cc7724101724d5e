//! Our allocator has no version symbol where it is linked: that of its crate.

fn main() {
    let version = brkpoint_peer_source::package("brkpoint-allocator").version;
    println!("cargo::rustc-env=ENGINE_VERSION={version}");
}
