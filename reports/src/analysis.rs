//! Records to figures: samples grouped into cells, each with its statistics.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::check::{Checked, check};
use crate::control::Control;
use crate::criterion::Criterion;
use crate::figure::{Figure, Side, figure};
use crate::gate::Gate;
use crate::labels;
use crate::read::{Problem, Records};
use crate::record::{Cell, HeapMap, Metric, Occupancy, Pass, Role, Run, Sample, Series};

/// Everything that a table, a plot or a sentence needs; see
/// [`analyse`](crate::analyse).
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Workloads, in the order in which they were planned.
    pub workloads: Vec<Workload>,
    /// Engines with their settings, each once, in the order of the tables.
    pub arms: Vec<Arm>,
    /// What was asked, and where.
    pub runs: Vec<Run>,
    /// What criterion measured: no verdict comes from it.
    pub criterion: Criterion,
    /// Files that were read.
    pub sources: Vec<String>,
    /// What was wrong with the files.
    pub problems: Vec<Problem>,
    /// What a reader should know before using the figures.
    pub notes: Vec<String>,
    /// Those of them on what could not be compared with the reference.
    pub uncompared: Vec<String>,
    /// What the positive control shows, one a quantity.
    pub controls: Vec<Control>,
    /// The gate, if the records are of one.
    pub gate: Option<Gate>,
    /// The findings in words, the most important first.
    pub verdict: Vec<String>,
}

/// An engine with its settings and its role: what is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Short, unique name for tables and plots.
    pub label: String,
    /// As the command line spells it, e.g. `brkpoint:preset=brk-only`.
    pub spelling: String,
    /// Name of the engine.
    pub engine: String,
    /// Version of the engine.
    pub version: String,
    /// What it is for.
    pub role: Role,
}

/// A workload and its cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Its name, or the command.
    pub name: String,
    /// What it does, if a run says so.
    pub about: Option<String>,
    /// Its cells: the reference first, then its repeat, then the others as planned.
    pub cells: Vec<Measured>,
}

/// A cell with its figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Index into [`Report::arms`].
    pub arm: usize,
    /// What was measured.
    pub cell: Cell,
    /// Why the cell has no figures, and how many samples say so.
    pub error: Option<String>,
    /// Samples without an error, by metric.
    pub good: BTreeMap<Metric, usize>,
    /// By metric; empty if there is an error.
    pub figures: BTreeMap<Metric, Figure>,
    /// Wall time of each sample, by round; empty if there is an error.
    pub wall_s: Vec<f64>,
    /// The heap at some moments, of the first sample that tells.
    pub heap: Vec<HeapMap>,
    /// Memory over time, of the sample with the median peak.
    pub series: Option<Series>,
    /// How full the heap's OS pages are, of the first sample that tells.
    pub occupancy: Option<Occupancy>,
}

impl Report {
    /// Cells without figures because of an error.
    pub fn failures(&self) -> usize {
        let cells = self.workloads.iter().flat_map(|w| &w.cells);
        cells.filter(|cell| cell.error.is_some()).count()
    }

    /// Whether no cell has any figure.
    pub fn is_empty(&self) -> bool {
        self.workloads.iter().all(|w| w.cells.iter().all(|cell| cell.figures.is_empty()))
    }
}

impl Workload {
    /// The reference, if it was measured.
    pub fn reference(&self) -> Option<&Measured> {
        self.cells.iter().find(|cell| cell.cell.role == Role::Reference)
    }

    /// The metrics that any of its cells has, in the order of tables.
    pub fn metrics(&self) -> Vec<Metric> {
        let has = |m: &Metric| self.cells.iter().any(|cell| cell.good.contains_key(m));
        Metric::ALL.iter().copied().filter(has).collect()
    }
}

impl Measured {
    /// The figure of a metric, unless there is an error or no sample of it.
    pub fn figure(&self, metric: Metric) -> Option<&Figure> {
        self.figures.get(&metric)
    }
}

/// Groups the samples and computes every figure; words are added by the caller.
pub(crate) fn group(records: &Records) -> Report {
    let checked = check(records);
    let cells = cells_in_order(records);
    let (arms, arm_of) = arms(&cells);
    let by_cell = samples_by_cell(records);
    let reference = ReferenceSamples::new(records, &checked);
    let one_machine = one_machine(&records.runs);

    let mut workloads: Vec<Workload> = Vec::new();
    for cell in cells {
        let samples = by_cell.get(cell).map_or(&[][..], Vec::as_slice);
        let arm = arm_of[&arm_key(cell)];
        let measured = measure(cell, arm, samples, &checked, &reference, one_machine);
        match workloads.last_mut().filter(|w| w.name == cell.workload) {
            Some(workload) => workload.cells.push(measured),
            None => {
                let name = cell.workload.clone();
                let about = records.runs.iter().find_map(|run| run.about.get(&name)).cloned();
                workloads.push(Workload { name, about, cells: vec![measured] });
            }
        }
    }
    without_those_of_the_control(&mut workloads, records);
    Report {
        workloads,
        notes: crate::notes::collect(records, &checked, &arms, one_machine),
        uncompared: checked.said(),
        arms,
        runs: records.runs.clone(),
        criterion: records.criterion.clone(),
        sources: records.sources.clone(),
        problems: records.problems.clone(),
        controls: Vec::new(),
        gate: None,
        verdict: Vec::new(),
    }
}

/// Leaves out workloads that were run for the positive control alone, where others
/// compare something.
fn without_those_of_the_control(workloads: &mut Vec<Workload>, records: &Records) {
    let compares = |workload: &Workload| {
        workload.cells.iter().any(|measured| measured.cell.role == Role::Candidate)
    };
    let planned = records.runs.iter().flat_map(|run| &run.cells);
    let controls: HashSet<&str> = planned
        .filter(|cell| cell.role == Role::Control)
        .map(|cell| cell.workload.as_str())
        .collect();
    if workloads.iter().any(compares) {
        workloads.retain(|workload| compares(workload) || !controls.contains(&*workload.name));
    }
}

/// All cells, planned or measured: the reference first, then its repeat. Positive
/// controls are the gate's business.
fn cells_in_order(records: &Records) -> Vec<&Cell> {
    let planned = records.runs.iter().flat_map(|run| &run.cells);
    let measured = records.samples.iter().map(|sample| &sample.cell);
    let mut seen = HashSet::new();
    let mut cells: Vec<&Cell> = planned
        .chain(measured)
        .filter(|cell| cell.role != Role::Control && seen.insert(*cell))
        .collect();
    cells.sort_by_key(|cell| cell.role);
    // Workloads keep the order in which they were named, not that of the references.
    let planned = records.runs.iter().flat_map(|run| &run.cells);
    let measured = records.samples.iter().map(|sample| &sample.cell);
    let mut order = HashMap::new();
    for cell in planned.chain(measured) {
        let next = order.len();
        order.entry(cell.workload.as_str()).or_insert(next);
    }
    cells.sort_by_key(|cell| order[cell.workload.as_str()]);
    cells
}

/// What makes two cells the same arm: all but the workload.
type ArmKey<'c> = (&'c str, &'c str, &'c BTreeMap<String, String>, Role);

fn arm_key(cell: &Cell) -> ArmKey<'_> {
    (&cell.engine, &cell.version, &cell.settings, cell.role)
}

/// All arms, the reference and its repeat first, and where each cell finds its own.
fn arms<'c>(cells: &[&'c Cell]) -> (Vec<Arm>, HashMap<ArmKey<'c>, usize>) {
    let mut seen = HashSet::new();
    let mut firsts: Vec<&Cell> =
        cells.iter().copied().filter(|c| seen.insert(arm_key(c))).collect();
    firsts.sort_by_key(|cell| cell.role);
    let index = firsts.iter().enumerate().map(|(i, cell)| (arm_key(cell), i)).collect();
    let labels = labels::labels(&firsts);
    let arms = firsts.into_iter().zip(labels).map(|(cell, label)| Arm {
        label,
        spelling: cell.spelling(),
        engine: cell.engine.clone(),
        version: cell.version.clone(),
        role: cell.role,
    });
    (arms.collect(), index)
}

fn one_machine(runs: &[Run]) -> bool {
    let idle = |run: &Run| {
        let mut machine = run.machine.clone();
        machine.load = None;
        machine
    };
    runs.windows(2).all(|pair| idle(&pair[0]) == idle(&pair[1]))
}

fn samples_by_cell(records: &Records) -> HashMap<&Cell, Vec<(usize, &Sample)>> {
    let mut by_cell: HashMap<&Cell, Vec<(usize, &Sample)>> = HashMap::new();
    for (i, sample) in records.samples.iter().enumerate() {
        by_cell.entry(&sample.cell).or_default().push((i, sample));
    }
    by_cell
}

/// The good samples of all references.
struct ReferenceSamples<'r> {
    /// By what makes two samples a pair.
    pairs: HashMap<(&'r str, &'r str, Pass, u32), &'r Sample>,
    by_workload: HashMap<&'r str, Vec<&'r Sample>>,
}

impl<'r> ReferenceSamples<'r> {
    fn new(records: &'r Records, checked: &Checked) -> Self {
        // A reference with an error anywhere is no standard for anything.
        let mut failed = HashSet::new();
        for (sample, error) in records.samples.iter().zip(&checked.errors) {
            if error.is_some() {
                failed.insert(&sample.cell);
            }
        }
        let mut all = Self { pairs: HashMap::new(), by_workload: HashMap::new() };
        for sample in &records.samples {
            if sample.cell.role == Role::Reference && !failed.contains(&sample.cell) {
                all.pairs.insert(pair_key(sample), sample);
                all.by_workload.entry(&sample.cell.workload).or_default().push(sample);
            }
        }
        all
    }
}

fn pair_key(sample: &Sample) -> (&str, &str, Pass, u32) {
    (&sample.run, &sample.cell.workload, sample.pass, sample.round)
}

fn measure(
    cell: &Cell,
    arm: usize,
    samples: &[(usize, &Sample)],
    checked: &Checked,
    reference: &ReferenceSamples<'_>,
    one_machine: bool,
) -> Measured {
    let error = cell_error(samples, checked);
    let good: Vec<&Sample> = samples
        .iter()
        .filter(|(i, _)| checked.errors[*i].is_none())
        .map(|(_, sample)| *sample)
        .collect();
    let mut counts: BTreeMap<Metric, usize> = BTreeMap::new();
    for metric in good.iter().flat_map(|sample| sample.metrics.keys()) {
        *counts.entry(*metric).or_default() += 1;
    }
    let mut figures = BTreeMap::new();
    if error.is_none() {
        for &metric in counts.keys() {
            let own: Vec<f64> = values(&good, metric);
            let others: &[&Sample] = match reference.by_workload.get(cell.workload.as_str()) {
                Some(samples) if one_machine && cell.role != Role::Reference => samples,
                _ => &[],
            };
            let pairs = good.iter().filter(|_| cell.role != Role::Reference).filter_map(|sample| {
                let partner = reference.pairs.get(&pair_key(sample))?;
                Some((*sample.metrics.get(&metric)?, *partner.metrics.get(&metric)?))
            });
            let side = Side { pairs: pairs.collect(), reference: values(others, metric) };
            figures.extend(figure(metric, &own, &side).map(|figure| (metric, figure)));
        }
    }
    let mut used: Vec<&Sample> = if error.is_none() { good.clone() } else { Vec::new() };
    used.sort_by_key(|sample| sample.round);
    Measured {
        arm,
        cell: cell.clone(),
        wall_s: values(&used, Metric::WallS),
        heap: used
            .iter()
            .find(|sample| !sample.heap.is_empty())
            .map_or_else(Vec::new, |sample| sample.heap.clone()),
        series: typical_series(&good).filter(|_| error.is_none()),
        occupancy: good.iter().find_map(|s| s.occupancy.clone()).filter(|_| error.is_none()),
        error,
        good: counts,
        figures,
    }
}

fn values(samples: &[&Sample], metric: Metric) -> Vec<f64> {
    samples.iter().filter_map(|sample| sample.metrics.get(&metric).copied()).collect()
}

/// One sample with an error spoils its cell: what failed once is no candidate.
fn cell_error(samples: &[(usize, &Sample)], checked: &Checked) -> Option<String> {
    if samples.is_empty() {
        return Some("not measured: the run ended before its turn".into());
    }
    let errors: Vec<&String> =
        samples.iter().filter_map(|(i, _)| checked.errors[*i].as_ref()).collect();
    let mut kinds: Vec<(&String, usize)> = Vec::new();
    for error in &errors {
        match kinds.iter_mut().find(|(kind, _)| kind == error) {
            Some((_, count)) => *count += 1,
            None => kinds.push((error, 1)),
        }
    }
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let (most, _) = kinds.first()?;
    let others = match kinds.len() {
        1 => String::new(),
        n => format!(", among {n} kinds of error"),
    };
    Some(match samples.len() {
        total if total == errors.len() => format!("{most}{others}"),
        total => format!("{most}{others} ({} of {total} samples)", errors.len()),
    })
}

/// The series of the sample whose peak is the median, so that a plot shows a
/// real run and not a mixture.
fn typical_series(good: &[&Sample]) -> Option<Series> {
    let mut with_series: Vec<&Sample> =
        good.iter().copied().filter(|s| s.series.is_some()).collect();
    with_series.sort_by_key(|s| {
        let series = s.series.iter().flat_map(|series| &series.rss_bytes);
        (series.max().copied(), s.round)
    });
    with_series.get(with_series.len() / 2)?.series.clone()
}
