//! Runs one process tree under exactly one instrument.
//!
//! ```text
//! harness ── run ── plan      everything prepared before the fork
//!    │              watch     serves the instrument, keeps the time, samples RSS (rss)
//!    │                └─ seccomp (notifications) or trace (ptrace) ─┐
//!    │                   calls: which system calls                  ├─ ledger: counts, bytes,
//!    │                   process: what /proc tells                  │  peak, image(s),
//!    │                                                              │  heap_faults
//!  fork                                                             ┘
//!    ├─ keeper      holds the tree: reaps all of it, kills all of it, also when
//!    │    │         the harness has died; talks through the board and one socket
//!  clone (memory shared until exec)
//!    └─── child ── exec ── the program, in a session of its own
//! ```
//!
//! | pass | watched | addresses |
//! |---|---|---|
//! | time | nothing | random |
//! | counts | memory calls, markers, exec, exit | fixed |
//! | memory | exec, exit; RSS by a timer | random |
//!
//! The program runs alike in every pass. Where the harness may not watch programs
//! that gain privileges by exec (it lacks `CAP_SYS_ADMIN` or `CAP_SYS_PTRACE`), no
//! exec grants any, in the time pass neither: a set-uid program runs as its caller,
//! with the library, and [`Observation::notes`] say so. Where the harness may, such
//! a program gets its privileges, its loader ignores `LD_PRELOAD`, and its
//! [`Image`] is not covered.
//!
//! Whatever `run` returns, no process of the tree is left; if the harness is
//! killed, the keeper sees that and kills the tree. If the keeper is killed, the
//! program is killed with it, and descendants of the program may stay.
//!
//! `unsafe` is in `sys`, `seccomp`, `trace`, and at the three places where
//! processes begin: `keeper::start`, `keeper::start_child`, `child::run`.

mod board;
mod calls;
mod capture;
mod child;
mod error;
mod heap_faults;
mod held;
mod image;
mod inside;
mod keeper;
mod leash;
mod ledger;
mod plan;
mod process;
mod rss;
mod seccomp;
mod sys;
mod trace;
mod watch;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brkpoint_reports::record::{Exit, Pass, Series};

pub use calls::Call;
pub use capture::Captured;
pub use error::LaunchError;
pub use held::{Held, MAX_LENGTHS};
pub use image::Image;
pub use leash::Leash;
pub use ledger::{Counts, Syscalls};
pub use plan::find_program;
pub use rss::MAX_POINTS;
pub use sys::fixed_addresses;

use board::Step;
use plan::Plan;
use watch::Watched;

/// How much of the end of standard error is kept, in bytes.
const STDERR_TAIL: u64 = 2048;

/// What to start. The working directory is the harness's.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// Looked for in `PATH` (the program's own) unless it contains a slash.
    pub program: OsString,
    /// Arguments after the program's name.
    pub args: Vec<OsString>,
    /// Variables set on top of the inherited environment.
    pub env: Vec<(OsString, OsString)>,
    /// Variables removed from the inherited environment first.
    pub env_remove: Vec<OsString>,
    /// Standard input; `None`: `/dev/null`.
    pub stdin: Option<PathBuf>,
    /// After this long all is killed and [`Exit::TimedOut`] recorded.
    pub timeout: Option<Duration>,
    /// The preload library that must be mapped in each covered process.
    pub library: Option<PathBuf>,
    /// How system calls are watched in the counts and the memory pass.
    pub tracer: Tracer,
    /// A file in which threads say that they are in a call of the malloc family:
    /// then only calls made there are of the measured phase.
    pub inside: Option<PathBuf>,
    /// Count the minor faults on the measured phase's memory, in the counts pass: each
    /// memory call then takes long.
    pub heap_faults: bool,
    /// For a program that another thread ends.
    pub leash: Option<Leash>,
}

/// How system calls are watched. The figures are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tracer {
    /// Notification where it can be had, else ptrace, else nothing.
    #[default]
    Auto,
    /// Seccomp notification or nothing.
    Notify,
    /// ptrace or nothing.
    Ptrace,
    /// Nothing.
    None,
}

/// Which instrument answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instrument {
    /// None was wanted: the time pass.
    Unused,
    /// Seccomp user notification.
    Notify,
    /// ptrace.
    Ptrace,
    /// None could be had; the reasons.
    Unavailable(String),
}

impl Instrument {
    /// What a reader of the figures should know about it, if anything.
    pub fn note(&self) -> Option<String> {
        match self {
            Instrument::Unused | Instrument::Notify => None,
            Instrument::Ptrace => Some("system calls were watched by ptrace".to_owned()),
            Instrument::Unavailable(why) => {
                Some(format!("system calls could not be watched: {why}"))
            }
        }
    }
}

/// A request, from a signal handler or another thread, to end a run.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// One that is set when `flag` is: that ends the run that watches it, and any
    /// that begins later.
    pub fn new(flag: Arc<AtomicBool>) -> Stop {
        Stop(flag)
    }

    /// Whether it was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(SeqCst)
    }
}

/// What one run showed.
///
/// Times and faults are of the whole tree, from the exec of the program on.
/// (A process whose parent ignores `SIGCHLD` is in nobody's sums: the kernel
/// discards its figures.)
#[derive(Debug)]
pub struct Observation {
    /// How the program itself ended.
    pub exit: Exit,
    /// From just before its exec to its end, in seconds.
    pub wall_s: f64,
    /// CPU time in user mode, in seconds.
    pub user_s: f64,
    /// CPU time in the kernel, in seconds.
    pub sys_s: f64,
    /// Faults served without I/O.
    pub minor_faults: u64,
    /// Faults that waited for I/O.
    pub major_faults: u64,
    /// Counts pass: the memory calls; `None` without an instrument.
    pub syscalls: Option<Syscalls>,
    /// Memory pass: the largest `VmHWM` of any one process, in bytes, read as it
    /// was about to exec or end; of a process that a signal ended (unless ptrace
    /// watched) the largest that was sampled. `None` without an instrument.
    pub peak_rss_bytes: Option<u64>,
    /// Memory pass: resident bytes of all processes over time; at most
    /// [`MAX_POINTS`] points. `None` if they were gone before the first sample.
    pub series: Option<Series>,
    /// The programs that were seen; empty without an instrument.
    pub images: Vec<Image>,
    /// What the tree wrote to standard output.
    pub stdout: Captured,
    /// The end of what it wrote to standard error, about 2 KiB.
    pub stderr_tail: String,
    /// Processes that were still there when the program had ended, and a little
    /// later too, and were killed.
    pub killed_descendants: u32,
    /// It was asked to end, by its [`Leash`].
    pub asked_to_end: bool,
    /// What watched.
    pub instrument: Instrument,
    /// Anything else that bears on the figures.
    pub notes: Vec<String>,
}

/// Whether [`run`] would find `program` in this process's `PATH`.
pub fn can_find(program: &OsStr) -> bool {
    plan::resolve(program, std::env::var_os("PATH").as_ref()).is_ok()
}

/// Starts the program, waits for the end of its whole tree, and tells what `pass`
/// measures.
///
/// # Errors
/// If it could not be started or watched, or `stop` was set. A program that
/// crashes or runs out of time is an observation.
pub fn run(launch: &Launch, pass: Pass, stop: &Stop) -> Result<Observation, LaunchError> {
    let _over = launch.leash.as_ref().map(Leash::until_dropped);
    if stop.is_set() {
        return Err(LaunchError::Interrupted);
    }
    if !process::lists_children() {
        return Err(LaunchError::System {
            what: "listing child processes in /proc (CONFIG_PROC_CHILDREN), without which a \
                   process tree cannot be ended reliably",
            source: io::Error::from(io::ErrorKind::Unsupported),
        });
    }
    let library = launch.library.as_deref().map(image::Library::new).transpose()?;
    let (plan, ends) = Plan::new(launch, pass)?;
    let keeper = keeper::start(&plan).map_err(LaunchError::system("forking"))?;
    let ends = ends.without_far();
    let watched = watch::watch(launch, library, &plan, &ends, keeper, stop);
    // If watching failed, this makes the keeper kill what there is.
    drop(ends);
    reap(keeper).map_err(LaunchError::system("waiting for the keeper"))?;
    let watched = watched?;
    judge(&plan, &watched)?;
    observe(plan, watched).map_err(LaunchError::system("reading back the program's output"))
}

fn reap(keeper: sys::Pid) -> io::Result<()> {
    loop {
        match sys::wait(keeper, 0) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // A harness that ignores SIGCHLD has its children reaped for it.
            Err(e) if e.raw_os_error() != Some(libc::ECHILD) => return Err(e),
            _ => return Ok(()),
        }
    }
}

/// Whether there is anything to observe.
fn judge(plan: &Plan, watched: &Watched) -> Result<(), LaunchError> {
    let board = &*plan.board;
    let survivors = board.survivors.load(SeqCst);
    if survivors > 0 {
        let after_s = keeper::GIVE_UP_NS / 1_000_000_000;
        return Err(LaunchError::Survivors { count: survivors, after_s });
    }
    if watched.interrupted {
        return Err(LaunchError::Interrupted);
    }
    if watched.flooded {
        return Err(LaunchError::Flooded { limit: watch::MAX_OUTPUT });
    }
    match board.failure() {
        Some((Step::Exec, source)) => {
            let path = PathBuf::from(OsString::from_vec(plan.path.clone().into_bytes()));
            Err(LaunchError::Exec { path, source })
        }
        Some((step, source)) => Err(LaunchError::System { what: step.what(), source }),
        None if board.done.load(SeqCst) == 0 => Err(LaunchError::KeeperKilled),
        None => Ok(()),
    }
}

fn observe(plan: Plan, watched: Watched) -> io::Result<Observation> {
    let board = &*plan.board;
    let status = board.status.load(SeqCst);
    let exit = if board.cut_short.load(SeqCst) == 1 {
        Exit::TimedOut
    } else if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    };
    let (before, total) = (board.before.load(), board.total.load());
    let seconds = |us: u64| us as f64 / 1e6;
    let wall_ns = board.end_ns.load(SeqCst).saturating_sub(board.start_ns.load(SeqCst));
    let mut notes = Vec::new();
    if board.randomised.load(SeqCst) == 1 {
        notes.push(
            "address randomisation could not be switched off (a container's seccomp profile may \
             forbid it): counts may vary between runs"
                .to_owned(),
        );
    }
    let (mut syscalls, mut peak_rss_bytes, mut images) = (None, None, Vec::new());
    if let Some(totals) = watched.totals {
        if totals.unread_breaks > 0 {
            let n = totals.unread_breaks;
            notes.push(format!("{n} brk call(s): the heap's size may not be read; bytes unknown"));
        }
        let sampled = watched.sampler.as_ref().map(|s| s.peak_rss_bytes);
        peak_rss_bytes = sampled.map(|sampled| sampled.max(totals.peak_rss_bytes));
        syscalls = (plan.pass == Pass::Counts).then_some(totals.syscalls);
        images = totals.images;
        notes.extend(totals.unseen);
        let stripped: BTreeSet<_> = images
            .iter()
            .filter(|image| plan.unprivileged && image.grants_privileges())
            .map(|image| {
                format!("{}: runs without its privileges here", image.executable.display())
            })
            .collect();
        notes.extend(stripped);
    }
    Ok(Observation {
        exit,
        wall_s: wall_ns as f64 / 1e9,
        user_s: seconds(total.user_us.saturating_sub(before.user_us)),
        sys_s: seconds(total.sys_us.saturating_sub(before.sys_us)),
        minor_faults: total.minor_faults.saturating_sub(before.minor_faults),
        major_faults: total.major_faults.saturating_sub(before.major_faults),
        syscalls,
        peak_rss_bytes,
        series: watched.sampler.and_then(rss::Sampler::finish),
        images,
        stderr_tail: capture::tail(&plan.stderr, STDERR_TAIL)?,
        killed_descendants: board.killed.load(SeqCst),
        asked_to_end: watched.asked,
        instrument: watched.instrument,
        notes,
        stdout: Captured::new(plan.stdout)?,
    })
}
