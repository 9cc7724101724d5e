//! From paired samples to an answer.

use brkpoint_reports::record::Metric;
use brkpoint_reports::stats::{CONFIDENCE, Estimate, LOOKS, median, paired_ratio, spread};
use brkpoint_reports::{Verdict as Word, judge, margin};

use super::confirm::Confirmed;
use super::search::{FINALISTS, Found};
use super::{Facts, Objective, Request};

/// So many times the best is as good as it, and so much memory as good as the least.
const NEAR: f64 = 1.03;
const ALIKE: f64 = 1.05;

/// A configuration's figures to the reference's; less is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratios {
    /// Of what the work costs, mostly its time.
    pub cost: f64,
    /// Of peak resident bytes; `None` where they are unknown.
    pub memory: Option<f64>,
    /// Of minor faults.
    pub faults: f64,
}

impl Ratios {
    pub(super) fn of(cost: f64, mine: &Facts, reference: &Facts) -> Ratios {
        let memory = match (mine.peak_bytes, reference.peak_bytes) {
            (Some(mine), Some(theirs)) if theirs > 0.0 => Some(mine / theirs),
            _ => None,
        };
        Ratios { cost, memory, faults: (mine.faults + 1.0) / (reference.faults + 1.0) }
    }

    /// What the search ranks by: the objective, and a price on slowness that an
    /// objective other than time does not allow.
    pub(super) fn score(&self, request: &Request) -> f64 {
        let memory = self.memory.unwrap_or(1.0);
        let slow = (self.cost / (1.0 + request.max_slowdown)).max(1.0).powi(4);
        match request.objective {
            Objective::Time => self.cost,
            Objective::Balanced => (self.cost * memory).sqrt(),
            Objective::Memory => memory * slow,
            Objective::Faults => self.faults * slow,
        }
    }
}

/// A finalist against the reference.
#[derive(Debug, Clone)]
pub struct Duel {
    /// Its index in [`Found::tried`].
    pub tried: usize,
    /// Of the objective; its interval pays for the number of finalists and looks.
    pub objective: Estimate,
    /// Of the cost, likewise.
    pub cost: Estimate,
    /// Of the peak resident bytes: the median over the rounds that measured them.
    pub memory: Option<f64>,
    /// How it stands.
    pub word: Word,
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// These settings: an index into [`Found::tried`].
    Recommend(usize),
    /// The default is best: why.
    KeepDefault(String),
    /// Not decided: what would decide it.
    Undecided(String),
}

/// The confidence of one finalist's interval at one look, so that the chance that
/// any of them deceives at any look is that of one interval of [`CONFIDENCE`].
pub(super) fn confidence() -> f64 {
    spread(CONFIDENCE, FINALISTS * LOOKS.len())
}

/// Judges the pairs of a finalist: its figures over the reference's, by round.
pub(super) fn duel(request: &Request, tried: usize, pairs: &[Ratios]) -> Option<Duel> {
    let estimate = |of: &dyn Fn(&Ratios) -> Option<f64>| {
        let ratios = pairs.iter().filter_map(of);
        let pairs: Vec<(f64, f64)> = ratios.map(|ratio| (ratio, 1.0)).collect();
        paired_ratio(&pairs, confidence())
    };
    let cost = estimate(&|ratios| Some(ratios.cost))?;
    let memory: Vec<f64> = pairs.iter().filter_map(|ratios| ratios.memory).collect();
    let objective = match request.objective {
        Objective::Time => cost,
        Objective::Memory => estimate(&|ratios| ratios.memory)?,
        Objective::Balanced => estimate(&|ratios| Some((ratios.cost * ratios.memory?).sqrt()))?,
        // Counts of one process each: they hardly vary.
        Objective::Faults => Estimate::exact(pairs.first()?.faults),
    };
    let metric = match request.objective {
        Objective::Time | Objective::Balanced => Metric::WallS,
        Objective::Memory => Metric::PeakRssBytes,
        Objective::Faults => Metric::MinorFaults,
    };
    let word = judge(objective.interval, margin(metric));
    let free = matches!(request.objective, Objective::Time | Objective::Balanced);
    let limit = 1.0 + request.max_slowdown;
    let word = match (word, cost.interval) {
        (Word::Better, Some(cost)) if !free && cost.low > limit => Word::Worse,
        (Word::Better, Some(cost)) if !free && cost.high > limit => Word::Undecided,
        (Word::Better, None) if !free => Word::Undecided,
        (word, _) => word,
    };
    Some(Duel { tried, objective, cost, memory: median(&memory), word })
}

/// Whether the default takes more memory than allowed.
fn too_large(request: &Request, found: &Found) -> bool {
    let peak = found.reference.peak_bytes;
    request.max_memory.is_some_and(|most| peak.is_some_and(|peak| peak > most as f64))
}

/// The answer to `request`.
pub(super) fn verdict(request: &Request, found: &Found, confirmed: &Confirmed) -> Verdict {
    let counted = found.tried.iter().filter(|one| one.facts.is_some()).count();
    let timed = found.tried.iter().filter(|one| !one.ratios.is_empty()).count();
    if found.tried.is_empty() {
        return Verdict::KeepDefault("the engine has no knob to tune here".to_owned());
    }
    if counted == 0 {
        let why = "no configuration could be tried in the time; give more with --budget";
        return Verdict::Undecided(why.to_owned());
    }
    let unfinished = found.tried.iter().any(|one| one.out.is_none() && one.ratios.is_empty());
    if found.finalists.is_empty() {
        return match unfinished {
            true => Verdict::Undecided(
                "the time was up before every configuration that differs had been timed; give more \
                 with --budget"
                    .to_owned(),
            ),
            false if timed == 0 && too_large(request, found) => Verdict::Undecided(format!(
                "the default takes more than --max-memory allows, and none of {counted} configurations \
                 was found that does not; allow more"
            )),
            false if timed == 0 => Verdict::KeepDefault(format!(
                "of {counted} configurations none differs from it in system calls, faults and \
                 memory, or differs for the better"
            )),
            // Those that were timed failed.
            false => Verdict::KeepDefault(format!(
                "of {counted} configurations that were counted and {timed} that were timed, none \
                 did its work"
            )),
        };
    }
    let same = confirmed.repeat.map(|repeat| judge(repeat.interval, margin(Metric::WallS)));
    if matches!(same, Some(Word::Better | Word::Worse)) {
        return Verdict::Undecided(
            "the default differs from itself (the A/A row), so no difference can be trusted; try \
             again on a quieter machine"
                .to_owned(),
        );
    }
    let better: Vec<&Duel> = confirmed.duels.iter().filter(|d| d.word == Word::Better).collect();
    let settings = |duel: &Duel| found.tried[duel.tried].arm.settings.len();
    if let Some(duel) = choose(&better, &settings) {
        return Verdict::Recommend(duel.tried);
    }
    let hopeless = |duel: &Duel| matches!(duel.word, Word::Same | Word::Worse);
    let untried = found.tried.iter().filter(|one| one.facts.is_none() && one.out.is_none()).count();
    let all = confirmed.duels.len() == found.finalists.len();
    if all && confirmed.duels.iter().all(hopeless) && untried > 0 {
        return Verdict::Undecided(format!(
            "of those that were tried the default is best, but {untried} of {} configurations were \
             not, for want of time; give more with --budget",
            found.tried.len()
        ));
    }
    if all && confirmed.duels.iter().all(hopeless) {
        return Verdict::KeepDefault(format!(
            "the best of {counted} configurations, measured again in {} rounds, is not better by \
             more than the margin",
            confirmed.rounds
        ));
    }
    Verdict::Undecided(undecided(request, confirmed))
}

/// Which of those that are better: within [`NEAR`] of the best, and of these within
/// [`ALIKE`] of the least memory, the one with the fewest settings.
fn choose<'d>(better: &[&'d Duel], settings: &dyn Fn(&Duel) -> usize) -> Option<&'d Duel> {
    let best = better.iter().map(|duel| duel.objective.value).reduce(f64::min)?;
    let near = || better.iter().filter(|duel| duel.objective.value <= best * NEAR);
    let memory = |duel: &Duel| duel.memory.unwrap_or(1.0);
    let least = near().map(|duel| memory(duel)).reduce(f64::min)?;
    let alike = near().filter(|duel| memory(duel) <= least * ALIKE);
    let order = |a: &Duel, b: &Duel| {
        settings(a).cmp(&settings(b)).then(a.objective.value.total_cmp(&b.objective.value))
    };
    alike.copied().min_by(|a, b| order(a, b))
}

/// What would decide it.
fn undecided(request: &Request, confirmed: &Confirmed) -> String {
    let rounds = confirmed.rounds;
    let last = LOOKS[LOOKS.len() - 1];
    if rounds >= last {
        return format!(
            "after {rounds} rounds the intervals still reach across the margin: the machine is too \
             noisy, or the gain too small to matter; a quieter machine or a longer input decides"
        );
    }
    let next = LOOKS.iter().find(|&&look| look > rounds).copied().unwrap_or(last);
    let more = request.budget.mul_f64(f64::from(next) / f64::from(rounds.max(1)));
    format!(
        "{rounds} rounds fitted in the time, too few for the interval to lie beyond the margin; \
         --budget {:.0}s allows about {next}",
        more.as_secs_f64().ceil()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::Work;

    fn request(objective: Objective) -> Request {
        Request {
            engines: vec!["glibc".into()],
            reference: "glibc".into(),
            work: Work::command("true".into(), Vec::new(), None),
            objective,
            max_slowdown: 0.02,
            max_memory: None,
            budget: Duration::from_secs(60),
            timeout: Duration::from_secs(60),
            seed: 1,
        }
    }

    /// Ratios about `time`, off by up to 1 % in either direction.
    fn pairs(n: usize, time: f64, memory: f64) -> Vec<Ratios> {
        let off = |i: usize| 1.0 + (i as f64 / n as f64 - 0.5) / 50.0;
        (0..n).map(|i| Ratios { cost: time * off(i), memory: Some(memory), faults: 1.0 }).collect()
    }

    fn word(objective: Objective, n: usize, time: f64, memory: f64) -> Word {
        duel(&request(objective), 0, &pairs(n, time, memory)).expect("ratios").word
    }

    #[test]
    fn a_gain_counts_only_from_the_first_look_on() {
        assert_eq!(word(Objective::Time, LOOKS[0] as usize, 0.25, 1.2), Word::Better);
        assert_eq!(word(Objective::Time, 8, 0.25, 1.2), Word::Undecided);
        assert_eq!(word(Objective::Time, 24, 1.0, 0.5), Word::Same);
        assert_eq!(word(Objective::Time, 24, 1.3, 0.5), Word::Worse);
    }

    #[test]
    fn of_those_alike_the_one_with_the_fewest_settings_is_chosen() {
        let duel = |tried, objective, memory| Duel {
            tried,
            objective: Estimate::exact(objective),
            cost: Estimate::exact(objective),
            memory: Some(memory),
            word: Word::Better,
        };
        let settings = |duel: &Duel| [3, 2, 1, 1][duel.tried];
        let chosen = |duels: &[Duel]| {
            let duels: Vec<&Duel> = duels.iter().collect();
            choose(&duels, &settings).map(|duel| duel.tried)
        };
        // Alike in both: fewer settings. Slower: not. Fatter: not.
        assert_eq!(chosen(&[duel(0, 0.54, 1.02), duel(1, 0.55, 1.03)]), Some(1));
        assert_eq!(chosen(&[duel(0, 0.54, 1.02), duel(2, 0.60, 1.00)]), Some(0));
        assert_eq!(chosen(&[duel(1, 0.54, 1.02), duel(3, 0.54, 1.40)]), Some(1));
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn less_memory_must_not_cost_more_time_than_allowed() {
        assert_eq!(word(Objective::Memory, 24, 1.0, 0.5), Word::Better);
        assert_eq!(word(Objective::Memory, 24, 1.3, 0.5), Word::Worse);
        assert_eq!(word(Objective::Memory, 24, 1.018, 0.5), Word::Undecided);
        assert_eq!(word(Objective::Balanced, 24, 1.1, 0.5), Word::Better);
    }

    /// Noise of 5 % about no difference: at most one set of finalists in a hundred
    /// may be recommended at any look; here none of 20 is.
    #[test]
    fn of_twenty_programs_to_which_no_knob_matters_none_gets_a_recommendation() {
        use rand::{RngExt, SeedableRng};
        for seed in 0..20 {
            let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
            let mut draw = || (random.random_range(-0.05..0.05f64)).exp();
            for _ in 0..FINALISTS {
                let all: Vec<Ratios> = (0..LOOKS[LOOKS.len() - 1])
                    .map(|_| Ratios { cost: draw() / draw(), memory: None, faults: 1.0 })
                    .collect();
                for look in LOOKS {
                    let seen = duel(&request(Objective::Time), 0, &all[..look as usize]);
                    assert_ne!(seen.expect("ratios").word, Word::Better, "seed {seed}");
                }
            }
        }
    }
}
