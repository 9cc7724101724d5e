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
use brkpoint_workloads::crew::Crew;
use brkpoint_workloads::family::{Family, Mallocs};
use brkpoint_workloads::op::arbitrary::Bytes;
use brkpoint_workloads::op::draw::{Bits, Events};
use brkpoint_workloads::op::{Shape, text};
use brkpoint_workloads::shadow::{Rules, Shadow};
use libfuzzer_sys::fuzz_target;

const THREADS: u32 = 3;
const RULES: Rules = Rules { granted: 64 << 20, ..Rules::FAST };

static FAMILY: LazyLock<Family> = LazyLock::new(|| {
    let path: OsString = std::env::var_os("BRKPOINT_FUZZ_LIBRARY").unwrap_or_else(|| {
        panic!("set BRKPOINT_FUZZ_LIBRARY to the path of a library (`scripts/fuzz` does)")
    });
    // Two users of one program break corrupt each other, and libFuzzer's malloc
    // is the C library's.
    // SAFETY: before the first input, when there is one thread.
    unsafe { std::env::set_var("BRKPOINT_BREAK", "reserved") };
    // SAFETY: the path is said to be that of a malloc family.
    unsafe { Family::of_library(Path::new(&path)) }.unwrap_or_else(|missing| panic!("{missing}"))
});

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Unstructured::new(bytes);
    let largest = 1 << (6 + Bytes(&mut bytes).below(14));
    let events = Events { trim: true, set: true, threads: THREADS, ..Events::NONE };
    let shape = Shape { largest, impossible: true, events, ..Shape::PLAIN };
    let Ok(program) = shape.program(&mut bytes) else { return };
    let mut subject = Crew::new(Mallocs::new(*FAMILY, false), THREADS);
    let mut shadow = Shadow::with(RULES);
    let done = program.iter().try_for_each(|&op| shadow.perform(&mut subject, op).map(drop));
    if let Err(violation) = done.and_then(|()| shadow.free_all(&mut subject)) {
        panic!("{violation}\n\n{}\n{}", text::words(&program), text::c(&program));
    }
});
