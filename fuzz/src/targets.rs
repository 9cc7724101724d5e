//! What the fuzz targets `heap`, `oom` and `differential` do with a case; tests do
//! so, too.

use std::sync::LazyLock;

use brkpoint_allocator::{BreakSource, Config, Simulated, System};
use brkpoint_workloads::op::draw::Events;
use brkpoint_workloads::shadow::{Promise, Rules, Violation};

use crate::case::{Case, HEAP};
use crate::child;

/// Requests that fail in turn, at most.
const TURNS: u64 = 24;

/// One case in so many runs over the tests' page source, too, which takes its time.
const SIMULATED: usize = 128;

/// One in so many runs over the kernel, too, in children that are forked for it.
const KERNEL: usize = 4 * SIMULATED;

/// Bytes of each half of the tests' arena.
const HALF: usize = 64 << 20;

/// Which events a case of the target `oom` has.
pub const OOM: Events = Events { fail: true, ..HEAP };

/// Which events a case of the target `differential` has: a refusal depends on
/// where a break is.
pub const DIFFERENTIAL: Events = Events { move_break: false, ..HEAP };

/// Whether each case runs over every page source, as the environment may ask: for
/// counting which lines are reached.
static EVERY_SOURCE: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("BRKPOINT_FUZZ_SOURCES").is_some_and(|set| set == "all"));

/// Whether it is the turn of a case for what one in so many does. By its length, of
/// which the shortest, those that fuzzers have most of, are never.
fn is_turn(case: &Case, one_in: usize) -> bool {
    *EVERY_SOURCE || case.program.len() % one_in == one_in - 1
}

/// Runs a case over the tests' page source and the kernel, now and then.
///
/// # Errors
///
/// The promise that was broken.
pub fn sources(case: &Case, rules: Rules) -> Result<(), Violation> {
    sometimes_simulated(case, rules)?;
    if is_turn(case, KERNEL) { kernel(case, rules) } else { Ok(()) }
}

/// Runs a case over the tests' page source.
///
/// # Errors
///
/// The promise that was broken.
pub fn simulated(case: &Case, rules: Rules) -> Result<(), Violation> {
    case.run_over(Simulated::new(HALF), rules)
}

/// Runs a case over the kernel, with a break of its own and with the program's.
/// In a child, where nobody else has the break meanwhile but the C library's
/// malloc, which bears that it is moved; what is lost of it is lost there.
///
/// # Errors
///
/// The promise that was broken there.
pub fn kernel(case: &Case, rules: Rules) -> Result<(), Violation> {
    [BreakSource::Reserved, BreakSource::Program].into_iter().try_for_each(|source| {
        child::judge(|| case.run_over(System::new(source), rules)).map_err(|violation| Violation {
            what: format!("over the kernel, break={source}: {}", violation.what),
            ..violation
        })
    })
}

/// Runs a case over the tests' page source, now and then.
///
/// # Errors
///
/// The promise that was broken.
pub fn sometimes_simulated(case: &Case, rules: Rules) -> Result<(), Violation> {
    if is_turn(case, SIMULATED) { simulated(case, rules) } else { Ok(()) }
}

/// Runs a case as it is, and with each request to the page source failing in turn.
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
