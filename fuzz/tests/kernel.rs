//! A promise that is broken over the kernel, in the child of a child.

use std::fs;

use brkpoint_allocator::Config;
use brkpoint_fuzz::case::Case;
use brkpoint_fuzz::{child, targets};
use brkpoint_workloads::op::Op;
use brkpoint_workloads::shadow::{Promise, Rules};

/// Has the kernel refuse this process more than so many further bytes.
fn limit_address_space(bytes: u64) {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    // SAFETY: no pointers.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    let most = pages * page + bytes;
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: a valid limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

#[test]
fn a_promise_that_is_broken_over_the_kernel_is_told_by_its_name() {
    let program = vec![Op::Alloc { slot: 0, size: 2 << 20, align: 16, zeroed: false }];
    let case = Case { config: Config::DEFAULT, program };
    assert_eq!(targets::kernel(&case, Rules::FAST), Ok(()));
    // The kernel refuses: the limit is for the child's own children, too.
    let found = child::judge(|| {
        limit_address_space(1 << 20);
        targets::kernel(&case, Rules::FAST)
    });
    let violation = found.unwrap_err();
    assert_eq!(violation.promise, Promise::Granted, "{violation}");
    assert!(violation.what.contains("over the kernel, break=reserved: "), "{violation}");
}
