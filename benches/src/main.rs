//! The program `brkpoint`, which is also its own worker.

use std::process::ExitCode;

use brkpoint::{cli, worker};

fn main() -> ExitCode {
    // First of all, and without the parser: a worker's heap is to be untouched.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == worker::VERB) {
        return worker::main(arguments);
    }
    cli::main()
}
