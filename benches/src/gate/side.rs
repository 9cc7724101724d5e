//! What a person writes for base and new.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::revision::{self, RevisionError, Scratch};
use crate::engine::{Arm, ArmSpec, EngineError, Engines, SpecError};
use crate::supervise::{self, LaunchError};

/// What stands on one side of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// An engine, with settings if wanted.
    Engine(ArmSpec),
    /// A library to preload.
    Library(PathBuf),
    /// A revision of the repository here, whose library is built and preloaded.
    Revision(String),
    /// A command, word by word, under an engine.
    Command {
        /// The engine.
        engine: ArmSpec,
        /// The words.
        words: Vec<String>,
    },
}

/// Why there is no such side.
#[derive(Debug, thiserror::Error)]
pub enum SideError {
    /// The engine or library.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The text.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The revision.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// The command.
    #[error(transparent)]
    Command(#[from] LaunchError),
}

impl Side {
    /// Reads an engine of `engines.toml` with its settings, the path of a library, or
    /// else a revision.
    ///
    /// # Errors
    /// If it begins like an engine and goes on like none.
    pub fn read(text: &str) -> Result<Side, SpecError> {
        let name = text.split(':').next().unwrap_or_default().trim();
        if Engines::builtin().get(name).is_some() {
            return Ok(Side::Engine(text.parse()?));
        }
        Ok(match Path::new(text).is_file() {
            true => Side::Library(text.into()),
            false => Side::Revision(text.to_owned()),
        })
    }

    /// Looks whether what it names is there, which takes no time.
    ///
    /// # Errors
    /// A revision that git does not know, a command that cannot be found.
    pub fn find(&self) -> Result<(), SideError> {
        match self {
            Side::Engine(_) | Side::Library(_) => Ok(()),
            Side::Revision(revision) => Ok(revision::commit(revision).map(drop)?),
            Side::Command { words, .. } => {
                let program = words.first().map_or("", String::as_str);
                Ok(supervise::find_program(OsStr::new(program)).map(drop)?)
            }
        }
    }

    /// The arm, proven with a process of `worker`. Revisions are built in `scratch`.
    ///
    /// # Errors
    /// A revision that is not there or does not build, and an engine that does not
    /// load or does not answer.
    pub fn resolve(
        &self,
        scratch: &Scratch,
        package: Option<&str>,
        worker: &Path,
    ) -> Result<Arm, SideError> {
        let engines = Engines::builtin();
        match self {
            Side::Engine(spec) => Ok(engines.resolve(spec, worker)?),
            Side::Library(path) => Ok(library(path, worker)?),
            Side::Revision(revision) => {
                let built = scratch.library(revision, package)?;
                let arm = library(&built.library, worker)?;
                Ok(Arm { engine: built.name, ..arm })
            }
            Side::Command { engine, words } => {
                let mut arm = engines.resolve(engine, worker)?;
                arm.command = words.iter().map(OsString::from).collect();
                arm.settings.insert("command".to_owned(), words.join(" "));
                Ok(arm)
            }
        }
    }
}

fn library(path: &Path, worker: &Path) -> Result<Arm, EngineError> {
    // A name with a slash in it is a path, whatever it was.
    let path = fs::canonicalize(path)
        .map_err(|source| EngineError::Unreadable { library: path.to_owned(), source })?;
    let engine = path.to_string_lossy().into_owned();
    Engines::builtin().resolve(&ArmSpec { engine, settings: Default::default() }, worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_an_engine_a_file_or_a_revision() {
        let read = |text: &str| Side::read(text).expect(text);
        assert!(matches!(read("glibc:mmap_threshold=1M"), Side::Engine(_)));
        assert!(matches!(read("brkpoint"), Side::Engine(_)));
        assert_eq!(read("Cargo.toml"), Side::Library("Cargo.toml".into()));
        for revision in ["HEAD~1", "feature/x", ".", "v1.0", "nosuch"] {
            assert_eq!(read(revision), Side::Revision(revision.to_owned()));
        }
        assert!(Side::read("glibc:mmap_threshold").is_err());
    }
}
