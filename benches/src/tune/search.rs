//! Count every configuration, and leave out what counts rule out.

use std::time::Duration;

use brkpoint_reports::record::{Exit, Metric, Pass, Role};
use brkpoint_reports::stats::median;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

use super::bench::{Bench, Taken};
use super::between::Grid;
use super::halve;
use super::prune::Facts;
use super::{Objective, Request, TuneError, differs};
use crate::engine::Arm;
use crate::measure::{CALLS, Measured};
use crate::supervise::Syscalls;

/// Share of the budget at which counting ends at the latest.
const COUNTED_BY: f64 = 0.35;
/// Configurations that are confirmed.
pub(super) const FINALISTS: usize = 3;
/// Why a configuration is out that takes more than `--max-memory`.
pub(super) const TOO_MUCH: &str = "more memory than allowed";
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
    /// It was left out since the program did not do its work under it.
    pub failed: bool,
    /// It was left out by its counts alone, which may be wrong.
    pub pruned: bool,
    /// It was, and has been timed all the same.
    pub readmitted: bool,
}

impl Tried {
    pub(super) fn new(arm: Arm, blind: bool) -> Tried {
        Tried {
            arm,
            blind,
            facts: None,
            calls: None,
            ratios: Vec::new(),
            out: None,
            failed: false,
            pruned: false,
            readmitted: false,
        }
    }

    /// Leaves it out for `error`, if there is one.
    pub(super) fn fail(&mut self, error: Option<String>) {
        if error.is_some() {
            (self.out, self.failed, self.pruned) = (error, true, false);
        }
    }

    /// Leaves it out by what was counted.
    fn prune(&mut self, why: String) {
        self.out = Some(why);
        self.pruned = true;
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

/// What every configuration is measured against.
pub(super) struct Standing<'a> {
    pub(super) request: &'a Request,
    pub(super) reference: &'a Arm,
    pub(super) standard: &'a Standard,
    /// What was counted of the reference.
    pub(super) facts: &'a Facts,
}

/// What the search saw.
#[derive(Debug)]
pub struct Found {
    /// Its run in the record file.
    pub run: String,
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
    let run = bench.begin("search", arms)?;
    let (facts, calls, standard, wall_s, mut notes) = first(bench, request, reference)?;
    notes.extend(shortness(wall_s));
    if standard.digest.is_none() {
        notes.push("the output varies from run to run, so it is not compared".to_owned());
    }
    let mut order = Pcg64Mcg::seed_from_u64(request.seed);
    let standing = Standing { request, reference, standard: &standard, facts: &facts };
    count(bench, &standing, &mut tried, &mut order)?;
    let uncounted = tried.iter().filter(|one| one.facts.is_none() && one.out.is_none()).count();
    let failed: Vec<&Tried> = tried.iter().filter(|one| one.failed).collect();
    if let Some(first) = failed.first() {
        notes.push(format!(
            "{} of {} configurations fail and are left out, {} among them: {}",
            failed.len(),
            tried.len(),
            named(&first.arm),
            first.out.as_deref().unwrap_or_default()
        ));
    }
    if uncounted > 0 {
        notes.push(format!(
            "{uncounted} of {} configurations were not tried for want of time; --budget gives more",
            tried.len()
        ));
    }
    leave_out(request, &facts, reference, &mut tried);
    let finalists = halve::halve(bench, &standing, &mut tried, &mut order)?;
    Ok(Found { run, reference: facts, calls, standard, wall_s, tried, finalists, notes })
}

/// What is to be said of a program that takes `wall_s` seconds.
fn shortness(wall_s: f64) -> Option<String> {
    (Duration::from_secs_f64(wall_s) < SHORT).then(|| {
        format!(
            "one run takes {:.1} ms, most of which is the start of a process: a longer input would \
             show more",
            wall_s * 1e3
        )
    })
}

/// The reference by itself: whether it works, and how long it takes.
fn first(
    bench: &mut Bench<'_>,
    request: &Request,
    reference: &Arm,
) -> Result<(Facts, Syscalls, Standard, f64, Vec<String>), TuneError> {
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
    Ok((facts, calls, Standard { exit: time.exit, digest }, wall_s, counts.notes.clone()))
}

/// What a counts pass showed.
pub(crate) fn counted(measured: &Measured) -> Facts {
    let get = |metric| measured.metrics.get(&metric).copied().unwrap_or(0.0);
    Facts {
        calls: CALLS.iter().map(|(_, calls, _)| get(*calls)).sum(),
        brk_calls: get(Metric::SyscallsBrk),
        faults: get(Metric::MinorFaults),
        asked_bytes: get(Metric::BytesBrk) + get(Metric::BytesMmap),
        peak_bytes: None,
    }
}

/// Counts, then peak memory, of each configuration, in an order that leaves no
/// corner of the grid for last.
fn count(
    bench: &mut Bench<'_>,
    standing: &Standing<'_>,
    tried: &mut [Tried],
    order: &mut Pcg64Mcg,
) -> Result<(), TuneError> {
    let mut turns: Vec<usize> = (0..tried.len()).filter(|&i| tried[i].out.is_none()).collect();
    turns.shuffle(order);
    let grid = Grid::of(tried);
    grid.ends_first(&mut turns);
    for turn in turns {
        if bench.past(COUNTED_BY) {
            break;
        }
        if let Some((one, other)) = grid.between(turn, tried) {
            let why = format!(
                "between {} and {}, which do the same",
                named(&tried[one].arm),
                named(&tried[other].arm)
            );
            tried[turn].facts = tried[one].facts;
            tried[turn].prune(why);
            continue;
        }
        if !count_one(bench, standing, &mut tried[turn])? {
            break;
        }
    }
    Ok(())
}

/// Counts a configuration, and measures its peak memory unless its counts leave it out.
/// `false`: the time is up.
pub(super) fn count_one(
    bench: &mut Bench<'_>,
    standing: &Standing<'_>,
    one: &mut Tried,
) -> Result<bool, TuneError> {
    let Taken::Measured(counts) = bench.take(&one.arm, Role::Candidate, Pass::Counts, 0)? else {
        return Ok(false);
    };
    one.fail(standing.standard.error(&counts));
    if one.failed {
        return Ok(true);
    }
    one.calls = counts.syscalls.clone();
    let facts = counted(&counts);
    // Less memory alone makes nothing faster: then it need not be measured.
    let for_speed = matches!(standing.request.objective, Objective::Time | Objective::Faults);
    let own = one.arm.engine == standing.reference.engine && !one.blind;
    if for_speed && own && !facts.gains_on(&Facts { peak_bytes: None, ..*standing.facts }) {
        one.facts = Some(facts);
        one.prune("calls and faults no less than the default".to_owned());
        return Ok(true);
    }
    let Taken::Measured(memory) = bench.take(&one.arm, Role::Candidate, Pass::Memory, 0)? else {
        return Ok(false);
    };
    one.fail(standing.standard.error(&memory));
    let peak_bytes = memory.metrics.get(&Metric::PeakRssBytes).copied();
    one.facts = Some(Facts { peak_bytes, ..facts });
    Ok(true)
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
        if too_much {
            tried[i].out = Some(TOO_MUCH.to_owned());
            continue;
        }
        let why = if tried[i].blind {
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
        if let Some(why) = why {
            tried[i].prune(why);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_a_millisecond_is_told_that_it_mostly_starts() {
        assert!(shortness(0.0012).is_some_and(|note| note.starts_with("one run takes 1.2 ms")));
        assert_eq!(shortness(0.5), None);
    }
}
