//! The measured region: clock and resource usage just outside it.

use std::mem;
use std::time::{Duration, Instant};

/// What the process used while the region ran.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub wall_s: f64,
    pub user_s: f64,
    pub sys_s: f64,
    pub minor_faults: u64,
    pub major_faults: u64,
}

/// Runs `work` between two readings; the region itself makes no system call that
/// `work` does not make.
pub(super) fn measure<T>(work: impl FnOnce() -> T) -> (T, Usage) {
    // The first reading faults in what the later ones touch.
    let _ = (resources(), Instant::now());
    let before = resources();
    let start = Instant::now();
    let result = work();
    let wall = start.elapsed();
    let after = resources();
    let time = |of: fn(&libc::rusage) -> libc::timeval| {
        duration(of(&after)).saturating_sub(duration(of(&before))).as_secs_f64()
    };
    let count = |of: fn(&libc::rusage) -> libc::c_long| {
        u64::try_from(of(&after) - of(&before)).unwrap_or_default()
    };
    let usage = Usage {
        wall_s: wall.as_secs_f64(),
        user_s: time(|r| r.ru_utime),
        sys_s: time(|r| r.ru_stime),
        minor_faults: count(|r| r.ru_minflt),
        major_faults: count(|r| r.ru_majflt),
    };
    (result, usage)
}

/// Computes until this process has spent `seconds` more on a CPU.
pub(super) fn spend(seconds: f64) {
    let spent = || {
        let used = resources();
        duration(used.ru_utime) + duration(used.ru_stime)
    };
    let end = spent() + Duration::from_secs_f64(seconds.max(0.0));
    while spent() < end {
        for turn in 0..1000u32 {
            std::hint::black_box(turn);
        }
    }
}

fn resources() -> libc::rusage {
    // SAFETY: rusage is made of integers, for which zero is a value; getrusage
    // fills it and cannot fail for RUSAGE_SELF.
    unsafe {
        let mut usage = mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_usec.unsigned_abs() as u32 * 1000)
}
