//! A page of memory shared by the harness, the keeper and the child.
//!
//! The child shares the keeper's memory until it execs, and the keeper is a fork
//! of the harness; what they have to say, they write here. Each field has one
//! writer, and is read by others only after an event that orders it (the end of
//! the keeper, or a message).

use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

use super::sys::{self, Usage};

/// The step in which the child (or the keeper) failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Step {
    Keeper = 1,
    Clone,
    Session,
    Stdio,
    Descriptors,
    Exec,
}

const STEPS: [Step; 6] =
    [Step::Keeper, Step::Clone, Step::Session, Step::Stdio, Step::Descriptors, Step::Exec];

impl Step {
    /// What was attempted, for an error message.
    pub(super) fn what(self) -> &'static str {
        match self {
            Step::Keeper => "setting up the process that keeps the tree",
            Step::Clone => "creating the program's process",
            Step::Session => "giving the program a session of its own",
            Step::Stdio => "connecting the program's standard streams",
            Step::Descriptors => "closing file descriptors for the program",
            Step::Exec => "executing the program",
        }
    }
}

/// Times and faults of processes, field by field shareable.
#[derive(Debug, Default)]
pub(super) struct SharedUsage {
    user_us: AtomicU64,
    sys_us: AtomicU64,
    minor_faults: AtomicU64,
    major_faults: AtomicU64,
}

impl SharedUsage {
    pub(super) fn store(&self, usage: Usage) {
        self.user_us.store(usage.user_us, SeqCst);
        self.sys_us.store(usage.sys_us, SeqCst);
        self.minor_faults.store(usage.minor_faults, SeqCst);
        self.major_faults.store(usage.major_faults, SeqCst);
    }

    pub(super) fn load(&self) -> Usage {
        Usage {
            user_us: self.user_us.load(SeqCst),
            sys_us: self.sys_us.load(SeqCst),
            minor_faults: self.minor_faults.load(SeqCst),
            major_faults: self.major_faults.load(SeqCst),
        }
    }
}

/// What the keeper and the child tell the harness. All-zero is the initial state.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Board {
    /// Process id of the program; 0 until it exists.
    pub(super) main: AtomicI32,
    step: AtomicU32,
    errno: AtomicI32,
    /// 1 if address randomisation could not be switched off though asked.
    pub(super) randomised: AtomicU32,
    /// 1 once the child's exec is over, well or badly.
    pub(super) started: AtomicU32,
    /// `CLOCK_MONOTONIC` ns just before exec.
    pub(super) start_ns: AtomicU64,
    /// What the child had used just before exec: not the program's doing.
    pub(super) before: SharedUsage,
    /// `CLOCK_MONOTONIC` ns when the end of the program was seen.
    pub(super) end_ns: AtomicU64,
    /// The program's status as `wait4` gave it.
    pub(super) status: AtomicI32,
    /// 1 if the tree was killed on request before the program ended.
    pub(super) cut_short: AtomicU32,
    /// Everything the tree used, the child before exec included.
    pub(super) total: SharedUsage,
    /// Processes killed after the program had ended by itself.
    pub(super) killed: AtomicU32,
    /// Processes that could not be killed.
    pub(super) survivors: AtomicU32,
    /// 1 once the keeper has seen the last process of the tree end.
    pub(super) done: AtomicU32,
}

impl Board {
    pub(super) fn fail(&self, step: Step, error: &io::Error) {
        self.errno.store(error.raw_os_error().unwrap_or(0), SeqCst);
        self.step.store(step as u32, SeqCst);
    }

    pub(super) fn failure(&self) -> Option<(Step, io::Error)> {
        let step = self.step.load(SeqCst);
        let step = STEPS.into_iter().find(|s| *s as u32 == step)?;
        Some((step, io::Error::from_raw_os_error(self.errno.load(SeqCst))))
    }
}

/// A [`Board`] in memory that forks share.
#[derive(Debug)]
pub(super) struct SharedBoard(sys::Mapping);

impl SharedBoard {
    pub(super) fn new() -> io::Result<SharedBoard> {
        sys::Mapping::shared(size_of::<Board>()).map(SharedBoard)
    }
}

impl Deref for SharedBoard {
    type Target = Board;

    fn deref(&self) -> &Board {
        // SAFETY: the mapping is at least `size_of::<Board>()` long, page
        // aligned, zeroed at first (`SharedBoard::new`; all-zero is a valid
        // Board) and lives as long as `self`; all fields are atomics, so other
        // processes may write them at any time.
        unsafe { &*self.0.start().cast::<Board>() }
    }
}
