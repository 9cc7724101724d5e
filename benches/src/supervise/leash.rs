//! A hold on a running program from another thread: for programs that end only
//! when they are told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use super::process;
use super::sys::{self, Pid};

/// How long a program may take to end when it is asked to, before it is killed.
pub(super) const TERM_GRACE_NS: u64 = 5_000_000_000;

/// Tells that the program runs, and lets it be ended. Of one run.
#[derive(Debug, Clone, Default)]
pub struct Leash(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    keeper: AtomicI32,
    main: AtomicI32,
    /// `CLOCK_MONOTONIC` ns just before exec; 0: not yet.
    began_ns: AtomicU64,
    asked: AtomicBool,
    over: AtomicBool,
}

impl Leash {
    /// The process id of the program, once it runs.
    pub fn program(&self) -> Option<i32> {
        (self.0.began_ns.load(SeqCst) != 0).then(|| self.0.main.load(SeqCst))
    }

    /// How long ago it began; zero before.
    pub fn age(&self) -> Duration {
        let began = self.0.began_ns.load(SeqCst);
        let ago = sys::monotonic_ns().saturating_sub(began);
        Duration::from_nanos(if began == 0 { 0 } else { ago })
    }

    /// CPU time of the tree so far, in seconds, user and system: of its processes,
    /// and of those that ended and were waited for. In steps of the kernel's clock
    /// tick, mostly 10 ms.
    pub fn cpu_s(&self) -> (f64, f64) {
        let mut ticks = (0, 0);
        let mut queue = process::children(self.0.keeper.load(SeqCst));
        while let Some(pid) = queue.pop() {
            queue.extend(process::children(pid));
            let (user, system) = process::ticks(pid).unwrap_or_default();
            ticks = (ticks.0 + user, ticks.1 + system);
        }
        let seconds = |ticks: u64| ticks as f64 / sys::ticks_per_second() as f64;
        (seconds(ticks.0), seconds(ticks.1))
    }

    /// Has it ended: by `SIGTERM`, and by force where that does not help.
    pub fn end(&self) {
        self.0.asked.store(true, SeqCst);
    }

    /// Whether nothing of it is left.
    pub fn is_over(&self) -> bool {
        self.0.over.load(SeqCst)
    }

    pub(super) fn begin(&self, keeper: Pid, main: Pid, start_ns: u64) {
        self.0.keeper.store(keeper, SeqCst);
        self.0.main.store(main, SeqCst);
        self.0.began_ns.store(start_ns, SeqCst);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.0.began_ns.load(SeqCst) != 0
    }

    pub(super) fn is_asked(&self) -> bool {
        self.0.asked.load(SeqCst)
    }

    /// However the run ends, whoever waits learns of it.
    pub(super) fn until_dropped(&self) -> impl Drop + use<> {
        struct Over(Leash);
        impl Drop for Over {
            fn drop(&mut self) {
                self.0.0.over.store(true, SeqCst);
            }
        }
        Over(self.clone())
    }
}
