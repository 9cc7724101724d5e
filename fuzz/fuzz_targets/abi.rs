//! The C malloc family of a library, opened by path beside the process's own:
//! `BRKPOINT_FUZZ_LIBRARY`, which need not be ours.
//!
//! The library outlives each input, so a finding may need those before it.
//! `brkpoint check --preload` finds without that, in fresh processes.
#![no_main]

use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;

use arbitrary::Unstructured;
use brkpoint_fuzz::child;
use brkpoint_fuzz::library::Library;
use brkpoint_workloads::crew::Crew;
use brkpoint_workloads::family::{Family, Functions, Mallocs};
use brkpoint_workloads::forked::End;
use brkpoint_workloads::op::arbitrary::Bytes;
use brkpoint_workloads::op::draw::{Bits, Events};
use brkpoint_workloads::op::{Shape, text};
use brkpoint_workloads::shadow::{Rules, Shadow};
use libfuzzer_sys::fuzz_target;

const THREADS: u32 = 3;
const RULES: Rules = Rules { granted: 64 << 20, ..Rules::FAST };

static FAMILY: LazyLock<(Family, Library)> = LazyLock::new(|| {
    let path: OsString = std::env::var_os("BRKPOINT_FUZZ_LIBRARY").unwrap_or_else(|| {
        panic!("set BRKPOINT_FUZZ_LIBRARY to the path of a library (`scripts/fuzz` does)")
    });
    // Two users of one program break corrupt each other, and libFuzzer's malloc
    // is the C library's.
    // SAFETY: before the first input, when there is one thread.
    unsafe { std::env::set_var("BRKPOINT_BREAK", "reserved") };
    // SAFETY: the path is said to be that of a malloc family.
    let functions = unsafe { Functions::of_library(Path::new(&path)) };
    let (functions, family) = functions
        .and_then(|functions| Ok((functions, Family::of(functions)?)))
        .unwrap_or_else(|missing| panic!("{missing}"));
    let library = Library::of(functions);
    // Once is enough, for what goes to stderr.
    let (end, said) = child::overhear(|| {
        library.tell();
        child::FINE
    });
    assert_eq!(end, End::Exited(child::FINE));
    assert!(!said.contains(&0), "malloc_stats tells no text: {said:?}");
    (family, library)
});

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Unstructured::new(bytes);
    let largest = 1 << (6 + Bytes(&mut bytes).below(14));
    let events = Events { trim: true, set: true, threads: THREADS, ..Events::NONE };
    let shape = Shape { largest, impossible: true, events, ..Shape::PLAIN };
    let Ok(program) = shape.program(&mut bytes) else { return };
    let mut subject = Crew::new(Mallocs::new(FAMILY.0, false), THREADS);
    let mut shadow = Shadow::with(RULES);
    let half = program.len() / 2;
    let done = program.iter().enumerate().try_for_each(|(at, &op)| {
        if at == half {
            FAMILY.1.exercise(largest >> (at % 8));
        }
        shadow.perform(&mut subject, op).map(drop)
    });
    if let Err(violation) = done.and_then(|()| shadow.free_all(&mut subject)) {
        panic!("{violation}\n\n{}\n{}", text::words(&program), text::c(&program));
    }
});
