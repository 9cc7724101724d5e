//! `cargo bench --bench workloads`: wall time of each workload, in the measured region,
//! under each engine; see `brkpoint::bench`. The worker is this program itself.

use std::process::ExitCode;

use brkpoint::bench::{self, Target};

fn main() -> ExitCode {
    bench::main(Target::Workloads)
}
