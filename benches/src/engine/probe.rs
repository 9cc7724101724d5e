//! The process that is asked which allocator answers in it.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::EngineError;
use crate::worker::{self, Identity};

/// A library that hangs while it is loaded is given up on.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is to be proven.
pub(super) struct Expected<'a> {
    pub engine: &'a str,
    pub library: Option<&'a Path>,
    /// Whether it is linked into the worker.
    pub linked: bool,
    pub symbols: &'a [&'a str],
    pub env: &'a [(OsString, OsString)],
    pub env_remove: &'a [OsString],
    /// Whether knobs are set, so that a complaint on stderr is about them.
    pub settings: bool,
    pub worker: &'a Path,
}

/// Who answered.
pub(super) struct Proof {
    pub object: String,
    pub version: String,
}

/// Runs the probe under the environment of `expected` and judges its answer.
pub(super) fn probe(expected: &Expected<'_>) -> Result<Proof, EngineError> {
    let output = run(expected)
        .map_err(|source| EngineError::NoProbe { worker: expected.worker.to_owned(), source })?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    // ld.so only warns, and the process goes on without the library.
    let warning = said.lines().find(|line| line.contains("cannot be preloaded"));
    if let (Some(warning), Some(library)) = (warning, expected.library) {
        return Err(unloadable(library, warning));
    }
    if !output.status.success() {
        // A library that it needs is missing: then ld.so does not go on.
        return Err(match expected.library {
            Some(library) if said.contains("error while loading shared libraries") => {
                unloadable(library, &said)
            }
            _ => EngineError::Broken {
                engine: expected.engine.to_owned(),
                why: format!("{}; it said: {said:?}", ending(output.status)),
            },
        });
    }
    if expected.settings && !said.is_empty() {
        return Err(EngineError::Refused { engine: expected.engine.to_owned(), said });
    }
    let identity: Identity = serde_json::from_slice(&output.stdout).map_err(|error| {
        let answer = String::from_utf8_lossy(&output.stdout);
        EngineError::Broken {
            engine: expected.engine.to_owned(),
            why: format!("{} answers {answer:?}: {error}", expected.worker.display()),
        }
    })?;
    judge(expected, &identity)
}

fn unloadable(library: &Path, said: &str) -> EngineError {
    EngineError::Unloadable { library: library.to_owned(), said: said.to_owned() }
}

fn judge(expected: &Expected<'_>, identity: &Identity) -> Result<Proof, EngineError> {
    let not_answering =
        |what: String| EngineError::NotAnswering { engine: expected.engine.to_owned(), what };
    match &identity.linked {
        Some(linked) if expected.linked && linked.name == expected.engine => {
            let object = expected.worker.to_string_lossy().into_owned();
            return Ok(Proof { object, version: linked.version.clone() });
        }
        None if !expected.linked => {}
        linked => {
            let name = linked.as_ref().map_or("nothing", |linked| &linked.name);
            let worker = expected.worker.display();
            return Err(not_answering(format!("{name} is linked into {worker}")));
        }
    }
    let Some(object) = identity.family.get("malloc") else {
        return Err(not_answering("the process has no dynamic malloc".to_owned()));
    };
    let other = identity.family.iter().find(|(_, from)| *from != object);
    if let Some((function, from)) = other {
        let what = format!("malloc comes from {object}, but {function} from {from}");
        return Err(not_answering(what));
    }
    // A version counts only from the object that answers.
    let mut versions = identity.versions.iter().filter(|version| version.object == *object);
    let version = versions.next().map(|version| version.version.trim().to_owned());
    match expected.library {
        Some(library) => {
            if !same_file(library, Path::new(object)) {
                return Err(not_answering(format!("malloc comes from {object}")));
            }
            let name = library.file_name().unwrap_or(library.as_os_str());
            let version = version.unwrap_or_else(|| name.to_string_lossy().into_owned());
            Ok(Proof { object: object.clone(), version })
        }
        None => match version {
            Some(version) => Ok(Proof { object: object.clone(), version }),
            None => Err(not_answering(format!("malloc comes from {object}, not the C library"))),
        },
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

fn run(expected: &Expected<'_>) -> io::Result<Output> {
    let mut command = Command::new(expected.worker);
    command.args(worker::probe_arguments(expected.symbols.iter().copied()));
    for name in expected.env_remove {
        command.env_remove(name);
    }
    command.envs(expected.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn()?;
    finish(child)
}

/// Waits for `child`, whose output is far below what a pipe holds, and kills it
/// when [`PATIENCE`] is at an end.
fn finish(mut child: Child) -> io::Result<Output> {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    child.wait_with_output()
}

fn ending(status: ExitStatus) -> String {
    match status.signal() {
        Some(libc::SIGKILL) => format!("it was killed, perhaps for hanging {PATIENCE:?}"),
        Some(signal) => format!("it died of signal {signal}"),
        None => format!("it ended with status {}", status.code().unwrap_or_default()),
    }
}
