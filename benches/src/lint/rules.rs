//! The known mistakes. What the running C library made of a value it tells
//! itself (`--list-tunables`); the rest is in its manual, *Malloc Tunable
//! Parameters* and *Memory Allocation Tunables*, and in malloc.c.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::Setting;
use crate::engine::near::{hint, near};
use crate::engine::{Engines, bytes};
use crate::tune::tunables::Tunables;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It does not do what it says.
    Mistake,
    /// It does, and that often hurts.
    Risk,
}

/// A finding: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The place.
    pub origin: String,
    /// What is wrong, to which input, and the remedy.
    pub what: String,
}

/// The variables of glibc's malloc and the tunables that they are aliases of.
const ALIASES: [(&str, &str); 8] = [
    ("MALLOC_MMAP_THRESHOLD_", "mmap_threshold"),
    ("MALLOC_TRIM_THRESHOLD_", "trim_threshold"),
    ("MALLOC_TOP_PAD_", "top_pad"),
    ("MALLOC_MMAP_MAX_", "mmap_max"),
    ("MALLOC_PERTURB_", "perturb"),
    ("MALLOC_CHECK_", "check"),
    ("MALLOC_ARENA_MAX", "arena_max"),
    ("MALLOC_ARENA_TEST", "arena_test"),
];

/// The variable of all tunables.
const TUNABLES: &str = "GLIBC_TUNABLES";

/// Setting any of these ends the sliding of the mmap threshold.
const FREEZING: [&str; 4] = ["mmap_threshold", "trim_threshold", "top_pad", "mmap_max"];

/// Up to glibc 2.34 a larger mmap threshold is silently refused (HEAP_MAX_SIZE / 2).
const OLD_LIMIT: u64 = 32 << 20;

/// Below this, ordinary blocks become mappings.
const SMALL_THRESHOLD: u64 = 128 << 10;

/// One knob, as it would be set.
struct Knob<'s> {
    name: &'s str,
    value: &'s str,
    setting: &'s Setting,
    by_tunable: bool,
}

/// Checks `settings` for the C library of this machine, of which `version` is
/// known, and which can hold `max_maps` mappings a process.
pub fn check(settings: &[Setting], version: (u32, u32), max_maps: Option<u64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |level, origin: &str, what: String| {
        findings.push(Finding { level, origin: origin.to_owned(), what });
    };
    let strays = Engines::builtin().strays();
    let known = Tunables::under(&[], &strays);
    for setting in settings {
        if let Some(why) = setting.unheard {
            let what = format!("{}={} has no effect here: {why}", setting.name, setting.value);
            find(Level::Mistake, &setting.origin, what);
        } else if setting.name == TUNABLES {
            for what in misspelt(&setting.value, known.as_ref(), version) {
                find(Level::Mistake, &setting.origin, what);
            }
        } else if let Some(what) = misnamed(&setting.name, known.as_ref()) {
            find(Level::Mistake, &setting.origin, what);
        }
    }
    let knobs: Vec<Knob<'_>> =
        settings.iter().filter(|s| s.unheard.is_none()).flat_map(knobs).collect();
    for knob in &knobs {
        if let Some(what) = misread(knob, known.as_ref(), &strays, version) {
            find(Level::Mistake, &knob.setting.origin, what);
        }
        let rival = knobs.iter().find(|k| {
            k.name == knob.name && k.by_tunable && place(k.setting) == place(knob.setting)
        });
        if let Some(rival) = rival.filter(|_| !knob.by_tunable)
            && rival.value != knob.value
        {
            let (name, value) = (&knob.setting.name, knob.value);
            let what = format!(
                "{name}={value} is ignored: GLIBC_TUNABLES sets {} to {} and wins; keep one",
                knob.name, rival.value
            );
            find(Level::Mistake, &knob.setting.origin, what);
        }
    }
    for (origin, set) in by_place(&knobs) {
        for what in together(&set, version, max_maps) {
            find(Level::Risk, origin, what);
        }
    }
    findings.sort_by_key(|finding| finding.level);
    findings
}

/// Settings of `here` that the process `pid` did not begin with: they came too late.
pub fn too_late(pid: u32, began_with: &[Setting], here: &[Setting]) -> Vec<Finding> {
    let missing = |setting: &&Setting| {
        let has = began_with.iter().any(|s| (&s.name, &s.value) == (&setting.name, &setting.value));
        !has
    };
    let finding = |setting: &Setting| Finding {
        level: Level::Mistake,
        origin: format!("process {pid}"),
        what: format!(
            "{}={} was set too late: it began without it, and malloc reads the environment at the \
             start only; start it again, or call mallopt in it",
            setting.name, setting.value
        ),
    };
    here.iter().filter(missing).map(finding).collect()
}

/// What is meant by a name that glibc does not read.
fn misnamed(name: &str, known: Option<&Tunables>) -> Option<String> {
    if ALIASES.iter().any(|(alias, _)| *alias == name) {
        return None;
    }
    // What mallopt calls it.
    let stem = name.strip_prefix("MALLOC_").or_else(|| name.strip_prefix("M_")).unwrap_or(name);
    let stem = stem.trim_end_matches('_');
    let alias = ALIASES.iter().find(|(alias, _)| {
        alias.strip_prefix("MALLOC_").is_some_and(|alias| alias.trim_end_matches('_') == stem)
    });
    if let Some((alias, _)) = alias {
        return Some(format!("{name} is no name that glibc reads: it is {alias}"));
    }
    let lower = stem.to_ascii_lowercase();
    let has = |known: &Tunables| known.has(&format!("glibc.malloc.{lower}"));
    if lower.starts_with("tcache") || known.is_some_and(has) {
        return Some(format!(
            "{name} does nothing: there is only the tunable GLIBC_TUNABLES=glibc.malloc.{lower}"
        ));
    }
    meant(name).map(|meant| format!("{name} is no name that glibc reads: did you mean {meant}?"))
}

/// The variable that `name` is, or was perhaps meant to be.
pub(super) fn meant(name: &str) -> Option<String> {
    let names = ALIASES.iter().map(|(alias, _)| *alias).chain([TUNABLES]);
    // Short names are near to everything.
    if name.len() < TUNABLES.len() - 2 { None } else { near(&name.to_ascii_uppercase(), names) }
}

/// What of the value of `GLIBC_TUNABLES` sets nothing, or is set twice.
fn misspelt(value: &str, known: Option<&Tunables>, (major, minor): (u32, u32)) -> Vec<String> {
    let mut found = Vec::new();
    let mut set: BTreeMap<&str, &str> = BTreeMap::new();
    for part in value.split(':') {
        let Some((name, value)) = part.split_once('=') else {
            found.push(format!("{part:?} sets nothing: a tunable is glibc.malloc.NAME=VALUE"));
            continue;
        };
        match set.insert(name, value) {
            Some(other) if other != value => {
                found.push(format!("{name} is set to {other} and to {value}: keep one"));
            }
            _ => {}
        }
        let Some(known) = known.filter(|known| !known.has(name)) else { continue };
        let lower = name.to_ascii_lowercase();
        let last = lower.rsplit('.').next().unwrap_or_default();
        let same_end = known.names().find(|known| known.rsplit('.').next() == Some(last));
        let meant = same_end.map(str::to_owned).or_else(|| near(&lower, known.names()));
        let hint = hint(&meant);
        found.push(format!("{part} is ignored: glibc {major}.{minor} has no {name}{hint}"));
    }
    found
}

/// Where a setting stands, without the line: what stands in one place reaches one process.
fn place(setting: &Setting) -> &str {
    setting.origin.split(':').next().unwrap_or_default()
}

/// The number that glibc's parser makes of a text that is one: blanks, a sign, and 0x
/// before hexadecimal digits (sysdeps, `_dl_strtoul`).
fn number(text: &str) -> Option<u64> {
    let text = text.trim_matches([' ', '\t']);
    let (minus, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let value = match hex {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if minus { value.wrapping_neg() } else { value })
}

fn knobs(setting: &Setting) -> Vec<Knob<'_>> {
    if setting.name == TUNABLES {
        let parts = setting.value.split(':').filter_map(|part| {
            let (name, value) = part.split_once('=')?;
            let name = name.strip_prefix("glibc.malloc.")?;
            Some(Knob { name, value, setting, by_tunable: true })
        });
        return parts.collect();
    }
    let alias = ALIASES.iter().find(|(alias, _)| *alias == setting.name);
    let knob = |(_, name): &(&'static str, &'static str)| Knob {
        name,
        value: &setting.value,
        setting,
        by_tunable: false,
    };
    alias.map(knob).into_iter().collect()
}

/// What the running C library makes of a value, where that is not what it says.
fn misread(
    knob: &Knob<'_>,
    known: Option<&Tunables>,
    strays: &[OsString],
    version: (u32, u32),
) -> Option<String> {
    let tunable = format!("glibc.malloc.{}", knob.name);
    let shown = match knob.by_tunable {
        true => format!("{tunable}={}", knob.value),
        false => format!("{}={}", knob.setting.name, knob.value),
    };
    let variable = match knob.by_tunable {
        true => (TUNABLES.into(), shown.clone().into()),
        false => (knob.setting.name.clone().into(), knob.value.into()),
    };
    let (major, minor) = version;
    if known.is_some_and(|known| !known.has(&tunable)) {
        // Of a tunable itself `misspelt` tells it.
        return (!knob.by_tunable)
            .then(|| format!("{shown} is ignored: glibc {major}.{minor} has no {tunable}"));
    }
    let read = Tunables::under(&[variable], strays);
    let digits = !knob.value.is_empty() && knob.value.bytes().all(|byte| byte.is_ascii_digit());
    let meant = number(knob.value);
    if digits || meant.is_some() {
        let got = read.as_ref().and_then(|read| read.get(&tunable));
        return match (meant, got) {
            // Minus one: as much as can be.
            (Some(u64::MAX), _) => None,
            (Some(meant), Some(got)) if meant != got => Some(format!(
                "{shown} is not taken: glibc {major}.{minor} has {got} instead; the value is out of \
                 range, or begins with a 0 and is read as octal"
            )),
            (None, _) => Some(format!("{shown} is larger than any number that glibc reads")),
            (Some(meant), _)
                if knob.name == "mmap_threshold" && meant > OLD_LIMIT && version < (2, 35) =>
            {
                Some(format!(
                    "{shown} is ignored: glibc before 2.35 takes no more than {OLD_LIMIT}"
                ))
            }
            _ => None,
        };
    }
    if knob.by_tunable && knob.value.contains("glibc.") {
        return Some(format!("{shown} is one setting for glibc: between tunables stands a colon"));
    }
    let remedy = bytes(knob.value).map_or("write a plain number".to_owned(), |meant| {
        format!("it knows no suffixes: write {meant}")
    });
    let got = match read.as_ref().and_then(|read| read.get(&tunable)) {
        Some(got) if version < (2, 39) => format!("is read as {got}"),
        _ => "is refused".to_owned(),
    };
    Some(format!("{shown} {got} by glibc {major}.{minor}; {remedy}"))
}

/// Knobs that reach the same process.
fn by_place<'k>(knobs: &'k [Knob<'k>]) -> BTreeMap<&'k str, BTreeMap<&'k str, &'k str>> {
    let mut places: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for knob in knobs {
        places.entry(place(knob.setting)).or_default().insert(knob.name, knob.value);
    }
    places
}

/// What the knobs of one process do together.
fn together(
    set: &BTreeMap<&str, &str>,
    (major, minor): (u32, u32),
    max_maps: Option<u64>,
) -> Vec<String> {
    let mut risks = Vec::new();
    let frozen: Vec<&str> = FREEZING.into_iter().filter(|name| set.contains_key(name)).collect();
    let (mmap, trim) = (set.contains_key("mmap_threshold"), set.contains_key("trim_threshold"));
    let freezes = "ends the sliding of the mmap threshold, at whatever value";
    match (mmap, trim) {
        (true, false) => risks.push(format!(
            "mmap_threshold without trim_threshold {freezes}: blocks below it now come from the \
             heap, whose top is given back at every 128 KiB freed; set trim_threshold with it"
        )),
        (false, true) => risks.push(format!(
            "trim_threshold without mmap_threshold {freezes}: each block of 128 KiB or more is now \
             mapped and unmapped, for good; set mmap_threshold with it"
        )),
        (false, false) if !frozen.is_empty() => risks.push(format!(
            "{} {freezes} (it stays at 128 KiB); set mmap_threshold and trim_threshold with it",
            frozen.join(" and ")
        )),
        _ => {}
    }
    let threshold = set.get("mmap_threshold").and_then(|value| value.parse::<u64>().ok());
    if let Some(threshold) = threshold.filter(|&threshold| threshold < SMALL_THRESHOLD) {
        // mmap_max, 65536 unless set, falls back to the heap; the kernel's limit fails.
        let limit = max_maps.map_or(String::new(), |maps| format!(" ({maps} here)"));
        risks.push(format!(
            "mmap_threshold={threshold} makes a mapping of every block from there on: \
             vm.max_map_count{limit} may be reached, where allocation fails; set it to 131072 or \
             more (glibc {major}.{minor}), or mmap_max well below that limit"
        ));
    }
    risks
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    fn found(lines: &str) -> Vec<String> {
        let findings = check(&source::file("env", lines), (2, 36), Some(65_530));
        findings.into_iter().map(|finding| finding.what).collect()
    }

    fn only(lines: &str, words: &str) {
        let found = found(lines);
        assert!(found.len() == 1 && found[0].contains(words), "{lines}: {found:?}");
    }

    #[test]
    fn names_that_glibc_does_not_read_are_told_with_those_it_does() {
        only("MALLOC_MMAP_THRESHOLD=1048576", "it is MALLOC_MMAP_THRESHOLD_");
        only("MALLOC_ARENA_MAX_=2", "it is MALLOC_ARENA_MAX");
        only("M_TRIM_THRESHOLD=1048576", "it is MALLOC_TRIM_THRESHOLD_");
        only("MALLOC_TCACHE_COUNT=0", "glibc.malloc.tcache_count");
        assert!(found("MALLOC_ARENA_MAX=2\nMALLOC_CONF=x\n").is_empty());
    }

    #[test]
    fn one_knob_without_its_partner_is_a_risk_and_the_pair_is_none() {
        only("MALLOC_MMAP_THRESHOLD_=1048576", "without trim_threshold");
        only("MALLOC_TRIM_THRESHOLD_=8388608", "without mmap_threshold");
        only("MALLOC_TOP_PAD_=1048576", "top_pad ends the sliding");
        let pair = "MALLOC_MMAP_THRESHOLD_=1048576\nMALLOC_TRIM_THRESHOLD_=8388608\n";
        assert!(found(pair).is_empty(), "{:?}", found(pair));
    }

    #[test]
    fn a_suffix_is_told_with_what_the_c_library_made_of_it() {
        let found = found("MALLOC_MMAP_THRESHOLD_=64k\nMALLOC_TRIM_THRESHOLD_=8388608\n");
        assert!(found[0].contains("it knows no suffixes: write 65536"), "{found:?}");
    }

    #[test]
    fn a_threshold_far_down_is_a_risk_of_running_out_of_mappings() {
        only("MALLOC_MMAP_THRESHOLD_=4096\nMALLOC_TRIM_THRESHOLD_=8388608", "65530 here");
    }

    #[test]
    fn what_a_process_did_not_begin_with_came_too_late() {
        let here = source::file("env", "MALLOC_ARENA_MAX=2\nMALLOC_TOP_PAD_=65536\n");
        let began = source::process(9, b"MALLOC_ARENA_MAX=2\0MALLOC_TOP_PAD_=1\0");
        let found = too_late(9, &began, &here);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.contains("MALLOC_TOP_PAD_=65536 was set too late"), "{found:?}");
    }

    #[test]
    fn old_releases_refuse_large_thresholds() {
        let lines = "MALLOC_MMAP_THRESHOLD_=67108864\nMALLOC_TRIM_THRESHOLD_=1\n";
        let old = check(&source::file("env", lines), (2, 34), None);
        assert!(old.iter().any(|f| f.what.contains("before 2.35")), "{old:?}");
        assert!(found(lines).is_empty());
    }

    #[test]
    fn a_tunable_wins_over_its_alias_and_an_unknown_one_is_ignored() {
        let both = "GLIBC_TUNABLES=glibc.malloc.arena_max=1\nMALLOC_ARENA_MAX=2\n";
        only(both, "GLIBC_TUNABLES sets arena_max to 1 and wins");
        only("GLIBC_TUNABLES=glibc.malloc.no_such=1", "has no glibc.malloc.no_such");
    }

    #[test]
    fn what_sets_no_tunable_is_told_with_what_was_meant() {
        only("GLIBC_TUNABLES=malloc.arena_max=1", "did you mean glibc.malloc.arena_max?");
        only("GLIBC_TUNABLES=glibc.mallo.top_pad=1", "did you mean glibc.malloc.top_pad?");
        only("GLIBC_TUNABLES=GLIBC.MALLOC.ARENA_MAX=1", "did you mean glibc.malloc.arena_max?");
        only("GLIBC_TUNABLES=glibc.malloc.arena_max", "sets nothing");
        only("GLIBC_TUNABLES=", "sets nothing");
        only("GLIBC_TUNABLES=glibc.malloc.arena_max=1:glibc.malloc.arena_max=2", "keep one");
        only("GLIBC_TUNABLES=glibc.malloc.arena_max=1,glibc.malloc.perturb=1", "a colon");
        only("MALLOC_ARENAS_MAX=2", "did you mean MALLOC_ARENA_MAX?");
        only("MALOC_ARENA_MAX=2", "did you mean MALLOC_ARENA_MAX?");
        only("malloc_arena_max=2", "did you mean MALLOC_ARENA_MAX?");
        only("GLIBC_TUNABLE=glibc.malloc.arena_max=1", "did you mean GLIBC_TUNABLES?");
        only("MALLOC_HUGETLB=1", "glibc.malloc.hugetlb");
        assert!(found("GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2:glibc.malloc.arena_max=1").is_empty());
    }

    #[test]
    fn every_number_that_glibc_reads_as_it_is_written_is_right() {
        for value in ["4", "0x4", " 4", "4 ", "+4"] {
            let found = found(&format!("MALLOC_ARENA_MAX='{value}'"));
            assert!(found.is_empty(), "{value}: {found:?}");
        }
        assert!(found("MALLOC_TRIM_THRESHOLD_=-1\nMALLOC_MMAP_THRESHOLD_=0x100000").is_empty());
        only("MALLOC_ARENA_MAX=two", "write a plain number");
    }

    #[test]
    fn files_of_other_processes_do_not_overrule_each_other() {
        let mut settings = source::file("a.env", "GLIBC_TUNABLES=glibc.malloc.arena_max=1\n");
        settings.extend(source::file("b.env", "MALLOC_ARENA_MAX=2\n"));
        assert!(check(&settings, (2, 36), None).is_empty());
    }
}
