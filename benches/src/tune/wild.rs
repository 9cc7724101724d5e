//! Configurations that their counts left out, and that are timed all the same.
//!
//! Counts are only a likeness of time: where blocks lie does not show in them. So a
//! few of those left out get a chance, spread over the grid; where one of them does
//! well, its neighbours in the grid follow.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

use super::search::Tried;

/// How many are drawn from those left out, at the least and as a share of them.
const LEAST: usize = 6;
const SHARE: usize = 8;
/// How many neighbours follow after one rung.
const FOLLOW: usize = 6;

/// Those left out by counts that no other with the same counts stands for, and that
/// lie farthest, in settings, from what is in the field and from each other.
pub(super) fn draw(tried: &[Tried], order: &mut Pcg64Mcg) -> Vec<usize> {
    let mut pool = pool(tried);
    pool.shuffle(order);
    let most = LEAST.max(pool.len() / SHARE);
    let mut near: Vec<usize> = (0..tried.len()).filter(|&i| tried[i].out.is_none()).collect();
    let mut drawn = Vec::new();
    while drawn.len() < most {
        let nearest = |i: usize| near.iter().map(|&j| distance(&tried[i], &tried[j])).min();
        // The first of equals, in the order drawn.
        let Some(at) = (0..pool.len()).rev().max_by_key(|&at| nearest(pool[at])) else { break };
        let next = pool.remove(at);
        near.push(next);
        drawn.push(next);
    }
    drawn
}

/// The neighbours in the grid, still left out, of readmitted ones that did well.
pub(super) fn follow(tried: &[Tried], did_well: &[usize]) -> Vec<usize> {
    let beside = |&i: &usize| did_well.iter().any(|&j| distance(&tried[i], &tried[j]) == 1);
    pool(tried).into_iter().filter(beside).take(FOLLOW).collect()
}

/// Those left out by counts, one for each kind of counts that is not in the field.
fn pool(tried: &[Tried]) -> Vec<usize> {
    let mut kinds: Vec<usize> = (0..tried.len())
        .filter(|&i| !tried[i].pruned || tried[i].readmitted)
        .filter(|&i| tried[i].facts.is_some() && !tried[i].blind)
        .collect();
    let mut pool = Vec::new();
    for i in (0..tried.len()).filter(|&i| tried[i].pruned && !tried[i].readmitted) {
        let Some(facts) = tried[i].facts else { continue };
        let stands_for = |j: &usize| {
            tried[*j].arm.engine == tried[i].arm.engine
                && tried[*j].facts.is_some_and(|other| other.same_counts(&facts))
        };
        if !kinds.iter().any(stands_for) {
            kinds.push(i);
            pool.push(i);
        }
    }
    pool
}

/// In how many knobs two configurations differ; of two engines, in all of them.
fn distance(a: &Tried, b: &Tried) -> usize {
    let (one, other): (&BTreeMap<_, _>, &BTreeMap<_, _>) = (&a.arm.settings, &b.arm.settings);
    if a.arm.engine != b.arm.engine {
        return one.len() + other.len();
    }
    let differs = |name: &&String| one.get(*name) != other.get(*name);
    let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
    names.filter(differs).count()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::engine::Arm;
    use crate::tune::Facts;

    fn tried(settings: &[(&str, &str)], faults: f64, pruned: bool) -> Tried {
        let arm = Arm {
            settings: settings.iter().map(|&(k, v)| (k.into(), v.into())).collect(),
            ..Arm::unproved("glibc")
        };
        let mut one = Tried::new(arm, false);
        one.facts =
            Some(Facts { calls: 0.0, brk_calls: 0.0, faults, asked_bytes: 0.0, peak_bytes: None });
        one.pruned = pruned;
        one.out = pruned.then(|| "counts".to_owned());
        one
    }

    #[test]
    fn what_is_drawn_is_spread_and_nothing_in_it_does_what_another_does() {
        let mut all = vec![tried(&[("m", "1"), ("t", "1")], 100.0, false)];
        for (i, m) in ["1", "2", "3", "4"].iter().enumerate() {
            for (j, t) in ["1", "2", "3", "4"].iter().enumerate().skip(1) {
                let faults = 1000.0 * (1 + 4 * i + j) as f64;
                all.push(tried(&[("m", m), ("t", t)], faults, true));
            }
        }
        // As another left out, and as one in the field.
        all.push(tried(&[("m", "9")], 2000.0, true));
        all.push(tried(&[("m", "8")], 100.0, true));
        let twins = [all.len() - 2, all.len() - 1];
        for seed in 0..20 {
            let drawn = draw(&all, &mut Pcg64Mcg::seed_from_u64(seed));
            assert_eq!(drawn.len(), LEAST);
            assert!(drawn.iter().all(|i| all[*i].pruned && !twins.contains(i)), "{drawn:?}");
            // The farthest from (1, 1) differ in both knobs: 9 of 12.
            assert!(distance(&all[drawn[0]], &all[0]) == 2, "{drawn:?}");
            let values: std::collections::BTreeSet<_> =
                drawn.iter().map(|&i| &all[i].arm.settings["m"]).collect();
            assert!(values.len() >= 3, "{values:?}");
        }
    }

    #[test]
    fn neighbours_of_what_did_well_follow() {
        let mut all = vec![
            tried(&[("m", "1"), ("t", "1")], 1000.0, true),
            tried(&[("m", "1"), ("t", "2")], 2000.0, true),
            tried(&[("m", "2"), ("t", "2")], 3000.0, true),
            tried(&[("m", "1")], 4000.0, true),
        ];
        all[0].readmitted = true;
        assert_eq!(follow(&all, &[0]), [1, 3]);
        assert!(follow(&all, &[]).is_empty());
    }
}
