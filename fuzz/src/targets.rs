//! What the fuzz targets `oom` and `differential` do with a case; tests do so, too.

use brkpoint_allocator::Config;
use brkpoint_workloads::op::draw::Events;
use brkpoint_workloads::shadow::{Promise, Rules, Violation};

use crate::case::{Case, HEAP};

/// Requests that fail in turn, at most.
const TURNS: u64 = 24;

/// Which events a case of the target `oom` has.
pub const OOM: Events = Events { fail: true, ..HEAP };

/// Which events a case of the target `differential` has: a refusal depends on
/// where a break is.
pub const DIFFERENTIAL: Events = Events { move_break: false, ..HEAP };

/// Runs a case as it is, and with each request to the page source failing in
/// turn.
///
/// # Errors
///
/// The promise that was broken.
pub fn oom(case: &Case) -> Result<(), Violation> {
    let requests = case.run_failing(Rules::FAST, u64::MAX)?;
    (0..requests.min(TURNS)).try_for_each(|nth| case.run_failing(Rules::FAST, nth).map(drop))
}

/// Runs a case twice, and under other settings.
///
/// # Errors
///
/// The promise that was broken, or what differs.
pub fn differential(case: &Case, other: Config) -> Result<(), Violation> {
    let differs = |what: String| Violation { at: 0, block: 0, promise: Promise::Granted, what };
    let (answers, places) = case.trace()?;
    let (again, places_again) = case.trace()?;
    if (&answers, &places) != (&again, &places_again) {
        return Err(differs("the same program on the same heap went another way".to_owned()));
    }
    let (others, _) = Case { config: other, ..case.clone() }.trace()?;
    match answers.iter().zip(&others).position(|(one, other)| one != other) {
        Some(at) => Err(Violation {
            at: at as u64,
            ..differs(format!(
                "{:?}, but {:?} with other settings:\n{other}",
                answers[at], others[at]
            ))
        }),
        None => Ok(()),
    }
}
