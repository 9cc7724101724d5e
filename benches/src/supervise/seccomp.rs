//! Installing filters, and answering their notifications.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::sys::{self, Pid};

/// Installs a filter whose notifications the returned descriptor yields. A call
/// that a listener has received is not interrupted by signals other than fatal
/// ones, so that none is seen twice (needs Linux 5.19). Fork-safe.
pub(super) fn listen(filter: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER
        | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
        | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    let fd = install(filter, flags)?;
    // SAFETY: the kernel has just opened it, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Has each side of a notification woken on the processor on which the other
/// goes to sleep, which makes a call several times cheaper, most of all on
/// virtual machines. Kernels before 6.6 do not know it: all goes its slower way.
pub(super) fn wake_on_one_cpu(listener: &OwnedFd) {
    /// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` of linux/seccomp.h.
    const SYNC_WAKE_UP: libc::c_ulong = 1;
    // SAFETY: the request takes its flags by value.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP) };
}

/// Installs a filter whose stops a tracer sees. Fork-safe.
pub(super) fn trace(filter: &[libc::sock_filter]) -> io::Result<()> {
    install(filter, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW).map(|_| ())
}

/// Needs privileges, or the promise that no exec will grant any: see
/// `process::may_watch_privileged`.
fn install(filter: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: `program` describes `filter`, which the kernel copies.
    sys::check_long(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    })
}

/// A thread stopped at the entry of a watched call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notification {
    id: u64,
    pub(super) thread: Pid,
    pub(super) audit_arch: u32,
    pub(super) number: u32,
    pub(super) args: [u64; 6],
}

/// The next notification; `None` if the thread died, or a signal took it out of
/// the call, before it could be received. Blocks if there is none.
pub(super) fn receive(listener: &OwnedFd) -> io::Result<Option<Notification>> {
    // SAFETY: plain integers, for which zero is valid; the kernel demands zeros.
    let mut n: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    let request = libc::SECCOMP_IOCTL_NOTIF_RECV as _;
    // SAFETY: the request fills the struct it is given.
    match sys::check(unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw mut n) }) {
        Ok(_) => Ok(Some(Notification {
            id: n.id,
            thread: n.pid as Pid,
            audit_arch: n.data.arch,
            number: n.data.nr as u32,
            args: n.data.args,
        })),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Lets the call go on as it is. A thread that has died meanwhile is no error.
pub(super) fn go_on(listener: &OwnedFd, notification: &Notification) -> io::Result<()> {
    let mut response = libc::seccomp_notif_resp {
        id: notification.id,
        val: 0,
        error: 0,
        flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
    };
    loop {
        let request = libc::SECCOMP_IOCTL_NOTIF_SEND as _;
        // SAFETY: the request reads the struct it is given.
        let sent = unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw mut response) };
        match sys::check(sent) {
            Ok(_) => return Ok(()),
            Err(e) => match e.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::ENOENT) => return Ok(()),
                _ => return Err(e),
            },
        }
    }
}
