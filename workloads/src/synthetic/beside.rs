//! Threads side by side, of which this one is the first.

use std::thread::ScopedJoinHandle;

use super::meter::Meter;

/// Runs `own` in this thread beside so many `others`, which `start` starts with
/// their number, from 1 on, and `combine`s what they return in that order.
///
/// The last is started first, and joined last: so no list of threads is needed,
/// which would lie in the heap that is measured.
pub(super) fn beside<'scope, M: Meter>(
    meter: &mut M,
    others: usize,
    combine: fn(u64, u64) -> u64,
    start: &impl Fn(usize, M::Remote) -> ScopedJoinHandle<'scope, u64>,
    own: impl FnOnce(&mut M) -> u64,
) -> u64 {
    if others == 0 {
        return own(meter);
    }
    let other = start(others, meter.remote());
    let sum = beside(meter, others - 1, combine, start, own);
    combine(sum, other.join().expect("a thread that cannot panic"))
}
