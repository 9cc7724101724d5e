//! Where experiments are made: fresh processes under an engine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use brkpoint_reports::record::{Exit, Pass};
use thiserror::Error;

use super::{Seen, Steps};
use crate::engine::{Arm, ArmSpec, EngineError, Engines};
use crate::supervise::{self, Launch, LaunchError, Stop, Tracer};
use crate::worker;

/// No experiment comes near this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why nothing can be said.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// The engine is not there, or does not answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The process could not be started or watched.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The steps could not be written down, or the answer not be read.
    #[error("cannot exchange files with the process of an experiment: {0}")]
    Files(#[from] io::Error),
    /// The process did not perform its steps.
    #[error("the process of an experiment under {engine}: {why}")]
    Worker {
        /// The engine with its settings.
        engine: String,
        /// How it ended, and what it said.
        why: String,
    },
}

/// Makes experiments under the engine that is explained, and under others.
#[derive(Debug)]
pub struct Lab<'a> {
    worker: &'a Path,
    stop: &'a Stop,
    subject: (String, Arm),
    others: RefCell<BTreeMap<String, Option<Arm>>>,
}

impl<'a> Lab<'a> {
    /// A lab that explains the engine of `spec`, in processes of `worker`, the file
    /// of this program.
    ///
    /// # Errors
    ///
    /// If the engine is not there or does not answer.
    pub fn new(spec: &ArmSpec, worker: &'a Path, stop: &'a Stop) -> Result<Lab<'a>, ExplainError> {
        let arm = Engines::builtin().resolve(spec, worker)?;
        Ok(Lab { worker, stop, subject: (spec.to_string(), arm), others: RefCell::default() })
    }

    /// The engine that is explained.
    pub fn subject(&self) -> &Arm {
        &self.subject.1
    }

    /// How `-e` spells it.
    pub fn name(&self) -> &str {
        &self.subject.0
    }

    /// Its name with its version.
    pub fn title(&self) -> String {
        format!("{} {}", self.subject.0, self.subject.1.version)
    }

    /// The engine that `-e` spells so; `None` if it is not on this machine.
    ///
    /// # Errors
    ///
    /// If it is there and does not answer.
    pub fn arm(&self, spec: &str) -> Result<Option<Arm>, ExplainError> {
        if let Some(known) = self.others.borrow().get(spec) {
            return Ok(known.clone());
        }
        let parsed: ArmSpec = spec.parse().expect("a chapter spells its engines as -e does");
        let arm = match Engines::builtin().resolve(&parsed, self.worker) {
            Ok(arm) => Some(arm),
            Err(EngineError::Absent { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        self.others.borrow_mut().insert(spec.to_owned(), arm.clone());
        Ok(arm)
    }

    /// What comes of `steps` under the engine that is explained, with system calls
    /// counted.
    ///
    /// # Errors
    ///
    /// If they were not performed.
    pub fn count(&self, steps: &Steps) -> Result<Seen, ExplainError> {
        self.run(self.subject(), steps, Pass::Counts)
    }

    /// What comes of `steps` in a fresh process under `arm`.
    ///
    /// # Errors
    ///
    /// If they were not performed.
    pub fn run(&self, arm: &Arm, steps: &Steps, pass: Pass) -> Result<Seen, ExplainError> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(steps.text().as_bytes())?;
        let launch = Launch {
            program: self.worker.into(),
            args: worker::steps_arguments(),
            env: arm.env.clone(),
            env_remove: arm.env_remove.clone(),
            stdin: Some(file.path().to_owned()),
            timeout: Some(PATIENCE),
            library: arm.library.clone(),
            tracer: Tracer::Auto,
            inside: None,
            heap_faults: false,
            leash: None,
        };
        let observed = supervise::run(&launch, pass, self.stop)?;
        let failed = |why: String| ExplainError::Worker { engine: arm.engine.clone(), why };
        if observed.exit != Exit::Code(0) {
            let said = observed.stderr_tail.trim();
            return Err(failed(format!("{}; it said: {said}", observed.exit)));
        }
        if let Some(image) = observed.images.iter().find(|image| !image.covered()) {
            return Err(failed(image.to_string()));
        }
        let text = String::from_utf8_lossy(&observed.stdout.read()?).into_owned();
        let seen = Seen::parse(&text)
            .map_err(|line| failed(format!("it told {line:?}, which makes no sense")))?;
        Ok(Seen { syscalls: observed.syscalls, ..seen })
    }
}
