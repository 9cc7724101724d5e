//! Settings as text, which anybody can put into the environment.
//!
//! What is taken is printed and taken again as the same; what is refused
//! changes nothing. Now and then the process's heap begins with such an
//! environment, in a child: it has the settings that are taken, and says of the
//! others that they are refused.
#![no_main]

use std::ffi::{CString, c_char};

use brkpoint_allocator::{Brkpoint, ClassList, Config, GRAIN, Preset, SizeClasses, options};
use brkpoint_fuzz::child;
use brkpoint_workloads::forked::End;
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
    if text.len().is_multiple_of(ENVIRONMENTS) {
        begin_with(text);
    }
    if config.size_classes != Config::DEFAULT.size_classes {
        ensure_waste(&config.size_classes);
    }
    ensure_list(text.as_bytes());
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

/// One text in so many is an environment, too.
const ENVIRONMENTS: usize = 16;

/// What each line on stderr begins with.
const SAID: &str = "brkpoint: ";
/// What follows a name that is nearly a setting's.
const IGNORED: &str = " is not a setting and is ignored; did you mean ";

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

/// Begins a heap with the lines of a text as the environment.
fn begin_with(text: &str) {
    let lines: Vec<CString> = text.lines().filter_map(|line| CString::new(line).ok()).collect();
    let variables = || {
        let texts = lines.iter().map(|line| line.to_str().expect("part of a text"));
        texts.map(|line| line.split_once('=').unwrap_or((line, "")))
    };
    let mut expected = Config::DEFAULT;
    let mut refused = Vec::new();
    for option in options() {
        for (_, value) in variables().filter(|(name, _)| *name == option.env) {
            if !option.set(&mut expected, value) {
                refused.push(option.env);
            }
        }
    }
    let (end, said) = child::overhear(|| {
        let mut entries: Vec<*const c_char> = lines.iter().map(|line| line.as_ptr()).collect();
        entries.push(std::ptr::null());
        // SAFETY: strings, and null at the end, which stay until the child ends;
        // it has one thread.
        unsafe { environ = entries.as_ptr() };
        let heap = Brkpoint::default();
        let has_settings = heap.config() == expected;
        // With these, too, a block can be had and given back.
        let Some(block) = heap.allocate(100, 16) else { return child::BROKEN };
        // SAFETY: just allocated.
        unsafe { heap.free(block.start) };
        child::status(has_settings && heap.check().is_ok())
    });
    let said = String::from_utf8_lossy(&said);
    assert_eq!(
        end,
        End::Exited(child::FINE),
        "with settings that are to be\n{expected}\nit said:\n{said}"
    );
    // A line for each value that is refused, and for each setting if that is asked.
    let shown = usize::from(expected.verbose.0);
    let mut known = 0;
    for option in options() {
        let begins = format!("{SAID}{}=", option.env);
        let count = said.lines().filter(|line| line.starts_with(&begins)).count();
        let wanted = refused.iter().filter(|name| **name == option.env).count() + shown;
        assert_eq!(count, wanted, "lines about {}; it said:\n{said}", option.env);
        known += count;
    }
    // Beside those, only names are told that are nearly a setting's.
    let slips = said.lines().filter(|line| {
        let said = line.strip_prefix(SAID).unwrap_or_default();
        let Some((name, _)) = said.split_once(IGNORED) else { return false };
        variables().any(|(other, _)| other == name)
            && options().iter().all(|option| option.env != name)
    });
    assert_eq!(said.lines().count(), known + slips.count(), "it said:\n{said}");
}

/// No request wastes more than the classes say.
fn ensure_waste(classes: &SizeClasses) {
    let (part, whole) = classes.waste_bound();
    assert!(part <= whole && whole > 0, "a waste of {part} in {whole}");
    for request in (1..4096).step_by(7) {
        let class = classes.round(request);
        assert!(class >= request, "{classes}: {request} bytes are rounded to {class}");
        let waste = class - request;
        let is_within = waste < GRAIN || waste * whole < class * part;
        assert!(is_within, "{classes}: {request} bytes are rounded to {class}");
    }
}

/// A list is what it is made of, and is refused if it must not be.
fn ensure_list(steps: &[u8]) {
    let sizes: Vec<usize> = steps
        .iter()
        .take(ClassList::MOST + 4)
        .scan(0, |size, &step| {
            // Most often a multiple of 16.
            *size += usize::from(step) * if step < b' ' { 1 } else { GRAIN };
            Some(*size)
        })
        .collect();
    let may_be = !sizes.is_empty()
        && sizes.len() <= ClassList::MOST
        && sizes.is_sorted_by(|one, next| one < next)
        && sizes.iter().all(|&size| size > 0 && size.is_multiple_of(GRAIN));
    let list = ClassList::new(&sizes);
    assert_eq!(list.is_some(), may_be, "{sizes:?}");
    if let Some(list) = list {
        let classes = SizeClasses::List(list);
        assert!(sizes.iter().all(|&size| classes.round(size) == size), "{classes} of {sizes:?}");
        ensure_waste(&classes);
    }
}
