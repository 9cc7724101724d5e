//! What was found, in words and in every spelling.

use std::fmt::Write;

use brkpoint_reports::record::Unit;
use brkpoint_reports::{human, ratio_interval};

use super::search::named;
use super::{Facts, Objective, Outcome, Request, Verdict};
use crate::engine::Arm;
use crate::supervise::Syscalls;

/// The parameter of `mallopt` for each knob of glibc that has one (malloc.h).
const MALLOPT: [(&str, &str); 5] = [
    ("mmap_threshold", "M_MMAP_THRESHOLD"),
    ("trim_threshold", "M_TRIM_THRESHOLD"),
    ("top_pad", "M_TOP_PAD"),
    ("mmap_max", "M_MMAP_MAX"),
    ("arena_max", "M_ARENA_MAX"),
];

/// A way to give a program its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spelling {
    /// Where it goes.
    pub place: &'static str,
    /// What to write there.
    pub text: String,
}

/// The answer as a person reads it.
pub fn text(request: &Request, outcome: &Outcome) -> String {
    let mut out = String::new();
    let found = &outcome.found;
    let counted = found.tried.iter().filter(|one| one.facts.is_some()).count();
    let timed = found.tried.iter().filter(|one| !one.ratios.is_empty()).count();
    let reference = named(&outcome.reference);
    match &outcome.verdict {
        Verdict::Recommend(i) => {
            let one = &found.tried[*i];
            put(&mut out, format_args!("Recommended for {}:\n", request.work.label()));
            if let Some(first) = spellings(&one.arm).first() {
                put(&mut out, format_args!("  {}\n", first.text));
            }
        }
        Verdict::KeepDefault(why) => {
            put(&mut out, format_args!("Keep the default ({reference}): {why}."));
        }
        Verdict::Undecided(why) => put(&mut out, format_args!("Undecided: {why}.")),
    }
    for duel in &outcome.confirmed.duels {
        put(
            &mut out,
            format_args!(
                "  {:<58} {}: {} {}; time {}, memory {}",
                named(&found.tried[duel.tried].arm),
                duel.word.word(),
                word(request.objective),
                ratio_interval(duel.objective),
                ratio_interval(duel.time),
                ratio_interval(brkpoint_reports::stats::Estimate {
                    value: duel.memory,
                    interval: Some(brkpoint_reports::stats::Interval::point(duel.memory)),
                }),
            ),
        );
    }
    if let Some(repeat) = outcome.confirmed.repeat {
        let what = "A/A: the default against itself";
        put(&mut out, format_args!("  {what:<58} time {}", ratio_interval(repeat)));
    }
    if outcome.confirmed.rounds > 0 {
        put(
            &mut out,
            format_args!(
                "Ratios to {reference} over {} fresh interleaved rounds; the intervals' 99 % is for \
                 all finalists and looks together.",
                outcome.confirmed.rounds
            ),
        );
    }
    if let Verdict::Recommend(i) = outcome.verdict
        && let Some(facts) = found.tried[i].facts
    {
        put(&mut out, format_args!("\nWhy: {}", why(&found.reference, &facts)));
        let calls = found.tried[i].calls.as_ref();
        for line in calls.into_iter().flat_map(|calls| story(&found.calls, calls)) {
            put(&mut out, format_args!("     {line}"));
        }
        put(&mut out, format_args!("\nTo set it:"));
        for spelling in spellings(&found.tried[i].arm) {
            let text = spelling.text.replace('\n', "\n    ");
            put(&mut out, format_args!("  {}:\n    {text}", spelling.place));
        }
    }
    put(
        &mut out,
        format_args!(
            "\n{} configurations: {counted} counted, {timed} timed, {} confirmed.",
            found.tried.len(),
            found.finalists.len()
        ),
    );
    for (i, error) in &outcome.confirmed.failed {
        put(&mut out, format_args!("Note: {} fails: {error}", named(&found.tried[*i].arm)));
    }
    for missing in &outcome.missing {
        put(
            &mut out,
            format_args!(
                "Note: {} was not tried: the running C library has no {}",
                missing.knob, missing.tunable
            ),
        );
    }
    for absent in &outcome.absent {
        put(&mut out, format_args!("Note: left out: {absent}"));
    }
    for note in &found.notes {
        put(&mut out, format_args!("Note: {note}"));
    }
    out
}

/// A line; writing into a string does not fail.
fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{line}");
}

fn word(objective: Objective) -> &'static str {
    match objective {
        Objective::Time => "time",
        Objective::Memory => "peak memory",
        Objective::Balanced => "time and memory",
        Objective::Faults => "minor faults",
    }
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
    if let (Some(before), Some(after)) = (before.peak_bytes, after.peak_bytes) {
        parts.push(change("peak resident", before, after, Unit::Bytes));
    }
    parts.join("; ")
}

/// Mappings of at least this many bytes stand for blocks beyond glibc's threshold.
const LARGE: u64 = 128 << 10;

/// What the memory calls themselves tell, `before` and `after`: blocks that were
/// mapped and unmapped, and heaps that were trimmed.
pub fn story(before: &Syscalls, after: &Syscalls) -> Vec<String> {
    let large = |calls: &Syscalls| -> u64 { calls.unmapped.range(LARGE..).map(|(_, n)| n).sum() };
    let mut lines = Vec::new();
    let (least, most) = (before.unmapped.range(LARGE..).next(), before.unmapped.last_key_value());
    if let (Some((least, _)), Some((most, _)), true) = (least, most, large(before) != large(after))
    {
        let size = |bytes: &u64| human(*bytes as f64, Unit::Bytes);
        lines.push(format!(
            "mappings of 128 KiB or more given back: {} ({} to {}) -> {}",
            large(before),
            size(least),
            size(most),
            large(after)
        ));
    }
    if before.trims != after.trims {
        lines.push(format!("the break was lowered: {} -> {} times", before.trims, after.trims));
    }
    lines
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
        place: "environment",
        text: each(&|name, value| format!("{name}={value}"), " "),
    }];
    // What was measured is the other spelling that glibc has.
    let tunables = arm.env.iter().find(|(name, _)| name == "GLIBC_TUNABLES");
    if let (true, Some((_, value))) = (arm.engine == "glibc", tunables) {
        let text = format!("GLIBC_TUNABLES={}", value.to_string_lossy());
        spellings.push(Spelling { place: "glibc tunables", text });
    }
    let unit = each(&|name, value| format!("Environment=\"{name}={value}\""), "\n");
    spellings.push(Spelling { place: "systemd unit", text: format!("[Service]\n{unit}") });
    let docker = each(&|name, value| format!("{name}={value}"), " ");
    spellings.push(Spelling { place: "Dockerfile", text: format!("ENV {docker}") });
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
            place: "C, first thing in main",
            text: format!("#include <malloc.h>\n{}", c.join("\n")),
        },
        Spelling { place: "Rust (crate libc), first thing in main", text: rust.join("\n") },
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn arm(tunables: &str, paste: &str) -> Arm {
        Arm {
            engine: "glibc".into(),
            version: "2.36".into(),
            settings: BTreeMap::new(),
            env: vec![("GLIBC_TUNABLES".into(), tunables.into())],
            env_remove: Vec::new(),
            library: None,
            program: None,
            object: String::new(),
            paste: paste.into(),
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
    fn the_story_tells_of_mappings_and_trims_that_changed_and_of_no_others() {
        let calls = |trims, unmapped: &[(u64, u64)]| Syscalls {
            trims,
            unmapped: unmapped.iter().copied().collect(),
            ..Syscalls::default()
        };
        let before = calls(50, &[(4096, 9), (200 << 10, 30), (464 << 10, 12)]);
        let told = story(&before, &calls(0, &[(4096, 7)]));
        assert_eq!(
            told,
            [
                "mappings of 128 KiB or more given back: 42 (200 KiB to 464 KiB) -> 0",
                "the break was lowered: 50 -> 0 times"
            ]
        );
        assert!(story(&before, &before).is_empty());
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
