//! The harness's side: agree on an instrument, serve it, keep the time.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;
use std::thread;

use brkpoint_reports::record::Pass;

use super::child::{Answer, LISTENING};
use super::image::Library;
use super::inside::Inside;
use super::leash::{Leash, TERM_GRACE_NS};
use super::ledger::{Ledger, Totals};
use super::plan::{Ends, Plan};
use super::rss::Sampler;
use super::sys::{self, Pid};
use super::{Instrument, Launch, LaunchError, Stop, Tracer, calls, keeper, seccomp, trace};

/// How often a request to stop is looked for.
const STOP_EVERY_NS: u64 = 50_000_000;

/// How often running processes are looked at: several times while those that
/// outlive the program are left in peace.
const LOOK_EVERY_NS: u64 = keeper::GRACE_NS / 5;

/// The most that the tree may write to standard output and standard error, in bytes.
pub(super) const MAX_OUTPUT: u64 = 4 << 30;

/// What came of watching.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) instrument: Instrument,
    /// `None` without an instrument.
    pub(super) totals: Option<Totals>,
    /// In the memory pass.
    pub(super) sampler: Option<Sampler>,
    pub(super) interrupted: bool,
    /// It was asked to end by its leash.
    pub(super) asked: bool,
    /// It was ended because it wrote more than [`MAX_OUTPUT`].
    pub(super) flooded: bool,
}

/// Watches the tree below `keeper` until the keeper has ended.
pub(super) fn watch(
    launch: &Launch,
    library: Option<Library>,
    plan: &Plan,
    ends: &Ends,
    keeper: Pid,
    stop: &Stop,
) -> Result<Watched, LaunchError> {
    let mut watch = Watch {
        plan,
        ends,
        keeper,
        stop,
        deadline_ns: launch.timeout.map(|t| {
            sys::monotonic_ns().saturating_add(u64::try_from(t.as_nanos()).unwrap_or(u64::MAX))
        }),
        sampler: (plan.pass == Pass::Memory).then(Sampler::new),
        next_look_ns: 0,
        leash: launch.leash.as_ref(),
        asked_ns: None,
        stopping: false,
        interrupted: false,
        flooded: false,
    };
    let inside = launch.inside.as_deref().map(Inside::open).transpose();
    let mut inside = inside.map_err(LaunchError::system("opening what tells of calls"))?;
    thread::scope(|scope| {
        let mut instrument = Instrument::Unused;
        let mut notified = None;
        let mut tracer = None;
        if plan.pass != Pass::Time {
            instrument = match watch.hear_child()? {
                Heard::Listener(listener, main) => {
                    seccomp::wake_on_one_cpu(&listener);
                    notified = Some((
                        listener,
                        Ledger::new(main, library, inside.take(), launch.heap_faults),
                    ));
                    Instrument::Notify
                }
                Heard::Waiting(_, reason) if plan.tracer == Tracer::Notify => {
                    watch.answer(Answer::Alone);
                    Instrument::Unavailable(reason)
                }
                Heard::Waiting(main, reason) => {
                    let (attached, is_attached) = mpsc::channel();
                    let ledger = Ledger::new(main, library, inside.take(), launch.heap_faults);
                    let thread = scope.spawn(move || trace::trace(main, ledger, attached));
                    let answer =
                        is_attached.recv().expect("the tracer answers before anything else");
                    watch.answer(if answer.is_ok() { Answer::Traced } else { Answer::Alone });
                    match answer {
                        Ok(()) => {
                            tracer = Some(thread);
                            Instrument::Ptrace
                        }
                        Err(e) => Instrument::Unavailable(format!("{reason}; ptrace: {e}")),
                    }
                }
                Heard::Nothing => Instrument::Unavailable("switched off".to_owned()),
            };
        }
        let ended = watch.until_the_end(&mut notified);
        if ended.is_err() {
            watch.end_it();
        }
        let ledger = match tracer {
            Some(thread) => Some(thread.join().expect("the tracer does not panic")),
            None => notified.map(|(_, ledger)| ledger),
        };
        ended.map_err(LaunchError::system("waiting for the program"))?;
        Ok(Watched {
            instrument,
            totals: ledger.map(Ledger::finish),
            sampler: watch.sampler,
            interrupted: watch.interrupted,
            asked: watch.asked_ns.is_some(),
            flooded: watch.flooded,
        })
    })
}

/// What the child said about instruments.
enum Heard {
    Listener(OwnedFd, Pid),
    /// It waits for an answer; why it has no listener.
    Waiting(Pid, String),
    /// It needs none, or has ended.
    Nothing,
}

struct Watch<'a> {
    plan: &'a Plan,
    ends: &'a Ends,
    keeper: Pid,
    stop: &'a Stop,
    deadline_ns: Option<u64>,
    sampler: Option<Sampler>,
    next_look_ns: u64,
    leash: Option<&'a Leash>,
    /// When it was asked to end by its leash.
    asked_ns: Option<u64>,
    /// The keeper was asked to kill the tree.
    stopping: bool,
    interrupted: bool,
    flooded: bool,
}

impl Watch<'_> {
    fn hear_child(&self) -> Result<Heard, LaunchError> {
        let mut message = [0; 5];
        let (n, fd) = sys::receive(self.ends.talk.as_raw_fd(), &mut message)
            .map_err(LaunchError::system("hearing from the program's process"))?;
        let main = self.plan.board.main.load(SeqCst);
        Ok(match (n, fd, message) {
            (0, ..) => Heard::Nothing,
            (_, Some(listener), [LISTENING, ..]) => Heard::Listener(listener, main),
            (_, _, [_, a, b, c, d]) => {
                let reason = match i32::from_ne_bytes([a, b, c, d]) {
                    0 => "no seccomp listener was asked for".to_owned(),
                    errno => format!("seccomp listener: {}", io::Error::from_raw_os_error(errno)),
                };
                Heard::Waiting(main, reason)
            }
        })
    }

    fn answer(&self, answer: Answer) {
        // A child that has died meanwhile needs none; its end shows in the loop.
        let _ = sys::send(self.ends.talk.as_raw_fd(), &[answer as u8], None);
    }

    /// Has the tree killed.
    fn end_it(&mut self) {
        self.stopping = true;
        // If the keeper has gone already, all is over anyway.
        let _ = sys::send(self.ends.life.as_raw_fd(), b"k", None);
    }

    /// Serves the listener and the clock until the keeper's end closes.
    fn until_the_end(&mut self, notified: &mut Option<(OwnedFd, Ledger)>) -> io::Result<()> {
        let listener = notified.as_ref().map_or(-1, |(listener, _)| listener.as_raw_fd());
        let mut fds = [sys::pollfd(self.ends.life.as_raw_fd()), sys::pollfd(listener)];
        loop {
            let ledger = notified.as_mut().map(|(_, ledger)| ledger);
            sys::poll(&mut fds, Some(self.chores(ledger)))?;
            if fds[1].revents & libc::POLLIN != 0
                && let Some((listener, ledger)) = notified
            {
                serve(listener, ledger)?;
            } else if fds[1].revents != 0 {
                // The last process under the filter has ended.
                fds[1].fd = -1;
            } else if fds[0].revents != 0 {
                return Ok(());
            }
        }
    }

    /// What time brings: samples, looks, the deadline, a request to stop. How long
    /// until the next of these, in ns. (A tracer needs no looks: it sees every end.)
    fn chores(&mut self, notified: Option<&mut Ledger>) -> u64 {
        let now = sys::monotonic_ns();
        let mut pause = STOP_EVERY_NS;
        if !self.stopping {
            self.interrupted = self.stop.is_set();
            let late = self.deadline_ns.is_some_and(|deadline| now >= deadline);
            self.flooded = self.plan.written() > MAX_OUTPUT;
            if self.interrupted || self.flooded || late {
                self.end_it();
            } else if let Some(deadline) = self.deadline_ns {
                pause = pause.min(deadline - now);
            }
        }
        if let Some(leash) = self.leash {
            pause = pause.min(self.lead(leash, now));
        }
        let board = &*self.plan.board;
        // Before its exec the child is a piece of the harness.
        let started = board.started.load(SeqCst) == 1;
        if let Some(ledger) = notified.filter(|_| started) {
            if now >= self.next_look_ns {
                ledger.look_round();
                self.next_look_ns = now + LOOK_EVERY_NS;
            }
            pause = pause.min(self.next_look_ns - now);
        }
        if let Some(sampler) = &mut self.sampler {
            if started {
                let since_start = now.saturating_sub(board.start_ns.load(SeqCst));
                sampler.sample(self.keeper, since_start);
                pause = pause.min(sampler.due_in(since_start));
            } else {
                pause = pause.min(1_000_000);
            }
        }
        pause
    }
}

/// How often a leash is looked at.
const LEASH_EVERY_NS: u64 = 2_000_000;

impl Watch<'_> {
    /// Tells the leash that the program runs, and does what it asks for. How long
    /// until the next look, in ns.
    fn lead(&mut self, leash: &Leash, now: u64) -> u64 {
        let board = &*self.plan.board;
        if !leash.has_begun() && board.started.load(SeqCst) == 1 {
            leash.begin(self.keeper, board.main.load(SeqCst), board.start_ns.load(SeqCst));
        }
        match self.asked_ns {
            None if leash.is_asked() => {
                self.asked_ns = Some(now);
                let _ = sys::send(self.ends.life.as_raw_fd(), &[keeper::TERMINATE], None);
            }
            Some(since) if now > since + TERM_GRACE_NS && !self.stopping => self.end_it(),
            _ => {}
        }
        LEASH_EVERY_NS
    }
}

/// One notification.
fn serve(listener: &OwnedFd, ledger: &mut Ledger) -> io::Result<()> {
    let Some(notification) = seccomp::receive(listener)? else { return Ok(()) };
    let seccomp::Notification { thread, audit_arch, number, ref args, .. } = notification;
    if let Some(event) = calls::classify(audit_arch, number, args) {
        ledger.stopped(thread, event);
    }
    seccomp::go_on(listener, &notification)
}
