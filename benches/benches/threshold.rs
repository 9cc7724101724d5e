//! `cargo bench --bench threshold`: each measure against the mmap threshold, from 0 to off,
//! under ours and glibc; see `brkpoint::bench`. The worker is this program itself.

use std::process::ExitCode;

use brkpoint::bench::{self, Target};

fn main() -> ExitCode {
    bench::main(Target::Threshold)
}
