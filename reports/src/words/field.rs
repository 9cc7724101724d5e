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
        let compared = comparable(report, Metric::WallS);
        let rounds = compared
            .flat_map(|cells| cells.iter().filter_map(|c| c.figure(Metric::WallS)).map(|f| f.n));
        Some(Self {
            reference,
            standings,
            workloads: comparable(report, Metric::WallS).count(),
            incomplete,
            rounds: rounds.min().unwrap_or(0),
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
            [best, .., last] => format!(
                "{over}{} are fastest, too close to tell apart: {} to {} {reference}’s time{}.",
                names(leaders.iter().map(|s| s.arm)),
                units::ratio(best.time.value),
                units::ratio(last.time.value),
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
            let more = match self.rounds {
                n if n < MIN_SAMPLES => format!(" (rounds: {n}; an interval takes {MIN_SAMPLES})"),
                n => format!(" after {n} rounds; more would narrow the intervals"),
            };
            parts.push(format!(
                "{} {} undecided{more}",
                names(open.iter().copied()),
                is(open.len())
            ));
        }
        let what = match open.len() == self.standings.len() {
            true => "othing is decided in time".to_owned(),
            false => format!("o engine is faster than {reference}"),
        };
        let begin = if over.is_empty() { "N" } else { "n" };
        format!("{over}{begin}{what}: {}.", parts.join("; "))
    }

    pub fn memory(&self) -> Option<String> {
        let reference = &self.reference.label;
        let known = self.standings.iter().any(|s| s.memory.is_some());
        let leaders = leaders(&self.standings, |s| s.memory, Metric::PeakRssBytes);
        let best = match leaders.first() {
            Some(best) => best,
            None if known => {
                return Some(format!(
                    "No engine is shown to need less peak memory than {reference}."
                ));
            }
            None => return None,
        };
        let value = best.memory?;
        Some(match leaders.len() {
            1 => format!(
                "{} needs least memory at its peak: {} {reference}’s{}, in {} its time.",
                best.arm.label,
                units::ratio_interval(value),
                self.mean(),
                units::ratio(best.time.value),
            ),
            _ => format!(
                "{} need least memory at their peak, too close to tell apart: about {} {reference}’s{}.",
                names(leaders.iter().map(|s| s.arm)),
                units::ratio(value.value),
                self.mean(),
            ),
        })
    }

    /// The engines that none is better than in one of time and memory without
    /// being worse in the other.
    pub fn front(&self) -> Option<String> {
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
            _ if front.len() == points.len() && points.len() > 2 => Some(
                "Each engine trades time for memory against the others: none is beaten in both."
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

/// Those shown to be better than the reference that the best is not shown to be
/// better than; the lowest first.
fn leaders<'s, 'r>(
    standings: &'s [Standing<'r>],
    of: impl Fn(&Standing<'r>) -> Option<Estimate>,
    metric: Metric,
) -> Vec<&'s Standing<'r>> {
    let mut better: Vec<(f64, Interval, &Standing<'r>)> = standings
        .iter()
        .filter_map(|s| {
            let estimate = of(s)?;
            let interval = estimate.interval?;
            (judge(Some(interval), margin(metric)) == Verdict::Better).then_some((
                estimate.value,
                interval,
                s,
            ))
        })
        .collect();
    better.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some(&(_, best, _)) = better.first() else {
        return Vec::new();
    };
    better.into_iter().filter(|(_, i, _)| i.overlaps(best)).map(|(_, _, s)| s).collect()
}
