//! The samples of a gate: by workload, quantity, arm and round.

use std::collections::BTreeMap;

use super::rules::Duel;
use crate::check::check;
use crate::quantity::Quantity;
use crate::read::Records;
use crate::record::{Pass, Role, Sample, Stage};

/// Counts of so many processes of the base, its repeat among them, show that a
/// count does not vary.
const ENOUGH: usize = 4;

/// What one stage measured.
pub(super) struct Samples<'r> {
    /// Workloads in the order in which they were planned.
    workloads: Vec<&'r str>,
    values: BTreeMap<(&'r str, Quantity, Role), ByRound<'r>>,
    failures: Vec<(&'r str, Role, String)>,
}

/// By run and round.
type ByRound<'r> = BTreeMap<(&'r str, u32), f64>;

impl<'r> Samples<'r> {
    pub fn of(records: &'r Records, stage: Stage) -> Samples<'r> {
        let is_of = |run: &str| {
            let run = records.runs.iter().find(|other| other.id == run);
            run.and_then(|run| run.gate).is_some_and(|gate| gate.stage == stage)
        };
        let runs: Vec<&str> =
            records.runs.iter().map(|run| run.id.as_str()).filter(|id| is_of(id)).collect();
        let checked = check(records);
        let mut samples =
            Samples { workloads: Vec::new(), values: BTreeMap::new(), failures: Vec::new() };
        let planned = records.runs.iter().filter(|run| runs.contains(&run.id.as_str()));
        for cell in planned.flat_map(|run| &run.cells) {
            if !samples.workloads.contains(&cell.workload.as_str()) {
                samples.workloads.push(&cell.workload);
            }
        }
        for (sample, error) in records.samples.iter().zip(&checked.errors) {
            if !runs.contains(&sample.run.as_str()) {
                continue;
            }
            match error {
                None => samples.take(sample),
                Some(error) => {
                    samples.failures.push((&sample.cell.workload, sample.cell.role, error.clone()));
                }
            }
        }
        samples
    }

    fn take(&mut self, sample: &'r Sample) {
        for quantity in Quantity::ALL {
            if let Some(value) = quantity.of(sample) {
                let place = (sample.cell.workload.as_str(), quantity, sample.cell.role);
                let round = (sample.run.as_str(), sample.round);
                self.values.entry(place).or_default().insert(round, value);
            }
        }
    }

    /// Every row that arms of `role` have, against the base.
    pub fn rows(&self, role: Role) -> impl Iterator<Item = (&'r str, Quantity, Duel)> + '_ {
        let all = self.workloads.iter();
        let all = all.flat_map(|&workload| Quantity::ALL.map(|quantity| (workload, quantity)));
        all.filter_map(move |(workload, quantity)| {
            Some((workload, quantity, self.duel(workload, quantity, role)?))
        })
    }

    /// The samples of an arm of `role` beside those of the base; `None` if there are
    /// none on one side.
    pub fn duel(&self, workload: &str, quantity: Quantity, role: Role) -> Option<Duel> {
        let of = |role| self.values.get(&(workload, quantity, role));
        let (base, new) = (of(Role::Reference)?, of(role)?);
        let values = |by_round: &ByRound<'r>| by_round.values().copied().collect::<Vec<f64>>();
        let same: Vec<f64> = values(base)
            .into_iter()
            .chain(of(Role::Repeat).map(values).unwrap_or_default())
            .collect();
        let (base_values, new_values) = (values(base), values(new));
        let exact = quantity.pass() == Pass::Counts
            && same.len() >= ENOUGH
            && new_values.len() >= 2
            && is_one_value(&same)
            && is_one_value(&new_values);
        let pairs = new.iter().filter_map(|(round, new)| Some((*base.get(round)?, *new))).collect();
        Some(Duel { base: base_values, new: new_values, pairs, exact })
    }

    /// Workloads on which arms of `role` failed, each with its first reason.
    pub fn failures(&self, role: Role) -> impl Iterator<Item = (String, String)> + '_ {
        let mut seen = Vec::new();
        let failed = self.failures.iter().filter(move |(workload, of, _)| {
            *of == role && self.base_failure(workload).is_none() && {
                let first = !seen.contains(workload);
                seen.push(*workload);
                first
            }
        });
        failed.map(|(workload, _, why)| ((*workload).to_owned(), why.clone()))
    }

    /// Workloads of which nothing can be said, each with the reason.
    pub fn base_failures(&self) -> impl Iterator<Item = (&'r str, String)> + '_ {
        self.workloads.iter().filter_map(|workload| Some((*workload, self.base_failure(workload)?)))
    }

    /// Why nothing can be said of a workload: the base itself fails on it.
    pub fn base_failure(&self, workload: &str) -> Option<String> {
        let base = |role| matches!(role, Role::Reference | Role::Repeat);
        let found = self.failures.iter().find(|(of, role, _)| *of == workload && base(*role))?;
        Some(format!("the base fails: {}", found.2))
    }
}

fn is_one_value(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}
