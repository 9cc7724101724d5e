//! The tracer for where no listener can be had: `ptrace`.
//!
//! Stops come from a seccomp filter, so that only watched calls cost anything.
//! Where the filter does not answer to us (it could not be installed, or a
//! listener above takes the same calls first), every call stops instead.

use std::io;
use std::ptr;
use std::sync::mpsc::Sender;

use super::calls::{self, Event};
use super::ledger::Ledger;
use super::sys::{self, Pid};

const OPTIONS: libc::c_int = libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_EXITKILL;

/// Traces `main` and all that descends from it until the last has ended. Tells
/// `attached` at once whether it could begin. Needs a thread of its own: it waits
/// for whatever this thread, and no other, traces.
pub(super) fn trace(main: Pid, mut ledger: Ledger, attached: Sender<io::Result<()>>) -> Ledger {
    let seized = request(libc::PTRACE_SEIZE, main, OPTIONS as usize);
    let failed = seized.is_err();
    // The receiver waits for this; if it is gone, so is the run.
    let _ = attached.send(seized);
    if failed {
        return ledger;
    }
    let mut stops = Stops::Filter { seen: false };
    loop {
        match sys::wait(-1, libc::__WALL | libc::__WNOTHREAD) {
            Ok(Some((thread, status))) if libc::WIFSTOPPED(status) => {
                let (how, signal) = stopped(thread, status, &mut stops, &mut ledger);
                // A thread that was killed meanwhile is waited for in its turn.
                let _ = request(how, thread, signal as usize);
            }
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return ledger,
            _ => {}
        }
    }
}

/// Where the stops that count come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stops {
    /// From the filter, which has been `seen` to work.
    Filter { seen: bool },
    /// From the entry of each call.
    EveryCall,
}

/// Takes a stop down; how the thread is to go on, and with which signal.
fn stopped(
    thread: Pid,
    status: libc::c_int,
    stops: &mut Stops,
    ledger: &mut Ledger,
) -> (libc::c_uint, libc::c_int) {
    let signal = libc::WSTOPSIG(status);
    let mut deliver = 0;
    match status >> 16 {
        libc::PTRACE_EVENT_SECCOMP => {
            if let Stops::Filter { seen } = stops {
                *seen = true;
                take_down(thread, ledger);
            }
        }
        libc::PTRACE_EVENT_EXEC if *stops == (Stops::Filter { seen: false }) => {
            // The filter picks out exec, and yet did not stop this one, the first.
            *stops = Stops::EveryCall;
            ledger.start(thread);
        }
        libc::PTRACE_EVENT_EXIT if ended_by_signal(thread) => ledger.stopped(thread, Event::Exit),
        libc::PTRACE_EVENT_STOP if is_stopping(signal) => return (libc::PTRACE_LISTEN, 0),
        // Only asked for where every call stops.
        0 if signal == libc::SIGTRAP | 0x80 => take_down(thread, ledger),
        0 => deliver = signal,
        _ => {}
    }
    let every_call = *stops == Stops::EveryCall;
    (if every_call { libc::PTRACE_SYSCALL } else { libc::PTRACE_CONT }, deliver)
}

fn is_stopping(signal: libc::c_int) -> bool {
    matches!(signal, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU)
}

/// Whether a thread that is about to end was killed, and so passed no exit call.
fn ended_by_signal(thread: Pid) -> bool {
    let mut status: libc::c_ulong = 0;
    // SAFETY: the request writes one word to its data argument.
    let asked = unsafe {
        libc::ptrace(libc::PTRACE_GETEVENTMSG, thread, 0 as libc::c_long, &raw mut status)
    };
    asked == 0 && status & 0x7f != 0
}

/// Counts the call at whose entry `thread` is stopped, if it is a watched one.
fn take_down(thread: Pid, ledger: &mut Ledger) {
    // SAFETY: plain integers (the union too), for which zero is valid.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: the request writes at most `size` bytes to `info`.
    let n = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, &raw mut info) };
    if n <= 0 {
        return;
    }
    // SAFETY: `op` says which member of the union the kernel filled.
    let (number, args) = unsafe {
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => (info.u.entry.nr, info.u.entry.args),
            libc::PTRACE_SYSCALL_INFO_SECCOMP => (info.u.seccomp.nr, info.u.seccomp.args),
            _ => return,
        }
    };
    if let Some(event) = calls::classify(info.arch, number as u32, &args) {
        ledger.stopped(thread, event);
    }
}

/// A request whose data is a number, to a thread that this one traces.
fn request(request: libc::c_uint, thread: Pid, data: usize) -> io::Result<()> {
    let address = ptr::null_mut::<libc::c_void>();
    // SAFETY: used with requests that take an integer as data and no address.
    sys::check_long(unsafe { libc::ptrace(request, thread, address, data) }).map(|_| ())
}
