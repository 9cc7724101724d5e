//! The field in interleaved timed rounds, half of it out after each rung.

use brkpoint_reports::margin;
use brkpoint_reports::record::{Metric, Pass, Role};
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

use super::TuneError;
use super::bench::{Bench, Taken};
use super::cross;
use super::decide::Ratios;
use super::search::{FINALISTS, Standing, TOO_MUCH, Tried};
use super::wild;

/// Share of the budget at which the halving ends at the latest.
const HALVED_BY: f64 = 0.55;
/// The most rounds of one rung: more would tell the confirmation's story twice.
const MOST_ROUNDS: u32 = 8;
/// Rounds that a field of finalists gets: one alone says little of a short program.
const LEAST_ROUNDS: u32 = 3;

/// Times what is in the field, and some that counts left out; those to be confirmed.
pub(super) fn halve(
    bench: &mut Bench<'_>,
    standing: &Standing<'_>,
    tried: &mut Vec<Tried>,
    order: &mut Pcg64Mcg,
) -> Result<Vec<usize>, TuneError> {
    let drawn = wild::draw(tried, order);
    readmit(bench, standing, tried, &drawn)?;
    let mut field: Vec<usize> =
        (0..tried.len()).filter(|&i| tried[i].facts.is_some() && tried[i].out.is_none()).collect();
    let mut round = 1;
    while !field.is_empty() && !bench.past(HALVED_BY) {
        // What time there is, is shared evenly by the rungs that are left.
        let rungs = (field.len() as f64 / FINALISTS as f64).log2().ceil().max(1.0);
        let spent = bench.spent();
        let until = spent + (HALVED_BY - spent) / rungs;
        let least = if field.len() > FINALISTS { 1 } else { LEAST_ROUNDS };
        let mut rounds = 0;
        while rounds < least || (rounds < MOST_ROUNDS && !bench.past(until)) {
            if !timed_round(bench, standing, tried, &field, round, order)? {
                break;
            }
            (round, rounds) = (round + 1, rounds + 1);
            if bench.past(HALVED_BY) {
                break;
            }
        }
        field.retain(|&i| tried[i].out.is_none());
        rank(&mut field, tried);
        if field.len() <= FINALISTS || rounds == 0 {
            break;
        }
        field.truncate((field.len() / 2).max(FINALISTS));
        let well = 1.0 / (1.0 + margin(Metric::WallS));
        let did_well =
            |&i: &usize| tried[i].readmitted && tried[i].score().is_some_and(|score| score < well);
        let did_well: Vec<usize> = field.iter().copied().filter(did_well).collect();
        let followers = wild::follow(tried, &did_well);
        readmit(bench, standing, tried, &followers)?;
        field.extend(followers.into_iter().filter(|&i| tried[i].out.is_none()));
    }
    let crossed = cross::combine(bench, standing, tried)?;
    if !crossed.is_empty() {
        field.extend(crossed);
        for _ in 0..MOST_ROUNDS {
            if bench.past(HALVED_BY) || !timed_round(bench, standing, tried, &field, round, order)?
            {
                break;
            }
            round += 1;
        }
        field.retain(|&i| tried[i].out.is_none());
    }
    rank(&mut field, tried);
    // The best in any case: that the default is best is for the confirmation to
    // say, too.
    let good = |&&i: &&usize| tried[i].score().is_some_and(|score| score < 1.0);
    let good = field.iter().filter(good).count();
    field.truncate(good.clamp(1, FINALISTS));
    field.retain(|&i| tried[i].score().is_some());
    Ok(field)
}

/// Takes `chosen` back into the field, with their peak memory where that is not
/// known yet.
fn readmit(
    bench: &mut Bench<'_>,
    standing: &Standing<'_>,
    tried: &mut [Tried],
    chosen: &[usize],
) -> Result<(), TuneError> {
    for &i in chosen {
        if bench.past(HALVED_BY) {
            break;
        }
        let one = &mut tried[i];
        let Some(facts) = &mut one.facts else { continue };
        let mut error = None;
        one.out = None;
        if facts.peak_bytes.is_none() {
            let Taken::Measured(memory) = bench.take(&one.arm, Role::Candidate, Pass::Memory, 0)?
            else {
                break;
            };
            facts.peak_bytes = memory.metrics.get(&Metric::PeakRssBytes).copied();
            error = standing.standard.error(&memory);
        }
        let most = standing.request.max_memory.map(|bytes| bytes as f64);
        let too_much = most.is_some_and(|most| facts.peak_bytes.is_some_and(|peak| peak > most));
        if too_much {
            (one.out, one.pruned) = (Some(TOO_MUCH.to_owned()), false);
        }
        one.fail(error);
        one.readmitted = one.out.is_none();
    }
    Ok(())
}

/// The best first; what was never timed last.
fn rank(field: &mut [usize], tried: &[Tried]) {
    let score = |i: usize| tried[i].score().unwrap_or(f64::INFINITY);
    field.sort_by(|&a, &b| score(a).total_cmp(&score(b)));
}

/// One round: the reference and the field, in an order drawn anew. `false`: the
/// time is up.
fn timed_round(
    bench: &mut Bench<'_>,
    standing: &Standing<'_>,
    tried: &mut [Tried],
    field: &[usize],
    round: u32,
    order: &mut Pcg64Mcg,
) -> Result<bool, TuneError> {
    let mut turns: Vec<Option<usize>> = field.iter().copied().map(Some).collect();
    turns.push(None);
    turns.shuffle(order);
    let (mut base, mut costs) = (None, Vec::new());
    for turn in turns {
        let (arm, role) = match turn {
            None => (standing.reference, Role::Reference),
            Some(i) if tried[i].out.is_some() => continue,
            Some(i) => (&tried[i].arm, Role::Candidate),
        };
        let Taken::Measured(measured) = bench.take(arm, role, Pass::Time, round)? else {
            return Ok(false);
        };
        let error = standing.standard.error(&measured);
        let cost = standing.request.work.cost().of(&measured.metrics).filter(|_| error.is_none());
        match (turn, cost) {
            (None, cost) => base = cost,
            (Some(i), Some(cost)) => costs.push((i, cost)),
            (Some(i), None) => {
                let why = error.unwrap_or_else(|| "its cost could not be measured".to_owned());
                tried[i].fail(Some(why));
            }
        }
    }
    let Some(base) = base.filter(|base| *base > 0.0) else { return Ok(true) };
    for (i, cost) in costs {
        let Some(facts) = tried[i].facts else { continue };
        let ratios = Ratios::of(cost / base, &facts, standing.facts);
        tried[i].ratios.push(ratios.score(standing.request));
    }
    Ok(true)
}
