//! What the tests of the supervisor share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use brkpoint::supervise::{Launch, Observation, Stop, Tracer, run};
use brkpoint_reports::record::Pass;

const NOBODY: u32 = 65534;
const AS_NOBODY: &str = "BRKPOINT_TEST_AS_NOBODY";

/// Whether `tool` is there. A missing tool fails the test, unless the variable
/// `BRKPOINT_SKIP` (names, separated by commas) allows it to be missing.
pub fn has(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|dir| dir.join(tool).is_file()) {
        return true;
    }
    let allowed = env::var("BRKPOINT_SKIP").unwrap_or_default();
    assert!(
        allowed.split(',').any(|name| name == tool),
        "{tool} is not installed: install it, or set BRKPOINT_SKIP={tool} to do without this check"
    );
    eprintln!("not checked: {tool} is missing, which BRKPOINT_SKIP allows");
    false
}

/// A launch of `program` that ends within a minute.
pub fn launch(program: impl Into<OsString>, args: &[&str]) -> Launch {
    Launch {
        program: program.into(),
        args: args.iter().map(OsString::from).collect(),
        timeout: Some(Duration::from_secs(60)),
        ..Launch::default()
    }
}

/// Runs it, with `tracer` if the pass has one.
pub fn observe(launch: &Launch, pass: Pass, tracer: Tracer) -> Observation {
    let launch = Launch { tracer, ..launch.clone() };
    run(&launch, pass, &Stop::default()).unwrap_or_else(|e| panic!("{launch:?}: {e}"))
}

/// The C program beside this file that does what a test asks for, compiled;
/// `None` without a compiler, if it is allowed to be missing.
pub fn worker(dir: &Path) -> Option<PathBuf> {
    if !has("gcc") {
        return None;
    }
    let program = dir.join("worker");
    compile(include_str!("worker.c"), &program, &["-O1", "-pthread"]);
    Some(program)
}

/// Compiles a C program.
pub fn compile(source: &str, program: &Path, flags: &[&str]) {
    let file = program.with_extension("c");
    fs::write(&file, source).expect("writing a source file");
    let compiled = Command::new("gcc")
        .args(["-Wall", "-o"])
        .arg(program)
        .arg(&file)
        .args(flags)
        .output()
        .expect("starting gcc");
    assert!(compiled.status.success(), "gcc: {}", String::from_utf8_lossy(&compiled.stderr));
}

/// A directory for this test that every user may enter.
pub fn temp_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("making a temporary directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("opening it to all");
    dir
}

/// Effective user of this process.
pub fn user() -> u32 {
    // SAFETY: takes no arguments.
    unsafe { libc::geteuid() }
}

/// Runs the test `name` of this binary once more as an unprivileged user; if this
/// is one already, there is nothing to add to the test itself.
pub fn again_as_nobody(name: &str) {
    again_as_nobody_with(name, &[]);
}

/// The same with variables set.
pub fn again_as_nobody_with(name: &str, env: &[(&str, &Path)]) {
    if user() != 0 || env::var_os(AS_NOBODY).is_some() {
        return;
    }
    let dir = temp_dir();
    let own = dir.path().join("own");
    fs::create_dir(&own).expect("making a directory");
    chown(&own, Some(NOBODY), Some(NOBODY)).expect("giving it away");
    let test = dir.path().join("test");
    // Not by this process: while another thread forks, the copy could be taken for
    // open, and not be executed.
    let copied = Command::new("cp")
        .arg(env::current_exe().expect("finding this program"))
        .arg(&test)
        .status()
        .expect("starting cp");
    assert!(copied.success(), "copying this program: {copied}");
    fs::set_permissions(&test, Permissions::from_mode(0o755)).expect("opening it to all");
    let output = Command::new(&test)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(AS_NOBODY, "1")
        .envs(env.iter().copied())
        .env("TMPDIR", &own)
        .env("HOME", &own)
        .current_dir(&own)
        .stdin(Stdio::null())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .expect("starting the test again as nobody");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "as nobody: {said}");
    assert!(said.contains("1 passed"), "as nobody, no test ran: {said}");
}
