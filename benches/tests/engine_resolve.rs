//! An arm is what it says, or there is none: each way to ask for the wrong thing
//! is told, and nothing is ever measured as glibc by accident.

mod engine_support;

use std::fs;
use std::path::Path;

use brkpoint::engine::{EngineError, Engines};
use engine_support::{arm, arms, compile, optional, printed, resolve, under, worker};

fn refusal(spec: &str) -> EngineError {
    match resolve(spec) {
        Ok(arm) => panic!("{spec} gave {arm:?}"),
        Err(error) => error,
    }
}

/// An empty shared library for the tests to spoil.
fn library(directory: &Path, name: &str, source: &str, arguments: &[&str]) -> String {
    let options = [&["-shared", "-fPIC"], arguments].concat();
    compile(directory, name, source, &options).display().to_string()
}

#[test]
fn every_engine_here_answers_with_its_version_from_its_own_library() {
    for arm in arms() {
        assert!(!arm.version.is_empty(), "{}", arm.engine);
        let of_a_file = arm.version.starts_with("lib") && arm.version.contains(".so");
        assert!(!of_a_file, "{} tells no version of its own: {}", arm.engine, arm.version);
        match &arm.library {
            Some(library) => assert_eq!(Path::new(&arm.object), library, "{}", arm.engine),
            None => assert!(arm.object.contains("libc"), "{}", arm.object),
        }
        // And in any other program that is started so.
        let mappings = printed(under(&arm, "cat").arg("/proc/self/maps"));
        assert!(mappings.contains(&arm.object), "{}", arm.engine);
    }
}

#[test]
fn the_tour_and_the_usual_arms_are_here() {
    let engines = Engines::builtin();
    for spec in engines.tour().iter().chain(engines.usual()) {
        if !optional(&spec.engine) {
            assert_eq!(arm(&spec.to_string()).engine, spec.engine);
        }
    }
}

#[test]
fn unknown_names_are_told_with_what_was_perhaps_meant() {
    let text = refusal("mimaloc").to_string();
    assert!(text.contains("did you mean mimalloc?") && text.contains("glibc"), "{text}");
    let text = refusal("no-such-engine").to_string();
    assert!(!text.contains("did you mean"), "{text}");
    let text = refusal("glibc:mmap_treshold=1M").to_string();
    assert!(text.contains("did you mean mmap_threshold?"), "{text}");
    let text = refusal("snmalloc:size=1").to_string();
    assert!(!cfg!(feature = "peers") || text.contains("it has none"), "{text}");
}

#[test]
fn values_out_of_the_question_are_told_with_what_is_expected() {
    for (spec, part) in [
        ("glibc:mmap_threshold=big", "a size in bytes"),
        ("glibc:mmap_threshold=-1", "a size in bytes"),
        ("glibc:mmap_threshold=1.5M", "a size in bytes"),
        ("glibc:tcache_max=1M", "from 0 to 1032"),
        ("glibc:arena_max=0", "from 1 to"),
        ("mimalloc:purge_decommits=yes", "0 or 1"),
        ("brkpoint:preset=brk_only", "one of brk-only, mmap-only"),
        ("brkpoint:mmap_threshold=on", "or off, dynamic"),
    ] {
        let error = refusal(spec);
        assert!(matches!(error, EngineError::BadValue { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn one_value_has_one_spelling() {
    let (a, b) = (arm("glibc:mmap_threshold=65536"), arm("glibc:mmap_threshold=64k"));
    assert_eq!(a, b);
    assert_eq!(a.settings["mmap_threshold"], "64K");
    let variable = ("GLIBC_TUNABLES".into(), "glibc.malloc.mmap_threshold=65536".into());
    assert!(a.env.contains(&variable), "{:?}", a.env);
    assert_eq!(a.paste, "MALLOC_MMAP_THRESHOLD_=65536");
}

#[test]
fn knobs_of_one_variable_are_set_together() {
    let both = arm("glibc:mmap_threshold=1M,trim_threshold=8M");
    let value = "glibc.malloc.mmap_threshold=1048576:glibc.malloc.trim_threshold=8388608";
    assert!(both.env.contains(&("GLIBC_TUNABLES".into(), value.into())), "{:?}", both.env);
}

#[test]
fn a_file_that_is_no_library_is_refused_in_the_words_of_the_linker() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = directory.path().join("text.so");
    fs::write(&text, "not a library\n".repeat(100)).expect("written");
    let error = refusal(&text.display().to_string());
    assert!(matches!(error, EngineError::Unloadable { .. }), "{error}");
    assert!(error.to_string().contains("invalid ELF header"), "{error}");
}

#[test]
fn a_library_for_another_machine_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = library(directory.path(), "foreign.so", "int x;", &[]);
    let mut bytes = fs::read(&path).expect("readable");
    // EI_CLASS: 32 bits.
    bytes[4] = 1;
    fs::write(&path, bytes).expect("written");
    let error = refusal(&path);
    assert!(error.to_string().contains("wrong ELF class"), "{error}");
}

#[test]
fn a_library_that_lacks_one_of_its_own_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let needed = library(directory.path(), "libneeded.so", "int needed(void) { return 1; }", &[]);
    let source = "int needed(void); int f(void) { return needed(); }";
    let path = library(directory.path(), "needy.so", source, &[&needed]);
    fs::remove_file(&needed).expect("removed");
    let error = refusal(&path);
    assert!(matches!(error, EngineError::Unloadable { .. }), "{error}");
    assert!(error.to_string().contains("libneeded.so"), "{error}");
}

#[test]
fn a_library_without_malloc_is_not_measured_as_glibc() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = library(directory.path(), "idle.so", "int x;", &[]);
    let error = refusal(&path);
    assert!(matches!(error, EngineError::NotAnswering { .. }), "{error}");
    assert!(error.to_string().contains("libc.so"), "{error}");
}

#[test]
fn a_library_with_half_the_family_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = "#include <stddef.h>\n#include <string.h>\nstatic char heap[1 << 24]; static size_t at;\n\
        void *malloc(size_t n) { at = (at + 15) & ~15UL; void *p = heap + at; at += n; return p; }\n\
        void *calloc(size_t n, size_t m) { return malloc(n * m); }\n\
        void *realloc(void *p, size_t n) { void *q = malloc(n); if (p) memcpy(q, p, n); return q; }\n\
        void free(void *p) { (void)p; }\n";
    let path = library(directory.path(), "half.so", source, &["-fno-builtin"]);
    let error = refusal(&path);
    assert!(error.to_string().contains("half.so, but aligned_alloc from"), "{error}");
}

#[test]
fn a_library_that_crashes_or_exits_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let crash = "#include <stdlib.h>\n__attribute__((constructor)) void f(void) { abort(); }";
    let error = refusal(&library(directory.path(), "crash.so", crash, &[]));
    assert!(error.to_string().contains("signal 6"), "{error}");
    let leave = "#include <unistd.h>\n__attribute__((constructor)) void f(void) { _exit(0); }";
    let error = refusal(&library(directory.path(), "leave.so", leave, &[]));
    assert!(matches!(error, EngineError::Broken { .. }), "{error}");
}

#[test]
fn paths_are_told_apart_from_names_and_checked() {
    let error = refusal("./no-such-library.so");
    assert!(matches!(error, EngineError::Unreadable { .. }), "{error}");
    let error = refusal("/tmp/:a=1");
    assert!(matches!(error, EngineError::UnknownKnob { .. }), "{error}");
}

#[test]
fn any_library_with_the_family_is_an_engine() {
    let brkpoint = arm("brkpoint");
    let path = brkpoint.library.expect("preloaded").display().to_string();
    let same = arm(&path);
    assert_eq!((same.engine, same.version), (path, brkpoint.version));
}

#[test]
fn a_worker_that_cannot_be_started_is_told() {
    let spec = "glibc".parse().expect("a spec");
    let error = Engines::builtin().resolve(&spec, Path::new("/no/such/worker")).unwrap_err();
    assert!(error.to_string().contains("/no/such/worker"), "{error}");
    let silent = Engines::builtin().resolve(&spec, Path::new("/bin/true")).unwrap_err();
    assert!(matches!(silent, EngineError::Broken { .. }), "{silent}");
    assert!(worker().is_file());
}
