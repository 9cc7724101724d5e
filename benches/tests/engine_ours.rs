//! The knobs of our own engine in `engines.toml` are the allocator's options.

use brkpoint::engine::{Engines, Knob, Sizes};
use brkpoint_allocator::{Config, ConfigOption, options};

/// Printed at start only: nothing to measure.
const NO_KNOB: &str = "BRKPOINT_VERBOSE";

fn option_of(knob: &Knob) -> ConfigOption {
    let (variable, _) = knob.measure.split_once('=').expect("VARIABLE={}");
    *options().iter().find(|option| option.env == variable).expect(variable)
}

fn knobs() -> &'static [Knob] {
    &Engines::builtin().get("brkpoint").expect("brkpoint").knobs
}

#[test]
fn every_option_is_a_knob_and_every_knob_an_option() {
    let with_knob: Vec<&str> = knobs().iter().map(|knob| option_of(knob).env).collect();
    for option in options().iter().filter(|option| option.env != NO_KNOB) {
        assert!(with_knob.contains(&option.env), "{} has no knob in engines.toml", option.env);
    }
}

#[test]
fn the_allocator_takes_every_word_and_bound() {
    for knob in knobs() {
        let bounds = knob.accepts.iter().chain(&knob.search).flatten();
        for value in knob.words.iter().chain(bounds) {
            let mut config = Config::DEFAULT;
            let taken = option_of(knob).set(&mut config, value);
            assert!(taken, "{}={value} is refused", knob.name);
        }
    }
}

#[test]
fn the_allocator_takes_the_lists_of_sizes_that_the_knob_takes_and_no_others() {
    let with_sizes = knobs().iter().filter_map(|knob| Some((knob, knob.sizes.as_ref()?)));
    for (knob, Sizes { prefix, grain, most, smallest, largest }) in with_sizes {
        let taken = |sizes: &[String]| {
            let text = format!("{prefix}{}", sizes.join("+"));
            option_of(knob).set(&mut Config::DEFAULT.clone(), &text)
        };
        let multiples = |count: usize| -> Vec<String> {
            (1..=count as u64).map(|i| (i * grain).to_string()).collect()
        };
        assert!(taken(&multiples(*most)) && !taken(&multiples(most + 1)), "{}", knob.name);
        assert!(taken(&[smallest.to_string()]), "{}", knob.name);
        if let Some(smaller) = smallest.checked_sub(*grain) {
            assert!(!taken(&[smaller.to_string()]), "{}", knob.name);
            assert!(!taken(&[(smallest + grain / 2).to_string()]), "{}", knob.name);
        }
        assert!(taken(std::slice::from_ref(largest)), "{}", knob.name);
        assert!(!taken(&[format!("1{largest}")]), "{}", knob.name);
    }
}

#[test]
fn the_defaults_are_the_allocators() {
    // The library that is preloaded owns the program's break; a heap in code does not.
    for knob in knobs().iter().filter(|knob| knob.name != "break") {
        let shown = option_of(knob).show(&Config::DEFAULT).to_string();
        assert!(
            knob.default == "of the preset" || knob.default == shown,
            "{}: engines.toml says {}, the allocator {shown}",
            knob.name,
            knob.default
        );
    }
}
