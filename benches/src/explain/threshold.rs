//! Chapter 2: small requests move the break, large ones map.

use brkpoint_reports::explain::{Bar, Chapter, Claim, Picture, Try, Value, Values, Verdict};
use brkpoint_reports::record::{Pass, Unit};

use super::{ExplainError, Lab, Seen, Steps, watched};
use crate::engine::Arm;
use crate::supervise::Call;

/// Where the threshold is looked for, in bytes.
const LEAST: u64 = 1;
const MOST: u64 = 64 << 20;
/// So many bytes are asked for at each size, so that no free space is left which
/// could serve another: more than any `top_pad` that one would try here.
const FILL: u64 = 16 << 20;
/// What is freed to move a dynamic threshold.
const FREED: u64 = 1 << 20;
/// glibc's threshold, in bytes of a chunk: `DEFAULT_MMAP_THRESHOLD` in its malloc.c.
const GLIBC: u64 = 128 << 10;
/// What glibc adds to a request before it rounds down to 16: its header and 15.
const GLIBC_ADDS: u64 = 23;
/// A program that shows what the rule is worth.
const CHURN: (u64, u32) = (200_000, 100);

const PINNED: &str = "glibc:mmap_threshold=128K";
const OURS: &str = "brkpoint:preset=hybrid";
const OURS_DYNAMIC: &str = "brkpoint:preset=hybrid-dynamic";

const TRIES: [Try; 2] = [
    Try {
        name: "raised",
        command: "brkpoint explain 2 -e glibc:mmap_threshold=1M",
        breaks: &["glibc", "dynamic"],
    },
    Try {
        name: "frozen",
        command: "brkpoint explain 2 -e glibc:top_pad=128K",
        breaks: &["dynamic"],
    },
];

pub(super) fn chapter(lab: &Lab<'_>) -> Result<Chapter, ExplainError> {
    let nothing = Steps::new();
    let freed = Steps::new().alloc(0, FREED).free(0);
    let subject = lab.subject();
    let at = threshold(lab, subject, &nothing)?;
    let risen = threshold(lab, subject, &freed)?;
    let mut bars = vec![bar(lab.name(), "fresh", at), bar(lab.name(), "freed", risen)];
    let mut others = Vec::new();
    for (spec, first, name) in
        [(PINNED, &freed, "freed"), (OURS, &nothing, "fresh"), (OURS_DYNAMIC, &freed, "freed")]
    {
        let arm = lab.arm(spec)?;
        let found = match &arm {
            Some(arm) => threshold(lab, arm, first)?,
            None => None,
        };
        bars.push(bar(spec, name, found));
        others.push((arm, found));
    }
    let [(pinned, pinned_at), (_, ours), (_, ours_risen)] = &others[..] else {
        unreachable!("three arms were tried")
    };
    Ok(Chapter {
        number: 2,
        engine: lab.title(),
        claims: vec![
            exact(lab, at)?,
            of_glibc(at),
            of_ours(*ours),
            dynamic(lab, at, risen, *ours_risen)?,
            pinning(lab, pinned.as_ref(), at, *pinned_at)?,
        ],
        pictures: vec![(
            "thresholds",
            Picture::Bars { unit: Unit::Bytes, bars: bars.into_iter().flatten().collect() },
        )],
        tries: TRIES.to_vec(),
    })
}

fn bar(engine: &str, name: &'static str, threshold: Option<u64>) -> Option<Bar> {
    Some(Bar { engine: engine.to_owned(), name, value: threshold? as f64 })
}

/// The smallest request that gets a mapping, by bisection; a fresh process for
/// each size, in which `first` is done before. `None` if all sizes do, or none.
fn threshold(lab: &Lab<'_>, arm: &Arm, first: &Steps) -> Result<Option<u64>, ExplainError> {
    let maps = |size: u64| -> Result<bool, ExplainError> {
        let count = FILL.div_ceil(size).clamp(2, 256) as u32;
        let steps = first.clone().alloc_all(1..count + 1, size).read();
        let seen = lab.run(arm, &steps, Pass::Time)?;
        let own = seen.blocks.iter().filter(|block| block.slot > 0);
        Ok(own.into_iter().any(|block| !seen.readings[0].in_heap(block.start)))
    };
    if maps(LEAST)? || !maps(MOST)? {
        return Ok(None);
    }
    let (mut low, mut high) = (LEAST, MOST);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match maps(middle)? {
            true => high = middle,
            false => low = middle,
        }
    }
    Ok(Some(high))
}

/// Below the threshold the break moves, at it mappings are made, by counts.
fn exact(lab: &Lab<'_>, at: Option<u64>) -> Result<Claim, ExplainError> {
    let name = "exact";
    let Some(at) = at else {
        return Ok(Claim { name, verdict: Verdict::Fails, values: Values::new() });
    };
    // Of the first requests, free space may serve some.
    let count = FILL.div_ceil(at) as u32;
    let requests = |size| {
        let steps = Steps::new().alloc(0, 1).read();
        lab.count(&steps.alloc_all(1..count + 1, size).read())
    };
    let (below, above) = (requests(at - 1)?, requests(at)?);
    let mut values = Values::from([
        ("below", Value::Bytes(at - 1)),
        ("at", Value::Bytes(at)),
        ("count", Value::Count(count.into())),
    ]);
    let calls = |of: &Seen| Some((of.calls(0, Call::Brk)?, of.calls(0, Call::Mmap)?));
    let holds = calls(&below).zip(calls(&above)).map(|((moves, maps), (moves_at, maps_at))| {
        let counts = [moves, maps, moves_at, maps_at].map(|count| Value::Count(count as i64));
        values.extend(["moves", "maps", "moves_at", "maps_at"].into_iter().zip(counts));
        moves > 0 && maps == 0 && moves_at == 0 && maps_at > 0
    });
    Ok(Claim { name, verdict: watched(holds), values })
}

fn of_glibc(at: Option<u64>) -> Claim {
    let expected = GLIBC - GLIBC_ADDS;
    let values = Values::from([
        ("threshold", Value::Bytes(GLIBC)),
        ("expected", Value::Bytes(expected)),
        ("at", told(at)),
    ]);
    Claim { name: "glibc", verdict: Verdict::of(at == Some(expected)), values }
}

fn of_ours(at: Option<u64>) -> Claim {
    let values = Values::from([
        ("engine", Value::Name(OURS.to_owned())),
        ("expected", Value::Bytes(GLIBC)),
        ("at", told(at)),
    ]);
    Claim { name: "ours", verdict: Verdict::of(at == Some(GLIBC)), values }
}

/// A threshold, or that there is none.
fn told(at: Option<u64>) -> Value {
    at.map_or_else(|| Value::Name("–".to_owned()), Value::Bytes)
}

/// Freeing a mapped block raises the threshold; the next such block costs no call.
fn dynamic(
    lab: &Lab<'_>,
    at: Option<u64>,
    risen: Option<u64>,
    ours: Option<u64>,
) -> Result<Claim, ExplainError> {
    let seen = lab.count(&Steps::new().alloc(0, FREED).free(0).read().alloc(0, FREED).read())?;
    let maps = seen.calls(0, Call::Mmap);
    let mut values = Values::from([
        ("freed", Value::Bytes(FREED)),
        ("before", told(at)),
        ("after", told(risen)),
        ("ours", told(ours)),
    ]);
    values.extend(maps.map(|maps| ("maps", Value::Count(maps as i64))));
    let rises = at.zip(risen).is_some_and(|(at, risen)| at <= FREED && risen > FREED);
    let verdict = watched(maps.map(|maps| rises && maps == 0));
    Ok(Claim { name: "dynamic", verdict, values })
}

/// Setting the threshold, even to its default, switches the rule off.
fn pinning(
    lab: &Lab<'_>,
    pinned: Option<&Arm>,
    at: Option<u64>,
    pinned_at: Option<u64>,
) -> Result<Claim, ExplainError> {
    let Some(pinned) = pinned else {
        let verdict = Verdict::Unknown("absent");
        return Ok(Claim { name: "pinned", verdict, values: Values::new() });
    };
    let (size, rounds) = CHURN;
    let churn =
        (0..rounds).fold(Steps::new().read(), |steps, _| steps.alloc(0, size).touch(0).free(0));
    let churn = churn.read();
    let [free, frozen] = [lab.count(&churn)?, lab.run(pinned, &churn, Pass::Counts)?];
    let mut values = Values::from([
        ("setting", Value::Name(PINNED.to_owned())),
        ("at", told(pinned_at)),
        ("rounds", Value::Count(rounds.into())),
        ("size", Value::Bytes(size)),
        ("faults", Value::Count(free.faults(0) as i64)),
        ("pinned_faults", Value::Count(frozen.faults(0) as i64)),
    ]);
    let maps = [&free, &frozen].map(|seen| seen.calls(0, Call::Mmap));
    let holds = if let [Some(maps), Some(pinned_maps)] = maps {
        values.insert("maps", Value::Count(maps as i64));
        values.insert("pinned_maps", Value::Count(pinned_maps as i64));
        let dearer = frozen.faults(0) > 10 * free.faults(0);
        Some(pinned_at == at && pinned_maps == u64::from(rounds) && maps <= 1 && dearer)
    } else {
        None
    };
    Ok(Claim { name: "pinned", verdict: watched(holds), values })
}
