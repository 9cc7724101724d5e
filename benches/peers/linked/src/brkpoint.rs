//! A worker with our allocator linked into it, as its users do it.

use std::process::ExitCode;
use std::ptr::NonNull;

use brkpoint_allocator::Brkpoint;
use brkpoint_worker::{Accounts, Inside};

#[global_allocator]
static HEAP: Brkpoint = Brkpoint::new();

fn main() -> ExitCode {
    let inside = Inside { usable_size: Some(usable_size), accounts: Some(accounts) };
    brkpoint_worker::linked_main_telling("brkpoint", || env!("ENGINE_VERSION").to_owned(), inside)
}

fn usable_size(block: *mut u8) -> usize {
    // SAFETY: the worker asks of live blocks of the global allocator.
    NonNull::new(block).map_or(0, |block| unsafe { HEAP.usable_size(block) })
}

/// What was obtained but for the map of units, which is used here and there.
fn accounts() -> Accounts {
    let stats = HEAP.stats();
    Accounts {
        live: (stats.live + stats.mapped_live) as u64,
        held: (stats.footprint() - stats.table_bytes - stats.returned) as u64,
        untouched: (stats.free + stats.top) as u64,
    }
}
