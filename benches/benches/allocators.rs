//! `cargo bench --bench allocators`: ours and the peers, linked and preloaded; see
//! `brkpoint::cli::allocators`. The preloaded worker is this program itself.

use std::process::ExitCode;

use brkpoint::{cli, worker};

fn main() -> ExitCode {
    // First of all, and without the parser: a worker's heap is to be untouched.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == worker::VERB) {
        return worker::main(arguments);
    }
    cli::allocators::main()
}
