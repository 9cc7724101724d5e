//! Chapter 6: why not all mmap.

use std::fs;

use brkpoint_reports::explain::{Bar, Chapter, Claim, Picture, Try, Value, Values, Verdict};
use brkpoint_reports::record::{Pass, Unit};

use super::places::OS_PAGE;
use super::{ExplainError, Lab, Seen, Steps, watched};
use crate::supervise::Call;

/// A small program: blocks of so many bytes, allocated, written and freed, twice.
const BLOCKS: u32 = 1000;
const BLOCK: u64 = 100;
/// A header and rounding make no more than this of each, in a heap.
const FAIR: u64 = 2 * BLOCK;

const MMAP_ONLY: &str = "brkpoint:preset=mmap-only";
const HYBRID: &str = "brkpoint:preset=hybrid";

const TRIES: [Try; 2] = [
    Try {
        name: "mmap-only",
        command: "brkpoint explain 6 -e brkpoint:preset=mmap-only",
        breaks: &["calls", "faults", "memory", "mappings"],
    },
    Try {
        name: "lowered",
        command: "brkpoint explain 6 -e brkpoint:preset=hybrid,mmap_threshold=64",
        breaks: &["calls", "faults", "memory", "mappings"],
    },
];

/// Phases, by the `read` they begin with: the second time round, all live at first
/// and then freed.
const AGAIN: usize = 2;
const FREED: usize = 3;

pub(super) fn chapter(lab: &Lab<'_>) -> Result<Chapter, ExplainError> {
    let touched =
        |steps: Steps| (0..BLOCKS).fold(steps, |steps, slot| steps.alloc(slot, BLOCK).touch(slot));
    let once = |steps: Steps| touched(steps.read()).read().free_all(0..BLOCKS);
    let steps = once(once(Steps::new())).read();
    let steps = touched(steps).read().maps().free_all((0..BLOCKS).step_by(2)).read().maps();
    let own = lab.count(&steps)?;
    let other = |spec: &str| -> Result<Option<Seen>, ExplainError> {
        lab.arm(spec)?.map(|arm| lab.run(&arm, &steps, Pass::Counts)).transpose()
    };
    let mapped = other(MMAP_ONLY)?;
    let hybrid = if lab.name() == HYBRID { None } else { other(HYBRID)? };
    let rows = [(lab.name(), Some(&own)), (HYBRID, hybrid.as_ref()), (MMAP_ONLY, mapped.as_ref())];
    let bars = |of: &dyn Fn(&Seen) -> Option<u64>| {
        let bar = |(engine, seen): &(&str, Option<&Seen>)| {
            Some(Bar { engine: (*engine).to_owned(), name: "", value: of((*seen)?)? as f64 })
        };
        Picture::Bars { unit: Unit::Count, bars: rows.iter().filter_map(bar).collect() }
    };
    let claims = match &mapped {
        Some(mapped) => vec![
            calls(&own, mapped),
            faults(&own, mapped),
            memory(&own, mapped),
            mappings(&own, mapped),
        ],
        None => ["calls", "faults", "memory", "mappings"].map(absent).into(),
    };
    Ok(Chapter {
        number: 6,
        engine: lab.title(),
        claims,
        pictures: vec![("calls", bars(&memory_calls)), ("faults", bars(&|seen| Some(taken(seen))))],
        tries: TRIES.to_vec(),
    })
}

fn absent(name: &'static str) -> Claim {
    Claim { name, verdict: Verdict::Unknown("absent"), values: Values::new() }
}

/// Memory calls of the second time round.
fn memory_calls(seen: &Seen) -> Option<u64> {
    let kinds = [Call::Brk, Call::Mmap, Call::Munmap, Call::Mremap, Call::Madvise, Call::Mprotect];
    [AGAIN, FREED].iter().map(|at| seen.counts(*at)).try_fold(0, |sum, counts| {
        let counts = counts?;
        Some(sum + kinds.iter().map(|kind| counts.calls(*kind)).sum::<u64>())
    })
}

/// Minor faults of the second time round.
fn taken(seen: &Seen) -> u64 {
    seen.faults(AGAIN) + seen.faults(FREED)
}

/// A mapping for each block is a call to make it and one to drop it.
fn calls(own: &Seen, mapped: &Seen) -> Claim {
    let mut values = Values::from([
        ("blocks", Value::Count(BLOCKS.into())),
        ("size", Value::Bytes(BLOCK)),
        ("engine", Value::Name(MMAP_ONLY.to_owned())),
    ]);
    let all = || {
        let [maps, unmaps] =
            [(AGAIN, Call::Mmap), (FREED, Call::Munmap)].map(|(at, call)| mapped.calls(at, call));
        Some((maps?, unmaps?, memory_calls(own)?))
    };
    let holds = all().map(|(maps, unmaps, few)| {
        let counts = [("maps", maps), ("unmaps", unmaps), ("own", few)];
        values.extend(counts.map(|(name, count)| (name, Value::Count(count as i64))));
        maps == u64::from(BLOCKS) && unmaps == maps && few < u64::from(BLOCKS) / 50
    });
    Claim { name: "calls", verdict: watched(holds), values }
}

/// Each mapping is fresh: its OS page is faulted in anew.
fn faults(own: &Seen, mapped: &Seen) -> Claim {
    let [few, many] = [own, mapped].map(taken);
    let values = Values::from([
        ("blocks", Value::Count(BLOCKS.into())),
        ("own", Value::Count(few as i64)),
        ("mapped", Value::Count(many as i64)),
    ]);
    let holds = many >= u64::from(BLOCKS) && few < u64::from(BLOCKS) / 50;
    Claim { name: "faults", verdict: Verdict::of(holds), values }
}

/// A mapping holds whole OS pages, however small the block.
fn memory(own: &Seen, mapped: &Seen) -> Claim {
    let each = |seen: &Seen| seen.grown(0) / u64::from(BLOCKS);
    let [small, page] = [own, mapped].map(each);
    let values = Values::from([
        ("size", Value::Bytes(BLOCK)),
        ("own", Value::Count(small as i64)),
        ("mapped", Value::Count(page as i64)),
    ]);
    let holds = page >= OS_PAGE && small < FAIR;
    Claim { name: "memory", verdict: Verdict::of(holds), values }
}

/// Every gap between mappings makes one more of them for the kernel to keep.
fn mappings(own: &Seen, mapped: &Seen) -> Claim {
    let more = |seen: &Seen| seen.maps[1].len() as i64 - seen.maps[0].len() as i64;
    let mut values = Values::from([
        ("freed", Value::Count((BLOCKS / 2).into())),
        ("own", Value::Count(more(own))),
        ("mapped", Value::Count(more(mapped))),
    ]);
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let limit = limit.and_then(|text| text.trim().parse().ok());
    values.insert("limit", limit.map_or(Value::Name("?".to_owned()), Value::Count));
    let holds = more(mapped) >= i64::from(BLOCKS) * 2 / 5 && more(own) < 10;
    Claim { name: "mappings", verdict: Verdict::of(holds), values }
}
