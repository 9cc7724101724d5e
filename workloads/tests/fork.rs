//! Forked children that go wrong, in each way: none of them counts as one that
//! kept its promises, and what it says is heard, although tests capture output.

use std::alloc::{Layout, System};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use brkpoint_workloads::op::{Event, Op};
use brkpoint_workloads::shadow::{Global, Outcome, Promise, Rules, Shadow, Subject, Violation};

/// What goes wrong in the child.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Nothing,
    /// A promise is broken.
    Misaligned,
    /// The subject panics.
    Panics,
    /// Somebody ends the process, as sanitizers do.
    Exits,
    Crashes,
}

/// The system's allocator; what its child says goes to a file.
struct Forking {
    wrong: Wrong,
    is_child: bool,
    heard: File,
}

impl Forking {
    fn new(wrong: Wrong) -> Forking {
        Forking { wrong, is_child: false, heard: tempfile::tempfile().unwrap() }
    }
}

impl Subject for Forking {
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        let block = Global(System).allocate(layout, zeroed)?;
        if !self.is_child {
            return Some(block);
        }
        match self.wrong {
            Wrong::Nothing => Some(block),
            // It is no block, but nobody gets so far as to use it.
            Wrong::Misaligned => Some(block.map_addr(|address| address | 1)),
            Wrong::Panics => panic!("lost {}", "its head"),
            // SAFETY: ends this process, which is the child.
            Wrong::Exits => unsafe { libc::_exit(1) },
            Wrong::Crashes => std::process::abort(),
        }
    }

    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: by contract.
        unsafe { Global(System).free(block, layout) };
    }

    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: by contract.
        unsafe { Global(System).reallocate(block, layout, size) }
    }

    fn fork(&mut self) -> Option<libc::pid_t> {
        // SAFETY: the child allocates, which the system's allocator allows there,
        // and ends.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            self.is_child = true;
            // SAFETY: both are open.
            unsafe { libc::dup2(self.heard.as_raw_fd(), libc::STDERR_FILENO) };
        }
        Some(child)
    }
}

/// What the oracle finds, and what the child says.
fn fork(wrong: Wrong) -> (Result<Outcome, Violation>, String) {
    let mut subject = Forking::new(wrong);
    let mut shadow = Shadow::with(Rules::THOROUGH);
    let alloc = Op::Alloc { slot: 0, size: 100, align: 16, zeroed: false };
    shadow.perform(&mut subject, alloc).unwrap();
    let found = shadow.perform(&mut subject, Op::Event(Event::Fork));
    shadow.free_all(&mut subject).unwrap();
    let mut said = String::new();
    subject.heard.rewind().and_then(|()| subject.heard.read_to_string(&mut said)).unwrap();
    (found, said)
}

#[test]
fn a_forked_child_that_goes_wrong_in_any_way_breaks_a_promise_and_is_heard() {
    for (wrong, what, says) in [
        (Wrong::Misaligned, "ended with status 1; it said why", "(promise: alignment)"),
        (Wrong::Panics, "ended with status 101; it said why", "lost its head\n"),
        (Wrong::Exits, "ended with status 1; it said why", ""),
        (Wrong::Crashes, "was killed by signal 6", ""),
    ] {
        let (found, said) = fork(wrong);
        let violation = found.expect_err(&format!("{wrong:?} goes unnoticed"));
        assert_eq!(violation.promise, Promise::Fork, "{wrong:?}: {violation}");
        assert_eq!(violation.what, format!("a forked child {what}"), "{wrong:?}");
        assert!(said.contains(says), "{wrong:?} said {said:?}");
    }
    assert_eq!(fork(Wrong::Nothing), (Ok(Outcome::Done), String::new()));
}
