//! Chapter 8: how free knows the size.

use brkpoint_reports::explain::{Chapter, Claim, Picture, Try, Value, Values, Verdict, Word};
use brkpoint_reports::record::Pass;

use super::places::OS_PAGE;
use super::{Block, ExplainError, Lab, Seen, Steps};

/// Requests whose headers are read, and the one that is shown.
const REQUESTS: [u64; 8] = [1, 24, 25, 100, 1000, 1033, 4000, 100_000];
const SHOWN: usize = 3;
/// A block that every usual threshold maps.
const MAPPED: u64 = 1 << 20;
/// Neighbours, too large for glibc's thread cache, which leaves the marks alone.
const NEIGHBOUR: u64 = 2000;

/// What glibc keeps in the low bits of a size: `PREV_INUSE`, `IS_MMAPPED`, and
/// `NON_MAIN_ARENA` of its malloc.c.
const PREVIOUS_IN_USE: u64 = 1;
const IS_MAPPED: u64 = 2;
const FLAGS: u64 = 7;

/// Ours: the size and the state in 48 bits, a seal above them (the allocator's
/// module `heap::chunk`).
const OURS: &str = "brkpoint:preset=hybrid";
const OUR_HEADER: u64 = 16;
const OUR_VALUE: u64 = (1 << 48) - 1;
const OUR_STATE: u64 = 15;
const OUR_LIVE: u64 = 1;

/// Engines that keep sizes elsewhere, and blocks among which a header would show.
const OUTSIDE: [&str; 6] = ["brkpoint", "mimalloc", "jemalloc", "snmalloc", "rpmalloc", "tcmalloc"];
const ALIKE: (u32, u64) = (64, 64);

const TRIES: [Try; 2] = [
    Try {
        name: "outside",
        command: "brkpoint explain 8 -e brkpoint",
        breaks: &["own", "mapped", "previous"],
    },
    Try {
        name: "ours",
        command: "brkpoint explain 8 -e brkpoint:preset=hybrid",
        breaks: &["own", "mapped", "previous"],
    },
];

pub(super) fn chapter(lab: &Lab<'_>) -> Result<Chapter, ExplainError> {
    let own = lab.run(lab.subject(), &headers(), Pass::Time)?;
    let mapped = lab.run(lab.subject(), &Steps::new().alloc(0, MAPPED).peek(0), Pass::Time)?;
    let pair = lab.run(lab.subject(), &neighbours(), Pass::Time)?;
    let ours = lab.arm(OURS)?.map(|arm| lab.run(&arm, &headers(), Pass::Time)).transpose()?;
    let claims = vec![of_glibc(&own), of_mapped(&mapped), previous(&pair), of_ours(ours.as_ref())];
    let holds = |at: usize| claims[at].verdict == Verdict::Holds;
    let mut words = Vec::new();
    words.extend(shown_words(lab.name(), "small", &own, SHOWN, ["foreign", "size"], holds(0)));
    words.extend(shown_words(lab.name(), "freed", &pair, 1, ["neighbour", "size"], holds(2)));
    words.extend(shown_words(lab.name(), "mapped", &mapped, 0, ["offset", "size"], holds(1)));
    if let Some(ours) = &ours {
        words.extend(shown_words(OURS, "small", ours, SHOWN, ["tag", "our-size"], holds(3)));
    }
    let claims = claims.into_iter().chain([outside(lab)?]).collect();
    Ok(Chapter {
        number: 8,
        engine: lab.title(),
        claims,
        pictures: vec![("words", Picture::Words(words))],
        tries: TRIES.to_vec(),
    })
}

/// The words left of a block, the farther first, with what they mean: if the
/// claim about them does not hold, nothing that is known here.
fn shown_words(
    engine: &str,
    block: &'static str,
    seen: &Seen,
    at: usize,
    meanings: [&'static str; 2],
    holds: bool,
) -> Vec<Word> {
    let Some(both) = seen.peeks.get(at).copied().flatten() else { return Vec::new() };
    let word = |(i, word): (usize, u64)| {
        let meaning = if holds { meanings[i] } else { "other" };
        let size = match meaning {
            "size" | "neighbour" => Some(word & !FLAGS),
            "our-size" => Some(word & OUR_VALUE & !OUR_STATE),
            _ => None,
        };
        Word { engine: engine.to_owned(), block, before: 16 - 8 * i as u64, word, meaning, size }
    };
    both.into_iter().enumerate().map(word).collect()
}

/// Each request, and what lies left of its block.
fn headers() -> Steps {
    let slots = (0..).zip(REQUESTS);
    slots.fold(Steps::new(), |steps, (slot, size)| steps.alloc(slot, size).peek(slot))
}

/// Two neighbours and a guard behind them; the first is freed between two looks
/// at what lies left of the second.
fn neighbours() -> Steps {
    Steps::new().alloc_all(0..3, NEIGHBOUR).peek(1).free(0).peek(1)
}

/// How many of the requests have a header that `agrees`.
fn agreeing(seen: &Seen, agrees: impl Fn(&Block, [u64; 2]) -> bool) -> usize {
    let pairs = seen.blocks.iter().zip(&seen.peeks);
    pairs.filter(|(block, words)| words.is_some_and(|words| agrees(block, words))).count()
}

/// What was read left of the request that is shown.
fn shown(seen: &Seen, at: usize) -> [u64; 2] {
    seen.peeks.get(at).copied().flatten().unwrap_or_default()
}

/// Right left of the block: its chunk's size, and flags.
fn of_glibc(seen: &Seen) -> Claim {
    let agrees = |block: &Block, [_, own]: [u64; 2]| {
        own & !FLAGS == block.usable + 8 && own & IS_MAPPED == 0
    };
    let agreeing = agreeing(seen, agrees);
    let [_, word] = shown(seen, SHOWN);
    let values = Values::from([
        ("requests", Value::Count(REQUESTS.len() as i64)),
        ("agreeing", Value::Count(agreeing as i64)),
        ("request", Value::Bytes(REQUESTS[SHOWN])),
        ("word", Value::Address(word)),
        ("size", Value::Bytes(word & !FLAGS)),
        ("flags", Value::Count((word & FLAGS) as i64)),
        ("usable", Value::Bytes(seen.blocks[SHOWN].usable)),
    ]);
    Claim { name: "own", verdict: Verdict::of(agreeing == REQUESTS.len()), values }
}

/// A mapped block says so, and how far it is to the mapping's beginning.
fn of_mapped(seen: &Seen) -> Claim {
    let [offset, own] = shown(seen, 0);
    let block = seen.blocks[0];
    let size = own & !FLAGS;
    let values = Values::from([
        ("request", Value::Bytes(MAPPED)),
        ("word", Value::Address(own)),
        ("size", Value::Bytes(size)),
        ("flags", Value::Count((own & FLAGS) as i64)),
        ("usable", Value::Bytes(block.usable)),
        ("offset", Value::Count(offset as i64)),
    ]);
    let holds = own & FLAGS == IS_MAPPED
        && size.is_multiple_of(OS_PAGE)
        && size == block.usable + 16
        && (block.start - 16 - offset).is_multiple_of(OS_PAGE);
    Claim { name: "mapped", verdict: Verdict::of(holds), values }
}

/// Eight bytes further left: the neighbour's, and its size once it is free.
fn previous(seen: &Seen) -> Claim {
    let [first, second] = [seen.blocks[0], seen.blocks[1]];
    let ([_, own_before], [size, own_after]) = (shown(seen, 0), shown(seen, 1));
    // The neighbour's last eight usable bytes end where the second's header is.
    let shared = first.start + first.usable == second.start - 8;
    let values = Values::from([
        ("size", Value::Bytes(NEIGHBOUR)),
        ("shared", Value::Bytes(if shared { 8 } else { 0 })),
        ("flag_before", Value::Count((own_before & PREVIOUS_IN_USE) as i64)),
        ("flag_after", Value::Count((own_after & PREVIOUS_IN_USE) as i64)),
        ("previous", Value::Count(size as i64)),
        ("chunk", Value::Count(first.usable as i64 + 8)),
    ]);
    let holds = shared
        && own_before & PREVIOUS_IN_USE == 1
        && own_after & PREVIOUS_IN_USE == 0
        && size == first.usable + 8;
    Claim { name: "previous", verdict: Verdict::of(holds), values }
}

/// Ours: size and state, sealed.
fn of_ours(seen: Option<&Seen>) -> Claim {
    let name = "ours";
    let Some(seen) = seen else {
        return Claim { name, verdict: Verdict::Unknown("absent"), values: Values::new() };
    };
    let agrees = |block: &Block, [_, own]: [u64; 2]| {
        let value = own & OUR_VALUE;
        value & OUR_STATE == OUR_LIVE && value & !OUR_STATE == block.usable + OUR_HEADER
    };
    let agreeing = agreeing(seen, agrees);
    let [_, word] = shown(seen, SHOWN);
    let values = Values::from([
        ("engine", Value::Name(OURS.to_owned())),
        ("requests", Value::Count(REQUESTS.len() as i64)),
        ("agreeing", Value::Count(agreeing as i64)),
        ("request", Value::Bytes(REQUESTS[SHOWN])),
        ("word", Value::Address(word)),
        ("size", Value::Bytes(word & OUR_VALUE & !OUR_STATE)),
        ("state", Value::Count((word & OUR_STATE) as i64)),
        ("usable", Value::Bytes(seen.blocks[SHOWN].usable)),
    ]);
    Claim { name, verdict: Verdict::of(agreeing == REQUESTS.len()), values }
}

/// Engines without headers: blocks lie side by side.
fn outside(lab: &Lab<'_>) -> Result<Claim, ExplainError> {
    let (count, size) = ALIKE;
    let steps = Steps::new().alloc_all(0..count, size);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for spec in OUTSIDE {
        let Some(arm) = lab.arm(spec)? else { continue };
        let seen = lab.run(&arm, &steps, Pass::Time)?;
        let mut starts: Vec<u64> = seen.blocks.iter().map(|block| block.start).collect();
        starts.sort_unstable();
        let nearest = starts.windows(2).map(|pair| pair[1] - pair[0]).min();
        if nearest == Some(seen.blocks[0].usable) { &mut without } else { &mut with }.push(spec);
    }
    let names =
        |list: &[&str]| Value::Name(if list.is_empty() { "–".into() } else { list.join(", ") });
    let values = Values::from([
        ("blocks", Value::Count(count.into())),
        ("size", Value::Bytes(size)),
        ("without", names(&without)),
        ("with", names(&with)),
    ]);
    let verdict = match without.is_empty() && with.is_empty() {
        true => Verdict::Unknown("absent"),
        false => Verdict::of(with.is_empty()),
    };
    Ok(Claim { name: "outside", verdict, values })
}
