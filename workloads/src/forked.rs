//! A forked child: what it does to its process, and its end, are of no consequence to
//! the parent, which learns how it ended.

use std::ffi::c_int;
use std::io::{self, Error, ErrorKind, Write};
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

/// The status of a child that panicked.
pub const PANICKED: c_int = 101;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exited(c_int),
    /// By a signal; SIGALRM if it hung.
    Killed(c_int),
}

/// Signals that end a child which goes wrong. A fuzzer has handlers for them,
/// which would take the child's end for its own.
const SIGNALS: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGALRM];

/// For a child: does `what`, and ends this process with the status that it gives, with
/// [`PANICKED`] if it panics, or by SIGALRM if it takes longer than `patience`, in whole
/// seconds, if there is a limit to it. Nothing else of the parent's runs, and nothing is
/// unwound into it: a test's harness would end the process as if all were well.
pub fn end(patience: Option<Duration>, what: impl FnOnce() -> c_int) -> ! {
    // SAFETY: the default actions; and a signal of our own.
    unsafe {
        for signal in SIGNALS {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::alarm(patience.map_or(0, |limit| limit.as_secs() as u32));
    }
    panic::set_hook(Box::new(|panic| say(format_args!("{panic}"))));
    let status = panic::catch_unwind(AssertUnwindSafe(what)).unwrap_or(PANICKED);
    // SAFETY: ends this process without running anything of the parent's.
    unsafe { libc::_exit(status) }
}

/// Does `what` in a forked child, as [`end`] says, and waits for the child's end.
///
/// # Errors
///
/// The kernel makes no child.
pub fn run(patience: Option<Duration>, what: impl FnOnce() -> c_int) -> io::Result<End> {
    // SAFETY: the child does what it is given, and ends.
    match unsafe { libc::fork() } {
        -1 => Err(Error::last_os_error()),
        0 => end(patience, what),
        child => wait(child),
    }
}

/// Says something on stderr: `eprintln` writes to where a test's harness collects it,
/// which is lost with a child.
pub fn say(what: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "in a forked child: {what}");
}

/// Waits for a child's end.
///
/// # Errors
///
/// `child` is no child of this process.
pub fn wait(child: libc::pid_t) -> io::Result<End> {
    let mut status = 0;
    // SAFETY: a valid place for the status.
    while unsafe { libc::waitpid(child, &mut status, 0) } < 0 {
        let error = Error::last_os_error();
        if error.kind() != ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(if libc::WIFSIGNALED(status) {
        End::Killed(libc::WTERMSIG(status))
    } else {
        End::Exited(libc::WEXITSTATUS(status))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(what: impl FnOnce() -> c_int) -> End {
        run(Some(Duration::from_secs(20)), what).expect("a child can be made")
    }

    #[test]
    fn a_parent_learns_how_its_child_ended() {
        assert_eq!(ended(|| 0), End::Exited(0));
        assert_eq!(ended(|| 7), End::Exited(7));
        assert_eq!(ended(|| panic!("as it is to")), End::Exited(PANICKED));
        // SAFETY: a signal to itself.
        let killed = ended(|| unsafe { libc::raise(libc::SIGILL) });
        assert_eq!(killed, End::Killed(libc::SIGILL));
    }

    #[test]
    fn a_child_that_hangs_is_ended() {
        let end = run(Some(Duration::from_secs(1)), || {
            loop {
                std::thread::sleep(Duration::from_secs(60));
            }
        });
        assert_eq!(end.expect("a child can be made"), End::Killed(libc::SIGALRM));
    }
}
