//! A library that has malloc, calloc, realloc and free alone, for tests of both
//! workspaces.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Compiles it under a name of its own: each is opened once.
pub fn library(name: &str) -> PathBuf {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lib{name}.so"));
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-fno-builtin", "-shared", "-fPIC", "-o"]).arg(&library).args(["-xc", "-"]);
    let mut cc = cc.stdin(Stdio::piped()).spawn().expect("cc runs");
    let mut source = cc.stdin.take().expect("it is piped");
    source.write_all(include_bytes!("four.c")).expect("cc reads");
    drop(source);
    assert!(cc.wait().expect("it is ours").success(), "the library does not compile");
    library
}
