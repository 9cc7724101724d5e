//! Records of many commits: how each quantity went over time.
//!
//! A point is an arm of a run: of a gate each commit, otherwise the engine as it was
//! in that run. Its name is the commit, if the engine's name ends in one or it is
//! brkpoint's own engine, else the engine's version.

mod page;

use std::collections::BTreeMap;

use serde_json::json;

use crate::check::check;
use crate::quantity::Quantity;
use crate::read::Records;
use crate::record::{Cell, Role, Run, Stage};
use crate::stats::{CONFIDENCE, Interval, median, median_interval};

/// Our own engine, whose commit is that of brkpoint.
const OURS: &str = "brkpoint";

/// All lines.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// By workload, engine and quantity.
    pub trends: Vec<Trend>,
}

/// One quantity of one engine on one workload over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// Name of the workload, or the command.
    pub workload: String,
    /// The engine with its settings, without the commit.
    pub engine: String,
    /// What was measured.
    pub quantity: Quantity,
    /// In the order in which they were measured.
    pub points: Vec<Point>,
}

/// One commit, as one run measured it.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The commit, or the version.
    pub commit: String,
    /// When the run began, as it wrote it.
    pub started: String,
    /// Median of the samples.
    pub median: f64,
    /// Its 99 % interval; `None`: too few samples.
    pub interval: Option<Interval>,
    /// Samples.
    pub n: usize,
}

/// Draws the history out of records; repeats, controls and confirmations are no part
/// of it, and neither are samples with an error.
pub fn history(records: &Records) -> History {
    let checked = check(records);
    let mut runs: Vec<&Run> = records.runs.iter().collect();
    runs.sort_by(|a, b| a.started.cmp(&b.started));
    let place: BTreeMap<&str, usize> =
        runs.iter().enumerate().map(|(at, run)| (run.id.as_str(), at)).collect();

    type Key = (String, String, Quantity);
    type Points = BTreeMap<(usize, Role, String), Vec<f64>>;
    let mut order: Vec<(String, String)> = Vec::new();
    let mut samples: BTreeMap<Key, Points> = BTreeMap::new();
    for (sample, error) in records.samples.iter().zip(&checked.errors) {
        let cell = &sample.cell;
        let Some(&at) = place.get(sample.run.as_str()) else { continue };
        let confirms = runs[at].gate.is_some_and(|gate| gate.stage == Stage::Confirm);
        if error.is_some() || confirms || matches!(cell.role, Role::Repeat | Role::Control) {
            continue;
        }
        let (engine, commit) = named(cell, runs[at]);
        let line = (cell.workload.clone(), engine);
        for quantity in Quantity::ALL {
            if let Some(value) = quantity.of(sample) {
                if !order.contains(&line) {
                    order.push(line.clone());
                }
                let key = (line.0.clone(), line.1.clone(), quantity);
                // The base of a gate comes before what is judged.
                let point = (at, cell.role, commit.clone());
                samples.entry(key).or_default().entry(point).or_default().push(value);
            }
        }
    }
    let mut trends: Vec<Trend> = samples
        .into_iter()
        .map(|((workload, engine, quantity), points)| Trend {
            workload,
            engine,
            quantity,
            points: points
                .into_iter()
                .filter_map(|((at, _, commit), values)| {
                    Some(Point {
                        commit,
                        started: runs[at].started.clone(),
                        median: median(&values)?,
                        interval: median_interval(&values, CONFIDENCE),
                        n: values.len(),
                    })
                })
                .collect(),
        })
        .collect();
    let at = |trend: &Trend| {
        order.iter().position(|line| (&line.0, &line.1) == (&trend.workload, &trend.engine))
    };
    trends.sort_by_key(|trend| (at(trend), trend.quantity));
    History { trends }
}

/// The engine without its commit, and the commit.
fn named(cell: &Cell, run: &Run) -> (String, String) {
    let settings = &cell.spelling()[cell.engine.len()..];
    if let Some((engine, commit)) = cell.engine.rsplit_once('@') {
        return (format!("{engine}{settings}"), commit.to_owned());
    }
    let build = run.brkpoint.split_once('(').map(|(_, commit)| commit.trim_end_matches(')'));
    let commit = build.filter(|_| cell.engine == OURS).unwrap_or(&cell.version);
    (cell.spelling(), commit.to_owned())
}

impl History {
    /// One JSON object a point and line.
    pub fn to_json_lines(&self) -> String {
        let mut out = String::new();
        for trend in &self.trends {
            for point in &trend.points {
                let line = json!({
                    "workload": trend.workload,
                    "engine": trend.engine,
                    "metric": trend.quantity,
                    "unit": trend.quantity.unit(),
                    "commit": point.commit,
                    "started": point.started,
                    "median": point.median,
                    "low": point.interval.map(|interval| interval.low),
                    "high": point.interval.map(|interval| interval.high),
                    "n": point.n,
                });
                out.push_str(&line.to_string());
                out.push('\n');
            }
        }
        out
    }
}
