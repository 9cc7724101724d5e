//! The configurations that are tried, from the table of engines.

use std::collections::BTreeMap;

use super::tunables::Tunables;
use crate::engine::{ArmSpec, Engine};

/// A configuration before it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The engine and its settings.
    pub spec: ArmSpec,
    /// Its effect may not show in system calls and faults, so that equal counts
    /// do not make it equal to another.
    pub blind: bool,
}

/// A knob that could not be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Name of the knob.
    pub knob: String,
    /// What of it the running C library lacks.
    pub tunable: String,
}

/// The points of `engine` without its default: every combination of its joint
/// knobs, each of them also left alone, and each value of the others by itself.
/// Knobs that the running C library does not have are left out and named.
pub fn points(engine: &Engine, tunables: Option<&Tunables>) -> (Vec<Point>, Vec<Missing>) {
    let mut missing = Vec::new();
    let mut joint = vec![BTreeMap::new()];
    let mut alone = Vec::new();
    for knob in engine.knobs.iter().filter(|knob| !knob.tune.is_empty()) {
        let tunable = Tunables::named_in(&knob.measure);
        if let (Some(tunable), Some(tunables)) = (tunable, tunables)
            && !tunables.has(tunable)
        {
            missing.push(Missing { knob: knob.name.clone(), tunable: tunable.to_owned() });
            continue;
        }
        if knob.joint {
            let extended = joint.iter().flat_map(|so_far: &BTreeMap<String, String>| {
                knob.tune.iter().map(|value| {
                    let mut settings = so_far.clone();
                    settings.insert(knob.name.clone(), value.clone());
                    settings
                })
            });
            let extended: Vec<_> = extended.collect();
            joint.extend(extended);
        } else {
            let point = |value: &String| {
                let settings = BTreeMap::from([(knob.name.clone(), value.clone())]);
                (settings, knob.blind)
            };
            alone.extend(knob.tune.iter().map(point));
        }
    }
    // The first is the default, which is not a point of the search.
    let joint = joint.into_iter().skip(1).map(|settings| (settings, false));
    let point = |(settings, blind)| Point {
        spec: ArmSpec { engine: engine.name.clone(), settings },
        blind,
    };
    (joint.chain(alone).map(point).collect(), missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engines;

    #[test]
    fn joint_knobs_meet_in_every_combination_and_others_stand_alone() {
        let glibc = Engines::builtin().get("glibc").expect("glibc");
        let (points, missing) = points(glibc, None);
        assert!(missing.is_empty());
        let joint: usize =
            glibc.knobs.iter().filter(|k| k.joint).map(|k| k.tune.len() + 1).product();
        let alone: usize = glibc.knobs.iter().filter(|k| !k.joint).map(|k| k.tune.len()).sum();
        assert_eq!(points.len(), joint - 1 + alone);
        let specs: Vec<String> = points.iter().map(|point| point.spec.to_string()).collect();
        assert!(specs.contains(&"glibc:mmap_threshold=1M,trim_threshold=8M".to_owned()));
        assert!(specs.contains(&"glibc:arena_max=1".to_owned()));
        assert!(!specs.contains(&"glibc".to_owned()), "the default is the reference");
    }

    #[test]
    fn a_knob_that_the_c_library_lacks_is_named_and_not_tried() {
        let glibc = Engines::builtin().get("glibc").expect("glibc");
        let old = Tunables::read("glibc.malloc.mmap_threshold: 0x0 (min: 0x0, max: 0xff)\n");
        let (points, missing) = points(glibc, Some(&old));
        assert!(points.iter().all(|p| p.spec.settings.keys().all(|k| k == "mmap_threshold")));
        assert!(missing.iter().any(|m| m.tunable == "glibc.malloc.tcache_count"));
    }
}
