//! Chapter 7: why not all brk.

use brkpoint_reports::explain::{
    Bar, Chapter, Claim, Moment, Picture, Try, Value, Values, Verdict,
};
use brkpoint_reports::record::{Pass, Unit};

use super::places::moment;
use super::{ExplainError, Lab, Seen, Steps, watched};
use crate::supervise::Call;

/// Large blocks, each followed by a small one that lives on.
const PAIRS: u32 = 32;
const LARGE: u64 = 256 << 10;
const SMALL: u64 = 100;
const ALL: u64 = PAIRS as u64 * LARGE;
/// A request that fits into what is free, but into no hole of it.
const REQUEST: (u32, u64) = (2 * PAIRS, 4 << 20);

const BRK_ONLY: &str = "brkpoint:preset=brk-only";
/// A thread's cache keeps small blocks, and so what they pin.
const UNCACHED: &str = "brkpoint:preset=brk-only,thread_cache=0";
const PURGING: &str = "brkpoint:preset=brk-only,purge=dontneed";

const TRIES: [Try; 2] = [
    Try {
        name: "never-mapped",
        command: "brkpoint explain 7 -e glibc:mmap_max=0",
        breaks: &["pinned", "holes"],
    },
    Try {
        name: "brk-only",
        command: "brkpoint explain 7 -e brkpoint:preset=brk-only",
        breaks: &["pinned", "holes"],
    },
];

/// Readings: all are live; the large ones are free; the request is served; the
/// small ones are free as well.
const FULL: usize = 1;
const FREED: usize = 2;
const SERVED: usize = 3;
const LAST: usize = 4;

pub(super) fn chapter(lab: &Lab<'_>) -> Result<Chapter, ExplainError> {
    let own = lab.count(&steps())?;
    let other = |spec: &str| -> Result<Option<Seen>, ExplainError> {
        lab.arm(spec)?.map(|arm| lab.run(&arm, &steps(), Pass::Counts)).transpose()
    };
    let (brk, uncached, purging) = (other(BRK_ONLY)?, other(UNCACHED)?, other(PURGING)?);
    let rows = [(lab.name(), Some(&own)), (BRK_ONLY, brk.as_ref()), (PURGING, purging.as_ref())];
    let bar = |(engine, seen): (&str, Option<&Seen>)| {
        let value = held(seen?, FREED) as f64;
        Some(Bar { engine: engine.to_owned(), name: "", value })
    };
    let bars = rows.into_iter().filter_map(bar).collect();
    let claims = match (&brk, &uncached, &purging) {
        (Some(brk), Some(uncached), Some(purging)) => {
            vec![pinned(&own, brk), holes(&own, brk), released(uncached), purged(purging)]
        }
        _ => ["pinned", "holes", "released", "purged"].map(absent).into(),
    };
    let mut moments = brk.as_ref().map_or_else(Vec::new, |brk| moments(BRK_ONLY, brk));
    if lab.name() != BRK_ONLY {
        moments.extend(self::moments(lab.name(), &own));
    }
    Ok(Chapter {
        number: 7,
        engine: lab.title(),
        claims,
        pictures: vec![
            ("resident", Picture::Bars { unit: Unit::Bytes, bars }),
            ("heap", Picture::Heap(moments)),
        ],
        tries: TRIES.to_vec(),
    })
}

fn steps() -> Steps {
    let pair = |steps: Steps, at: u32| {
        steps.alloc(2 * at, LARGE).touch(2 * at).alloc(2 * at + 1, SMALL).touch(2 * at + 1)
    };
    let full = (0..PAIRS).fold(Steps::new().read(), pair).read().pages();
    let freed = full.free_all((0..PAIRS).map(|at| 2 * at)).read().pages();
    let served = freed.alloc(REQUEST.0, REQUEST.1).touch(REQUEST.0).read().pages();
    served.free(REQUEST.0).free_all((0..PAIRS).map(|at| 2 * at + 1)).read()
}

fn moments(engine: &str, seen: &Seen) -> Vec<Moment> {
    let small = |slot: u32| slot % 2 == 1;
    vec![
        moment(engine, "full", seen, 0, |slot| slot != REQUEST.0),
        moment(engine, "freed", seen, 1, small),
        moment(engine, "served", seen, 2, |slot| small(slot) || slot == REQUEST.0),
    ]
}

fn absent(name: &'static str) -> Claim {
    Claim { name, verdict: Verdict::Unknown("absent"), values: Values::new() }
}

/// Resident bytes at a reading, beyond those at first.
fn held(seen: &Seen, at: usize) -> u64 {
    seen.readings[at].resident.saturating_sub(seen.readings[0].resident)
}

/// What lies below a live block stays; mappings go one by one.
fn pinned(own: &Seen, brk: &Seen) -> Claim {
    let [full, freed] = [FULL, FREED].map(|at| brk.readings[at].heap_bytes());
    let moves = brk.calls(FULL, Call::Brk);
    let mut values = Values::from([
        ("pairs", Value::Count(PAIRS.into())),
        ("large", Value::Bytes(LARGE)),
        ("small", Value::Bytes(SMALL)),
        ("engine", Value::Name(BRK_ONLY.to_owned())),
        ("live", Value::Bytes(u64::from(PAIRS) * SMALL)),
        ("kept", Value::Bytes(held(brk, FREED))),
        ("own", Value::Bytes(held(own, FREED))),
    ]);
    values.extend(moves.map(|moves| ("moves", Value::Count(moves as i64))));
    let own_gave = held(own, FREED) < ALL / 10;
    let kept = freed == full && held(brk, FREED) >= ALL;
    let verdict = watched(moves.map(|moves| kept && own_gave && moves == 0));
    Claim { name: "pinned", verdict, values }
}

/// Free space in holes does not serve a request that is larger than each.
fn holes(own: &Seen, brk: &Seen) -> Claim {
    let grown = |seen: &Seen| {
        let [before, after] = [FREED, SERVED].map(|at| seen.readings[at].heap_bytes());
        after.saturating_sub(before)
    };
    // All holes are alike: the largest is one of them.
    let external = 1.0 - 1.0 / f64::from(PAIRS);
    let values = Values::from([
        ("free", Value::Bytes(ALL)),
        ("holes", Value::Count(PAIRS.into())),
        ("large", Value::Bytes(LARGE)),
        ("external", Value::Percent(external * 100.0)),
        ("request", Value::Bytes(REQUEST.1)),
        ("grown", Value::Bytes(grown(brk))),
        ("own", Value::Bytes(grown(own))),
    ]);
    let holds = grown(brk) >= REQUEST.1 - LARGE && grown(own) < LARGE;
    Claim { name: "holes", verdict: Verdict::of(holds), values }
}

/// With the last live block, all of it goes.
fn released(uncached: &Seen) -> Claim {
    let [before, after] = [SERVED, LAST].map(|at| uncached.readings[at].heap_bytes());
    let values = Values::from([
        ("setting", Value::Name(UNCACHED.to_owned())),
        ("small", Value::Bytes(SMALL)),
        ("before", Value::Bytes(before)),
        ("after", Value::Bytes(after)),
    ]);
    let holds = before > ALL && after < LARGE;
    Claim { name: "released", verdict: Verdict::of(holds), values }
}

/// The third way: the break stays, and the OS pages within go back.
fn purged(purging: &Seen) -> Claim {
    let [full, freed] = [FULL, FREED].map(|at| purging.readings[at].heap_bytes());
    let purges = purging.calls(FULL, Call::Madvise);
    let mut values = Values::from([
        ("setting", Value::Name(PURGING.to_owned())),
        ("heap", Value::Bytes(freed)),
        ("kept", Value::Bytes(held(purging, FREED))),
    ]);
    values.extend(purges.map(|purges| ("purges", Value::Count(purges as i64))));
    let gone = freed == full && held(purging, FREED) < ALL / 10;
    let verdict = watched(purges.map(|purges| gone && purges > 0));
    Claim { name: "purged", verdict, values }
}
