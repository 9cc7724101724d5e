//! A short name for each arm, unlike that of any other.

use std::collections::{BTreeMap, HashMap, HashSet};

use unicode_width::UnicodeWidthStr;

use crate::analysis::Arm;
use crate::record::{Cell, Role};
use crate::units;

/// Longest name, in columns of a terminal; the full spelling is kept beside it.
pub(crate) const COLUMNS: usize = 28;

/// What the repeat of the reference ends in.
const REPEAT: &str = " (A/A)";

/// A name for each arm. Where two would share one, the version tells them apart,
/// or else a number (the same engine as reference of one run and candidate in
/// another).
pub(crate) fn labels(arms: &[&Cell]) -> Vec<String> {
    let names: Vec<String> = arms.iter().map(|cell| name(cell, arms)).collect();
    let label = |i: usize, mark: &str| {
        let mark = format!("{mark}{}", repeat(arms[i]));
        let room = COLUMNS.saturating_sub(mark.width());
        format!("{}{mark}", units::shorten(&names[i], room))
    };
    let mut labels: Vec<String> = (0..arms.len()).map(|i| label(i, "")).collect();
    for group in shared(&labels) {
        let versions: HashSet<&String> = group.iter().map(|&i| &arms[i].version).collect();
        if versions.len() == group.len() {
            for i in group {
                let version = units::shorten(&arms[i].version, COLUMNS / 2);
                labels[i] = label(i, &format!(" {version}"));
            }
        }
    }
    for group in shared(&labels) {
        let mut numbers = 1..;
        for i in group {
            let mut numbered = numbers.by_ref().map(|n| label(i, &format!(" #{n}")));
            let free = numbered.find(|label| !labels.contains(label));
            labels[i] = free.expect("there are more numbers than arms");
        }
    }
    labels
}

/// Whether a name leaves out something that the command line spells.
pub(crate) fn is_short(arm: &Arm) -> bool {
    let name = arm.label.strip_suffix(REPEAT).unwrap_or(&arm.label);
    name != arm.spelling && name != arm.spelling.replacen(":preset=", " ", 1)
}

fn repeat(cell: &Cell) -> &'static str {
    if cell.role == Role::Repeat { REPEAT } else { "" }
}

/// The indices of those that share a label, in order.
fn shared(labels: &[String]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
    for (i, label) in labels.iter().enumerate() {
        groups.entry(label).or_default().push(i);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

/// `brkpoint hybrid` for a preset alone, otherwise as the command line spells it
/// if there is room, and else with the settings that tell it from the others of
/// its engine. A library goes by its file name.
fn name(cell: &Cell, arms: &[&Cell]) -> String {
    let file = cell.engine.rsplit('/').next().filter(|file| !file.is_empty());
    let engine = file.unwrap_or(&cell.engine);
    if let Some(preset) = cell.settings.get("preset").filter(|_| cell.settings.len() == 1) {
        return format!("{engine} {preset}");
    }
    let whole = format!("{engine}{}", &cell.spelling()[cell.engine.len()..]);
    if whole.width() + repeat(cell).width() <= COLUMNS {
        return whole;
    }
    let mut values: HashMap<&String, HashSet<Option<&String>>> = HashMap::new();
    for other in arms.iter().filter(|c| c.engine == cell.engine && !c.settings.is_empty()) {
        for knob in cell.settings.keys() {
            values.entry(knob).or_default().insert(other.settings.get(knob));
        }
    }
    let differs = |knob: &String| values.get(knob).is_some_and(|values| values.len() > 1);
    let telling: Vec<String> = cell
        .settings
        .iter()
        .filter(|(knob, _)| differs(knob))
        .map(|(knob, value)| format!("{knob}={value}"))
        .collect();
    match telling.is_empty() {
        true => whole,
        false => format!("{engine} {}", telling.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(engine: &str, settings: &[(&str, &str)], version: &str, role: Role) -> Cell {
        let pair = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        Cell {
            engine: engine.into(),
            version: version.into(),
            settings: settings.iter().map(pair).collect(),
            workload: "churn".into(),
            role,
        }
    }

    fn labelled(cells: &[Cell]) -> Vec<String> {
        let labels = labels(&cells.iter().collect::<Vec<_>>());
        assert!(labels.iter().all(|label| label.width() <= COLUMNS), "{labels:?}");
        assert_eq!(labels.iter().collect::<HashSet<_>>().len(), labels.len(), "{labels:?}");
        labels
    }

    #[test]
    fn settings_that_differ_late_are_the_ones_that_are_shown() {
        let glibc = |trim, role| {
            let settings = [("mmap_threshold", "1M"), ("trim_threshold", trim)];
            cell("glibc", &settings, "2.36", role)
        };
        let cells = [
            glibc("8M", Role::Reference),
            glibc("8M", Role::Repeat),
            glibc("16M", Role::Candidate),
            glibc("4M", Role::Candidate),
            cell("glibc", &[], "2.36", Role::Candidate),
        ];
        assert_eq!(
            labelled(&cells),
            [
                "glibc trim_threshold=8M",
                "glibc t…m_threshold=8M (A/A)",
                "glibc trim_threshold=16M",
                "glibc trim_threshold=4M",
                "glibc",
            ]
        );
    }

    #[test]
    fn a_library_goes_by_its_file_and_twins_by_version_or_number() {
        let library = |path: &str, version| cell(path, &[], version, Role::Candidate);
        let long = "/opt/a/very/long/way/down/the/tree/libfirst.so";
        assert_eq!(labelled(&[library(long, "1")]), ["libfirst.so"]);
        let (a, b) = ("/a/libx.so", "/b/libx.so");
        assert_eq!(labelled(&[library(a, "1"), library(b, "2")]), ["libx.so 1", "libx.so 2"]);
        assert_eq!(labelled(&[library(a, "1"), library(b, "1")]), ["libx.so #1", "libx.so #2"]);
        // A name that looks like a number already given is passed over.
        let taken = [library(a, "1"), library("libx.so #1", "1"), library(b, "1")];
        assert_eq!(labelled(&taken), ["libx.so #2", "libx.so #1", "libx.so #3"]);
    }

    #[test]
    fn what_cannot_be_told_apart_in_the_room_is_numbered_and_keeps_its_mark() {
        let long = |value: &str, role| {
            let middle = format!("{}{value}{}", "a".repeat(40), "z".repeat(40));
            cell("x", &[("knob", &middle)], "1", role)
        };
        let cells =
            [long("1", Role::Reference), long("1", Role::Repeat), long("2", Role::Candidate)];
        let labels = labelled(&cells);
        assert!(labels[0].ends_with("z #1") && labels[2].ends_with("z #2"), "{labels:?}");
        assert!(labels[1].ends_with("z (A/A)"), "{labels:?}");
    }
}
