//! Whether settings take effect in a command: it is counted with and without.

use std::path::Path;
use std::time::Duration;

use brkpoint_reports::record::Pass;

use super::Setting;
use crate::engine::{Arm, ArmSpec, Engines};
use crate::measure::{self, Failure, Measured};
use crate::plan::{Conditions, Work};
use crate::supervise::Stop;
use crate::tune::{Facts, answer, counted};

/// What the counts say.
#[derive(Debug, Clone, PartialEq)]
pub enum Proof {
    /// With the settings they are others than without.
    Effect(String),
    /// They are the same.
    None(String),
    /// They differ from run to run, with and without.
    Unclear(String),
}

/// So many runs with the settings, and one more without, where those without differ:
/// that all of these lie beyond all of those happens by chance once in 3,217 times.
const RUNS: usize = 7;

/// Counts `work` without `settings` and with them, in turn: twice and once, or more
/// often if the counts of two runs without them differ.
///
/// # Errors
/// If the command cannot be started, fails, or was interrupted: why.
pub fn prove(
    work: &Work,
    settings: &[Setting],
    worker: &Path,
    stop: &Stop,
) -> Result<Proof, String> {
    let spec = ArmSpec { engine: "glibc".to_owned(), settings: Default::default() };
    let bare = Engines::builtin().resolve(&spec, worker).map_err(|error| error.to_string())?;
    let heard = settings.iter().filter(|setting| setting.unheard.is_none());
    let env = heard.map(|s| (s.name.clone().into(), s.value.clone().into())).collect();
    let set = Arm { env, ..bare.clone() };
    let conditions = Conditions { timeout: Duration::from_secs(600), seed: 1 };
    let count = |arm: &Arm| -> Result<Facts, String> {
        match measure::one(arm, work, Pass::Counts, conditions, worker, stop) {
            Ok(Measured { error: Some(error), .. }) => Err(format!("the command fails: {error}")),
            Ok(measured) => Ok(counted(&measured)),
            Err(Failure::Interrupted) => Err("interrupted".to_owned()),
            Err(Failure::SetUp(why)) => Err(why),
        }
    };
    let (mut without, mut with) = (vec![count(&bare)?], vec![count(&set)?]);
    without.push(count(&bare)?);
    let steady = without[0].same_counts(&without[1]);
    while !steady && with.len() < RUNS {
        with.push(count(&set)?);
        without.push(count(&bare)?);
    }
    let why = answer::why(&without[0], &with[0]);
    Ok(match Facts::tell_apart(&without, &with) {
        true => Proof::Effect(why),
        false if steady => Proof::None(why),
        false => Proof::Unclear(why),
    })
}
