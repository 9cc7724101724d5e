//! Why there is no such arm.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::near::hint;

/// Why there is no such arm.
#[derive(Debug, Error)]
pub enum EngineError {
    /// No engine of this name.
    #[error("there is no engine {name:?}{}; there are {known}, or give the path of a library", hint(.near))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What was perhaps meant.
        near: Option<String>,
        /// The names there are.
        known: String,
    },
    /// The engine has no such knob.
    #[error("{engine} has no knob {knob:?}{}; {}", hint(.near), knobs(.known))]
    UnknownKnob {
        /// The engine.
        engine: String,
        /// What was asked for.
        knob: String,
        /// What was perhaps meant.
        near: Option<String>,
        /// The names there are.
        known: String,
    },
    /// A value that the knob does not take.
    #[error("{engine}: {knob}={value} is out of the question: {knob} is {expected}")]
    BadValue {
        /// The engine.
        engine: String,
        /// The knob.
        knob: String,
        /// What was given.
        value: String,
        /// What it takes.
        expected: String,
    },
    /// The engine's library is not on this machine.
    #[error("{engine} is not here: there is no {looked}; {install}")]
    Absent {
        /// The engine.
        engine: String,
        /// Where it was looked for.
        looked: String,
        /// What to do.
        install: String,
    },
    /// The engine cannot be preloaded.
    #[error(
        "{engine} is only there linked into a worker: it takes part in `cargo bench --bench allocators -- --mode linked`"
    )]
    OnlyLinked {
        /// The engine.
        engine: String,
    },
    /// There is no file at the path given.
    #[error("cannot read the library {}: {source}", .library.display())]
    Unreadable {
        /// What was given.
        library: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A path that LD_PRELOAD cannot hold.
    #[error("the path {} has a space, colon or `$` in it, which LD_PRELOAD cannot hold: copy or link the library to a plainer path", .library.display())]
    Unspeakable {
        /// The library.
        library: PathBuf,
    },
    /// The dynamic linker did not load the library.
    #[error("{} does not load: {said}", .library.display())]
    Unloadable {
        /// The library.
        library: PathBuf,
        /// The dynamic linker's message.
        said: String,
    },
    /// The library loads, but something else answers for the malloc family.
    #[error(
        "{engine} does not answer in a process that loads it: {what}; give a library that defines malloc and its family"
    )]
    NotAnswering {
        /// The engine.
        engine: String,
        /// Who answers.
        what: String,
    },
    /// The engine complained about its settings.
    #[error("{engine} refuses its settings: {said}")]
    Refused {
        /// The engine.
        engine: String,
        /// Its message.
        said: String,
    },
    /// A process under the engine does not even start.
    #[error("a process under {engine} does not come up: {why}")]
    Broken {
        /// The engine.
        engine: String,
        /// How it ended.
        why: String,
    },
    /// The probe could not be started.
    #[error("cannot start {} to see which allocator answers: {source}", .worker.display())]
    NoProbe {
        /// The worker.
        worker: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn knobs(known: &str) -> String {
    if known.is_empty() { "it has none".to_owned() } else { format!("its knobs are {known}") }
}
