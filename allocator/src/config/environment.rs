//! The settings from the environment, read without allocating.

use core::ffi::{CStr, c_char};
use core::fmt::Write;

use super::{Config, Option, options};
use crate::message::Message;

/// What all our variables begin with.
const PREFIX: &str = "BRKPOINT_";

/// A variable that differs from a known one by this many letters or fewer is
/// taken for a slip of the finger.
const SLIP: usize = 2;

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

/// Applies the variables of the process's environment to `config`. What is
/// refused is reported on stderr and changes nothing.
///
/// A program that runs with more rights than its caller ignores them.
pub(crate) fn apply_environment(config: &mut Config) {
    // SAFETY: getauxval only reads the auxiliary vector.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return;
    }
    apply(config, variables, |message| message.send());
}

/// Our variables among those of the process, as (name, value) pairs.
///
/// Read at the first allocation, which is before `main` where the heap is the
/// process's malloc; `setenv` in another thread at that very moment would be
/// a race in the program, as with `getenv`.
fn variables(each: &mut dyn FnMut(&str, &[u8])) {
    // SAFETY: libc's own variable, a null-terminated array of strings or null.
    let mut entry = unsafe { environ };
    if entry.is_null() {
        return;
    }
    // SAFETY: the array ends with a null pointer, where the loop ends.
    while let Some(text) = unsafe { (*entry).as_ref() } {
        // SAFETY: each entry is a NUL-terminated string that outlives this.
        let text = unsafe { CStr::from_ptr(text) }.to_bytes();
        if text.starts_with(PREFIX.as_bytes()) {
            let equals = text.iter().position(|&byte| byte == b'=');
            let (name, value) = text.split_at(equals.unwrap_or(text.len()));
            if let Ok(name) = str::from_utf8(name) {
                each(name, value.get(1..).unwrap_or_default());
            }
        }
        // SAFETY: not the terminator, so one more entry follows.
        entry = unsafe { entry.add(1) };
    }
}

fn apply(
    config: &mut Config,
    variables: impl Fn(&mut dyn FnMut(&str, &[u8])),
    report: impl Fn(&mut Message),
) {
    // In the table's order, not the environment's: the preset comes first.
    for option in options() {
        variables(&mut |name, value| {
            if name == option.env {
                set(config, option, value, &report);
            }
        });
    }
    variables(&mut |name, _| {
        if let Some(meant) = slip(name) {
            let mut message = Message::new();
            let _ =
                write!(message, "{name} is not a setting and is ignored; did you mean {meant}?");
            report(&mut message);
        }
    });
}

fn set(config: &mut Config, option: &Option, value: &[u8], report: &impl Fn(&mut Message)) {
    if str::from_utf8(value).is_ok_and(|value| option.set(config, value)) {
        return;
    }
    let mut message = Message::new();
    let _ = write!(
        message,
        "{}={} refused: not {}; keeping {}",
        option.env,
        value.escape_ascii(),
        option.values,
        option.show(config),
    );
    report(&mut message);
}

/// The known variable that an unknown one nearly is.
fn slip(name: &str) -> core::option::Option<&'static str> {
    if options().iter().any(|option| option.env == name) {
        return None;
    }
    options()
        .iter()
        .map(|option| option.env)
        .find(|known| distance(&known[PREFIX.len()..], &name[PREFIX.len()..]) <= SLIP)
}

/// The least number of letters inserted, deleted or replaced that turns `a`
/// into `b`; large for long names.
fn distance(a: &str, b: &str) -> usize {
    const MOST: usize = 32;
    if b.len() >= MOST {
        return usize::MAX;
    }
    let mut row: [usize; MOST] = core::array::from_fn(|column| column);
    for (line, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::{MmapThreshold, Preset, Trim};
    use super::*;
    use brkpoint_workloads::forked::{self, End};
    use std::cell::RefCell;

    fn run(environment: &[(&str, &str)]) -> (Config, Vec<String>) {
        let mut config = Config::DEFAULT;
        let said = RefCell::new(Vec::new());
        apply(
            &mut config,
            |each| environment.iter().for_each(|(name, value)| each(name, value.as_bytes())),
            |message| said.borrow_mut().push(message.text().to_owned()),
        );
        (config, said.into_inner())
    }

    #[test]
    fn the_preset_comes_first_wherever_it_stands() {
        let (config, said) = run(&[("BRKPOINT_TRIM", "eager"), ("BRKPOINT_PRESET", "brk-only")]);
        assert_eq!(
            config,
            Config { trim: Trim::Eager, ..Preset::BrkOnly.config(&Config::DEFAULT) }
        );
        assert_eq!(said, [""; 0]);
    }

    #[test]
    fn a_bad_value_is_refused_by_name_and_the_default_is_kept() {
        let (config, said) = run(&[("BRKPOINT_MMAP_THRESHOLD", "12Q")]);
        assert_eq!(config, Config::DEFAULT);
        let [message] = &said[..] else { panic!("{said:?}") };
        let kept = config.mmap_threshold.to_string();
        for part in ["BRKPOINT_MMAP_THRESHOLD=12Q refused", "dynamic", &format!("keeping {kept}")] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn every_option_takes_back_what_it_prints() {
        for preset in Preset::ALL {
            let config = preset.config(&Config::DEFAULT);
            let mut copy = Config { mmap_threshold: MmapThreshold::Fixed(1), ..Config::DEFAULT };
            for option in options() {
                assert!(option.set(&mut copy, &option.show(&config).to_string()), "{}", option.env);
            }
            assert_eq!(copy, config);
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_pointed_out_and_other_variables_are_not() {
        let (_, said) = run(&[
            ("BRKPOINT_MMAP_TRESHOLD", "1M"),
            ("BRKPOINT_SKIP", "gcc"),
            ("BRKPOINT_RECORDER_DIR", "/x"),
        ]);
        let [message] = &said[..] else { panic!("{said:?}") };
        assert!(message.contains("did you mean BRKPOINT_MMAP_THRESHOLD?"), "{message}");
    }

    #[test]
    fn presets_are_told_apart() {
        for preset in Preset::ALL {
            assert_eq!(Preset::of(&preset.config(&Config::DEFAULT)), Some(*preset));
        }
    }

    #[test]
    fn a_program_may_have_no_environment_at_all() {
        let end = forked::run(None, || {
            // SAFETY: the child has one thread.
            unsafe { libc::clearenv() };
            let mut count = 0;
            variables(&mut |_, _| count += 1);
            count
        });
        assert_eq!(end.expect("a child can be made"), End::Exited(0));
    }
}
