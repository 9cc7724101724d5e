//! Who is fastest, who needs least memory, and which trade-offs are worth having.

use super::{all_names, is, names};
use crate::analysis::{Arm, Measured, Report, Workload};
use crate::judge::{Verdict, judge, margin};
use crate::record::{Metric, Role};
use crate::stats::{Estimate, Interval, MIN_SAMPLES, geometric_mean};
use crate::units;

/// The overall standing of an engine against the reference.
struct Standing<'r> {
    arm: &'r Arm,
    time: Estimate,
    memory: Option<Estimate>,
    /// Workloads on which it is better in time, and worse.
    wins: usize,
    losses: usize,
}

/// All engines that can be compared on every workload of the reference.
pub(super) struct Field<'r> {
    reference: &'r Arm,
    standings: Vec<Standing<'r>>,
    workloads: usize,
    /// Engines without a ratio in time on every workload.
    incomplete: Vec<&'r Arm>,
    /// Fewest samples behind a comparison in time.
    rounds: usize,
}

impl<'r> Field<'r> {
    pub fn new(report: &'r Report) -> Option<Self> {
        let reference = report.arms.iter().find(|arm| arm.role == Role::Reference)?;
        let (mut standings, mut incomplete) = (Vec::new(), Vec::new());
        for (i, arm) in report.arms.iter().enumerate() {
            if arm.role != Role::Candidate {
                continue;
            }
            match overall(report, i, Metric::WallS) {
                Some(time) => standings.push(Standing {
                    arm,
                    time,
                    wins: tally(report, i, Verdict::Better),
                    losses: tally(report, i, Verdict::Worse),
                    memory: overall(report, i, Metric::PeakRssBytes),
                }),
                None => incomplete.push(arm),
            }
        }
        Some(Self {
            reference,
            standings,
            workloads: comparable(report, Metric::WallS).count(),
            incomplete,
            rounds: fewest(report, Metric::WallS),
        })
    }

    pub fn time(&self) -> String {
        let reference = &self.reference.label;
        if self.standings.is_empty() {
            return match self.incomplete.is_empty() {
                true => {
                    format!("Only {reference} was measured: there is nothing to compare it with.")
                }
                false => {
                    format!("No engine can be compared with {reference} in time on every workload.")
                }
            };
        }
        let over = self.over();
        let leaders = leaders(&self.standings, |s| Some(s.time), Metric::WallS);
        match leaders[..] {
            [] => self.nobody_faster(),
            [only] => {
                let at =
                    only.memory.map(|m| format!(", at {} its peak memory", units::ratio(m.value)));
                format!(
                    "{over}{} is fastest: {} {reference}’s time{}{}{}.",
                    only.arm.label,
                    units::ratio_interval(only.time),
                    self.mean(),
                    at.unwrap_or_default(),
                    self.wins(only),
                )
            }
            [first, .., last] => format!(
                "{over}{} fastest is one of {}, too close to tell apart: {} {reference}’s time{}.",
                if over.is_empty() { "The" } else { "the" },
                names(leaders.iter().map(|s| s.arm)),
                between(first.time, last.time),
                self.mean(),
            ),
        }
    }

    fn nobody_faster(&self) -> String {
        let reference = &self.reference.label;
        let over = self.over();
        let of = |wanted: Verdict| {
            let judged =
                |s: &&Standing<'_>| judge(s.time.interval, margin(Metric::WallS)) == wanted;
            self.standings.iter().filter(judged).map(|s| s.arm).collect::<Vec<_>>()
        };
        let (same, worse, open) = (of(Verdict::Same), of(Verdict::Worse), of(Verdict::Undecided));
        let mut parts = Vec::new();
        if !same.is_empty() {
            let within = units::percent(margin(Metric::WallS));
            parts.push(format!(
                "{} {} within {within} of its time",
                names(same.iter().copied()),
                is(same.len())
            ));
        }
        if !worse.is_empty() {
            parts.push(format!("{} {} slower", names(worse.iter().copied()), is(worse.len())));
        }
        if !open.is_empty() {
            parts.push(format!(
                "{} {} undecided{}",
                names(open.iter().copied()),
                is(open.len()),
                after(self.rounds)
            ));
        }
        let what = match open.len() == self.standings.len() {
            true => "othing is decided in time".to_owned(),
            false => format!("o engine is faster than {reference}"),
        };
        let begin = if over.is_empty() { "N" } else { "n" };
        format!("{over}{begin}{what}: {}.", parts.join("; "))
    }

    pub fn memory(&self, report: &Report) -> Option<String> {
        let reference = &self.reference.label;
        let known = self.standings.iter().any(|s| s.memory.is_some());
        let judged = self
            .standings
            .iter()
            .filter(|s| s.memory.is_some_and(|m| m.interval.is_some()))
            .count();
        let leaders = leaders(&self.standings, |s| s.memory, Metric::PeakRssBytes);
        let best = match leaders.first() {
            Some(best) => best,
            None if !known => return None,
            None if judged == 0 => {
                let rounds = after(fewest(report, Metric::PeakRssBytes));
                return Some(format!("Nothing is decided in peak memory{rounds}."));
            }
            None => {
                return Some(format!(
                    "No engine is shown to need less peak memory than {reference}."
                ));
            }
        };
        let value = best.memory?;
        let most = leaders.last().and_then(|last| last.memory)?;
        Some(match leaders.len() {
            1 => format!(
                "{} needs least memory at its peak: {} {reference}’s{}, in {} its time.",
                best.arm.label,
                units::ratio_interval(value),
                self.mean(),
                units::ratio(best.time.value),
            ),
            _ => format!(
                "Least memory at its peak is needed by one of {}, too close to tell apart: {} {reference}’s{}.",
                names(leaders.iter().map(|s| s.arm)),
                between(value, most),
                self.mean(),
            ),
        })
    }

    /// The engines that none is better than in one of time and memory without
    /// being worse in the other.
    pub fn front(&self) -> Option<String> {
        if self.standings.is_empty() {
            return None;
        }
        let one = Interval::point(1.0);
        let mut points = vec![(self.reference, one, one)];
        for s in &self.standings {
            points.push((s.arm, s.time.interval?, s.memory?.interval?));
        }
        let beats = |a: &(&Arm, Interval, Interval), b: &(&Arm, Interval, Interval)| {
            let better = |a: Interval, b: Interval| a.high < b.low;
            let somewhere = better(a.1, b.1) || better(a.2, b.2);
            somewhere && !better(b.1, a.1) && !better(b.2, a.2)
        };
        let front: Vec<&Arm> =
            points.iter().filter(|p| !points.iter().any(|q| beats(q, p))).map(|p| p.0).collect();
        match front[..] {
            [] => None,
            [only] => {
                Some(format!("{} is beaten by none in either time or peak memory.", only.label))
            }
            _ if front.len() == points.len() => Some(
                "No engine with all its figures is shown to be beaten in one of time and peak \
                 memory without being better in the other."
                    .into(),
            ),
            _ => Some(format!(
                "The choices worth having between time and peak memory are {}; \
                 every other engine with all its figures is beaten in one and no better in the other.",
                all_names(front.iter().copied())
            )),
        }
    }

    fn over(&self) -> String {
        match self.workloads {
            1 => String::new(),
            n => format!("Over {n} workloads "),
        }
    }

    fn wins(&self, of: &Standing<'_>) -> String {
        match self.workloads {
            1 => String::new(),
            n => format!("; faster on {} of {n}, slower on {}", of.wins, of.losses),
        }
    }

    fn mean(&self) -> &'static str {
        if self.workloads > 1 { " (geometric mean)" } else { "" }
    }
}

/// The cells of each workload whose reference has a figure of `metric`.
fn comparable(report: &Report, metric: Metric) -> impl Iterator<Item = &Vec<Measured>> {
    let has = move |w: &&Workload| w.reference().is_some_and(|r| r.figure(metric).is_some());
    report.workloads.iter().filter(has).map(|w| &w.cells)
}

/// Fewest samples of `metric` behind a comparison.
fn fewest(report: &Report, metric: Metric) -> usize {
    let figures = comparable(report, metric).flatten().filter_map(|cell| cell.figure(metric));
    figures.map(|figure| figure.n).min().unwrap_or(0)
}

/// Two ratios, or one if they read the same.
fn between(low: Estimate, high: Estimate) -> String {
    let (low, high) = (units::ratio(low.value), units::ratio(high.value));
    if low == high { low } else { format!("{low} to {high}") }
}

/// Why something is undecided after so many rounds.
fn after(rounds: usize) -> String {
    match rounds {
        n if n < MIN_SAMPLES => format!(" (rounds: {n}; an interval takes {MIN_SAMPLES})"),
        n => format!(" after {n} rounds; more would narrow the intervals"),
    }
}

/// The geometric mean of an arm's ratios over all workloads; `None` if one is
/// missing. The interval runs between the means of the ends, which is wider
/// than it need be.
fn overall(report: &Report, arm: usize, metric: Metric) -> Option<Estimate> {
    let mut ratios = Vec::new();
    for cells in comparable(report, metric) {
        let cell = cells.iter().find(|cell| cell.arm == arm)?;
        ratios.push(cell.figure(metric)?.ratio?);
    }
    let intervals: Option<Vec<Interval>> = ratios.iter().map(|r| r.interval).collect();
    let mean = |values: Vec<f64>| geometric_mean(&values);
    Some(Estimate {
        value: mean(ratios.iter().map(|r| r.value).collect())?,
        interval: intervals.and_then(|all| {
            Some(Interval {
                low: mean(all.iter().map(|i| i.low).collect())?,
                high: mean(all.iter().map(|i| i.high).collect())?,
            })
        }),
    })
}

/// Workloads on which the time of an arm has this verdict.
fn tally(report: &Report, arm: usize, wanted: Verdict) -> usize {
    let cells = report.workloads.iter().flat_map(|w| &w.cells).filter(|cell| cell.arm == arm);
    cells
        .filter(|cell| cell.figure(Metric::WallS).is_some_and(|f| f.verdict == Some(wanted)))
        .count()
}

/// The best of those shown to be better than the reference, and everyone whom it
/// is not shown to be better than, be they shown to be better than the reference
/// or not; the lowest first.
fn leaders<'s, 'r>(
    standings: &'s [Standing<'r>],
    of: impl Fn(&Standing<'r>) -> Option<Estimate>,
    metric: Metric,
) -> Vec<&'s Standing<'r>> {
    let mut known: Vec<(Estimate, &Standing<'r>)> =
        standings.iter().filter_map(|s| Some((of(s)?, s))).collect();
    known.sort_by(|a, b| a.0.value.total_cmp(&b.0.value));
    let better = |e: &Estimate| judge(e.interval, margin(metric)) == Verdict::Better;
    let best = known.iter().map(|(estimate, _)| estimate).find(|estimate| better(estimate));
    let Some(best) = best.and_then(|best| best.interval) else {
        return Vec::new();
    };
    // Without an interval, nothing is shown about it.
    let close = |e: &Estimate| e.interval.is_none_or(|interval| interval.overlaps(best));
    known.iter().filter(|(estimate, _)| close(estimate)).map(|(_, s)| *s).collect()
}
