//! Chapter 3: memory is virtual until it is touched.

use brkpoint_reports::explain::{Bar, Chapter, Claim, Picture, Try, Value, Values, Verdict};
use brkpoint_reports::record::{Pass, Unit};

use super::{ExplainError, Lab, Seen, Steps};

/// The block, in bytes.
const SIZE: u64 = 16 << 20;
/// Bytes of an OS page on this architecture.
const OS_PAGE: u64 = 4096;
const PAGES: u64 = SIZE / OS_PAGE;
/// Times are the median of so many processes.
const ROUNDS: usize = 5;
/// Readings that are taken: at first, after malloc, after each touch.
const MALLOC: usize = 0;
const FIRST: usize = 1;
const SECOND: usize = 2;

const TRIES: [Try; 1] = [Try {
    name: "huge",
    command: "brkpoint explain 3 -e brkpoint:mmap_threshold=off,thp=2M",
    breaks: &["touched"],
}];

pub(super) fn chapter(lab: &Lab<'_>) -> Result<Chapter, ExplainError> {
    let steps = Steps::new().read().alloc(0, SIZE).read().touch(0).read().touch(0).read();
    let seen = lab.count(&steps)?;
    let bars = [("asked", MALLOC), ("touched", FIRST), ("again", SECOND)];
    let bar = |(name, at)| Bar { engine: String::new(), name, value: seen.faults(at) as f64 };
    Ok(Chapter {
        number: 3,
        engine: lab.title(),
        claims: vec![asked(&seen), touched(&seen), again(&seen), cost(lab, &steps)?],
        pictures: vec![("faults", Picture::Bars { unit: Unit::Count, bars: bars.map(bar).into() })],
        tries: TRIES.to_vec(),
    })
}

/// `malloc` itself: address space, and next to no memory.
fn asked(seen: &Seen) -> Claim {
    let (faults, grown) = (seen.faults(MALLOC), seen.grown(MALLOC));
    let values = Values::from([
        ("size", Value::Bytes(SIZE)),
        ("faults", Value::Count(faults as i64)),
        ("grown", Value::Bytes(grown)),
    ]);
    // The header's OS page, and some that malloc's own code and data take.
    let holds = faults < PAGES / 64 && grown < SIZE / 64;
    Claim { name: "asked", verdict: Verdict::of(holds), values }
}

/// The first touch: one fault for each OS page.
fn touched(seen: &Seen) -> Claim {
    let (faults, grown) = (seen.faults(FIRST), seen.grown(FIRST));
    let values = Values::from([
        ("pages", Value::Count(PAGES as i64)),
        ("faults", Value::Count(faults as i64)),
        ("grown", Value::Bytes(grown)),
    ]);
    let close = |count: u64| count.abs_diff(PAGES) <= PAGES / 64;
    let holds = close(faults) && close(grown / OS_PAGE);
    Claim { name: "touched", verdict: Verdict::of(holds), values }
}

fn again(seen: &Seen) -> Claim {
    let faults = seen.faults(SECOND);
    let values = Values::from([
        ("pages", Value::Count(PAGES as i64)),
        ("faults", Value::Count(faults as i64)),
    ]);
    Claim { name: "again", verdict: Verdict::of(faults == 0), values }
}

/// What a fault costs: the difference between both touches, timed where nothing
/// is counted.
fn cost(lab: &Lab<'_>, steps: &Steps) -> Result<Claim, ExplainError> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let seen = lab.run(lab.subject(), steps, Pass::Time)?;
        first.push(seen.touches[0]);
        second.push(seen.touches[1]);
    }
    let median = |times: &mut Vec<u64>| {
        times.sort_unstable();
        times[ROUNDS / 2] as f64 / PAGES as f64 * 1e-9
    };
    let (first, second) = (median(&mut first), median(&mut second));
    let values = Values::from([
        ("first", Value::Seconds(first)),
        ("second", Value::Seconds(second)),
        ("fault", Value::Seconds((first - second).max(0.0))),
        ("rounds", Value::Count(ROUNDS as i64)),
        ("ratio", Value::Ratio(first / second.max(1e-12))),
    ]);
    Ok(Claim { name: "cost", verdict: Verdict::of(first > 10.0 * second), values })
}
