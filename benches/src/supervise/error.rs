//! Why a process could not be started or watched.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// Why there is no observation. A program that started and then crashed or ran
/// out of time is not an error here: see [`Observation::exit`](super::Observation::exit).
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No file of that name, or none in `PATH`.
    #[error("{}: command not found{}", .program.display(), if *.searched { " (searched PATH); check the spelling, or give its path" } else { "; check the path" })]
    NotFound {
        /// As it was asked for.
        program: OsString,
        /// Whether it was looked for in `PATH`.
        searched: bool,
    },
    /// The file is there, but not executable for this user, or not a file.
    #[error("{}: not an executable file for this user; check the path, or chmod +x", .path.display())]
    NotExecutable {
        /// The file that was found.
        path: PathBuf,
    },
    /// The kernel refused to execute the file.
    #[error("{}: cannot be executed: {source}{}", .path.display(), exec_hint(.source))]
    Exec {
        /// The file that was executed.
        path: PathBuf,
        /// The answer of `execve`.
        source: io::Error,
    },
    /// The file for standard input cannot be read.
    #[error("{}: cannot be opened for the program's standard input: {source}", .path.display())]
    Stdin {
        /// As it was asked for.
        path: PathBuf,
        /// The answer of `open`.
        source: io::Error,
    },
    /// The preload library cannot be read.
    #[error("{}: the library to preload cannot be read: {source}", .path.display())]
    Library {
        /// As it was asked for.
        path: PathBuf,
        /// The answer of `stat`.
        source: io::Error,
    },
    /// An argument or variable holds a NUL byte, which no program can be given.
    #[error("{what} {value:?} contains a NUL byte or, in a variable's name, `=`")]
    BadString {
        /// Which kind of string.
        what: &'static str,
        /// The string.
        value: OsString,
    },
    /// It wrote more than is kept; the whole process tree was killed.
    #[error(
        "it wrote more than {} GiB, which is more than is kept and compared: \
         send its output elsewhere, e.g. with sh -c 'COMMAND > /dev/null'",
        .limit >> 30
    )]
    Flooded {
        /// The most that is kept, in bytes.
        limit: u64,
    },
    /// The run was asked to stop; the whole process tree was killed.
    #[error("interrupted")]
    Interrupted,
    /// Processes that could not be killed, e.g. set-uid programs of another user.
    #[error(
        "{count} process(es) of the tree could not be killed within {after_s} s: end them by hand"
    )]
    Survivors {
        /// How many, at least.
        count: u32,
        /// How long it was tried, in seconds.
        after_s: u64,
    },
    /// The harness's own process that keeps the tree was killed, and with it the
    /// program.
    #[error("the process that keeps the program's tree was killed from outside; run it again")]
    KeeperKilled,
    /// Something this module needs from the system failed.
    #[error("{what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl LaunchError {
    /// Whether what was asked for cannot be started at all, under any engine.
    pub fn is_of_the_request(&self) -> bool {
        use LaunchError::{BadString, Exec, NotExecutable, NotFound, Stdin};
        matches!(
            self,
            NotFound { .. } | NotExecutable { .. } | Exec { .. } | Stdin { .. } | BadString { .. }
        )
    }

    /// For `map_err`: a failed system call, named by what it was for.
    pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> LaunchError {
        move |source| LaunchError::System { what, source }
    }
}

fn exec_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOENT) => " (the file exists: the interpreter or loader it names does not)",
        Some(libc::ENOEXEC) => " (neither a program for this machine nor a script with a #! line)",
        Some(libc::E2BIG) => " (arguments and environment together are too long)",
        _ => "",
    }
}
