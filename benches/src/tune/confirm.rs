//! The finalists against the reference, in rounds that the search has not seen.

use std::collections::BTreeMap;

use brkpoint_reports::Verdict as Word;
use brkpoint_reports::record::{Metric, Pass, Role};
use brkpoint_reports::stats::{Estimate, LOOKS};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

use super::bench::{Bench, Taken};
use super::decide::{self, Duel, Ratios};
use super::search::Found;
use super::{Objective, Request, TuneError};
use crate::engine::Arm;

/// Rounds in which peak memory is measured even where it does not decide.
const MEMORY_ROUNDS: u32 = 3;

/// What the confirmation saw.
#[derive(Debug)]
pub struct Confirmed {
    /// Its run in the record file; none if there was nothing to confirm.
    pub run: Option<String>,
    /// Whole rounds.
    pub rounds: u32,
    /// Each finalist that did its work in all of them.
    pub duels: Vec<Duel>,
    /// The reference against itself: wall times.
    pub repeat: Option<Estimate>,
    /// Finalists that failed, with the reason.
    pub failed: Vec<(usize, String)>,
}

/// Who takes a turn in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Reference,
    Repeat,
    Finalist(usize),
}

/// Confirms until it is decided or the time is up.
pub(super) fn confirm(
    bench: &mut Bench<'_>,
    request: &Request,
    reference: &Arm,
    found: &Found,
) -> Result<Confirmed, TuneError> {
    let mut confirmed =
        Confirmed { run: None, rounds: 0, duels: Vec::new(), repeat: None, failed: Vec::new() };
    if found.finalists.is_empty() {
        return Ok(confirmed);
    }
    let arm = |turn| match turn {
        Turn::Reference => (reference, Role::Reference),
        Turn::Repeat => (reference, Role::Repeat),
        Turn::Finalist(i) => (&found.tried[i].arm, Role::Candidate),
    };
    let mut turns = vec![Turn::Reference, Turn::Repeat];
    turns.extend(found.finalists.iter().copied().map(Turn::Finalist));
    confirmed.run = Some(bench.begin("confirm", turns.iter().map(|turn| arm(*turn)))?);
    let weighs = matches!(request.objective, Objective::Memory | Objective::Balanced);
    // Another stream than the search's.
    let mut order = Pcg64Mcg::seed_from_u64(!request.seed);
    let mut pairs: BTreeMap<Turn, Vec<Ratios>> = BTreeMap::new();
    'rounds: for round in 0..LOOKS[LOOKS.len() - 1] {
        let mut seen: BTreeMap<Turn, (f64, Option<f64>)> = BTreeMap::new();
        turns.shuffle(&mut order);
        for &turn in &turns {
            let (arm, role) = arm(turn);
            let Taken::Measured(time) = bench.take(arm, role, Pass::Time, round)? else {
                break 'rounds;
            };
            let mut error = found.standard.error(&time);
            let mut peak = None;
            if (weighs || round < MEMORY_ROUNDS) && error.is_none() {
                let Taken::Measured(memory) = bench.take(arm, role, Pass::Memory, round)? else {
                    break 'rounds;
                };
                error = found.standard.error(&memory);
                peak = memory.metrics.get(&Metric::PeakRssBytes).copied();
            }
            match (error, request.work.cost().of(&time.metrics)) {
                (None, Some(cost)) if cost > 0.0 => {
                    seen.insert(turn, (cost, peak));
                }
                (error, _) => {
                    let why = error.unwrap_or_else(|| "its time could not be measured".to_owned());
                    match turn {
                        Turn::Finalist(i) => confirmed.failed.push((i, why)),
                        _ => {
                            let engine = reference.engine.clone();
                            return Err(TuneError::Broken { engine, why });
                        }
                    }
                }
            }
        }
        let gone = |turn: &Turn| matches!(turn, Turn::Finalist(i) if confirmed.failed.iter().any(|(j, _)| i == j));
        turns.retain(|turn| !gone(turn));
        pairs.retain(|turn, _| !gone(turn));
        let (base, base_peak) = seen[&Turn::Reference];
        for (turn, (cost, peak)) in seen.into_iter().filter(|(turn, _)| *turn != Turn::Reference) {
            let facts = match turn {
                Turn::Finalist(i) => found.tried[i].facts.unwrap_or(found.reference),
                _ => found.reference,
            };
            let mut ratios = Ratios::of(cost / base, &facts, &found.reference);
            ratios.memory = peak.zip(base_peak).map(|(mine, theirs)| mine / theirs);
            pairs.entry(turn).or_default().push(ratios);
        }
        confirmed.rounds = round + 1;
        if LOOKS.contains(&confirmed.rounds) {
            judge(request, &pairs, &mut confirmed);
            let decided = |word| word != Word::Undecided;
            let won = confirmed.duels.iter().any(|duel| duel.word == Word::Better);
            if won || confirmed.duels.iter().all(|duel| decided(duel.word)) {
                return Ok(confirmed);
            }
        }
    }
    // The time is up: that does not depend on what was seen, so this look takes
    // the place of the next planned one.
    judge(request, &pairs, &mut confirmed);
    Ok(confirmed)
}

fn judge(request: &Request, pairs: &BTreeMap<Turn, Vec<Ratios>>, confirmed: &mut Confirmed) {
    confirmed.duels.clear();
    for (turn, pairs) in pairs {
        match turn {
            Turn::Finalist(i) => confirmed.duels.extend(decide::duel(request, *i, pairs)),
            Turn::Repeat => {
                let costs: Vec<(f64, f64)> = pairs.iter().map(|r| (r.cost, 1.0)).collect();
                confirmed.repeat =
                    brkpoint_reports::stats::paired_ratio(&costs, decide::confidence());
            }
            Turn::Reference => {}
        }
    }
}
