//! Compiles mimalloc's single translation unit as its own release build does:
//! optimised, statistics and sampling compiled in but idle, initial-exec TLS.

fn main() {
    let source = brkpoint_peer_source::package("libmimalloc-sys2").dir.join("c_src/mimalloc3");
    cc::Build::new()
        .include(source.join("include"))
        .include(source.join("src"))
        .file(source.join("src/static.c"))
        .opt_level(3)
        .warnings(false)
        .flag("-fvisibility=hidden")
        .flag("-ftls-model=initial-exec")
        .flag("-fno-builtin-malloc")
        .define("NDEBUG", "1")
        .define("MI_BUILD_RELEASE", None)
        .define("MI_STATS", "1")
        .define("MI_PROFILE", "1")
        .define("MI_HAS_UNISTDH", "1")
        .define("MI_HAS_EXECINFOH", "1")
        .compile("mimalloc");
    brkpoint_peer_source::strict_link();
}
