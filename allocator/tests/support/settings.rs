//! Settings drawn by numbers, out of the table of options: an option that is
//! added there is drawn here.

use brkpoint_allocator::{Config, Preset, options};
use brkpoint_workloads::op::draw::Bits;

/// Values to try where an option does not list its own. Small ones, so that
/// small programs cross every border.
const VALUES: &[&str] = &[
    "0",
    "1",
    "2",
    "16",
    "100",
    "512",
    "1000",
    "1K",
    "2K",
    "4K",
    "5000",
    "8K",
    "16K",
    "32K",
    "64K",
    "128K",
    "256K",
    "1M",
    "4M",
    "off",
    "dynamic",
    "dynamic:0",
    "dynamic:4K",
    "dynamic:64K",
    "list:16+32+48+4K",
    "list:32+96+128+400+1040+5008+40K",
    "list:1K+64K",
];

/// Settings: a preset, and a few options changed.
pub fn draw(bits: &mut impl Bits) -> Config {
    let preset = Preset::ALL[bits.below(Preset::ALL.len())];
    let mut config = preset.config(&Config::DEFAULT);
    for _ in 0..bits.below(6) {
        change(&mut config, bits.bits(8) as u32, bits.bits(8) as usize);
    }
    config
}

/// Changes one option to one of its values. What says how the heap is printed
/// or what it is built from stays.
pub fn change(config: &mut Config, knob: u32, value: usize) {
    let options = options();
    let option = &options[knob as usize % options.len()];
    let Config { break_source, verbose, .. } = *config;
    // What the table says it takes, if those are names, and then the values; the
    // first from there on that the option takes.
    let said = option.values.trim_start_matches("one of ").split(", ");
    let candidates = said.map(|name| name.trim_start_matches("or ")).chain(VALUES.iter().copied());
    let skip = value % candidates.clone().count();
    candidates.cycle().skip(skip).take(VALUES.len() * 2).any(|text| option.set(config, text));
    (config.break_source, config.verbose) = (break_source, verbose);
}

/// Settings from lines of `NAME=value`, as a fuzz target prints them.
///
/// # Panics
///
/// If a line is none, or is refused.
pub fn parse(lines: &str) -> Config {
    let mut config = Config::DEFAULT;
    for line in lines.split_whitespace() {
        let (name, value) = line.split_once('=').expect("NAME=value");
        let option = options().iter().find(|option| option.env == name);
        let option = option.unwrap_or_else(|| panic!("{name} is no setting"));
        // What is printed of the preset, "custom", is none.
        assert!(option.set(&mut config, value) || value == "custom", "{line} is refused");
    }
    config
}
