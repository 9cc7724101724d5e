//! The table of engines.

use std::sync::OnceLock;

use serde::Deserialize;

use super::{ArmSpec, Unit};

/// The engines that are known, with their knobs.
#[derive(Debug)]
pub struct Engines {
    usual: Vec<ArmSpec>,
    tour: Vec<ArmSpec>,
    bench: Vec<ArmSpec>,
    engines: Vec<Engine>,
}

/// An engine of the table; `engines.toml` explains the fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Engine {
    /// Its name on the command line and in records.
    pub name: String,
    /// What it is, in one line.
    pub about: String,
    /// The process's own malloc: nothing is preloaded.
    #[serde(default)]
    pub built_in: bool,
    /// File name of a library that our build makes.
    pub library: Option<String>,
    /// Patterns of paths where systems keep its library.
    #[serde(default)]
    pub system: Vec<String>,
    /// File name of a worker of our build into which it is linked.
    pub linked: Option<String>,
    /// Functions that tell its version.
    #[serde(default)]
    pub version_symbols: Vec<String>,
    /// Variables, as `NAME=value`, that it needs.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Variables that change it; a trailing `*` stands for anything.
    #[serde(default)]
    pub controls: Vec<String>,
    /// What stands between two knobs that share a variable.
    #[serde(default)]
    pub join: String,
    /// How to get it where it is not there.
    #[serde(default)]
    pub install: String,
    /// Its knobs.
    #[serde(default, rename = "knob")]
    pub knobs: Vec<Knob>,
}

/// A tunable parameter of an engine; `engines.toml` explains the fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Knob {
    /// Its name on the command line and in records.
    pub name: String,
    /// What it does, in one line.
    pub about: String,
    /// `VARIABLE=value` for the library that is measured; `{}` is the value.
    pub measure: String,
    /// `VARIABLE=value` for the user's process, where that differs.
    pub paste: Option<String>,
    /// What it counts in.
    pub unit: Unit,
    /// Values that are no number.
    #[serde(default)]
    pub words: Vec<String>,
    /// Values that are lists of sizes.
    pub sizes: Option<Sizes>,
    /// The least and the largest number that the engine takes.
    pub accepts: Option<[String; 2]>,
    /// Where it can be looked for, on a log scale.
    pub search: Option<[String; 2]>,
    /// The values that a tuner tries, beside leaving the knob alone.
    #[serde(default)]
    pub tune: Vec<String>,
    /// Whether a tuner tries it in every combination with the other joint knobs.
    #[serde(default)]
    pub joint: bool,
    /// Whether its effect may not show in system calls and faults.
    #[serde(default)]
    pub blind: bool,
    /// The engine's own value.
    pub default: String,
    /// What setting it switches off, at any value.
    pub disables: Option<String>,
}

/// Lists of sizes as values of a knob: a `+` between, in ascending order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// What such a value begins with.
    pub prefix: String,
    /// Each is a multiple of so many bytes.
    pub grain: u64,
    /// How many there are at most.
    pub most: usize,
    /// How small each may be.
    pub smallest: u64,
    /// How large each may be.
    pub largest: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    usual: Arms,
    tour: Arms,
    bench: Arms,
    engine: Vec<Engine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arms {
    arms: Vec<String>,
}

impl Arms {
    fn specs(&self) -> Result<Vec<ArmSpec>, String> {
        let spec = |text: &String| text.parse().map_err(|error| format!("{error}"));
        self.arms.iter().map(spec).collect()
    }
}

impl Engines {
    /// The engines of `engines.toml`.
    ///
    /// # Panics
    /// If that file is wrong, which a test rules out.
    pub fn builtin() -> &'static Engines {
        static ENGINES: OnceLock<Engines> = OnceLock::new();
        ENGINES.get_or_init(|| {
            Engines::read(include_str!("../../engines.toml"))
                .unwrap_or_else(|why| panic!("engines.toml: {why}"))
        })
    }

    fn read(text: &str) -> Result<Engines, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        Ok(Engines {
            tour: file.tour.specs()?,
            usual: file.usual.specs()?,
            bench: file.bench.specs()?,
            engines: file.engine,
        })
    }

    /// The engines under which any program can run, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Engine> {
        self.engines.iter().filter(|engine| !engine.is_linked_only())
    }

    /// The engine called `name`, also one that is only there linked.
    pub fn get(&self, name: &str) -> Option<&Engine> {
        self.engines.iter().find(|engine| engine.name == name)
    }

    /// The arms of a comparison for which no engine is named.
    pub fn usual(&self) -> &[ArmSpec] {
        &self.usual
    }

    /// The arms of the tour.
    pub fn tour(&self) -> &[ArmSpec] {
        &self.tour
    }

    /// The arms of `cargo bench --bench allocators`.
    pub fn bench(&self) -> &[ArmSpec] {
        &self.bench
    }
}

impl Engine {
    /// Whether no other program can run under it than a worker of our build.
    pub fn is_linked_only(&self) -> bool {
        !self.built_in && self.library.is_none() && self.system.is_empty()
    }

    /// The knob called `name`.
    pub fn knob(&self, name: &str) -> Option<&Knob> {
        self.knobs.iter().find(|knob| knob.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::environment::matches;
    use super::*;

    #[test]
    fn the_file_makes_sense() {
        let engines = Engines::builtin();
        let mut names = HashSet::new();
        for engine in engines.iter() {
            assert!(names.insert(&engine.name), "{} is there twice", engine.name);
            let ways = usize::from(engine.built_in)
                + usize::from(engine.library.is_some())
                + usize::from(!engine.system.is_empty());
            assert_eq!(ways, 1, "{}: one way into a process", engine.name);
            assert!(engine.built_in || !engine.install.is_empty(), "{}", engine.name);
            let mut knobs = HashSet::new();
            for knob in &engine.knobs {
                let at = format!("{}:{}", engine.name, knob.name);
                assert!(knobs.insert(&knob.name), "{at} is there twice");
                for spelling in std::iter::once(&knob.measure).chain(&knob.paste) {
                    let (variable, value) = spelling.split_once('=').expect(&at);
                    assert!(!variable.is_empty() && value.contains("{}"), "{at}: {spelling}");
                    let kept_out = engine.controls.iter().any(|c| matches(c, variable));
                    assert!(kept_out || knob.paste.is_some(), "{at}: no control covers {variable}");
                }
                for bound in knob.search.iter().chain(&knob.accepts).flatten().chain(&knob.tune) {
                    assert!(knob.value(bound).is_some(), "{at} does not take its own {bound}");
                }
                assert_eq!(
                    knob.unit == Unit::Choice,
                    knob.accepts.is_none() && knob.search.is_none() && !knob.words.is_empty(),
                    "{at}"
                );
            }
        }
        for spec in engines.usual().iter().chain(engines.tour()).chain(engines.bench()) {
            let engine = engines.get(&spec.engine).unwrap_or_else(|| panic!("{spec}"));
            for (knob, value) in &spec.settings {
                assert!(engine.knob(knob).and_then(|knob| knob.value(value)).is_some(), "{spec}");
            }
        }
    }

    #[test]
    fn a_slip_in_the_file_is_told() {
        let why = Engines::read(
            "[usual]\narms = []\n[tour]\narms = []\n[bench]\narms = []\n[[engine]]\nnam = \"x\"\n",
        );
        assert!(why.is_err_and(|why| why.contains("nam")));
    }
}
