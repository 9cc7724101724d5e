//! What happens between requests, and a forked child.

use std::time::Duration;

use super::{Complaint, Outcome, Promise, Shadow, Subject, Violation};
use crate::op::{Event, Generator, Shape};

/// A child that has not ended by then hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many operations a child performs.
const CHILD_OPERATIONS: usize = 200;
/// How a child ends that found a promise broken.
const CHILD_BROKEN: i32 = 77;

impl Shadow {
    pub(super) fn happen(
        &mut self,
        subject: &mut impl Subject,
        event: Event,
    ) -> Result<Outcome, Violation> {
        let happened = match event {
            Event::Fork => self.fork(subject),
            event => subject.event(event),
        };
        match happened {
            Err(complaint) if self.watches(complaint.promise) => Err(self.complain(complaint)),
            _ if self.watches(Promise::Contents) => self.verify().map(|()| Outcome::Done),
            _ => Ok(Outcome::Done),
        }
    }

    /// Forks where the subject can. The child goes on with the parent's blocks.
    fn fork(&mut self, subject: &mut impl Subject) -> Result<(), Complaint> {
        match subject.fork() {
            None => Ok(()),
            Some(0) => self.end_as_child(subject),
            Some(child) => {
                let mut status = 0;
                // SAFETY: our own child, and a valid place for its status.
                while unsafe { libc::waitpid(child, &mut status, 0) } < 0 {
                    // SAFETY: the location is valid for this thread's lifetime.
                    if unsafe { *libc::__errno_location() } != libc::EINTR {
                        break;
                    }
                }
                let what = if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGALRM {
                    format!("a forked child hung for {PATIENCE:?}")
                } else if libc::WIFSIGNALED(status) {
                    format!("a forked child was killed by signal {}", libc::WTERMSIG(status))
                } else if libc::WEXITSTATUS(status) == CHILD_BROKEN {
                    "a promise was broken in a forked child; it said which".to_owned()
                } else {
                    return Ok(());
                };
                Err(Complaint::new(Promise::Fork, what))
            }
        }
    }

    /// What the child does: its blocks are as they were, it can have and free
    /// others, and free all.
    fn end_as_child(&mut self, subject: &mut impl Subject) -> ! {
        // SAFETY: a signal of our own, whose default action ends the process.
        unsafe {
            libc::signal(libc::SIGALRM, libc::SIG_DFL);
            libc::alarm(PATIENCE.as_secs() as u32);
        }
        let slots = self.slots.len().max(1) as u32;
        let mut done = self.verify();
        let shape = Shape { slots, ..Shape::PLAIN };
        for op in Generator::shaped(self.serial, shape).take(CHILD_OPERATIONS) {
            done = done.and_then(|()| self.perform(subject, op).map(drop));
        }
        let status = match done.and_then(|()| self.free_all(subject)) {
            Ok(()) => 0,
            Err(violation) => {
                eprintln!("in a forked child: {violation}");
                CHILD_BROKEN
            }
        };
        // SAFETY: ends this process without running anything of the parent's.
        unsafe { libc::_exit(status) }
    }
}
