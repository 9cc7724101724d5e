//! Something done in a forked child, so that what it does to its process, and its
//! end, are of no consequence here.

use std::ffi::c_int;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd};

/// A child that has not ended by then hangs, in seconds.
const PATIENCE: u32 = 60;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with what it was to find out.
    Exited(bool),
    /// By a signal; SIGALRM if it hung.
    Killed(c_int),
}

/// Signals that end a child which goes wrong. A fuzzer has handlers for them,
/// which would take the child's end for its own.
const SIGNALS: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGALRM];

/// Runs something in a child, and waits for its end.
///
/// # Panics
///
/// When there can be no child.
pub fn run(what: impl FnOnce() -> bool) -> End {
    // SAFETY: the child has one thread, does what it is given, and ends.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: the default actions; and a signal of our own.
            unsafe {
                for signal in SIGNALS {
                    libc::signal(signal, libc::SIG_DFL);
                }
                libc::alarm(PATIENCE);
            }
            let done = what();
            // SAFETY: ends this process without running anything of the parent's.
            unsafe { libc::_exit(if done { 0 } else { 1 }) }
        }
        child => {
            assert!(child > 0, "no child can be forked");
            let mut status = 0;
            // SAFETY: our own child, and a valid place for its status.
            while unsafe { libc::waitpid(child, &mut status, 0) } < 0 {
                let error = Error::last_os_error();
                let again = error.kind() == ErrorKind::Interrupted;
                assert!(again, "a child cannot be waited for: {error}");
            }
            if libc::WIFSIGNALED(status) {
                End::Killed(libc::WTERMSIG(status))
            } else {
                End::Exited(libc::WEXITSTATUS(status) == 0)
            }
        }
    }
}

/// As [`run`], and gives what the child wrote to stderr, too.
///
/// # Panics
///
/// As [`run`], and when there can be no file for that.
pub fn overhear(what: impl FnOnce() -> bool) -> (End, Vec<u8>) {
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
