//! The variables that a process under an arm gets, and those it must not see.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;

use super::{Engine, Engines};

/// What makes the dynamic linker load a library first.
pub(super) const PRELOAD: &str = "LD_PRELOAD";

/// Variables by name.
pub(super) type Variables = BTreeMap<String, String>;

impl Engines {
    /// The variables of this process, by name, that would change an allocator:
    /// they are kept out of every process that is measured, so that a stray
    /// setting biases nothing. A person should be told of them.
    pub fn strays(&self) -> Vec<OsString> {
        self.strays_among(env::vars_os().map(|(name, _)| name))
    }

    fn strays_among(&self, names: impl Iterator<Item = OsString>) -> Vec<OsString> {
        let patterns = || self.iter().flat_map(|engine| &engine.controls);
        let is_stray =
            |name: &str| name == PRELOAD || patterns().any(|pattern| matches(pattern, name));
        names.filter(|name| name.to_str().is_some_and(is_stray)).collect()
    }
}

/// Whether a control of an engine names the variable.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// The variables that set knobs, from their spellings (`VARIABLE=value`, the
/// value filled in), beside those that the engine needs anyway.
pub(super) fn variables<'s>(
    engine: &'s Engine,
    spellings: impl IntoIterator<Item = &'s String>,
) -> Variables {
    let mut variables = Variables::new();
    for spelling in engine.environment.iter().chain(spellings) {
        let (name, value) = spelling.split_once('=').unwrap_or((spelling, ""));
        variables
            .entry(name.to_owned())
            .and_modify(|so_far| {
                so_far.push_str(&engine.join);
                so_far.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_that_share_a_variable_are_joined() {
        let glibc = Engines::builtin().get("glibc").expect("glibc");
        let spellings = ["T=a=1".to_owned(), "U=2".to_owned(), "T=b=3".to_owned()];
        let variables = variables(glibc, &spellings);
        assert_eq!(variables["T"], "a=1:b=3");
        assert_eq!(variables["U"], "2");
    }

    #[test]
    fn what_would_change_an_allocator_is_a_stray() {
        let strays = |names: &[&str]| -> Vec<OsString> {
            Engines::builtin().strays_among(names.iter().map(OsString::from))
        };
        let all = ["LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_CONF"];
        assert_eq!(strays(&all), all);
        let more = ["MIMALLOC_VERBOSE", "BRKPOINT_PRESET", "_RJEM_MALLOC_CONF", "TCMALLOC_X"];
        assert_eq!(strays(&more), more);
        assert!(strays(&["PATH", "HOME", "LD_LIBRARY_PATH", "MALLOCX", "XMALLOC_CONF"]).is_empty());
    }

    #[test]
    fn patterns_match_names() {
        assert!(matches("MALLOC_*", "MALLOC_ARENA_MAX"));
        assert!(matches("GLIBC_TUNABLES", "GLIBC_TUNABLES"));
        assert!(!matches("GLIBC_TUNABLES", "GLIBC_TUNABLES_X"));
        assert!(!matches("MALLOC_*", "MIMALLOC_VERBOSE"));
    }
}
