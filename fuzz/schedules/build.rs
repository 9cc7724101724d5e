//! Makes of the allocator's source the one that the scheduler drives: what
//! threads have in common with each other and with the OS goes through
//! `crate::scheduler`, and each planted bug is there, behind a condition.
//!
//! So the allocator itself knows nothing of this and costs nothing for it. A
//! change that does not find its place is an error: it is to be brought up to
//! date with the source.

use std::fs;
use std::path::{Path, PathBuf};

/// In one file, what stands there once, and what stands there instead.
type Change = (&'static str, &'static str, &'static str);

/// What every file is given in place of the core library's atomics.
const ATOMICS: (&str, &str) = ("core::sync::atomic", "crate::scheduler::atomic");

const CHANGES: &[Change] = &[
    ("lock.rs", "use crate::os::raw;", "use crate::scheduler as raw;"),
    ("lock.rs", "core::hint::spin_loop()", "raw::spin_loop()"),
    // Or threads would hardly ever sleep.
    ("lock.rs", "const SPINS: u32 = 100;", "const SPINS: u32 = 1;"),
    ("message.rs", "raw::abort()", "crate::scheduler::abort()"),
    (
        "cache/thread.rs",
        "#[cfg(all(target_arch = \"x86_64\", target_os = \"linux\"))]\nmod word {",
        "use crate::scheduler::word;\n#[cfg(any())]\nmod word {",
    ),
    (
        "cache/thread.rs",
        "#[cfg(not(all(target_arch = \"x86_64\", target_os = \"linux\")))]\nmod word {",
        "#[cfg(any())]\nmod word {",
    ),
    ("process/hooks.rs", "libc::pthread_key_create", "crate::scheduler::pthread_key_create"),
    ("process/hooks.rs", "libc::pthread_setspecific", "crate::scheduler::pthread_setspecific"),
    ("process/hooks.rs", "libc::pthread_atfork", "crate::scheduler::pthread_atfork"),
    // Pages from an arena, which is the same each time and watches what is given
    // back; and its clock.
    (
        "process/mod.rs",
        "use crate::os::{System, raw};",
        "use crate::arena::Arena as System;\nuse crate::os::raw;",
    ),
    ("process/mod.rs", "System::new(config.break_source)", "System::new()"),
    // Reads much, all of it under the lock.
    (
        "process/mod.rs",
        "self.with(|heap| heap.check())",
        "self.with(|heap| crate::scheduler::undisturbed(|| heap.check()))",
    ),
    (
        "process/slow.rs",
        "raw::coarse_milliseconds()",
        "self.with(|heap| crate::os::PageSource::now(heap.source_mut()))",
    ),
];

/// A bug: its name, what is wrong, and the change. `PLANTED` is whether it is
/// active.
type Plant = (&'static str, &'static str, Change);

const PLANTS: &[Plant] = &[
    (
        "open-shelf",
        "blocks are taken from the depot without its lock",
        (
            "cache/depot.rs",
            "let _held = shelf.lock.take();",
            "let _held = (!PLANTED).then(|| shelf.lock.take());",
        ),
    ),
    (
        "map-too-early",
        "the map of units is published before where it is",
        (
            "cache/front.rs",
            "self.first.store(map.base >> UNIT_BITS, Ordering::Relaxed);",
            "if PLANTED { self.len.store(map.len, Ordering::Release); }
            self.first.store(map.base >> UNIT_BITS, Ordering::Relaxed);",
        ),
    ),
    (
        "cache-still-used",
        "a dead thread's cache is handed out while it is still emptied",
        (
            "process/slow.rs",
            "self.empty(cache);\n        self.with(|_| cache.is_taken.store(0, Ordering::Relaxed));",
            "if PLANTED { self.with(|_| cache.is_taken.store(0, Ordering::Relaxed)); }
            self.empty(cache);
            self.with(|_| cache.is_taken.store(0, Ordering::Relaxed));",
        ),
    ),
    (
        "two-holders",
        "a lock is looked at and taken in two steps",
        (
            "lock.rs",
            "fn try_take(&self) -> bool {\n        if raw::is_single_threaded() {",
            "fn try_take(&self) -> bool {\n        if raw::is_single_threaded() || PLANTED {",
        ),
    ),
    (
        "nobody-woken",
        "who has slept on a lock forgets that others sleep",
        (
            "lock.rs",
            "while self.state.swap(AWAITED, Ordering::Acquire) != FREE {
            raw::futex_wait(&self.state, AWAITED);
        }",
            "while self.state.swap(AWAITED, Ordering::Acquire) != FREE {
            raw::futex_wait(&self.state, AWAITED);
            if PLANTED && self.try_take() { break; }
        }",
        ),
    ),
    (
        "stack-moved-in-the-open",
        "a stack moves to other slots without the lock of those who count",
        (
            "process/slow.rs",
            "self.with(|heap| unsafe { cache.spread(&heap.classes, class) });",
            "if PLANTED {
                // SAFETY: not given: that is the bug.
                unsafe { cache.spread(PROCESS.front.classes(), class) };
            } else {
                // SAFETY: as before the change.
                self.with(|heap| unsafe { cache.spread(&heap.classes, class) });
            }",
        ),
    ),
];

fn main() {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("set by cargo"));
    let source = here.join("../../allocator/src");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", source.display());
    let mut done = 0;
    copy(&source, &out.join("allocator"), Path::new(""), &mut done);
    assert_eq!(done, CHANGES.len() + PLANTS.len(), "a file that is to be changed is gone");

    // Modules of a file that is named by `path` are looked for beside it.
    let arena = here.join("../src/arena");
    println!("cargo::rerun-if-changed={}", arena.with_extension("rs").display());
    println!("cargo::rerun-if-changed={}", arena.display());
    let new = out.join("arena");
    fs::create_dir_all(&new).expect("OUT_DIR can be written to");
    write(&new.join("mod.rs"), &read(&arena.with_extension("rs")));
    write(&new.join("poison.rs"), &read(&arena.join("poison.rs")));

    let mut root: String = read(&source.join("lib.rs"))
        .lines()
        .filter(|line| !line.starts_with("//!") && !line.starts_with("#!["))
        .flat_map(|line| match line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
            Some(name) => {
                let file = out.join("allocator").join(name);
                let file =
                    if file.is_dir() { file.join("mod.rs") } else { file.with_extension("rs") };
                [format!("#[path = {file:?}]"), format!("mod {name};")]
            }
            None => [line.to_owned(), String::new()],
        })
        .collect::<Vec<_>>()
        .join("\n");
    root += &format!("\n#[path = {:?}]\nmod arena;\n", new.join("mod.rs"));
    let names = PLANTS.iter().map(|(name, what, _)| format!("({name:?}, {what:?}),"));
    root += &format!(
        "/// The planted bugs: name, and what is wrong.\npub const PLANTS: &[(&str, &str)] = &[{}];\n",
        names.collect::<String>()
    );
    write(&out.join("root.rs"), &root);
}

/// Copies a folder, changed.
fn copy(source: &Path, out: &Path, under: &Path, done: &mut usize) {
    fs::create_dir_all(out.join(under)).expect("OUT_DIR can be written to");
    for entry in fs::read_dir(source.join(under)).expect("the allocator has a source") {
        let entry = entry.expect("a file of the allocator");
        let path = under.join(entry.file_name());
        if entry.file_type().expect("a file or a folder").is_dir() {
            copy(source, out, &path, done);
            continue;
        }
        let original = read(&source.join(&path));
        let mut text = original.replace(ATOMICS.0, ATOMICS.1);
        let plants = PLANTS.iter().enumerate().map(|(at, &(_, _, (file, from, to)))| {
            (file, from, to.replace("PLANTED", &format!("crate::scheduler::is_planted({at})")))
        });
        let changes = CHANGES.iter().map(|&(file, from, to)| (file, from, to.to_owned()));
        for (file, from, to) in changes.chain(plants) {
            if path != Path::new(file) {
                continue;
            }
            assert_eq!(
                text.matches(from).count(),
                1,
                "allocator/src/{file} does not have once: {from}"
            );
            text = text.replace(from, &in_as_many_lines(from, &to));
            *done += 1;
        }
        assert_eq!(text.lines().count(), original.lines().count(), "{}", path.display());
        if path == Path::new("process/mod.rs") {
            let anew = source.join("../../fuzz/schedules/src/anew.rs");
            text += &format!("\n#[path = {anew:?}]\nmod anew;\n");
        }
        write(&out.join(&path), &text);
    }
}

/// What stands there instead, in as many lines: so the copy's lines are those of
/// the source, for whoever tells of one.
fn in_as_many_lines(from: &str, to: &str) -> String {
    let (has, wants) = (to.lines().count(), from.lines().count());
    if has <= wants {
        return to.to_owned() + &"\n".repeat(wants - has);
    }
    let lines = to.lines().map(|line| match line.trim_start().strip_prefix("//") {
        Some(comment) => format!("/*{comment} */"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join(" ") + &"\n".repeat(wants - 1)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
