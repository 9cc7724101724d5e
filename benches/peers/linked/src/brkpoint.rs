//! A worker with our allocator linked into it, as its users do it.

use std::process::ExitCode;

use brkpoint_allocator::Brkpoint;

#[global_allocator]
static HEAP: Brkpoint = Brkpoint::new();

fn main() -> ExitCode {
    brkpoint_worker::linked_main("brkpoint", || env!("ENGINE_VERSION").to_owned())
}
