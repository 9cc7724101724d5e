//! Where cargo keeps the sources of a dependency, and its version: for the
//! build scripts of the peers.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// A dependency as cargo resolved it.
#[derive(Debug)]
pub struct Package {
    /// Its version, without the metadata after `+`.
    pub version: String,
    /// The folder of its `Cargo.toml`.
    pub dir: PathBuf,
}

/// Finds the dependency `name` of this workspace, fetching it if need be; it
/// need not be one that cargo builds for this target.
///
/// # Panics
/// If cargo cannot resolve the workspace or `name` is not in it: a build script
/// has nobody else to tell.
pub fn package(name: &str) -> Package {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let output = Command::new(env::var_os("CARGO").expect("cargo sets CARGO for build scripts"))
        .args(["metadata", "--format-version=1", "--locked"])
        .output()
        .expect("cargo metadata starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata failed:\n{errors}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let found = metadata["packages"]
        .as_array()
        .and_then(|packages| packages.iter().find(|package| package["name"] == name))
        .unwrap_or_else(|| panic!("{name} is not in benches/peers/Cargo.lock"));
    let text = |key: &str| found[key].as_str().expect("packages have it").to_owned();
    let mut dir = PathBuf::from(text("manifest_path"));
    dir.pop();
    let version = text("version").split('+').next().unwrap_or_default().to_owned();
    Package { version, dir }
}

/// Tells the crate its allocator's version (`ENGINE_VERSION`), and the linker to
/// refuse symbols that only the loader would miss.
pub fn finish(version: &str) {
    println!("cargo::rustc-env=ENGINE_VERSION={version}");
    strict_link();
}

/// Tells the linker to refuse symbols that only the loader would miss, and names
/// the C library: the `libc` crate does so only while no dependency asks for its
/// feature `std`, which is one for all packages that are built together.
pub fn strict_link() {
    println!("cargo::rustc-cdylib-link-arg=-lc");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,defs");
}
