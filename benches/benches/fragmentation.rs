//! `cargo bench --bench fragmentation`: peak heap over peak live bytes of each workload
//! under each engine; see `brkpoint::bench`. The worker is this program itself.

use std::process::ExitCode;

use brkpoint::bench::{self, Target};

fn main() -> ExitCode {
    bench::main(Target::Fragmentation)
}
