//! `cargo bench --bench driver`: what the workloads' drivers take themselves; see
//! `brkpoint::bench`.

use std::process::ExitCode;

use brkpoint::bench::driver;

fn main() -> ExitCode {
    driver::main()
}
