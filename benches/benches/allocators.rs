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
    // Cargo starts benches in their package's folder; records go where
    // `brkpoint` itself leaves them.
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    if let Err(error) = std::env::set_current_dir(root) {
        eprintln!("allocators: cannot go to the workspace's folder, {root}: {error}");
        return ExitCode::from(2);
    }
    cli::allocators::main()
}
