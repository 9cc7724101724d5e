//! Compiles rpmalloc as its own preload build does, all caches at their defaults.

use std::fs;

fn main() {
    let source = brkpoint_peer_source::package("rpmalloc-sys").dir.join("rpmalloc");
    cc::Build::new()
        .file(source.join("rpmalloc/rpmalloc.c"))
        .opt_level(3)
        .warnings(false)
        .flag("-fvisibility=hidden")
        .define("NDEBUG", "1")
        .define("_GNU_SOURCE", "1")
        .define("ENABLE_PRELOAD", "1")
        // Its wrapper, exported under its real name by `src/lib.rs`.
        .define("pthread_create", "rp_pthread_create")
        .compile("rpmalloc");
    // It has no version symbol; its change log opens with the release.
    let log = source.join("CHANGELOG");
    let text = fs::read_to_string(&log).unwrap_or_else(|e| panic!("{}: {e}", log.display()));
    let version = text.lines().next().map(str::trim).unwrap_or_default();
    assert!(
        version.starts_with(|c: char| c.is_ascii_digit()),
        "{} does not open with a version but with {version:?}",
        log.display()
    );
    brkpoint_peer_source::finish(version);
}
