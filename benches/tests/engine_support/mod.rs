//! What the tests of engines and of the worker share.
#![allow(dead_code, reason = "each test crate uses its share")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use brkpoint::engine::{Arm, ArmSpec, EngineError, Engines};

/// The program, which is also the worker.
pub fn worker() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_brkpoint"))
}

pub fn resolve(spec: &str) -> Result<Arm, EngineError> {
    let spec: ArmSpec = spec.parse().expect(spec);
    Engines::builtin().resolve(&spec, worker())
}

/// The arm, which this build must have.
pub fn arm(spec: &str) -> Arm {
    resolve(spec).unwrap_or_else(|error| panic!("{spec}: {error}"))
}

/// Every engine that is here. Those of our own build must be; the others are
/// named on stderr if they are not.
pub fn arms() -> Vec<Arm> {
    let mut arms = Vec::new();
    for engine in Engines::builtin().iter() {
        match resolve(&engine.name) {
            Ok(arm) => arms.push(arm),
            Err(EngineError::Absent { .. }) if optional(&engine.name) => {
                eprintln!("{} is not here", engine.name);
            }
            Err(error) => panic!("{}: {error}", engine.name),
        }
    }
    arms
}

/// Every engine that is linked into a worker; those of this build must be there.
pub fn linked_arms() -> Vec<Arm> {
    let mut arms = Vec::new();
    for spec in Engines::builtin().bench() {
        match Engines::builtin().resolve_linked(spec) {
            Ok(arm) => arms.push(arm),
            Err(EngineError::Absent { .. }) if optional(&spec.engine) => {
                eprintln!("no worker has {spec} in it");
            }
            Err(error) => panic!("{spec}: {error}"),
        }
    }
    arms
}

/// Whether `engine` may be missing from this build or machine.
pub fn optional(engine: &str) -> bool {
    match engine {
        "glibc" | "brkpoint" | "limit" => false,
        "gperftools" => true,
        "tcmalloc" => !cfg!(feature = "tcmalloc"),
        _ => !cfg!(feature = "peers"),
    }
}

/// `program` under `arm`.
pub fn under(arm: &Arm, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in &arm.env_remove {
        command.env_remove(name);
    }
    command.envs(arm.env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    command
}

/// `strace` of this program's worker under `arm`; strace itself does without.
pub fn strace(arm: &Arm, log: &Path) -> Command {
    strace_of(arm, log, worker())
}

/// The same of another `program`.
pub fn strace_of(arm: &Arm, log: &Path, program: &Path) -> Command {
    let mut command = Command::new("strace");
    for name in &arm.env_remove {
        command.env_remove(name);
    }
    for (name, value) in &arm.env {
        let mut pair = name.clone();
        pair.push("=");
        pair.push(value);
        command.arg("-E").arg(pair);
    }
    command.args(["-f", "-qq", "-o"]).arg(log).arg(program);
    command
}

/// Runs `command`, which must succeed, and returns what it printed.
pub fn printed(command: &mut Command) -> String {
    let output = output(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Compiles a C source with `arguments` into `directory`; the name of the result.
pub fn compile(directory: &Path, name: &str, source: &str, arguments: &[&str]) -> PathBuf {
    let (from, to) = (directory.join(format!("{name}.c")), directory.join(name));
    std::fs::write(&from, source).expect("written");
    let mut cc = Command::new("cc");
    printed(cc.arg("-O1").arg("-o").arg(&to).arg(&from).args(arguments));
    to
}
