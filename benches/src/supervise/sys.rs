//! Safe wrappers of the system calls used here.
//!
//! The ones marked *fork-safe* neither allocate nor lock: they may be called
//! between `fork` and `execve` in a child of a process with threads.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

pub(super) type Pid = libc::pid_t;

/// Turns the C convention (-1 and errno) into a result. Fork-safe.
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Like [`check`], for `syscall`.
pub(super) fn check_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// CPU time and faults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) user_us: u64,
    pub(super) sys_us: u64,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
}

/// `RUSAGE_SELF` or `RUSAGE_CHILDREN`. Fork-safe. Goes through `syscall` so that
/// an `execve` that does the same touches no code page for the first time.
pub(super) fn usage(who: libc::c_int) -> Usage {
    // SAFETY: `rusage` is plain integers, for which zero is valid.
    let mut r: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `r` is writable and of the size the call expects.
    unsafe { libc::syscall(libc::SYS_getrusage, who, &raw mut r) };
    let us = |t: libc::timeval| t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64;
    Usage {
        user_us: us(r.ru_utime),
        sys_us: us(r.ru_stime),
        minor_faults: r.ru_minflt as u64,
        major_faults: r.ru_majflt as u64,
    }
}

/// `CLOCK_MONOTONIC` in ns; the same clock in all processes. Fork-safe.
pub(super) fn monotonic_ns() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Ticks of the clock in which the kernel tells CPU times.
pub(super) fn ticks_per_second() -> u64 {
    // SAFETY: takes an integer only.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).ok().filter(|&ticks| ticks > 0).unwrap_or(100)
}

/// Anonymous memory that is unmapped on drop.
#[derive(Debug)]
pub(super) struct Mapping {
    start: *mut c_void,
    len: usize,
}

impl Mapping {
    /// Zeroed memory that forks share.
    pub(super) fn shared(len: usize) -> io::Result<Mapping> {
        Mapping::new(len, libc::MAP_SHARED)
    }

    /// Zeroed memory of this process.
    pub(super) fn private(len: usize) -> io::Result<Mapping> {
        Mapping::new(len, libc::MAP_PRIVATE)
    }

    fn new(len: usize, flags: libc::c_int) -> io::Result<Mapping> {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = flags | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice touches
        // nothing that exists.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, prot, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { start, len })
    }

    pub(super) fn start(&self) -> *mut c_void {
        self.start
    }

    /// One past the end: where a stack that grows down begins.
    pub(super) fn end(&self) -> *mut c_void {
        self.start.wrapping_byte_add(self.len)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `Mapping::new` and belongs to `self`.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

/// A connected pair of sockets that keep message boundaries and tell of the
/// other end's closing.
pub(super) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `fds` has room for the two descriptors.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    // SAFETY: both were just opened by the kernel, and nothing else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Control space for one descriptor, aligned as `cmsghdr` must be.
#[repr(C, align(8))]
struct Control([u8; 32]);

/// Sends `bytes`, and with it a descriptor if there is one. Fork-safe.
pub(super) fn send(socket: RawFd, bytes: &[u8], fd: Option<RawFd>) -> io::Result<()> {
    let mut iov = libc::iovec { iov_base: bytes.as_ptr() as *mut c_void, iov_len: bytes.len() };
    let mut control = Control([0; 32]);
    // SAFETY: `msghdr` is plain integers and pointers, for which zero is valid.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    if let Some(fd) = fd {
        msg.msg_control = (&raw mut control).cast();
        // SAFETY: CMSG_SPACE and CMSG_LEN only compute; the first header of a
        // 32-byte control buffer has room for one descriptor (24 bytes).
        unsafe {
            msg.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const msg);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
            libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(fd);
        }
    }
    // SAFETY: `msg` refers to `iov` and `control`, which outlive the call.
    check_long(unsafe { libc::sendmsg(socket, &raw const msg, libc::MSG_NOSIGNAL) } as _)?;
    Ok(())
}

/// Receives one message: its length (0: the other end is closed) and the
/// descriptor that came with it. Fork-safe.
pub(super) fn receive(socket: RawFd, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut iov = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut control = Control([0; 32]);
    // SAFETY: as in `send`.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = (&raw mut control).cast();
    msg.msg_controllen = size_of::<Control>() as _;
    let n = loop {
        // SAFETY: `msg` refers to `iov` and `control`, which outlive the call.
        let n = unsafe { libc::recvmsg(socket, &raw mut msg, libc::MSG_CMSG_CLOEXEC) };
        match check_long(n as _) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            result => break result?,
        }
    };
    // SAFETY: the kernel filled `msg`; a header it returns lies in `control`,
    // and a descriptor it passed is new and owned by nobody else.
    let fd = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const msg);
        if !header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS {
            Some(OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned()))
        } else {
            None
        }
    };
    Ok((n as usize, fd))
}

/// What is to be waited for on a descriptor, and what came of it.
pub(super) fn pollfd(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

/// Waits for any of `fds` for at most `timeout_ns`; an interruption by a signal
/// counts as nothing ready. Fork-safe.
pub(super) fn poll(fds: &mut [libc::pollfd], timeout_ns: Option<u64>) -> io::Result<()> {
    let timeout = timeout_ns.map(|ns| libc::timespec {
        tv_sec: (ns / 1_000_000_000) as _,
        tv_nsec: (ns % 1_000_000_000) as _,
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    fds.iter_mut().for_each(|f| f.revents = 0);
    // SAFETY: `fds` and `timeout` are valid for the call; no signal mask is passed.
    let n = unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as _, timeout, ptr::null()) };
    match check(n) {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
        result => result.map(|_| ()),
    }
}

/// One process whose end was reaped: its id and status; `None`: none so far.
/// Fails with `ECHILD` when there is nothing left to wait for. Fork-safe.
pub(super) fn wait(pid: Pid, flags: libc::c_int) -> io::Result<Option<(Pid, libc::c_int)>> {
    let mut status = 0;
    // SAFETY: `status` is writable; a null rusage is allowed.
    let pid = check(unsafe { libc::wait4(pid, &raw mut status, flags, ptr::null_mut()) })?;
    Ok((pid != 0).then_some((pid, status)))
}

/// Fork-safe.
pub(super) fn kill(pid: Pid, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::kill(pid, signal) }).map(|_| ())
}

/// `prctl` with one argument. Fork-safe.
pub(super) fn prctl(option: libc::c_int, argument: libc::c_ulong) -> io::Result<()> {
    const ZERO: libc::c_ulong = 0;
    // SAFETY: used here with options that take integers only.
    check(unsafe { libc::prctl(option, argument, ZERO, ZERO, ZERO) }).map(|_| ())
}

/// A signal set with every signal in it, or none. Fork-safe.
fn signal_set(full: bool) -> libc::sigset_t {
    // SAFETY: a sigset is plain integers; both calls initialise all of it.
    unsafe {
        let mut set = std::mem::zeroed();
        if full {
            libc::sigfillset(&raw mut set)
        } else {
            libc::sigemptyset(&raw mut set)
        };
        set
    }
}

/// Blocks every signal in this thread, or none; the mask it had. Fork-safe.
pub(super) fn block_signals(all: bool) -> libc::sigset_t {
    let set = signal_set(all);
    let mut old = signal_set(false);
    // SAFETY: both sets are initialised.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, &raw mut old) };
    old
}

/// Puts back what [`block_signals`] returned.
pub(super) fn restore_signals(mask: &libc::sigset_t) {
    // SAFETY: `mask` is initialised; the old mask is not wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, ptr::null_mut()) };
}

/// Every signal back to its default action, also those that the C library keeps
/// to itself and refuses to set. Fork-safe.
pub(super) fn default_signals() {
    // The kernel's `struct sigaction` is four words or less, its signal set 8
    // bytes; zero means SIG_DFL, no flags, no mask.
    let default = [0_usize; 4];
    let nowhere = ptr::null_mut::<c_void>();
    for signal in 1..=64 {
        // SAFETY: the call reads `default`. SIGKILL and SIGSTOP fail harmlessly.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, nowhere, 8) };
    }
}

/// A descriptor that becomes readable when SIGCHLD (blocked) is pending. Fork-safe.
pub(super) fn child_signal_fd() -> io::Result<OwnedFd> {
    let mut set = signal_set(false);
    // SAFETY: `set` is initialised.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGCHLD) };
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: `set` is initialised; -1 asks for a new descriptor.
    let fd = check(unsafe { libc::signalfd(-1, &raw const set, flags) })?;
    // SAFETY: just opened, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads what is there, without blocking for more than the descriptor does. Fork-safe.
pub(super) fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` is writable for its length.
    let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    check_long(n as _).map(|n| n as usize)
}

/// Opens a file for reading. Fork-safe.
pub(super) fn open(path: &std::ffi::CStr) -> io::Result<OwnedFd> {
    // SAFETY: `path` is a C string.
    let fd = check(unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) })?;
    // SAFETY: just opened, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes `target` (0, 1 or 2) the same open file as `fd`, kept over exec. Fork-safe.
pub(super) fn redirect(fd: &impl AsRawFd, target: RawFd) -> io::Result<()> {
    // SAFETY: takes integers only; what `target` was is given up on purpose.
    check(unsafe { libc::dup2(fd.as_raw_fd(), target) }).map(|_| ())
}

/// Closes the descriptors `first..=last`, or only marks them close-on-exec. Fork-safe.
///
/// # Safety
/// No object of this process that owns one of them may be used, or dropped, after.
pub(super) unsafe fn close_range(first: u32, last: u32, on_exec: bool) -> io::Result<()> {
    let flags = if on_exec { libc::CLOSE_RANGE_CLOEXEC } else { 0 };
    // SAFETY: the caller gives these descriptors up.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 {
        return Ok(());
    }
    // Kernels before 5.9 (5.11 for the flag) lack the call.
    // SAFETY: `getrlimit` fills the struct it is given; the caller gives the
    // descriptors up, and one that is not open fails harmlessly.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit))?;
        for fd in first..=last.min(limit.rlim_cur.min(1 << 20) as u32) {
            if on_exec {
                libc::fcntl(fd as RawFd, libc::F_SETFD, libc::FD_CLOEXEC);
            } else {
                libc::close(fd as RawFd);
            }
        }
    }
    Ok(())
}

/// No core files from this process on. Fork-safe.
pub(super) fn no_core_files() {
    // SAFETY: `getrlimit` fills the struct, `setrlimit` reads it.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit);
        limit.rlim_cur = 0;
        libc::setrlimit(libc::RLIMIT_CORE, &raw const limit);
    }
}

/// Addresses are not randomised from the next exec on. Fork-safe.
///
/// # Errors
/// Where it may not be had, as in a container whose seccomp profile forbids it.
pub fn fixed_addresses() -> io::Result<()> {
    // SAFETY: takes an integer only; 0xffffffff asks without changing.
    let now = check(unsafe { libc::personality(0xffff_ffff) })?;
    let wanted = (now | libc::ADDR_NO_RANDOMIZE) as libc::c_ulong;
    // SAFETY: takes an integer only.
    check(unsafe { libc::personality(wanted) }).map(|_| ())
}

/// A session, and with it a process group, of its own. Fork-safe.
pub(super) fn new_session() -> io::Result<()> {
    // SAFETY: no arguments.
    check(unsafe { libc::setsid() }).map(|_| ())
}

/// Whether two processes share one address space (as after `vfork`).
pub(super) fn same_memory(a: Pid, b: Pid) -> bool {
    const KCMP_VM: libc::c_long = 1;
    // SAFETY: takes integers only.
    unsafe { libc::syscall(libc::SYS_kcmp, a, b, KCMP_VM, 0, 0) == 0 }
}

/// Whether this user may execute the file, by effective ids.
pub(super) fn may_execute(path: &std::ffi::CStr) -> bool {
    // SAFETY: `path` is a C string.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) == 0 }
}

/// Whether the file carries an extended attribute of that name.
pub(super) fn has_attribute(path: &std::ffi::CStr, name: &std::ffi::CStr) -> bool {
    // SAFETY: both are C strings; of a length of 0, no buffer is written.
    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), ptr::null_mut(), 0) > 0 }
}

/// Effective user and group of this process.
pub(super) fn effective_ids() -> (libc::uid_t, libc::gid_t) {
    // SAFETY: no arguments.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Ends this process at once: no destructors, no buffers flushed. Fork-safe.
pub(super) fn exit_now(status: libc::c_int) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(status) }
}

/// Size of an OS page in bytes.
pub(super) fn os_page() -> u64 {
    // SAFETY: takes an integer only.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u64 }
}
