//! Children that go wrong, in each way: none of them counts as one that found
//! nothing, and what they say is heard, although tests capture output.

use std::io::{self, Write};

use brkpoint_fuzz::child;
use brkpoint_workloads::forked::{End, PANICKED};
use brkpoint_workloads::shadow::{Promise, Violation};

#[test]
fn a_child_is_heard() {
    let (end, said) = child::overhear(|| {
        writeln!(io::stderr(), "hello").unwrap();
        panic!("lost {}", "its head")
    });
    assert_eq!(end, End::Exited(PANICKED));
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("hello\n"), "{said}");
    assert!(said.ends_with("lost its head\n"), "{said}");
}

#[test]
fn a_promise_that_is_broken_in_a_child_is_handed_back() {
    assert_eq!(child::judge(|| Ok(())), Ok(()));
    for &promise in Promise::ALL {
        let what = "it is not".to_owned();
        let broken = Violation { at: 5, block: 16, promise, what };
        let found = child::judge(|| Err(broken.clone())).unwrap_err();
        assert_eq!(found.promise, promise);
        assert!(found.what.ends_with(&broken.to_string()), "{found}");
    }
}

#[test]
fn a_child_that_ends_in_another_way_has_not_said_which_promise_is_broken() {
    // AddressSanitizer, say.
    // SAFETY: ends the child.
    let exits = || unsafe { libc::_exit(1) };
    let found = child::judge(exits).unwrap_err();
    assert!(found.what.starts_with("Exited(1) in a child"), "{found}");
    let found = child::judge(|| panic!("lost its head")).unwrap_err();
    assert!(found.what.starts_with("Exited(101) in a child"), "{found}");
    assert!(found.what.ends_with("lost its head"), "{found}");
    let found = child::judge(|| std::process::abort()).unwrap_err();
    assert!(found.what.starts_with("Killed(6) in a child"), "{found}");
}
