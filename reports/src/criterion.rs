//! Criterion's output directory -> what it measured.
//!
//! Criterion leaves `GROUP/FUNCTION[/PARAMETER]/new/{benchmark,estimates,sample}.json`,
//! in which no unit is named: the benches of brkpoint put it into the group's name.

use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::read::Problem;

/// The latest run of every benchmark that a directory holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Criterion {
    /// By measure, work, parameter and engine.
    pub benchmarks: Vec<Benchmark>,
}

/// A benchmark: what criterion calls a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Benchmark {
    /// What is measured.
    pub measure: String,
    /// Unit of its values.
    pub unit: String,
    /// What is run.
    pub work: String,
    /// Under what; criterion's function.
    pub engine: String,
    /// Value on the x axis, where there is one.
    pub parameter: Option<String>,
    /// How many samples there are.
    pub samples: usize,
    /// Their median, per iteration, in `unit`.
    pub median: f64,
    /// Criterion's bootstrapped interval of the median.
    pub interval: [f64; 2],
    /// The confidence level of that interval.
    pub level: f64,
}

/// The name of the group of benchmarks that take `measure`, in `unit`, of `work`.
pub fn group_id(measure: &str, unit: &str, work: &str) -> String {
    format!("{measure} ({unit}) {work}")
}

/// Measure, unit and work of a group; one that is not ours has criterion's unit.
fn parts(group: &str) -> (&str, &str, &str) {
    let named = group.split_once(" (").and_then(|(measure, rest)| {
        let (unit, work) = rest.split_once(") ")?;
        Some((measure, unit, work))
    });
    named.unwrap_or(("time", "ns", group))
}

#[derive(Deserialize)]
struct Id {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    confidence_interval: Interval,
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Interval {
    confidence_level: f64,
    lower_bound: f64,
    upper_bound: f64,
}

#[derive(Deserialize)]
struct Sample {
    iters: Vec<f64>,
    times: Vec<f64>,
}

/// Deeper than criterion's own folders nothing is looked for.
const DEPTH: usize = 4;

impl Criterion {
    /// Adds what lies below `directory`. What cannot be used becomes a [`Problem`].
    ///
    /// # Errors
    /// `directory` cannot be read, or holds no benchmark at all.
    pub(crate) fn add(&mut self, directory: &Path) -> io::Result<Vec<Problem>> {
        let known = self.benchmarks.len();
        let mut problems = Vec::new();
        self.walk(directory, DEPTH, &mut problems)?;
        if self.benchmarks.len() == known && problems.is_empty() {
            return Err(io::Error::other(
                "a directory without results of criterion; `cargo bench` leaves them in \
                 target/criterion",
            ));
        }
        self.benchmarks.sort_by(in_order);
        Ok(problems)
    }

    fn walk(
        &mut self,
        directory: &Path,
        depth: usize,
        problems: &mut Vec<Problem>,
    ) -> io::Result<()> {
        let new = directory.join("new");
        if new.is_dir() {
            match benchmark(&new) {
                Ok(benchmark) => self.benchmarks.push(benchmark),
                Err(problem) => problems.push(problem),
            }
            return Ok(());
        }
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if depth > 0 && path.is_dir() {
                self.walk(&path, depth - 1, problems)?;
            }
        }
        Ok(())
    }
}

/// What the folder `new` of a benchmark holds.
fn benchmark(new: &Path) -> Result<Benchmark, Problem> {
    let id: Id = read(&new.join("benchmark.json"))?;
    let Estimates { median } = read(&new.join("estimates.json"))?;
    let path = new.join("sample.json");
    let sample: Sample = read(&path)?;
    let (measure, unit, work) = parts(&id.group_id);
    let interval = median.confidence_interval;
    let values = [median.point_estimate, interval.lower_bound, interval.upper_bound];
    if sample.times.is_empty() || sample.times.len() != sample.iters.len() {
        return Err(problem(&path, "it has not a time for each number of iterations"));
    }
    if values.iter().any(|value| !(value.is_finite() && *value >= 0.0)) {
        return Err(problem(&new.join("estimates.json"), "its median cannot be"));
    }
    // A benchmark without a function is known by its parameter alone.
    let (engine, parameter) = match (id.function_id, id.value_str) {
        (Some(function), value) => (function, value),
        (None, Some(value)) => (value, None),
        (None, None) => (String::new(), None),
    };
    Ok(Benchmark {
        measure: measure.to_owned(),
        unit: unit.to_owned(),
        work: work.to_owned(),
        engine,
        parameter,
        samples: sample.times.len(),
        median: median.point_estimate,
        interval: [interval.lower_bound, interval.upper_bound],
        level: interval.confidence_level,
    })
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Problem> {
    let text = fs::read(path).map_err(|error| problem(path, &error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| problem(path, &error.to_string()))
}

fn problem(path: &Path, what: &str) -> Problem {
    Problem {
        source: path.display().to_string(),
        // Criterion writes one.
        line: Some(1),
        what: format!(
            "not what criterion 0.8 writes ({what}); left out: run the benchmark again, or \
             remove the folder"
        ),
    }
}

fn in_order(a: &Benchmark, b: &Benchmark) -> Ordering {
    let key = |of: &Benchmark| (of.measure.clone(), of.unit.clone(), of.work.clone());
    let amount = |of: &Benchmark| of.parameter.as_deref().map_or(0.0, amount);
    key(a)
        .cmp(&key(b))
        .then(amount(a).total_cmp(&amount(b)))
        .then_with(|| a.parameter.cmp(&b.parameter))
        .then_with(|| a.engine.cmp(&b.engine))
}

/// What a parameter such as `64` or `32K` comes to; beyond all, if it is no number.
fn amount(parameter: &str) -> f64 {
    let digits = parameter.trim_end_matches(['K', 'M', 'G']);
    let shift = match &parameter[digits.len()..] {
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => 0,
    };
    digits.parse().map_or(f64::INFINITY, |number: f64| number * f64::from(1_u32 << shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_ours_is_read_back_and_any_other_counts_nanoseconds() {
        let group = group_id("syscalls", "calls", "straddle (small)");
        assert_eq!(parts(&group), ("syscalls", "calls", "straddle (small)"));
        assert_eq!(parts("fib 20"), ("time", "ns", "fib 20"));
    }

    #[test]
    fn parameters_are_ordered_by_what_they_come_to() {
        let mut parameters = ["off", "2M", "0", "128K", "512"];
        parameters.sort_by(|a, b| amount(a).total_cmp(&amount(b)));
        assert_eq!(parameters, ["0", "512", "128K", "2M", "off"]);
    }
}
