//! The child, from its creation to its exec.
//!
//! It shares the keeper's memory (as after `vfork`), so that neither the size of
//! the harness nor a copy of its page tables is in the program's figures; the
//! keeper sleeps until the exec. Everything here is fork-safe: see `sys`.

use std::ffi::c_void;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::SeqCst;

use brkpoint_reports::record::Pass;

use super::board::Step;
use super::plan::Plan;
use super::{Tracer, seccomp, sys};

/// What the child tells the harness: the byte of a message, before an errno.
pub(super) const LISTENING: u8 = b'L';
/// No listener: it waits for a tracer, or for leave to go on without one.
pub(super) const WAITING: u8 = b'W';
/// The harness's answer to [`WAITING`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Answer {
    /// A tracer is attached.
    Traced = b'T',
    /// Nobody will watch.
    Alone = b'A',
}

/// Entry point on the stack prepared by [`Plan`]; `plan` points to one.
pub(super) extern "C" fn enter(plan: *mut c_void) -> libc::c_int {
    // SAFETY: `keeper::start_child` passes a `Plan` that it borrows until the
    // child has left this memory by exec or exit; nobody writes it.
    let plan = unsafe { &*plan.cast_const().cast::<Plan>() };
    let Err((step, error)) = run(plan);
    plan.board.fail(step, &error);
    sys::exit_now(127)
}

fn run(plan: &Plan) -> Result<std::convert::Infallible, (Step, io::Error)> {
    let at = |step| move |error| (step, error);
    let board = &*plan.board;
    board.main.store(std::process::id() as sys::Pid, SeqCst);
    sys::new_session().map_err(at(Step::Session))?;
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as _).map_err(at(Step::Session))?;
    sys::default_signals();
    sys::no_core_files();
    sys::redirect(&plan.stdin, 0).map_err(at(Step::Stdio))?;
    sys::redirect(&plan.stdout, 1).map_err(at(Step::Stdio))?;
    sys::redirect(&plan.stderr, 2).map_err(at(Step::Stdio))?;
    // SAFETY: nothing is closed before the exec.
    unsafe { sys::close_range(3, u32::MAX, true) }.map_err(at(Step::Descriptors))?;
    if plan.pass == Pass::Counts && sys::fixed_addresses().is_err() {
        board.randomised.store(1, SeqCst);
    }
    agree_on_instrument(plan).map_err(at(Step::Session))?;
    sys::block_signals(false);
    board.before.store(sys::usage(libc::RUSAGE_SELF));
    board.start_ns.store(sys::monotonic_ns(), SeqCst);
    // SAFETY: path, argv and envp are C strings and null-terminated arrays of
    // them, owned by `plan`. Like `usage`, through `syscall`.
    unsafe { libc::syscall(libc::SYS_execve, plan.path.as_ptr(), plan.argv(), plan.envp()) };
    Err((Step::Exec, io::Error::last_os_error()))
}

/// Installs the filter that the harness can serve: a listener if there may be
/// one, else one for a tracer. What the filter takes is done without one too, so
/// that the program runs alike in every pass.
fn agree_on_instrument(plan: &Plan) -> io::Result<()> {
    if plan.unprivileged {
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1)?;
    }
    let talk = plan.child_talk;
    let mut errno = 0;
    match plan.tracer {
        Tracer::None => return Ok(()),
        Tracer::Ptrace => {}
        Tracer::Auto | Tracer::Notify => match seccomp::listen(&plan.notify_filter) {
            Ok(listener) => return sys::send(talk, &[LISTENING], Some(listener.as_raw_fd())),
            Err(error) => errno = error.raw_os_error().unwrap_or(0),
        },
    }
    let [a, b, c, d] = errno.to_ne_bytes();
    sys::send(talk, &[WAITING, a, b, c, d], None)?;
    let mut answer = [0];
    let (n, _) = sys::receive(talk, &mut answer)?;
    if n == 0 {
        return Err(io::Error::from_raw_os_error(libc::EPIPE));
    }
    if answer[0] == Answer::Traced as u8 {
        // Only makes it faster: where it cannot be had, the tracer sees that
        // nothing answers to it and stops at every call instead.
        let _ = seccomp::trace(&plan.trace_filter);
    }
    Ok(())
}
