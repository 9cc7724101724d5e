//! Values of options, with errors that say what was expected.

use std::path::Path;
use std::time::Duration;

use brkpoint_workloads::synthetic::{self, Amount, MAX_THREADS, Workload};
use brkpoint_workloads::trace::replay;

use crate::engine::{ArmSpec, SpecError};
use crate::plan::{MAX_ROUNDS, THREADS, Work};

/// What stands before the name of a program of the machine.
pub const PROGRAM: &str = "program:";

/// The option of the verbs that run workloads of ours, which they name by `--workload`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Threads {
    /// Threads of each workload of ours, which must be one that has them (see `brkpoint list`);
    /// -w NAME:threads=N sets those of one
    #[arg(
        long = "threads",
        value_name = "N",
        requires = "workload",
        value_parser = threads,
        allow_negative_numbers = true
    )]
    pub number: Option<usize>,
}

/// A number of rounds.
pub fn rounds(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(rounds @ 1..=MAX_ROUNDS) => Ok(rounds),
        _ => Err(format!("expected a whole number from 1 to {MAX_ROUNDS}")),
    }
}

/// A positive time such as `30s`, `5m` or `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<jiff::SignedDuration> = text.parse().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "expected a time with its unit, such as 500ms, 30s or 5m".to_owned())
}

/// A positive size in bytes, such as `4096`, `64K` or `2G`.
pub fn bytes(text: &str) -> Result<u64, String> {
    crate::engine::bytes(text)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "expected a size in bytes, such as 4096, 64K or 2G".to_owned())
}

/// Engines between commas. A setting after a comma belongs to the engine before it.
pub fn engines(text: &str) -> Result<Vec<ArmSpec>, SpecError> {
    let mut specs: Vec<String> = Vec::new();
    for part in text.split(',') {
        match specs.last_mut().filter(|_| part.contains('=') && !part.contains(':')) {
            Some(spec) => *spec += &format!(",{part}"),
            None => specs.push(part.to_owned()),
        }
    }
    specs.iter().map(|spec| spec.parse()).collect()
}

/// A workload of ours by its name, with a number of threads of its own if wanted
/// (`larson:threads=4`), or a trace by its path.
///
/// # Errors
/// If there is neither, or it does not run in so many threads.
pub fn workload(name: &str, mut amount: Amount) -> anyhow::Result<Work> {
    if let Some((workload, number)) = ours(name) {
        if let Some(number) = number {
            let number = threads(number).map_err(|why| anyhow::anyhow!("{name}: {why}"))?;
            amount.threads = Some(number);
        }
        return checked(workload, amount);
    }
    if Path::new(name).exists() {
        return Work::trace(Path::new(name), replay::Options::default());
    }
    anyhow::bail!(
        "there is no workload {name:?}, nor such a file; `brkpoint list` shows the workloads there are"
    )
}

/// The workload of ours of a name, and the number of threads that stands in it.
fn ours(name: &str) -> Option<(&'static Workload, Option<&str>)> {
    let (plain, number) = name.split_once(THREADS).unzip();
    Some((synthetic::find(plain.unwrap_or(name))?, number))
}

/// Refuses a number of threads for all of `names` where one has threads of its own.
///
/// # Errors
/// If one has, with what to write instead.
pub fn in_threads(names: &[String], number: Option<usize>) -> anyhow::Result<()> {
    let Some(number) = number else { return Ok(()) };
    let own = |name: &str| {
        if name.starts_with(PROGRAM) {
            Some("a program, and has the threads that it starts")
        } else if ours(name).is_none() && Path::new(name).exists() {
            Some("a trace, and has the threads that were recorded")
        } else {
            None
        }
    };
    let Some((name, why)) = names.iter().find_map(|name| Some((name, own(name)?))) else {
        return Ok(());
    };
    let takes = |name: &str| synthetic::find(name).is_some_and(|ours| ours.threads.is_some());
    if !names.iter().any(|name| takes(name)) {
        anyhow::bail!("{name} is {why}: leave --threads out");
    }
    let spelled = names.iter().map(|name| match takes(name) {
        true => format!(" -w {name}{THREADS}{number}"),
        false => format!(" -w {name}"),
    });
    anyhow::bail!("{name} is {why}: in place of --threads, give{}", spelled.collect::<String>())
}

/// So much of a workload of ours.
///
/// # Errors
/// If it does not run in so many threads.
pub fn checked(workload: &Workload, amount: Amount) -> anyhow::Result<Work> {
    workload.in_threads(amount.threads)?;
    Ok(Work::synthetic(workload, amount))
}

/// A share such as `2%` or `0.02`.
pub fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), 0.01),
        None => (text, 1.0),
    };
    match number.parse::<f64>() {
        Ok(share) if (0.0..=10.0).contains(&(share * unit)) => Ok(share * unit),
        _ => Err("expected a share, such as 2%, from 0% to 1000%".to_owned()),
    }
}

/// How much of a workload.
pub fn scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if (0.001..=1000.0).contains(&scale) => Ok(scale),
        _ => Err("expected a number from 0.001 to 1000".to_owned()),
    }
}

/// How many threads.
pub fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=MAX_THREADS) => Ok(threads),
        _ => Err(format!("expected a whole number of threads from 1 to {MAX_THREADS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_a_sensible_number() {
        assert_eq!(rounds("12"), Ok(12));
        for absurd in ["0", "-1", "10001", "1e9", "ten", "", "99999999999999999999"] {
            assert!(rounds(absurd).is_err(), "{absurd}");
        }
    }

    #[test]
    fn a_time_has_a_unit_and_is_positive() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["0s", "-3s", "30", "soon", ""] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_comma_stands_between_engines_and_between_settings() {
        let specs = engines("glibc,glibc:mmap_threshold=1M,trim_threshold=8M,./lib.so").unwrap();
        let specs: Vec<String> = specs.iter().map(ToString::to_string).collect();
        assert_eq!(specs, ["glibc", "glibc:mmap_threshold=1M,trim_threshold=8M", "./lib.so"]);
        for bad in ["", "glibc,", "glibc,,brkpoint", "glibc:mmap_threshold"] {
            assert!(engines(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_is_a_percentage_or_a_fraction() {
        assert_eq!(share("5%"), Ok(0.05));
        assert_eq!(share("0.25"), Ok(0.25));
        for bad in ["", "%", "-1%", "2000%", "nan", "two"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn threads_are_a_sensible_number() {
        assert_eq!((threads("1"), threads("256")), (Ok(1), Ok(256)));
        for bad in ["0", "-1", "257", "1e2", "two", "", "99999999999999999999"] {
            assert!(threads(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_workload_may_have_a_number_of_threads_of_its_own() {
        let label = |name: &str, threads| {
            workload(name, Amount { scale: 1.0, threads }).map(|work| work.label().to_owned())
        };
        assert_eq!(label("larson:threads=4", None).unwrap(), "larson:threads=4");
        assert_eq!(label("larson:threads=4", Some(3)).unwrap(), "larson:threads=4");
        assert_eq!(label("larson:threads=2", Some(3)).unwrap(), "larson");
        for bad in ["larson:threads=0", "larson:threads=", "pair-64:threads=2", "no:threads=2"] {
            assert!(label(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scale_is_a_finite_positive_number() {
        assert_eq!(scale("0.5"), Ok(0.5));
        for bad in ["0", "-1", "nan", "inf", "1e9", "x"] {
            assert!(scale(bad).is_err(), "{bad}");
        }
    }
}
