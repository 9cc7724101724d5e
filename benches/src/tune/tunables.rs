//! What the running C library knows as tunables, and what it made of an
//! environment: told by its dynamic linker (`--list-tunables`, glibc 2.33 on).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Tunables and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tunables(BTreeMap<String, Option<u64>>);

impl Tunables {
    /// As the C library of this process reads the environment `env`, without the
    /// variables `env_remove`. `None`: it cannot tell (another C library, or one
    /// that is too old).
    pub fn under(env: &[(OsString, OsString)], env_remove: &[OsString]) -> Option<Tunables> {
        let mut command = Command::new(loader()?);
        command.arg("--list-tunables").stdin(Stdio::null()).stderr(Stdio::null());
        for name in env_remove {
            command.env_remove(name);
        }
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let output = command.output().ok().filter(|output| output.status.success())?;
        let tunables = Tunables::read(&String::from_utf8_lossy(&output.stdout));
        (!tunables.0.is_empty()).then_some(tunables)
    }

    /// Reads lines such as `glibc.malloc.top_pad: 0x20000 (min: 0x0, max: 0xff)`.
    /// Of one whose type is no number only the name is kept.
    pub fn read(text: &str) -> Tunables {
        let entry = |line: &str| {
            let (name, rest) = line.split_once(':')?;
            let value = rest.trim_start().split(' ').next().unwrap_or_default();
            let value = match value.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).ok(),
                None => value.parse::<i64>().ok().map(|value| value as u64),
            };
            Some((name.to_owned(), value))
        };
        Tunables(text.lines().filter_map(entry).collect())
    }

    /// Whether there is one called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied().flatten()
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The tunable that a spelling `GLIBC_TUNABLES=name={}` sets.
    pub fn named_in(spelling: &str) -> Option<&str> {
        spelling.strip_prefix("GLIBC_TUNABLES=")?.split('=').next()
    }

    /// Which of the settings in `GLIBC_TUNABLES` of `env`, if any, the C library
    /// read as another value, or does not have.
    pub fn contradicts(&self, env: &[(OsString, OsString)]) -> Option<String> {
        let set = env.iter().find(|(name, _)| name == "GLIBC_TUNABLES")?.1.to_str()?;
        let wrong = |setting: &str| {
            let (name, wanted) = setting.split_once('=')?;
            match self.get(name) {
                None => Some(format!("the C library has no {name}")),
                Some(value) if wanted.parse() == Ok(value) => None,
                Some(value) => Some(format!("the C library reads {setting} as {value}")),
            }
        };
        set.split(':').find_map(wrong)
    }
}

/// The dynamic linker of this process.
fn loader() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    let is_loader = |path: &&str| {
        path.rsplit('/').next().is_some_and(|name| name.starts_with("ld-") || name == "ld.so")
    };
    paths.into_iter().find(is_loader).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_c_library_tells_what_it_made_of_a_setting() {
        let env = |text: &str| vec![("GLIBC_TUNABLES".into(), text.into())];
        let good = env("glibc.malloc.top_pad=65536");
        let seen = Tunables::under(&good, &[]).expect("glibc 2.33 or later");
        assert_eq!(seen.get("glibc.malloc.top_pad"), Some(65_536));
        assert_eq!(seen.contradicts(&good), None);
        let wrong = seen.contradicts(&env("glibc.malloc.top_pad=1")).expect("another value");
        assert!(wrong.contains("65536"), "{wrong}");
        let unknown = seen.contradicts(&env("glibc.malloc.no_such=1")).expect("unknown");
        assert!(unknown.contains("no glibc.malloc.no_such"), "{unknown}");
    }

    #[test]
    fn lines_that_are_no_tunables_are_left_out() {
        let read = Tunables::read("a.b: 0x10 (min: 0x0, max: 0x20)\nc: -1 (min: -2)\nd.e:\n\nx");
        assert_eq!((read.get("a.b"), read.get("c")), (Some(16), Some(u64::MAX)));
        assert!(read.has("d.e") && read.get("d.e").is_none() && !read.has("x"));
    }
}
