//! The best joint configurations, each with the best of the knobs that were tried alone.

use brkpoint_reports::margin;
use brkpoint_reports::record::Metric;

use super::TuneError;
use super::bench::Bench;
use super::search::{Standing, Tried, count_one};
use crate::engine::{ArmSpec, Engines};

/// So many of either are combined.
const BEST: usize = 2;

/// Adds the combinations to `tried`, counted; their indices.
pub(super) fn combine(
    bench: &mut Bench<'_>,
    standing: &Standing<'_>,
    tried: &mut Vec<Tried>,
) -> Result<Vec<usize>, TuneError> {
    let mut added = Vec::new();
    for spec in specs(tried) {
        let Ok(arm) = Engines::builtin().resolve(&spec, bench.worker()) else { continue };
        // Its counts cannot speak against what the other knob does.
        let mut one = Tried::new(arm, true);
        if !count_one(bench, standing, &mut one)? {
            break;
        }
        let most = standing.request.max_memory.map(|bytes| bytes as f64);
        let peak = one.facts.and_then(|facts| facts.peak_bytes);
        let too_much = most.zip(peak).is_some_and(|(most, peak)| peak > most);
        if !one.failed && !too_much {
            added.push(tried.len());
            tried.push(one);
        }
    }
    Ok(added)
}

/// What to combine: those that beat the default by more than the margin.
fn specs(tried: &[Tried]) -> Vec<ArmSpec> {
    let well = 1.0 / (1.0 + margin(Metric::WallS));
    let best = |blind: bool| {
        let mut best: Vec<&Tried> = tried
            .iter()
            .filter(|one| one.blind == blind && !one.failed && !one.arm.settings.is_empty())
            .filter(|one| one.score().is_some_and(|score| score < well))
            .collect();
        let score = |one: &Tried| one.score().unwrap_or(f64::INFINITY);
        best.sort_by(|a, b| score(a).total_cmp(&score(b)));
        best.truncate(BEST);
        best
    };
    let (joint, alone) = (best(false), best(true));
    let together = |a: &Tried, b: &Tried| {
        let apart = a.arm.settings.keys().all(|knob| !b.arm.settings.contains_key(knob));
        (apart && a.arm.engine == b.arm.engine).then(|| {
            let settings = a.arm.settings.iter().chain(&b.arm.settings);
            ArmSpec {
                engine: a.arm.engine.clone(),
                settings: settings.map(|(knob, value)| (knob.clone(), value.clone())).collect(),
            }
        })
    };
    joint.iter().flat_map(|a| alone.iter().filter_map(|b| together(a, b))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Arm;

    fn tried(engine: &str, knob: &str, blind: bool, score: f64) -> Tried {
        let arm =
            Arm { settings: [(knob.to_owned(), "1".to_owned())].into(), ..Arm::unproved(engine) };
        let mut one = Tried::new(arm, blind);
        one.ratios = vec![score];
        one
    }

    #[test]
    fn what_gained_alone_meets_what_gained_together_in_the_same_engine() {
        let all = [
            tried("glibc", "mmap_threshold", false, 0.5),
            tried("glibc", "top_pad", false, 1.1),
            tried("glibc", "arena_max", true, 0.8),
            tried("glibc", "tcache_count", true, 0.99),
            tried("jemalloc", "narenas", true, 0.7),
        ];
        let specs: Vec<String> = specs(&all).iter().map(ToString::to_string).collect();
        assert_eq!(specs, ["glibc:arena_max=1,mmap_threshold=1"]);
    }
}
