//! What was found, as a record; its facts and its spellings.

use brkpoint_reports::human;
use brkpoint_reports::record::{Role, Unit};
use brkpoint_reports::tuning::{Advice, Answer, Contender, Spelling};

use super::search::named;
use super::{Facts, Found, Missing, Outcome, Request, Tried, Verdict};
use crate::engine::{Arm, Engines};
use crate::plan::Entry;
use crate::supervise::{Held, Syscalls};

/// The parameter of `mallopt` for each knob of glibc that has one (malloc.h).
const MALLOPT: [(&str, &str); 5] = [
    ("mmap_threshold", "M_MMAP_THRESHOLD"),
    ("trim_threshold", "M_TRIM_THRESHOLD"),
    ("top_pad", "M_TOP_PAD"),
    ("mmap_max", "M_MMAP_MAX"),
    ("arena_max", "M_ARENA_MAX"),
];

/// What was found, as a line of the record file.
pub fn answer(request: &Request, outcome: &Outcome) -> Answer {
    let Outcome { reference, found, confirmed, verdict, missing, absent } = outcome;
    let count =
        |which: &dyn Fn(&Tried) -> bool| found.tried.iter().filter(|one| which(one)).count();
    let cell = |arm: &Arm, role| Entry { arm, role }.cell(&request.work);
    let won = match verdict {
        Verdict::Recommend(i) => Some(&found.tried[*i]),
        Verdict::KeepDefault(_) | Verdict::Undecided(_) => None,
    };
    let (advice, why) = match verdict {
        Verdict::Recommend(_) => (Advice::Recommend, String::new()),
        Verdict::KeepDefault(why) => (Advice::KeepDefault, why.clone()),
        Verdict::Undecided(why) => (Advice::Undecided, why.clone()),
    };
    let mut notes: Vec<String> = Vec::new();
    let failed = confirmed.failed.iter();
    notes.extend(failed.map(|(i, why)| format!("{} fails: {why}", named(&found.tried[*i].arm))));
    notes.extend(missing.iter().map(|missing| {
        let Missing { knob, tunable } = missing;
        format!("{knob} was not tried: the running C library has no {tunable}")
    }));
    notes.extend(absent.iter().map(|absent| format!("left out: {absent}")));
    notes.extend(found.notes.iter().cloned());
    Answer {
        search: found.run.clone(),
        confirmation: confirmed.run.clone(),
        workload: request.work.label().to_owned(),
        objective: request.objective.name().to_owned(),
        cost: request.work.cost(),
        advice,
        why,
        reference: cell(reference, Role::Reference),
        recommended: won.map(|one| cell(&one.arm, Role::Candidate)),
        spellings: won.map_or(Vec::new(), |one| spellings(&one.arm)),
        facts: won.map_or(Vec::new(), |one| facts(reference, found, one)),
        contenders: confirmed
            .duels
            .iter()
            .map(|duel| Contender {
                cell: cell(&found.tried[duel.tried].arm, Role::Candidate),
                word: duel.word,
                objective: duel.objective,
                cost: duel.cost,
                memory: duel.memory,
            })
            .collect(),
        repeat: confirmed.repeat,
        rounds: confirmed.rounds,
        tried: brkpoint_reports::tuning::Tried {
            all: found.tried.len(),
            counted: count(&|one| one.calls.is_some()),
            inferred: count(&|one| one.facts.is_some() && one.calls.is_none()),
            timed: count(&|one| !one.ratios.is_empty()),
            readmitted: count(&|one| one.readmitted && !one.ratios.is_empty()),
        },
        notes,
    }
}

/// Why `one` is better than the reference, in what was counted.
fn facts(reference: &Arm, found: &Found, one: &Tried) -> Vec<String> {
    let Some(facts) = &one.facts else { return Vec::new() };
    let calls = one.calls.as_ref();
    let before = (reference, &found.calls);
    let story = calls.into_iter().flat_map(|calls| story(before, (&one.arm, calls)));
    std::iter::once(why(&found.reference, facts)).chain(story).collect()
}

/// What changed from `before` to `after`, in counts.
pub fn why(before: &Facts, after: &Facts) -> String {
    let change = |what: &str, before: f64, after: f64, unit| {
        format!("{what} {} -> {}", human(before, unit), human(after, unit))
    };
    let mut parts = vec![
        change("minor faults", before.faults, after.faults, Unit::Count),
        change("memory system calls", before.calls, after.calls, Unit::Count),
        change("asked of the kernel", before.asked_bytes, after.asked_bytes, Unit::Bytes),
    ];
    if before.calls_of_another_kind(after) {
        parts.push(change("of the calls brk", before.brk_calls, after.brk_calls, Unit::Count));
    }
    if let (Some(before), Some(after)) = (before.peak_bytes, after.peak_bytes) {
        parts.push(change("peak resident", before, after, Unit::Bytes));
    }
    parts.join("; ")
}

/// Mappings of at least this many bytes stand for blocks beyond glibc's threshold.
const LARGE: u64 = 128 << 10;

/// An engine under its settings, and its memory calls.
pub type Counted<'a> = (&'a Arm, &'a Syscalls);

/// What the memory calls themselves tell, `before` and `after`: blocks that were
/// mapped and unmapped, heaps that were trimmed, what was held, and what became of
/// glibc's threshold.
pub fn story(before: Counted<'_>, after: Counted<'_>) -> Vec<String> {
    let held = (&before.1.held, &after.1.held);
    let size = |bytes: u64| human(bytes as f64, Unit::Bytes);
    let mut lines = Vec::new();
    let large = |held: &Held| -> u64 { held.unmapped.range(LARGE..).map(|(_, n)| n).sum() };
    let (least, most) = (held.0.unmapped.range(LARGE..).next(), held.0.unmapped.last_key_value());
    if let (Some((least, _)), Some((most, _)), true) = (least, most, large(held.0) != large(held.1))
    {
        lines.push(format!(
            "mappings of 128 KiB or more given back: {} ({} to {}) -> {}",
            large(held.0),
            size(*least),
            size(*most),
            large(held.1)
        ));
    }
    if held.0.trims != held.1.trims {
        let lowered = |held: &Held| match held.trims {
            0 => "0".to_owned(),
            trims => format!("{trims} (by {} in all)", size(held.lowered)),
        };
        lines.push(format!(
            "the break was lowered: {} -> {} times",
            lowered(held.0),
            lowered(held.1)
        ));
    }
    if let (Some(one), Some(other)) = (threshold(before), threshold(after))
        && one != other
    {
        lines.push(format!("the mmap threshold: {one} -> {other}"));
    }
    let holds = |held: &Held| (held.heap_peak, held.heap_end, held.mapped_peak);
    if holds(held.0) != holds(held.1) {
        lines.push(format!(
            "held by the heap at the most {} -> {}, at the end {} -> {}; in mapped blocks at the most \
             {} -> {}",
            size(held.0.heap_peak),
            size(held.1.heap_peak),
            size(held.0.heap_end),
            size(held.1.heap_end),
            size(held.0.mapped_peak),
            size(held.1.mapped_peak)
        ));
    }
    lines
}

/// What glibc's mmap threshold did: it slides unless a knob that freezes it is set.
/// `None` of another engine.
fn threshold((arm, calls): Counted<'_>) -> Option<String> {
    let engine = Engines::builtin().get(&arm.engine).filter(|engine| engine.built_in)?;
    let size = |bytes: u64| human(bytes as f64, Unit::Bytes);
    let frozen = |knob: &String| engine.knob(knob).is_some_and(|knob| knob.disables.is_some());
    if arm.settings.keys().any(frozen) {
        let set = arm.settings.get("mmap_threshold").cloned();
        return Some(format!("fixed at {}", set.unwrap_or_else(|| "its default".to_owned())));
    }
    let slides = &calls.held.slides;
    Some(match (slides.first(), slides.last()) {
        (Some(first), Some(last)) => format!(
            "slid {} time{}, at call {} to {} and in the end to {}",
            slides.len(),
            if slides.len() == 1 { "" } else { "s" },
            first.0,
            size(first.1),
            size(last.1)
        ),
        _ => "stayed at 128 KiB".to_owned(),
    })
}

/// Every spelling of the settings of `arm` that applies, the shortest first.
pub fn spellings(arm: &Arm) -> Vec<Spelling> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    if let Some(library) = &arm.library {
        pairs.push(("LD_PRELOAD".to_owned(), library.display().to_string()));
    }
    let pasted = arm.paste.split(' ').filter_map(|pair| pair.split_once('='));
    pairs.extend(pasted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    if pairs.is_empty() {
        return Vec::new();
    }
    let each = |text: &dyn Fn(&str, &str) -> String, between: &str| {
        let all: Vec<String> = pairs.iter().map(|(name, value)| text(name, value)).collect();
        all.join(between)
    };
    let mut spellings = vec![Spelling {
        place: "environment".to_owned(),
        text: each(&|name, value| format!("{name}={value}"), " "),
    }];
    // What was measured is the other spelling that glibc has.
    let tunables = arm.env.iter().find(|(name, _)| name == "GLIBC_TUNABLES");
    if let (true, Some((_, value))) = (arm.engine == "glibc", tunables) {
        let text = format!("GLIBC_TUNABLES={}", value.to_string_lossy());
        spellings.push(Spelling { place: "glibc tunables".to_owned(), text });
    }
    let unit = each(&|name, value| format!("Environment=\"{name}={value}\""), "\n");
    spellings
        .push(Spelling { place: "systemd unit".to_owned(), text: format!("[Service]\n{unit}") });
    let docker = each(&|name, value| format!("{name}={value}"), " ");
    spellings.push(Spelling { place: "Dockerfile".to_owned(), text: format!("ENV {docker}") });
    spellings.extend(mallopt(arm).into_iter().flatten());
    spellings
}

/// Calls of `mallopt`, in C and Rust, if it knows every setting and takes its value.
fn mallopt(arm: &Arm) -> Option<[Spelling; 2]> {
    if arm.engine != "glibc" {
        return None;
    }
    let tunables = arm.env.iter().find(|(name, _)| name == "GLIBC_TUNABLES")?.1.to_str()?;
    let mut calls = Vec::new();
    for setting in tunables.split(':') {
        let (name, value) = setting.split_once('=')?;
        let knob = name.strip_prefix("glibc.malloc.")?;
        let (_, constant) = MALLOPT.iter().find(|(name, _)| *name == knob)?;
        calls.push((constant, value.parse::<i32>().ok()?));
    }
    let c: Vec<String> =
        calls.iter().map(|(name, value)| format!("mallopt({name}, {value});")).collect();
    let rust: Vec<String> = calls
        .iter()
        .map(|(name, value)| format!("unsafe {{ libc::mallopt(libc::{name}, {value}) }};"))
        .collect();
    Some([
        Spelling {
            place: "C, first thing in main".to_owned(),
            text: format!("#include <malloc.h>\n{}", c.join("\n")),
        },
        Spelling {
            place: "Rust (crate libc), first thing in main".to_owned(),
            text: rust.join("\n"),
        },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(tunables: &str, paste: &str) -> Arm {
        Arm {
            version: "2.36".into(),
            env: vec![("GLIBC_TUNABLES".into(), tunables.into())],
            paste: paste.into(),
            ..Arm::unproved("glibc")
        }
    }

    fn at(spellings: &[Spelling], place: &str) -> Option<String> {
        let spelling = spellings.iter().find(|spelling| spelling.place.starts_with(place));
        spelling.map(|spelling| spelling.text.clone())
    }

    #[test]
    fn every_place_gets_the_spelling_that_it_reads() {
        let pair = arm(
            "glibc.malloc.mmap_threshold=1048576:glibc.malloc.trim_threshold=8388608",
            "MALLOC_MMAP_THRESHOLD_=1048576 MALLOC_TRIM_THRESHOLD_=8388608",
        );
        let spellings = spellings(&pair);
        assert_eq!(at(&spellings, "environment").as_deref(), Some(&*pair.paste));
        let unit = at(&spellings, "systemd").expect("a unit");
        let settings = crate::lint::source::file("u", &unit);
        assert_eq!(settings.len(), 2);
        assert!(settings.iter().all(|setting| setting.unheard.is_none()), "{unit}");
        let docker = format!("FROM x\n{}", at(&spellings, "Dockerfile").expect("an ENV"));
        assert_eq!(crate::lint::source::file("D", &docker).len(), 2);
        let c = at(&spellings, "C,").expect("C");
        assert!(c.ends_with("mallopt(M_TRIM_THRESHOLD, 8388608);"), "{c}");
        let rust = at(&spellings, "Rust").expect("Rust");
        assert!(rust.contains("libc::M_MMAP_THRESHOLD, 1048576"), "{rust}");
    }

    #[test]
    fn the_story_tells_of_what_changed_and_of_nothing_else() {
        let calls = |trims, unmapped: &[(u64, u64)], slides: &[(u64, u64)]| {
            let mut calls = Syscalls::default();
            calls.held.trims = trims;
            calls.held.lowered = trims << 20;
            calls.held.unmapped = unmapped.iter().copied().collect();
            calls.held.slides = slides.to_vec();
            calls
        };
        let default = arm("", "");
        let mut set = arm("", "");
        set.settings.insert("mmap_threshold".into(), "1M".into());
        let slides = [(57, 200 << 10), (90, 464 << 10)];
        let before = calls(50, &[(4096, 9), (200 << 10, 30), (464 << 10, 12)], &slides);
        let told = story((&default, &before), (&set, &calls(0, &[(4096, 7)], &[])));
        assert_eq!(
            told,
            [
                "mappings of 128 KiB or more given back: 42 (200 KiB to 464 KiB) -> 0",
                "the break was lowered: 50 (by 50.0 MiB in all) -> 0 times",
                "the mmap threshold: slid 2 times, at call 57 to 200 KiB and in the end to 464 KiB \
                 -> fixed at 1M",
            ]
        );
        assert!(story((&default, &before), (&default, &before)).is_empty());
    }

    #[test]
    fn what_mallopt_does_not_know_or_cannot_hold_is_not_spelt_as_a_call() {
        let cache =
            arm("glibc.malloc.tcache_count=32", "GLIBC_TUNABLES=glibc.malloc.tcache_count=32");
        assert_eq!(at(&spellings(&cache), "C,"), None);
        let large =
            arm("glibc.malloc.mmap_threshold=4294967296", "MALLOC_MMAP_THRESHOLD_=4294967296");
        assert_eq!(at(&spellings(&large), "C,"), None);
        assert!(at(&spellings(&large), "environment").is_some());
    }
}
