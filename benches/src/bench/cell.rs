//! One fresh process -> one value.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

use super::Benchmark;
use crate::cli::{INTERRUPTED, output};
use crate::measure::{self, Failure, Measured};
use crate::plan::Conditions;
use crate::supervise::Stop;

/// No process comes near the timeout; the seed is that of `brkpoint compare`, so
/// that counts are the same.
const CONDITIONS: Conditions = Conditions { timeout: Duration::from_secs(60), seed: 1 };

/// Runs processes.
#[derive(Debug)]
pub struct Runner {
    executable: PathBuf,
    stop: Stop,
    /// The digest of each workload that has been run.
    digests: RefCell<HashMap<String, String>>,
}

/// A cell that failed: what a benchmark unwinds with.
#[derive(Debug)]
pub struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Runner {
    /// Of workers of `executable`, until `stop`.
    pub fn new(executable: PathBuf, stop: Stop) -> Runner {
        Runner { executable, stop, digests: RefCell::default() }
    }

    /// The value of a process of `benchmark`. Unwinds with [`Failed`] if it has
    /// none; ends this program if it is interrupted.
    pub(super) fn value(&self, benchmark: &Benchmark) -> f64 {
        let Benchmark { arm, work, measure, .. } = benchmark;
        let pass = measure.pass();
        match measure::one(arm, work, pass, CONDITIONS, &self.executable, &self.stop) {
            Ok(measured) => self.checked(benchmark, measured).unwrap_or_else(|why| {
                resume_unwind(Box::new(Failed(format!("{benchmark}: {why}"))))
            }),
            Err(Failure::SetUp(why)) => {
                resume_unwind(Box::new(Failed(format!("{benchmark}: {why}"))))
            }
            Err(Failure::Interrupted) => {
                output::tell("interrupted; what was measured is where criterion keeps it");
                exit(INTERRUPTED.into())
            }
        }
    }

    fn checked(&self, benchmark: &Benchmark, measured: Measured) -> Result<f64, String> {
        if let Some(error) = measured.error {
            return Err(error);
        }
        let digest = measured.digest.clone().unwrap_or_default();
        let mut digests = self.digests.borrow_mut();
        let first = digests.entry(benchmark.group.clone()).or_insert_with(|| digest.clone());
        if *first != digest {
            return Err(format!("the digest is {digest}, but another engine's was {first}"));
        }
        let value = benchmark.measure.value(&measured).ok_or("it was not measured")?;
        // Criterion drops a benchmark with such a sample, and exits 0.
        if value > 0.0 && value.is_finite() {
            Ok(value)
        } else {
            Err(format!("{value} is nothing that criterion can hold; see `brkpoint compare`"))
        }
    }
}
