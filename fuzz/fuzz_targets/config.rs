//! Settings as text, which anybody can put into the environment.
//!
//! What is taken is printed and taken again as the same; what is refused
//! changes nothing.
#![no_main]

use brkpoint_allocator::{Config, Preset, options};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut config = Config::DEFAULT;
    for line in text.lines() {
        let Some((number, value)) = line.split_once('=') else { continue };
        let known = options();
        let named = known.iter().find(|option| option.env == number);
        let numbered = number.parse::<usize>().ok().map(|number| &known[number % known.len()]);
        let Some(option) = named.or(numbered) else { continue };
        let before = config;
        if !option.set(&mut config, value) {
            assert_eq!(config, before, "{}={value:?} was refused, yet changed", option.env);
            continue;
        }
        let shown = option.show(&config).to_string();
        let mut again = before;
        assert!(option.set(&mut again, &shown), "{}={shown:?} is not taken back", option.env);
        assert_eq!(again, config, "{}={value:?} prints as {shown:?}", option.env);
    }
    // All of it, in the spelling of the environment, is the same settings.
    let mut copy = Config::DEFAULT;
    for (option, line) in options().iter().zip(config.to_string().lines()) {
        let (name, value) = line.split_once('=').expect("NAME=value");
        assert_eq!(name, option.env);
        let is_custom = value == "custom" && Preset::of(&config).is_none();
        assert!(option.set(&mut copy, value) || is_custom, "{line} is not taken back");
    }
    assert_eq!(copy, config);
});
