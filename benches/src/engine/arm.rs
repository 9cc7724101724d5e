//! An engine under settings, proven to answer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::environment::{self, PRELOAD, Variables};
use super::near::near;
use super::probe::{self, Expected};
use super::{ArmSpec, Engine, EngineError, Engines, library};
use crate::worker::Answer;

/// An engine under settings: a process with this environment runs under it, and
/// one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// Name of the engine, or the path of a library as it was given.
    pub engine: String,
    /// Version as the engine tells it, or the name of its file.
    pub version: String,
    /// Values by knob, each in its one spelling.
    pub settings: BTreeMap<String, String>,
    /// Variables to set.
    pub env: Vec<(OsString, OsString)>,
    /// Variables to remove before: see [`Engines::strays`].
    pub env_remove: Vec<OsString>,
    /// The library that is preloaded; none for the process's own malloc.
    pub library: Option<PathBuf>,
    /// The worker into which it is linked; none if it can serve any program.
    pub program: Option<PathBuf>,
    /// What it runs in place of a work's command, word by word; empty: that command.
    pub command: Vec<OsString>,
    /// Path of the object that answered: whose `malloc` it was, as the dynamic
    /// linker names it, or the program into which it is linked.
    pub object: String,
    /// The settings as a user's shell takes them, `NAME=value` separated by
    /// spaces; empty at the defaults.
    pub paste: String,
}

#[cfg(test)]
impl Arm {
    /// One that nothing has proved, of which tests say the rest.
    pub(crate) fn unproved(engine: &str) -> Arm {
        Arm {
            engine: engine.to_owned(),
            version: String::new(),
            settings: BTreeMap::new(),
            env: Vec::new(),
            env_remove: Vec::new(),
            library: None,
            program: None,
            command: Vec::new(),
            object: String::new(),
            paste: String::new(),
        }
    }
}

impl Engines {
    /// Looks `spec` up and proves it: a process of `worker` (the file of this
    /// program) under the arm's environment tells which object answers for the
    /// malloc family.
    ///
    /// # Errors
    /// An engine, knob or value that is not there, and an engine that does not
    /// load or does not answer: never an arm that would silently measure another.
    pub fn resolve(&self, spec: &ArmSpec, worker: &Path) -> Result<Arm, EngineError> {
        if spec.engine.contains('/') {
            return self.resolve_library(spec, worker);
        }
        let engine = self.known(spec)?;
        let library = library::of(engine)?;
        self.prove(engine, spec, library, None, worker)
    }

    /// As [`resolve`](Self::resolve), of the worker into which the engine is
    /// linked: it tells which.
    ///
    /// # Errors
    /// As `resolve`, and an engine that there is no such worker of.
    pub fn resolve_linked(&self, spec: &ArmSpec) -> Result<Arm, EngineError> {
        let engine = self.known(spec)?;
        let program = library::linked(engine)?;
        self.prove(engine, spec, None, Some(program.clone()), &program)
    }

    fn known(&self, spec: &ArmSpec) -> Result<&Engine, EngineError> {
        self.get(&spec.engine).ok_or_else(|| EngineError::Unknown {
            name: spec.engine.clone(),
            near: near(&spec.engine, self.iter().map(|engine| engine.name.as_str())),
            known: list(self.iter().map(|engine| engine.name.as_str())),
        })
    }

    fn prove(
        &self,
        engine: &Engine,
        spec: &ArmSpec,
        library: Option<PathBuf>,
        program: Option<PathBuf>,
        worker: &Path,
    ) -> Result<Arm, EngineError> {
        let settings = Settings::of(engine, spec)?;
        let draft = Draft {
            name: &engine.name,
            library,
            program,
            symbols: engine.version_symbols.iter().map(String::as_str).collect(),
            variables: environment::variables(engine, &settings.measure),
        };
        let paste = environment::variables(engine, &settings.paste);
        let mut paste: Vec<String> =
            paste.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if settings.shown.is_empty() {
            paste.clear();
        }
        let arm = draft.prove(self, worker, !settings.shown.is_empty())?;
        Ok(Arm { settings: settings.shown, paste: paste.join(" "), ..arm })
    }

    /// An arm of any library that defines the malloc family.
    fn resolve_library(&self, spec: &ArmSpec, worker: &Path) -> Result<Arm, EngineError> {
        if let Some(knob) = spec.settings.keys().next() {
            return Err(EngineError::UnknownKnob {
                engine: spec.engine.clone(),
                knob: knob.clone(),
                near: None,
                known: String::new(),
            });
        }
        let preloaded = self.iter().filter(|engine| !engine.built_in);
        let draft = Draft {
            name: &spec.engine,
            library: Some(library::checked(Path::new(&spec.engine))?),
            program: None,
            symbols: preloaded.flat_map(|e| &e.version_symbols).map(String::as_str).collect(),
            variables: Variables::new(),
        };
        draft.prove(self, worker, false)
    }
}

impl Arm {
    /// Why `answer` cannot be this arm's: another allocator was called.
    pub fn contradicted_by(&self, answer: &Answer) -> Option<String> {
        let asked = |what: String| Some(format!("{} was asked for, {what}", self.engine));
        match (&self.program, &answer.linked) {
            (None, None) if self.object == answer.malloc_object => None,
            (None, None) => asked(format!(
                "which is {}, but the malloc of {} was called",
                self.object, answer.malloc_object
            )),
            (Some(_), Some(linked))
                if (&linked.name, &linked.version) == (&self.engine, &self.version) =>
            {
                None
            }
            (_, Some(linked)) => {
                asked(format!("but {} {} is linked into the worker", linked.name, linked.version))
            }
            (Some(program), None) => {
                asked(format!("but no allocator is linked into {}", program.display()))
            }
        }
    }
}

/// An arm that nothing has proven yet.
struct Draft<'a> {
    name: &'a str,
    library: Option<PathBuf>,
    program: Option<PathBuf>,
    symbols: Vec<&'a str>,
    variables: Variables,
}

impl Draft<'_> {
    fn prove(self, engines: &Engines, worker: &Path, set: bool) -> Result<Arm, EngineError> {
        let mut env: Vec<(OsString, OsString)> = Vec::new();
        env.extend(self.variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        env.extend(self.library.as_ref().map(|library| (PRELOAD.into(), library.into())));
        let env_remove = engines.strays();
        let proof = probe::probe(&Expected {
            engine: self.name,
            library: self.library.as_deref(),
            linked: self.program.is_some(),
            symbols: &self.symbols,
            env: &env,
            env_remove: &env_remove,
            settings: set,
            worker,
        })?;
        Ok(Arm {
            engine: self.name.to_owned(),
            version: proof.version,
            settings: BTreeMap::new(),
            env,
            env_remove,
            library: self.library,
            program: self.program,
            command: Vec::new(),
            object: proof.object,
            paste: String::new(),
        })
    }
}

/// Settings of an engine, checked.
struct Settings {
    shown: BTreeMap<String, String>,
    measure: Vec<String>,
    paste: Vec<String>,
}

impl Settings {
    fn of(engine: &Engine, spec: &ArmSpec) -> Result<Settings, EngineError> {
        let mut settings =
            Settings { shown: BTreeMap::new(), measure: Vec::new(), paste: Vec::new() };
        for (name, text) in &spec.settings {
            let knob = engine.knob(name).ok_or_else(|| EngineError::UnknownKnob {
                engine: engine.name.clone(),
                knob: name.clone(),
                near: near(name, engine.knobs.iter().map(|knob| knob.name.as_str())),
                known: list(engine.knobs.iter().map(|knob| knob.name.as_str())),
            })?;
            let value = knob.value(text).ok_or_else(|| EngineError::BadValue {
                engine: engine.name.clone(),
                knob: name.clone(),
                value: text.clone(),
                expected: knob.expected(),
            })?;
            settings.measure.push(knob.measure.replace("{}", &value.given));
            let paste = knob.paste.as_ref().unwrap_or(&knob.measure);
            settings.paste.push(paste.replace("{}", &value.given));
            settings.shown.insert(name.clone(), value.shown);
        }
        Ok(settings)
    }
}

fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
