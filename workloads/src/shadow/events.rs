//! What happens between requests, and a forked child.

use std::time::Duration;

use super::{Complaint, Outcome, Promise, Shadow, Subject, Violation};
use crate::forked::{self, End};
use crate::op::{Event, Generator, Shape};

/// A child that has not ended by then hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many operations a child performs.
const CHILD_OPERATIONS: usize = 200;

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
                let what = match forked::wait(child) {
                    Ok(End::Exited(0)) => return Ok(()),
                    Ok(End::Killed(libc::SIGALRM)) => {
                        format!("a forked child hung for {PATIENCE:?}")
                    }
                    Ok(End::Killed(signal)) => {
                        format!("a forked child was killed by signal {signal}")
                    }
                    Ok(End::Exited(status)) => {
                        format!("a forked child ended with status {status}; it said why")
                    }
                    Err(error) => format!("a forked child is nobody's: {error}"),
                };
                Err(Complaint::new(Promise::Fork, what))
            }
        }
    }

    /// What the child does: its blocks are as they were, it can have and free
    /// others, and free all.
    fn end_as_child(&mut self, subject: &mut impl Subject) -> ! {
        forked::end(Some(PATIENCE), || {
            let slots = self.slots.len().max(1) as u32;
            let mut done = self.verify();
            let shape = Shape { slots, ..Shape::PLAIN };
            for op in Generator::shaped(self.serial, shape).take(CHILD_OPERATIONS) {
                done = done.and_then(|()| self.perform(subject, op).map(drop));
            }
            match done.and_then(|()| self.free_all(subject)) {
                Ok(()) => 0,
                Err(violation) => {
                    forked::say(format_args!("{violation}"));
                    1
                }
            }
        })
    }
}
