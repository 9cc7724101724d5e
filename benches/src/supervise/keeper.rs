//! The keeper: a small process between harness and program that holds the whole
//! tree together.
//!
//! Orphans of the tree become its children (it is a subreaper), so that it
//! 1. reaps every process, which makes the kernel add up times and faults;
//! 2. knows when the last one has ended;
//! 3. can kill them all, whatever sessions or process groups they made: on
//!    request, when the program has ended, and when the harness has died.
//!
//! Trees measured at the same time each have their own, and other children of
//! the harness are never touched. It is a fork of a process with threads:
//! everything here is fork-safe (see `sys`).

use std::ffi::c_void;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;

use super::board::Step;
use super::child;
use super::plan::Plan;
use super::sys::{self, Pid};

/// How long processes that outlive the program may take to end by themselves:
/// the end of a pipeline often does, and its figures should not depend on luck.
pub(super) const GRACE_NS: u64 = 100_000_000;
/// When killing is given up (a set-uid program of another user, say).
pub(super) const GIVE_UP_NS: u64 = 5_000_000_000;
/// The message that has the program, and it alone, asked to end.
pub(super) const TERMINATE: u8 = b't';
/// Pause between rounds of killing.
const ROUND_NS: u64 = 2_000_000;

/// Forks the keeper, which then starts the program.
pub(super) fn start(plan: &Plan) -> io::Result<Pid> {
    // A handler of the harness must not run in the keeper.
    let mask = sys::block_signals(true);
    // SAFETY: what the child runs, `keep`, is fork-safe and never returns.
    let pid = sys::check(unsafe { libc::fork() });
    if let Ok(0) = pid {
        keep(plan);
    }
    sys::restore_signals(&mask);
    pid
}

fn keep(plan: &Plan) -> ! {
    let board = &*plan.board;
    let mut keeper = match Keeper::set_up(plan) {
        Ok(keeper) => keeper,
        Err((step, error)) => {
            board.fail(step, &error);
            sys::exit_now(1)
        }
    };
    keeper.run();
    board.total.store(sys::usage(libc::RUSAGE_CHILDREN));
    board.killed.store(keeper.killed, SeqCst);
    sys::exit_now(0)
}

/// Until when the tree may live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// The program has ended by itself; others may until this time.
    Grace(u64),
    /// Everything is killed; given up at this time.
    Killing(u64),
}

struct Keeper<'a> {
    plan: &'a Plan,
    main: Pid,
    signals: std::os::fd::OwnedFd,
    phase: Phase,
    /// Whether the program had ended before anything was killed.
    complete: bool,
    killed: u32,
}

impl Keeper<'_> {
    fn set_up(plan: &Plan) -> Result<Keeper<'_>, (Step, io::Error)> {
        let at = |step| move |error| (step, error);
        sys::new_session().map_err(at(Step::Keeper))?;
        sys::default_signals();
        sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1).map_err(at(Step::Keeper))?;
        close_all_but(&plan.kept).map_err(at(Step::Keeper))?;
        let signals = sys::child_signal_fd().map_err(at(Step::Keeper))?;
        let main = start_child(plan).map_err(at(Step::Clone))?;
        plan.board.started.store(1, SeqCst);
        // The handshake is over; the harness sees the end close.
        let talk = plan.child_talk as u32;
        // SAFETY: the keeper never uses it again and leaves by `_exit`.
        unsafe { sys::close_range(talk, talk, false) }.map_err(at(Step::Keeper))?;
        Ok(Keeper { plan, main, signals, phase: Phase::Running, complete: false, killed: 0 })
    }

    fn run(&mut self) {
        let mut fds = [sys::pollfd(self.signals.as_raw_fd()), sys::pollfd(self.plan.keeper_life)];
        while self.reap() {
            let now = sys::monotonic_ns();
            let timeout = match self.phase {
                Phase::Running => None,
                Phase::Grace(end) if now < end => Some(end - now),
                Phase::Grace(_) => Some(self.kill_round(now + GIVE_UP_NS)),
                Phase::Killing(end) if now < end => Some(self.kill_round(end)),
                Phase::Killing(_) => {
                    self.plan.board.survivors.store(self.children(|_| {}), SeqCst);
                    return;
                }
            };
            if sys::poll(&mut fds, timeout).is_err() {
                // Cannot happen short of a lack of memory; end what there is.
                self.phase = Phase::Killing(now + GIVE_UP_NS);
            }
            if fds[0].revents != 0 {
                let mut buffer = [0; 128 * 8];
                let _ = sys::read(fds[0].fd, &mut buffer);
            }
            if fds[1].revents != 0 && !self.terminates(fds[1].fd) {
                fds[1].fd = -1;
                if !matches!(self.phase, Phase::Killing(_)) {
                    self.phase = Phase::Killing(sys::monotonic_ns() + GIVE_UP_NS);
                }
            }
        }
        self.plan.board.done.store(1, SeqCst);
    }

    /// Whether no more is asked than to end the program, which is done. Until it is
    /// reaped its id is its own.
    fn terminates(&self, life: libc::c_int) -> bool {
        let mut message = [0];
        let terminate = matches!(sys::read(life, &mut message), Ok(1)) && message[0] == TERMINATE;
        if terminate && self.phase == Phase::Running {
            let _ = sys::kill(self.main, libc::SIGTERM);
        }
        terminate
    }

    /// Reaps all that have ended; false when nothing is left.
    fn reap(&mut self) -> bool {
        let board = &*self.plan.board;
        loop {
            let (pid, status) = match sys::wait(-1, libc::WNOHANG | libc::__WALL) {
                Ok(Some(ended)) => ended,
                Ok(None) => return true,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return false,
            };
            let killing = matches!(self.phase, Phase::Killing(_));
            if pid == self.main {
                let now = sys::monotonic_ns();
                board.end_ns.store(now, SeqCst);
                board.status.store(status, SeqCst);
                board.cut_short.store(killing.into(), SeqCst);
                if !killing {
                    self.complete = true;
                    self.phase = Phase::Grace(now + GRACE_NS);
                }
            } else if killing && self.complete && libc::WTERMSIG(status) == libc::SIGKILL {
                self.killed += 1;
            }
        }
    }

    /// Kills the present children; theirs become children for the next round.
    fn kill_round(&mut self, give_up: u64) -> u64 {
        self.phase = Phase::Killing(give_up);
        self.children(|pid| {
            let _ = sys::kill(pid, libc::SIGKILL);
        });
        ROUND_NS
    }

    /// Calls `each` for the children that there are now; their number.
    fn children(&self, each: impl Fn(Pid)) -> u32 {
        let Ok(file) = sys::open(c"/proc/thread-self/children") else { return 0 };
        let mut buffer = [0; 4096];
        let (mut count, mut pid) = (0, 0);
        while let Ok(n) = sys::read(file.as_raw_fd(), &mut buffer)
            && n > 0
        {
            for &byte in buffer.iter().take(n) {
                if byte.is_ascii_digit() {
                    pid = pid * 10 + Pid::from(byte - b'0');
                } else if pid != 0 {
                    each(pid);
                    (count, pid) = (count + 1, 0);
                }
            }
        }
        count
    }
}

/// Creates the program's process in this memory and sleeps until it has exec'd
/// or ended.
fn start_child(plan: &Plan) -> io::Result<Pid> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let plan_pointer = ptr::from_ref(plan).cast_mut().cast::<c_void>();
    // SAFETY: the stack is a mapping of its own, used by nothing else; the
    // child's function only reads `*plan`, which lives until this process ends,
    // and leaves this memory before `clone` returns here (CLONE_VFORK).
    sys::check(unsafe { libc::clone(child::enter, plan.stack.end(), flags, plan_pointer) })
}

/// Closes all descriptors but the standard ones and `kept` (ascending).
fn close_all_but(kept: &[libc::c_int]) -> io::Result<()> {
    let mut first = 3;
    for &fd in kept {
        let fd = fd as u32;
        if fd > first {
            // SAFETY: a fork uses none of the harness's descriptors but the
            // kept ones, and leaves by `_exit`, which drops nothing.
            unsafe { sys::close_range(first, fd - 1, false) }?;
        }
        first = first.max(fd + 1);
    }
    // SAFETY: as above.
    unsafe { sys::close_range(first, u32::MAX, false) }
}
