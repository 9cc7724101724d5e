//! Chapter 4: what malloc(1) really takes.

use brkpoint_reports::explain::{Chapter, Claim, Picture, Stairs, Try, Value, Values, Verdict};
use brkpoint_reports::record::Pass;

use super::{Block, ExplainError, Lab, Seen, Steps};

/// Requests of the staircase: 1, 2, ... bytes.
const REQUESTS: u64 = 4096;
/// glibc asks the break for its need and `DEFAULT_TOP_PAD`, 128 KiB, in whole OS
/// pages: 33 of them for a first small block.
const FIRST_HEAP: u64 = 132 << 10;
const FIRST_USABLE: u64 = 24;
/// `MALLOC_ALIGNMENT`, that of `max_align_t`.
const ALIGNMENT: u64 = 16;
/// Engines of the staircase beside the one that is explained, where they are here.
const OTHERS: [&str; 7] =
    ["glibc", "brkpoint", "brkpoint:preset=hybrid", "mimalloc", "jemalloc", "snmalloc", "rpmalloc"];

const TRIES: [Try; 2] = [
    Try { name: "top-pad", command: "brkpoint explain 4 -e glibc:top_pad=1M", breaks: &["heap"] },
    Try {
        name: "classes",
        command: "brkpoint explain 4 -e brkpoint:size_classes=powers",
        breaks: &["header", "rounding", "padding"],
    },
];

pub(super) fn chapter(lab: &Lab<'_>) -> Result<Chapter, ExplainError> {
    let first = lab.count(&Steps::new().read().alloc(0, 1).read())?;
    let ladder = (1..=REQUESTS).fold(Steps::new(), |steps, n| steps.alloc(n as u32, n));
    let own = lab.run(lab.subject(), &ladder, Pass::Time)?;
    let mut all = vec![stairs(lab.name(), &own)];
    for spec in OTHERS.into_iter().filter(|spec| *spec != lab.name()) {
        if let Some(arm) = lab.arm(spec)? {
            all.push(stairs(spec, &lab.run(&arm, &ladder, Pass::Time)?));
        }
    }
    Ok(Chapter {
        number: 4,
        engine: lab.title(),
        claims: vec![
            heap(&first),
            header(lab)?,
            aligned(&own),
            rounding(&own),
            classes(&all),
            padding(lab)?,
        ],
        pictures: vec![("stairs", Picture::Stairs(all))],
        tries: TRIES.to_vec(),
    })
}

fn stairs(engine: &str, seen: &Seen) -> Stairs {
    Stairs {
        engine: engine.to_owned(),
        usable: seen.blocks.iter().map(|block| block.usable).collect(),
    }
}

/// For 1 byte asked, a whole heap.
fn heap(seen: &Seen) -> Claim {
    let (before, after) = (seen.readings[0].heap_bytes(), seen.readings[1].heap_bytes());
    let usable = seen.blocks[0].usable;
    let values = Values::from([
        ("before", Value::Bytes(before)),
        ("after", Value::Bytes(after)),
        ("usable", Value::Bytes(usable)),
        ("faults", Value::Count(seen.faults(0) as i64)),
    ]);
    let holds = before == 0 && after == FIRST_HEAP && usable == FIRST_USABLE;
    Claim { name: "heap", verdict: Verdict::of(holds), values }
}

/// The distance of two blocks: what is usable of one, and its header.
fn header(lab: &Lab<'_>) -> Result<Claim, ExplainError> {
    let seen = lab.run(lab.subject(), &Steps::new().alloc_all(0..2, FIRST_USABLE), Pass::Time)?;
    let distance = seen.blocks[1].start.abs_diff(seen.blocks[0].start);
    let usable = seen.blocks[0].usable;
    let values = Values::from([
        ("usable", Value::Bytes(usable)),
        ("distance", Value::Bytes(distance)),
        ("header", Value::Count(distance as i64 - usable as i64)),
    ]);
    Ok(Claim { name: "header", verdict: Verdict::of(distance == usable + 8), values })
}

fn aligned(seen: &Seen) -> Claim {
    let odd = |block: &&Block| !block.start.is_multiple_of(ALIGNMENT);
    let odd = seen.blocks.iter().filter(odd).count();
    let values = Values::from([
        ("blocks", Value::Count(seen.blocks.len() as i64)),
        ("alignment", Value::Bytes(ALIGNMENT)),
        ("odd", Value::Count(odd as i64)),
    ]);
    Claim { name: "aligned", verdict: Verdict::of(odd == 0), values }
}

/// glibc's formula: `request2size` in its malloc.c, less the header.
fn formula(request: u64) -> u64 {
    ((request + 8).next_multiple_of(ALIGNMENT) - 8).max(FIRST_USABLE)
}

fn rounding(seen: &Seen) -> Claim {
    let other = |block: &&Block| block.usable != formula(block.size);
    let others = seen.blocks.iter().filter(other).count();
    let values = Values::from([
        ("requests", Value::Count(seen.blocks.len() as i64)),
        ("others", Value::Count(others as i64)),
        ("usable_25", Value::Bytes(seen.blocks[24].usable)),
    ]);
    Claim { name: "rounding", verdict: Verdict::of(others == 0), values }
}

/// Coarser steps: fewer classes, more waste.
fn classes(all: &[Stairs]) -> Claim {
    let fewest = all.iter().min_by_key(|one| one.steps());
    let most = all.iter().max_by_key(|one| one.steps());
    let (Some(fewest), Some(most)) = (fewest, most) else {
        return Claim {
            name: "classes",
            verdict: Verdict::Unknown("absent"),
            values: Values::new(),
        };
    };
    let values = Values::from([
        ("engines", Value::Count(all.len() as i64)),
        ("fewest", Value::Name(fewest.engine.clone())),
        ("fewest_steps", Value::Count(fewest.steps() as i64)),
        ("fewest_waste", Value::Percent(fewest.waste() * 100.0)),
        ("most", Value::Name(most.engine.clone())),
        ("most_steps", Value::Count(most.steps() as i64)),
        ("most_waste", Value::Percent(most.waste() * 100.0)),
    ]);
    let holds = fewest.steps() < most.steps() && fewest.waste() > most.waste();
    Claim { name: "classes", verdict: Verdict::of(holds), values }
}

/// The order of fields decides on padding, and so on the block.
fn padding(lab: &Lab<'_>) -> Result<Claim, ExplainError> {
    #[repr(C)]
    struct Scattered {
        flag: u8,
        count: u64,
        kind: u8,
        total: u64,
    }
    #[repr(C)]
    struct Sorted {
        count: u64,
        total: u64,
        flag: u8,
        kind: u8,
    }
    let [scattered, sorted] = [size_of::<Scattered>() as u64, size_of::<Sorted>() as u64];
    let seen =
        lab.run(lab.subject(), &Steps::new().alloc(0, scattered).alloc(1, sorted), Pass::Time)?;
    let [large, small] = [0, 1].map(|at| seen.blocks[at].usable);
    let values = Values::from([
        ("fields", Value::Bytes(18)),
        ("scattered", Value::Bytes(scattered)),
        ("sorted", Value::Bytes(sorted)),
        ("large", Value::Bytes(large)),
        ("small", Value::Bytes(small)),
    ]);
    let holds = scattered == 32 && sorted == 24 && small < large;
    Ok(Claim { name: "padding", verdict: Verdict::of(holds), values })
}
