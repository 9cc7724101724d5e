//! The figures as flat rows: one object a line, for programs.

use serde::{Deserialize, Serialize};

use crate::analysis::{Measured, Report};
use crate::figure::Figure;
use crate::judge::Verdict;
use crate::record::{Metric, Role, Unit};

/// One metric of one cell. `None`, which is `null` in JSON, stands for a figure
/// that does not exist; nothing is ever NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the engine.
    pub engine: String,
    /// Version of the engine.
    pub version: String,
    /// Settings as the command line spells them, e.g. `preset=brk-only`; may be empty.
    pub settings: String,
    /// What the cell is for.
    pub role: Role,
    /// Name of the workload, or the command.
    pub workload: String,
    /// What was measured.
    pub metric: Metric,
    /// Unit of `median`, `low` and `high`.
    pub unit: Unit,
    /// Median of the samples.
    pub median: Option<f64>,
    /// Lower end of the 99 % interval of the median; none if there are too few samples.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Samples without an error.
    pub n: usize,
    /// Why there are no figures: the cell failed at least once.
    pub error: Option<String>,
    /// Ratio to the reference.
    pub ratio: Option<f64>,
    /// Lower end of the 99 % interval of the ratio.
    pub ratio_low: Option<f64>,
    /// Upper end.
    pub ratio_high: Option<f64>,
    /// What the ratio amounts to.
    pub verdict: Option<Verdict>,
}

impl Report {
    /// All rows: by workload, engine and metric. A cell with an error has a row
    /// for each metric that the others have, with the error in it.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for workload in &self.workloads {
            let mut metrics = workload.metrics();
            if metrics.is_empty() {
                metrics.push(Metric::WallS);
            }
            for cell in &workload.cells {
                for &metric in &metrics {
                    let figure = cell.figure(metric);
                    if figure.is_some() || cell.error.is_some() {
                        rows.push(row(cell, metric, figure));
                    }
                }
            }
        }
        rows
    }

    /// [`rows`](Self::rows) as JSON, one object a line.
    pub fn to_json_lines(&self) -> String {
        let mut lines = String::new();
        for row in self.rows() {
            let line = serde_json::to_string(&row).expect("a row is strings and numbers");
            lines.push_str(&line);
            lines.push('\n');
        }
        lines
    }
}

fn row(measured: &Measured, metric: Metric, figure: Option<&Figure>) -> Row {
    let cell = &measured.cell;
    let spelling = cell.spelling();
    let settings = spelling[cell.engine.len()..].trim_start_matches(':').to_owned();
    let ratio = figure.and_then(|f| f.ratio);
    let ratio_interval = ratio.and_then(|r| r.interval);
    let interval = figure.and_then(|f| f.interval);
    Row {
        engine: cell.engine.clone(),
        version: cell.version.clone(),
        settings,
        role: cell.role,
        workload: cell.workload.clone(),
        metric,
        unit: metric.unit(),
        median: figure.map(|f| f.median),
        low: interval.map(|i| i.low),
        high: interval.map(|i| i.high),
        n: measured.good.get(&metric).copied().unwrap_or(0),
        error: measured.error.clone(),
        ratio: ratio.map(|r| r.value),
        ratio_low: ratio_interval.map(|i| i.low),
        ratio_high: ratio_interval.map(|i| i.high),
        verdict: figure.and_then(|f| f.verdict),
    }
}
