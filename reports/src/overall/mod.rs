//! Engines over several workloads: geometric means, and one engine against the
//! best of its peers.
//!
//! ```text
//! of a round       the mean over the workloads of the logarithm of the quantity
//! ratio of means   from the differences of two engines' rounds: the Hodges-Lehmann
//!                  estimate and its interval (`stats::paired_ratio`)
//! ```
//!
//! A round counts for an engine if every workload has a good sample in it. An
//! engine with an error anywhere has no mean: what fails on one workload is not
//! the faster on all.

mod text;

use std::collections::{BTreeMap, HashMap};

use crate::analysis::{Arm, Report, Workload};
use crate::check::check;
use crate::quantity::Quantity;
use crate::read::Records;
use crate::record::{Cell, Role};
use crate::stats::{CONFIDENCE, Estimate, geometric_mean, median, paired_ratio};

/// How the engines stand over all workloads.
#[derive(Debug, Clone, PartialEq)]
pub struct Overall {
    /// What is compared.
    pub quantity: Quantity,
    /// Names of the workloads, in the order of each [`Standing`]'s figures.
    pub workloads: Vec<String>,
    /// The engines; the reference first, then its repeat.
    pub standings: Vec<Standing>,
}

/// One engine over all workloads.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The engine under its settings.
    pub arm: Arm,
    /// Median of each workload's samples; `None` if one failed or there is none.
    pub medians: Vec<Option<f64>>,
    /// Ratio to the reference on each workload; `None` also for the reference.
    pub ratios: Vec<Option<Estimate>>,
    /// Geometric mean of the ratios to the reference; `None` also for the reference.
    pub mean: Option<Estimate>,
    /// By round: the geometric mean over the workloads.
    rounds: BTreeMap<Round, f64>,
}

/// A run and its round.
type Round = (String, u32);

/// An engine against each of its peers, over all workloads.
#[derive(Debug, Clone, PartialEq)]
pub struct Contest<'o> {
    /// The engine that is judged.
    pub own: &'o Standing,
    /// Against each peer, the best of them first.
    pub duels: Vec<Duel<'o>>,
}

/// An engine against one peer.
#[derive(Debug, Clone, PartialEq)]
pub struct Duel<'o> {
    /// The peer.
    pub peer: &'o Standing,
    /// Geometric mean of the ratios of the engine to the peer.
    pub ratio: Estimate,
}

/// Sums `records`, of which `report` is the analysis, up over all workloads.
pub fn overall(records: &Records, report: &Report, quantity: Quantity) -> Overall {
    let values = values(records, quantity);
    let none = BTreeMap::new();
    // Of each arm, by workload; empty where the cell failed.
    let of_arm = |arm: usize| -> Vec<&BTreeMap<Round, f64>> {
        let cell = |workload: &Workload| {
            let cell = workload.cells.iter().find(|cell| cell.arm == arm)?;
            values.get(&cell.cell).filter(|_| cell.error.is_none())
        };
        report.workloads.iter().map(|workload| cell(workload).unwrap_or(&none)).collect()
    };
    let reference = report.arms.iter().position(|arm| arm.role == Role::Reference);
    let reference = reference.map(of_arm);
    let standings = report.arms.iter().enumerate().map(|(index, arm)| {
        let own = of_arm(index);
        let rounds = means(&own);
        let mut standing = Standing {
            arm: arm.clone(),
            medians: own.iter().map(|by_round| median_of(by_round)).collect(),
            ratios: vec![None; own.len()],
            mean: None,
            rounds,
        };
        if let Some(reference) = reference.as_ref().filter(|_| arm.role != Role::Reference) {
            standing.ratios = own.iter().zip(reference).map(|(own, all)| ratio(own, all)).collect();
            standing.mean = ratio(&standing.rounds, &means(reference));
        }
        standing
    });
    Overall {
        quantity,
        workloads: report.workloads.iter().map(|workload| workload.name.clone()).collect(),
        standings: standings.collect(),
    }
}

/// The quantity by cell and round, of the samples that are good.
fn values(records: &Records, quantity: Quantity) -> HashMap<&Cell, BTreeMap<Round, f64>> {
    let checked = check(records);
    let mut values: HashMap<_, BTreeMap<Round, f64>> = HashMap::new();
    for (sample, error) in records.samples.iter().zip(&checked.errors) {
        if error.is_none()
            && let Some(value) = quantity.of(sample)
        {
            let round = (sample.run.clone(), sample.round);
            values.entry(&sample.cell).or_default().insert(round, value);
        }
    }
    values
}

/// The geometric mean of each round that all workloads have.
fn means(workloads: &[&BTreeMap<Round, f64>]) -> BTreeMap<Round, f64> {
    let Some((first, others)) = workloads.split_first() else { return BTreeMap::new() };
    let mean = |(round, value): (&Round, &f64)| {
        let others = others.iter().map(|by_round| by_round.get(round).copied());
        let all: Vec<f64> = std::iter::once(Some(*value)).chain(others).collect::<Option<_>>()?;
        Some((round.clone(), geometric_mean(&all)?))
    };
    first.iter().filter_map(mean).collect()
}

fn median_of(by_round: &BTreeMap<Round, f64>) -> Option<f64> {
    median(&by_round.values().copied().collect::<Vec<_>>())
}

fn ratio(own: &BTreeMap<Round, f64>, other: &BTreeMap<Round, f64>) -> Option<Estimate> {
    let pair = |(round, value): (&Round, &f64)| Some((*value, *other.get(round)?));
    paired_ratio(&own.iter().filter_map(pair).collect::<Vec<_>>(), CONFIDENCE)
}

impl Overall {
    /// Every engine called `own` against each that is not; the repeat of the
    /// reference is no peer.
    ///
    /// Which peer is best is told by the same samples: the lowest geometric mean.
    /// Luck helps whichever comes out best of several that are close, so the
    /// ratio to the best errs against `own`, and never for it.
    pub fn contests(&self, own: &str) -> Vec<Contest<'_>> {
        let (own, mut peers): (Vec<&Standing>, Vec<&Standing>) = self
            .standings
            .iter()
            .filter(|standing| standing.arm.role != Role::Repeat)
            .partition(|standing| standing.arm.engine == own);
        peers.sort_by(|a, b| a.place().total_cmp(&b.place()));
        own.into_iter().map(|own| Contest { own, duels: duels(own, &peers) }).collect()
    }
}

fn duels<'o>(own: &Standing, peers: &[&'o Standing]) -> Vec<Duel<'o>> {
    let ratio = |peer: &Standing| ratio(&own.rounds, &peer.rounds);
    peers.iter().filter_map(|peer| Some(Duel { peer, ratio: ratio(peer)? })).collect()
}

impl<'o> Contest<'o> {
    /// Against the best of all.
    pub fn best(&self) -> Option<&Duel<'o>> {
        self.duels.first()
    }

    /// Against the best but for the reference.
    pub fn best_candidate(&self) -> Option<&Duel<'o>> {
        self.duels.iter().find(|duel| duel.peer.arm.role == Role::Candidate)
    }
}

impl Duel<'_> {
    /// Whether the engine is worse beyond doubt: the interval lies wholly above 1.
    pub fn is_lost(&self) -> bool {
        self.ratio.interval.is_some_and(|interval| interval.low > 1.0)
    }
}

impl Standing {
    /// Ratio to the reference, which itself is at 1.
    fn place(&self) -> f64 {
        match self.arm.role {
            Role::Reference => 1.0,
            _ => self.mean.map_or(f64::INFINITY, |mean| mean.value),
        }
    }
}
