//! Chapter 5: what free gives back.

use brkpoint_reports::explain::{Bar, Chapter, Claim, Picture, Try, Value, Values, Verdict};
use brkpoint_reports::record::{Pass, Unit};

use super::places::{OS_PAGE, moment};
use super::{ExplainError, Lab, Seen, Steps, watched};
use crate::supervise::Call;

/// A block that every usual threshold maps.
const MAPPED: u64 = 1 << 20;
/// Blocks that come from the break: so many, of so many bytes.
const BLOCKS: u32 = 64;
const BLOCK: u64 = 64 << 10;
const ALL: u64 = BLOCKS as u64 * BLOCK;
/// A small block above them.
const PIN: (u32, u64) = (BLOCKS, 100);
/// What glibc keeps at the top when it trims, where nothing is set:
/// `DEFAULT_TOP_PAD` of its malloc.c, and the rest of an OS page or two.
const TOP_PAD: u64 = 128 << 10;
const REST: u64 = 8 << 10;

const HIGH: &str = "glibc:trim_threshold=8M";
const PADDED: (&str, u64) = ("glibc:top_pad=1M", 1 << 20);

const TRIES: [Try; 2] = [
    Try {
        name: "threshold",
        command: "brkpoint explain 5 -e glibc:trim_threshold=8M",
        breaks: &["trimmed"],
    },
    Try {
        name: "purge",
        command: "brkpoint explain 5 -e brkpoint:preset=hybrid,purge=dontneed",
        breaks: &["interior"],
    },
];

pub(super) fn chapter(lab: &Lab<'_>) -> Result<Chapter, ExplainError> {
    let pinned = lab.count(&pinned_steps())?;
    let moments = [("full", 0), ("freed", 1), ("trimmed", 2)];
    let heap = moments
        .map(|(name, at)| moment(lab.name(), name, &pinned, at, |slot| at == 0 || slot == PIN.0));
    let trimmed = lab.count(&top_steps())?;
    let mut bars = vec![bar(lab.name(), &trimmed)];
    let [mut high, mut padded] = [None, None];
    for (spec, found) in [(HIGH, &mut high), (PADDED.0, &mut padded)] {
        if let Some(arm) = lab.arm(spec)? {
            let seen = lab.run(&arm, &top_steps(), Pass::Counts)?;
            bars.push(bar(spec, &seen));
            *found = Some(seen);
        }
    }
    Ok(Chapter {
        number: 5,
        engine: lab.title(),
        claims: vec![
            mapped(lab)?,
            top(&trimmed),
            threshold(high.as_ref()),
            padding(padded.as_ref()),
            interior(&pinned),
            call(&pinned),
        ],
        pictures: vec![
            ("kept", Picture::Bars { unit: Unit::Bytes, bars }),
            ("heap", Picture::Heap(heap.into())),
        ],
        tries: TRIES.to_vec(),
    })
}

fn bar(engine: &str, seen: &Seen) -> Bar {
    let value = seen.readings[2].heap_bytes() as f64;
    Bar { engine: engine.to_owned(), name: "", value }
}

/// A block with a mapping of its own goes back whole.
fn mapped(lab: &Lab<'_>) -> Result<Claim, ExplainError> {
    let steps = Steps::new().read().alloc(0, MAPPED).touch(0).read().maps();
    let seen = lab.count(&steps.free(0).read().maps())?;
    let block = seen.blocks[0].start;
    let own = |at: usize| {
        let heap = seen.readings[1].in_heap(block);
        !heap && seen.maps[at].iter().any(|map| map.holds(block))
    };
    let returned = seen.returned(1);
    let unmaps = seen.calls(1, Call::Munmap);
    let mut values = Values::from([
        ("size", Value::Bytes(MAPPED)),
        ("block", Value::Address(block)),
        ("before", Value::Count(own(0).into())),
        ("after", Value::Count(own(1).into())),
        ("returned", Value::Bytes(returned)),
    ]);
    values.extend(unmaps.map(|unmaps| ("unmaps", Value::Count(unmaps as i64))));
    let holds = unmaps.map(|unmaps| own(0) && !own(1) && unmaps == 1 && returned >= MAPPED);
    Ok(Claim { name: "mapped", verdict: watched(holds), values })
}

/// The heap grows by blocks that are freed last in, first out.
fn top_steps() -> Steps {
    filled(Steps::new().read()).read().free_all((0..BLOCKS).rev()).read()
}

fn filled(steps: Steps) -> Steps {
    (0..BLOCKS).fold(steps, |steps, slot| steps.alloc(slot, BLOCK).touch(slot))
}

/// The end of the heap goes back, but for `top_pad`.
fn top(seen: &Seen) -> Claim {
    let [full, kept] = [1, 2].map(|at| seen.readings[at].heap_bytes());
    let moves = seen.calls(1, Call::Brk);
    let mut values = Values::from([
        ("all", Value::Bytes(ALL)),
        ("full", Value::Bytes(full)),
        ("kept", Value::Bytes(kept)),
        ("pad", Value::Bytes(TOP_PAD)),
        ("break_before", Value::Address(seen.readings[1].heap.1)),
        ("break_after", Value::Address(seen.readings[2].heap.1)),
    ]);
    values.extend(moves.map(|moves| ("moves", Value::Count(moves as i64))));
    let left = (TOP_PAD..=TOP_PAD + REST).contains(&kept);
    let verdict = watched(moves.map(|moves| full >= ALL && left && moves > 0));
    Claim { name: "trimmed", verdict, values }
}

/// Below the trim threshold nothing goes back.
fn threshold(seen: Option<&Seen>) -> Claim {
    let name = "threshold";
    let Some(seen) = seen else {
        return Claim { name, verdict: Verdict::Unknown("absent"), values: Values::new() };
    };
    let [full, kept] = [1, 2].map(|at| seen.readings[at].heap_bytes());
    let moves = seen.calls(1, Call::Brk);
    let mut values = Values::from([
        ("setting", Value::Name(HIGH.to_owned())),
        ("full", Value::Bytes(full)),
        ("kept", Value::Bytes(kept)),
        ("returned", Value::Bytes(seen.returned(1))),
    ]);
    values.extend(moves.map(|moves| ("moves", Value::Count(moves as i64))));
    let verdict = watched(moves.map(|moves| kept == full && moves == 0));
    Claim { name, verdict, values }
}

/// What is kept at the top is `top_pad`.
fn padding(seen: Option<&Seen>) -> Claim {
    let name = "top-pad";
    let Some(seen) = seen else {
        return Claim { name, verdict: Verdict::Unknown("absent"), values: Values::new() };
    };
    let kept = seen.readings[2].heap_bytes();
    let (setting, pad) = PADDED;
    let values = Values::from([
        ("setting", Value::Name(setting.to_owned())),
        ("pad", Value::Bytes(pad)),
        ("kept", Value::Bytes(kept)),
    ]);
    let holds = (pad..=pad + REST).contains(&kept);
    Claim { name, verdict: Verdict::of(holds), values }
}

/// The same blocks below one that lives on; then `malloc_trim`.
fn pinned_steps() -> Steps {
    let full = filled(Steps::new().read()).alloc(PIN.0, PIN.1).touch(PIN.0).read().pages();
    full.free_all(0..BLOCKS).read().pages().trim().read().pages()
}

/// `free` gives nothing back from below a live block.
fn interior(seen: &Seen) -> Claim {
    let [full, kept] = [1, 2].map(|at| seen.readings[at].heap_bytes());
    let returned = seen.returned(1);
    let values = Values::from([
        ("all", Value::Bytes(ALL)),
        ("pin", Value::Bytes(PIN.1)),
        ("full", Value::Bytes(full)),
        ("kept", Value::Bytes(kept)),
        ("returned", Value::Bytes(returned)),
    ]);
    let holds = full >= ALL && kept == full && returned < OS_PAGE;
    Claim { name: "interior", verdict: Verdict::of(holds), values }
}

/// `malloc_trim` gives back the OS pages within; the break stays.
fn call(seen: &Seen) -> Claim {
    let [before, after] = [2, 3].map(|at| seen.readings[at].heap_bytes());
    let returned = seen.returned(2);
    let purges = seen.calls(2, Call::Madvise);
    let mut values = Values::from([
        ("before", Value::Bytes(before)),
        ("after", Value::Bytes(after)),
        ("returned", Value::Bytes(returned)),
    ]);
    values.extend(purges.map(|purges| ("purges", Value::Count(purges as i64))));
    // The top beyond top_pad may go, too.
    let within = returned >= ALL - BLOCK && after + REST + TOP_PAD >= before;
    let verdict = watched(purges.map(|purges| within && purges > 0));
    Claim { name: "trim-call", verdict, values }
}
