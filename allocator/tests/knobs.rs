//! Knobs whose effect only a process shows, and the table of all of them: what
//! `docs/knobs.md` says of a knob is what the allocator says, and every knob has
//! a test that shows its effect in counted facts.

mod support;

use std::hint::black_box;
use std::path::Path;

use brkpoint_allocator::{Brkpoint, ClassList, Config, SizeClasses, options};
use support::child;

#[global_allocator]
static ALLOCATOR: Brkpoint = Brkpoint::new();

/// What a child says behind `name`.
fn number(text: &str, name: &str) -> usize {
    let said = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    said.unwrap_or_else(|| panic!("{name} is missing in:\n{text}"))
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_grows_and_says_where_the_break_is() {
    // SAFETY: moves nothing.
    let now = || unsafe { libc::sbrk(0) }.addr();
    let before = now();
    let blocks: Vec<Vec<u8>> = (0..8000).map(|_| vec![1; 1000]).collect();
    let calls = ALLOCATOR.stats().calls;
    println!("\nmoved {}\nbrk {}\nmprotect {}", now() - before, calls.brk, calls.mprotect);
    drop(black_box(blocks));
}

#[test]
fn the_break_is_the_programs_or_a_mapping_that_plays_it() {
    let under = |source: &str| {
        let (text, ok) = child("child_grows_and_says_where_the_break_is", |command| {
            command.env("BRKPOINT_BREAK", source);
        });
        assert!(ok, "{text}");
        ["moved", "brk", "mprotect"].map(|name| number(&text, name))
    };
    let [moved, brk, mprotect] = under("program");
    assert!(moved >= 8 << 20 && brk > 0 && mprotect == 0, "{moved} {brk} {mprotect}");
    let [moved, brk, mprotect] = under("reserved");
    assert!(moved == 0 && brk == 0 && mprotect > 0, "{moved} {brk} {mprotect}");
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_touches_and_frees_and_says_its_minor_faults() {
    let faults = || {
        // SAFETY: zeroes are a value of it, and it is ours to be written.
        unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
            usage.ru_minflt
        }
    };
    let round = || drop(black_box(vec![1_u8; 1_000_000]));
    round();
    let before = faults();
    (0..100).for_each(|_| round());
    println!("\nfaults {}", faults() - before);
}

#[test]
fn what_is_given_back_at_once_costs_its_minor_faults_again() {
    let faults = |settings: &[(&str, &str)]| {
        let (text, ok) = child("child_touches_and_frees_and_says_its_minor_faults", |command| {
            command.envs(settings.iter().copied());
        });
        assert!(ok, "{text}");
        number(&text, "faults")
    };
    let (off, trim) = ("BRKPOINT_MMAP_THRESHOLD", "BRKPOINT_TRIM");
    // An OS page has a fault each time it is touched anew.
    let all = 100 * 1_000_000 / 4096 * 9 / 10;
    for settings in [&[(off, "off"), (trim, "eager")][..], &[(off, "0")]] {
        let faults = faults(settings);
        assert!(faults >= all, "{settings:?}: {faults}");
    }
    for settings in [&[(off, "off"), (trim, "never")][..], &[(off, "off"), (trim, "decay")], &[]] {
        let faults = faults(settings);
        assert!(faults < all / 10, "{settings:?}: {faults}");
    }
}

fn docs() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/knobs.md");
    std::fs::read_to_string(path).expect("docs/knobs.md")
}

/// The cells of the one row of the tables that begins with `first`.
fn row(docs: &str, first: &str) -> Vec<String> {
    let rows: Vec<Vec<String>> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").map(str::to_owned).collect())
        .filter(|cells: &Vec<String>| cells[0] == first)
        .collect();
    let [row] = &rows[..] else { panic!("docs/knobs.md has {} rows for {first}", rows.len()) };
    row.clone()
}

#[test]
fn the_docs_have_every_knob_as_it_is_and_the_tests_that_show_it() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let sources: String = std::fs::read_dir(tests)
        .expect("allocator/tests")
        .filter_map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).ok())
        .collect();
    let docs = docs();
    for option in options() {
        let cells = row(&docs, &format!("`{}`", option.env));
        let [_, values, default, _, shown_by] = &cells[..] else { panic!("{cells:?}") };
        assert_eq!(values, option.values, "{}", option.env);
        assert_eq!(*default, format!("`{}`", option.show(&Config::DEFAULT)), "{}", option.env);
        let names: Vec<_> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{} has no test", option.env);
        for name in names {
            let test = format!("#[test]\nfn {name}() {{");
            assert!(sources.contains(&test), "{}: no test {name}", option.env);
        }
    }
}

#[test]
fn the_docs_have_the_waste_of_every_scheme_as_its_classes_have_it() {
    let docs = docs();
    let list = SizeClasses::List(ClassList::new(&[32, 64, 96]).expect("ascending"));
    for scheme in SizeClasses::ALL.iter().chain([&list]) {
        let mut classes: Vec<_> = (1025..=2048).map(|request| scheme.round(request)).collect();
        classes.dedup();
        let bound = match scheme.waste_bound() {
            (0, _) => "-".to_owned(),
            (part, whole) => format!("{:.1} %", part as f64 / whole as f64 * 100.0),
        };
        let cells = row(&docs, &format!("`{scheme}`"));
        assert_eq!(cells[1..], [classes.len().to_string(), bound], "{scheme}");
    }
}
