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
    /// They differ by more than two runs without the settings do.
    Effect(String),
    /// They do not.
    None(String),
}

/// Counts `work` twice without `settings` and once with them.
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
    let (first, with, second) = (count(&bare)?, count(&set)?, count(&bare)?);
    let differs = |facts: &Facts| !facts.same_counts(&with);
    let why = answer::why(&first, &with);
    Ok(match differs(&first) && differs(&second) {
        true => Proof::Effect(why),
        false => Proof::None(why),
    })
}
