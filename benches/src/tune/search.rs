//! Count every configuration, leave out what counts rule out, then halve the
//! field in interleaved timed rounds.

use std::time::Duration;

use brkpoint_reports::record::{Exit, Metric, Pass, Role};
use brkpoint_reports::stats::median;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

use super::bench::{Bench, Taken};
use super::decide::Ratios;
use super::prune::Facts;
use super::{Objective, Request, TuneError, differs};
use crate::engine::Arm;
use crate::measure::{CALLS, Measured};
use crate::supervise::Syscalls;

/// Shares of the budget at which counting, and then the halving, end at the latest.
const COUNTED_BY: f64 = 0.35;
const HALVED_BY: f64 = 0.55;
/// Configurations that are confirmed.
pub(super) const FINALISTS: usize = 3;
/// A program as short as this is mostly its own start.
const SHORT: Duration = Duration::from_millis(10);

/// A configuration and what is known of it.
#[derive(Debug)]
pub struct Tried {
    /// The engine under its settings.
    pub arm: Arm,
    /// Equal counts do not make it equal to another.
    pub blind: bool,
    /// What was counted of it; `None`: there was no time.
    pub facts: Option<Facts>,
    /// The memory calls that were counted.
    pub calls: Option<Syscalls>,
    /// Its figure to that of the reference in each timed round of the search.
    pub ratios: Vec<f64>,
    /// Why it was left out.
    pub out: Option<String>,
}

impl Tried {
    pub(super) fn new(arm: Arm, blind: bool) -> Tried {
        Tried { arm, blind, facts: None, calls: None, ratios: Vec::new(), out: None }
    }

    /// The middle of its ratios.
    pub fn score(&self) -> Option<f64> {
        median(&self.ratios)
    }
}

/// How the reference does its work: what every other must do, too.
#[derive(Debug, Clone)]
pub struct Standard {
    /// Its exit.
    pub exit: Option<Exit>,
    /// Its output; `None` if that varies.
    pub digest: Option<String>,
}

impl Standard {
    /// Why `measured` did not do the work.
    pub(super) fn error(&self, measured: &Measured) -> Option<String> {
        let other = |digest: &String| {
            let differs = measured.digest.as_ref().is_some_and(|mine| mine != digest);
            differs.then(|| "its output differs from the reference's".to_owned())
        };
        let error = measured.error.clone().or_else(|| differs(measured.exit, self.exit));
        error.or_else(|| self.digest.as_ref().and_then(other))
    }
}

/// What the search saw.
#[derive(Debug)]
pub struct Found {
    /// What was counted of the reference.
    pub reference: Facts,
    /// Its memory calls.
    pub calls: Syscalls,
    /// How it does its work.
    pub standard: Standard,
    /// Wall time of the reference's first timed process, in seconds.
    pub wall_s: f64,
    /// All configurations.
    pub tried: Vec<Tried>,
    /// Of `tried`, those to be confirmed, the best first.
    pub finalists: Vec<usize>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Runs the search; what it finds is for the confirmation to judge.
pub(super) fn search(
    bench: &mut Bench<'_>,
    request: &Request,
    reference: &Arm,
    mut tried: Vec<Tried>,
) -> Result<Found, TuneError> {
    let arms = std::iter::once((reference, Role::Reference))
        .chain(tried.iter().map(|one| (&one.arm, Role::Candidate)));
    bench.begin("search", arms)?;
    let (facts, calls, standard, wall_s) = first(bench, request, reference)?;
    let mut notes = Vec::new();
    if Duration::from_secs_f64(wall_s) < SHORT {
        notes.push(format!(
            "one run takes {:.1} ms, most of which is the start of a process: a longer input would \
             show more",
            wall_s * 1e3
        ));
    }
    if standard.digest.is_none() {
        notes.push("the output varies from run to run, so it is not compared".to_owned());
    }
    let mut order = Pcg64Mcg::seed_from_u64(request.seed);
    count(bench, request, (&standard, &facts), &mut tried, &mut order)?;
    let uncounted = tried.iter().filter(|one| one.facts.is_none() && one.out.is_none()).count();
    if uncounted > 0 {
        notes.push(format!(
            "{uncounted} of {} configurations were not tried for want of time; --budget gives more",
            tried.len()
        ));
    }
    leave_out(request, &facts, reference, &mut tried);
    let finalists = halve(bench, request, reference, (&standard, &facts), &mut tried, &mut order)?;
    Ok(Found { reference: facts, calls, standard, wall_s, tried, finalists, notes })
}

/// The reference by itself: whether it works, and how long it takes.
fn first(
    bench: &mut Bench<'_>,
    request: &Request,
    reference: &Arm,
) -> Result<(Facts, Syscalls, Standard, f64), TuneError> {
    let mut seen = Vec::new();
    for pass in [Pass::Time, Pass::Counts, Pass::Memory] {
        match bench.take(reference, Role::Reference, pass, 0)? {
            Taken::Measured(measured) => {
                if let Some(why) = measured.error {
                    return Err(TuneError::Broken { engine: reference.engine.clone(), why });
                }
                seen.push(measured);
            }
            Taken::NoTime => {
                let one = bench.longest(Pass::Time);
                let ran = match one.is_zero() {
                    true => "the first run did not end within it".to_owned(),
                    false => format!("one run takes {}", super::shown(one)),
                };
                return Err(TuneError::TooSmall { budget: request.budget, ran });
            }
        }
    }
    let [time, counts, memory] = &seen[..] else { unreachable!("three passes were taken") };
    if let Some(why) = differs(counts.exit, time.exit).or(differs(memory.exit, time.exit)) {
        let why = format!("its exit varies ({why})");
        return Err(TuneError::Broken { engine: reference.engine.clone(), why });
    }
    let stable = time.digest == counts.digest && time.digest == memory.digest;
    let digest = time.digest.clone().filter(|_| stable);
    let peak = memory.metrics.get(&Metric::PeakRssBytes).copied();
    let facts = Facts { peak_bytes: peak, ..counted(counts) };
    let wall_s = time.metrics.get(&Metric::WallS).copied().unwrap_or_default();
    let calls = counts.syscalls.clone().unwrap_or_default();
    Ok((facts, calls, Standard { exit: time.exit, digest }, wall_s))
}

/// What a counts pass showed.
pub(crate) fn counted(measured: &Measured) -> Facts {
    let get = |metric| measured.metrics.get(&metric).copied().unwrap_or(0.0);
    Facts {
        calls: CALLS.iter().map(|(_, calls, _)| get(*calls)).sum(),
        faults: get(Metric::MinorFaults),
        asked_bytes: get(Metric::BytesBrk) + get(Metric::BytesMmap),
        peak_bytes: None,
    }
}

/// Counts, then peak memory, of each configuration, in an order that leaves no
/// corner of the grid for last.
fn count(
    bench: &mut Bench<'_>,
    request: &Request,
    (standard, reference): (&Standard, &Facts),
    tried: &mut [Tried],
    order: &mut Pcg64Mcg,
) -> Result<(), TuneError> {
    // Less memory alone makes nothing faster: then it need not be measured.
    let for_speed = matches!(request.objective, Objective::Time | Objective::Faults);
    let mut turns: Vec<usize> = (0..tried.len()).filter(|&i| tried[i].out.is_none()).collect();
    turns.shuffle(order);
    for turn in turns {
        if bench.past(COUNTED_BY) {
            break;
        }
        let one = &mut tried[turn];
        let Taken::Measured(counts) = bench.take(&one.arm, Role::Candidate, Pass::Counts, 0)?
        else {
            break;
        };
        one.out = standard.error(&counts);
        if one.out.is_some() {
            continue;
        }
        one.calls = counts.syscalls.clone();
        let facts = counted(&counts);
        let own = one.arm.engine == request.reference && !one.blind;
        if for_speed && own && !facts.gains_on(&Facts { peak_bytes: None, ..*reference }) {
            one.facts = Some(facts);
            one.out = Some("calls and faults no less than the default".to_owned());
            continue;
        }
        let Taken::Measured(memory) = bench.take(&one.arm, Role::Candidate, Pass::Memory, 0)?
        else {
            break;
        };
        one.out = standard.error(&memory);
        let peak_bytes = memory.metrics.get(&Metric::PeakRssBytes).copied();
        one.facts = Some(Facts { peak_bytes, ..facts });
    }
    Ok(())
}

/// Leaves out what cannot be the answer.
fn leave_out(request: &Request, reference: &Facts, default: &Arm, tried: &mut [Tried]) {
    let most = request.max_memory.map(|bytes| bytes as f64);
    for i in 0..tried.len() {
        let Some(facts) = tried[i].facts.filter(|_| tried[i].out.is_none()) else { continue };
        let too_much = most.is_some_and(|most| facts.peak_bytes.is_some_and(|peak| peak > most));
        let own = tried[i].arm.engine == default.engine;
        let comparable = |other: &Tried| {
            other.out.is_none() && !other.blind && other.arm.engine == tried[i].arm.engine
        };
        let rivals = || tried.iter().enumerate().filter(|(j, other)| *j != i && comparable(other));
        let simpler = |j: usize, other: &Tried| {
            let key = |at: usize, one: &Tried| (one.arm.settings.len(), at);
            key(j, other) < key(i, &tried[i])
        };
        let why = if too_much {
            Some("more memory than allowed".to_owned())
        } else if tried[i].blind {
            None
        } else if own && !facts.gains_on(reference) {
            Some("calls, faults and holds no less than the default".to_owned())
        } else {
            rivals().find_map(|(j, other)| {
                let theirs = other.facts?;
                if theirs.same_counts(&facts) && simpler(j, other) {
                    Some(format!("does what {} does", named(&other.arm)))
                } else if theirs.dominates(&facts) {
                    Some(format!("{} calls, faults and holds less", named(&other.arm)))
                } else {
                    None
                }
            })
        };
        tried[i].out = why;
    }
}

/// The settings of an arm, in short.
pub(crate) fn named(arm: &Arm) -> String {
    let settings: Vec<String> = arm.settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
    match settings.is_empty() {
        true => format!("{} at its defaults", arm.engine),
        false => format!("{}:{}", arm.engine, settings.join(",")),
    }
}

/// The field in rounds, half of it after 1, 3, 7, ... of them; what is left.
fn halve(
    bench: &mut Bench<'_>,
    request: &Request,
    reference: &Arm,
    standard: (&Standard, &Facts),
    tried: &mut [Tried],
    order: &mut Pcg64Mcg,
) -> Result<Vec<usize>, TuneError> {
    let counted = |one: &Tried| one.facts.is_some() && one.out.is_none();
    let mut field: Vec<usize> = (0..tried.len()).filter(|&i| counted(&tried[i])).collect();
    let (mut round, mut rounds) = (1, 1);
    // Three rounds at the least: one alone says little of a short program.
    while !field.is_empty() && (field.len() > FINALISTS || round < 4) && !bench.past(HALVED_BY) {
        for _ in 0..rounds {
            if !timed_round(bench, request, reference, standard, tried, &field, round, order)? {
                break;
            }
            round += 1;
        }
        field.retain(|&i| tried[i].out.is_none());
        rank(&mut field, tried);
        if field.len() > FINALISTS {
            field.truncate((field.len() / 2).max(FINALISTS));
        }
        rounds *= 2;
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

/// The best first; what was never timed last.
fn rank(field: &mut [usize], tried: &[Tried]) {
    let score = |i: usize| tried[i].score().unwrap_or(f64::INFINITY);
    field.sort_by(|&a, &b| score(a).total_cmp(&score(b)));
}

/// One round: the reference and the field, in an order drawn anew. `false`: the
/// time is up.
#[allow(clippy::too_many_arguments, reason = "a closure over them would hide as many")]
fn timed_round(
    bench: &mut Bench<'_>,
    request: &Request,
    reference: &Arm,
    (standard, standard_facts): (&Standard, &Facts),
    tried: &mut [Tried],
    field: &[usize],
    round: u32,
    order: &mut Pcg64Mcg,
) -> Result<bool, TuneError> {
    let mut turns: Vec<Option<usize>> = field.iter().copied().map(Some).collect();
    turns.push(None);
    turns.shuffle(order);
    let (mut base, mut walls) = (None, Vec::new());
    for turn in turns {
        let (arm, role) = match turn {
            None => (reference, Role::Reference),
            Some(i) => (&tried[i].arm, Role::Candidate),
        };
        let Taken::Measured(measured) = bench.take(arm, role, Pass::Time, round)? else {
            return Ok(false);
        };
        let error = standard.error(&measured);
        let wall = measured.metrics.get(&Metric::WallS).copied().filter(|_| error.is_none());
        match (turn, wall) {
            (None, wall) => base = wall,
            (Some(i), Some(wall)) => walls.push((i, wall)),
            (Some(i), None) => tried[i].out = error,
        }
    }
    let Some(base) = base.filter(|base| *base > 0.0) else { return Ok(true) };
    for (i, wall) in walls {
        let Some(facts) = tried[i].facts else { continue };
        let ratios = Ratios::of(wall / base, &facts, standard_facts);
        tried[i].ratios.push(ratios.score(request));
    }
    Ok(true)
}
