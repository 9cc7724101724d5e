//! Something done in a forked child.

use std::ffi::c_int;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::Duration;

use brkpoint_workloads::forked::{self, End};
use brkpoint_workloads::shadow::{Promise, Violation};

/// A child that has not ended by then hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The status of a child that found nothing wrong.
pub const FINE: c_int = 0;
/// That of one that did. Not 1, which is AddressSanitizer's.
pub const BROKEN: c_int = 2;
/// That of one that found the first promise broken; the others' follow.
const PROMISES: c_int = 32;
const _: () = assert!(PROMISES as usize + Promise::ALL.len() <= forked::PANICKED as usize);

/// One of these two.
pub fn status(is_fine: bool) -> c_int {
    if is_fine { FINE } else { BROKEN }
}

/// Runs something that gives a status in a child, and waits for its end.
///
/// # Panics
///
/// When there can be no child.
pub fn run(what: impl FnOnce() -> c_int) -> End {
    forked::run(Some(PATIENCE), what).expect("a child can be forked")
}

/// As [`run`], and gives what the child wrote to stderr, too.
///
/// # Panics
///
/// As [`run`], and when there can be no file for that.
pub fn overhear(what: impl FnOnce() -> c_int) -> (End, Vec<u8>) {
    // A file, since a pipe would want somebody who reads meanwhile.
    // SAFETY: a name that ends in NUL; the new descriptor is nobody else's.
    let mut file = unsafe {
        let made = libc::memfd_create(c"heard".as_ptr(), libc::MFD_CLOEXEC);
        assert!(made >= 0, "no file for what a child says");
        File::from_raw_fd(made)
    };
    let end = run(|| {
        // SAFETY: both are open.
        unsafe { libc::dup2(file.as_raw_fd(), libc::STDERR_FILENO) };
        what()
    });
    let mut heard = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut heard)).expect("it can be read");
    (end, heard)
}

/// Runs in a child what may break a promise.
///
/// # Errors
///
/// The promise that was broken there, and what the child said of it; [`Promise::Source`]
/// if it ended in another way, when nobody knows which.
///
/// # Panics
///
/// As [`overhear`].
pub fn judge(what: impl FnOnce() -> Result<(), Violation>) -> Result<(), Violation> {
    let (end, said) = overhear(|| match what() {
        Ok(()) => FINE,
        Err(violation) => {
            forked::say(format_args!("{violation}"));
            PROMISES + violation.promise as c_int
        }
    });
    let broken = match end {
        End::Exited(FINE) => return Ok(()),
        End::Exited(status) => {
            usize::try_from(status - PROMISES).ok().and_then(|at| Promise::ALL.get(at).copied())
        }
        End::Killed(_) => None,
    };
    let said = String::from_utf8_lossy(&said);
    let said = said.trim_end();
    let (promise, what) = match broken {
        Some(promise) => (promise, said.to_owned()),
        None => (Promise::Source, format!("{end:?} in a child, which said: {said}")),
    };
    Err(Violation { at: 0, block: 0, promise, what })
}
