//! Samples of one quantity by arm, row and round.

use std::collections::{BTreeMap, HashMap};

use super::{Quantity, Row};
use crate::analysis::Report;
use crate::read::Records;
use crate::record::Metric;
use crate::stats::{geometric_mean, median};

/// What makes samples of different arms a pair: the run and the round.
type Round<'r> = (&'r str, u32);

/// The samples of one quantity.
pub(super) struct Grid<'r> {
    rows: Vec<&'r str>,
    /// By arm and row; only of cells without an error.
    samples: HashMap<(usize, usize), BTreeMap<Round<'r>, f64>>,
    /// By row: the most live bytes of any sample.
    live: HashMap<usize, f64>,
}

impl<'r> Grid<'r> {
    /// The samples of `rows`; those of an arm in a row only if that `counts`.
    pub(super) fn new(
        records: &'r Records,
        report: &Report,
        rows: &[&'r Row],
        quantity: Quantity,
        counts: impl Fn(usize, &Row) -> bool,
    ) -> Grid<'r> {
        let cells = report.workloads.iter().flat_map(|workload| &workload.cells);
        let sound = cells.filter(|cell| cell.error.is_none());
        let arms: HashMap<_, _> = sound.map(|cell| (&cell.cell, cell.arm)).collect();
        let names = rows.iter().map(|row| row.name.as_str()).collect();
        let mut grid = Grid { rows: names, samples: HashMap::new(), live: HashMap::new() };
        for sample in &records.samples {
            let row = grid.rows.iter().position(|row| *row == sample.cell.workload);
            let (Some(row), Some(&arm)) = (row, arms.get(&sample.cell)) else { continue };
            if let Some(&live) = sample.metrics.get(&Metric::PeakLiveBytes) {
                let most = grid.live.entry(row).or_insert(live);
                *most = most.max(live);
            }
            if sample.pass == quantity.pass()
                && counts(arm, rows[row])
                && let Some(value) = quantity.of(sample)
            {
                let rounds = grid.samples.entry((arm, row)).or_default();
                rounds.insert((&sample.run, sample.round), value);
            }
        }
        grid
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = usize> {
        0..self.rows.len()
    }

    pub(super) fn name(&self, row: usize) -> &'r str {
        self.rows[row]
    }

    /// The median over the rounds.
    pub(super) fn figure(&self, arm: usize, row: usize) -> Option<f64> {
        let rounds = self.samples.get(&(arm, row))?;
        median(&rounds.values().copied().collect::<Vec<_>>())
    }

    /// The most live bytes of the row; 0 where they are not known.
    pub(super) fn live(&self, row: usize) -> f64 {
        self.live.get(&row).copied().unwrap_or_default()
    }

    /// The geometric means of both arms over `rows` in each round that has them all.
    pub(super) fn paired_means(&self, one: usize, other: usize, rows: &[usize]) -> Vec<(f64, f64)> {
        let Some(first) = rows.first().and_then(|row| self.samples.get(&(one, *row))) else {
            return Vec::new();
        };
        let mean = |arm: usize, round: &Round<'r>| {
            let values = rows.iter().map(|&row| self.samples.get(&(arm, row))?.get(round).copied());
            geometric_mean(&values.collect::<Option<Vec<f64>>>()?)
        };
        first.keys().filter_map(|round| Some((mean(one, round)?, mean(other, round)?))).collect()
    }
}
