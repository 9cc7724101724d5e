//! Which configurations need not be counted: what two of them do alike, those between
//! them do, too.
//!
//! A joint knob is a size or a time that something is compared with. If nothing that a
//! program does tells its lower value from its higher one, nothing lies between the two,
//! and so no value in between makes a difference either.

use super::search::Tried;
use crate::engine::{Engine, Engines};

/// Where configurations lie in the grids of their engines.
#[derive(Debug)]
pub(super) struct Grid(Vec<Option<Place>>);

/// The place of each joint knob's value among those tried, from 1 on; 0: it is left
/// alone, which is not comparable with any value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    engine: String,
    steps: Vec<usize>,
    /// The last step of each knob.
    last: Vec<usize>,
}

impl Grid {
    pub(super) fn of(tried: &[Tried]) -> Grid {
        let place = |one: &Tried| {
            let engine = Engines::builtin().get(&one.arm.engine).filter(|_| !one.blind)?;
            place(engine, one)
        };
        Grid(tried.iter().map(place).collect())
    }

    /// Puts those first that lie at an end of each knob.
    pub(super) fn ends_first(&self, turns: &mut [usize]) {
        turns.sort_by_key(|&i| self.0[i].as_ref().map_or(0, |place| place.inner().count()));
    }

    /// Two that do the same and between which `i` lies, if that is known already.
    pub(super) fn between(&self, i: usize, tried: &[Tried]) -> Option<(usize, usize)> {
        let place = self.0[i].as_ref()?;
        place.inner().find_map(|knob| {
            let beside = |j: &usize| {
                let known = tried[*j].facts.is_some() && !tried[*j].failed;
                known && self.0[*j].as_ref().is_some_and(|other| other.differs_in(place, knob))
            };
            let step = |j: usize| self.0[j].as_ref().map_or(0, |place| place.steps[knob]);
            let all = || (0..tried.len()).filter(beside);
            let below = all().filter(|&j| (1..place.steps[knob]).contains(&step(j)));
            let below = below.max_by_key(|&j| step(j))?;
            let above = all().filter(|&j| step(j) > place.steps[knob]).min_by_key(|&j| step(j))?;
            let (one, other) = (tried[below].facts?, tried[above].facts?);
            one.same_counts(&other).then_some((below, above))
        })
    }
}

impl Place {
    /// Knobs whose value has one on either side.
    fn inner(&self) -> impl Iterator<Item = usize> {
        let inner = |knob: &usize| self.steps[*knob] > 1 && self.steps[*knob] < self.last[*knob];
        (0..self.steps.len()).filter(inner)
    }

    /// Whether `other` has another value of `knob`, and of no other.
    fn differs_in(&self, other: &Place, knob: usize) -> bool {
        let differs = |at: usize| self.steps[at] != other.steps[at];
        self.engine == other.engine && (0..self.steps.len()).all(|at| differs(at) == (at == knob))
    }
}

/// `None` of a configuration that sets a knob which is not joint.
fn place(engine: &Engine, one: &Tried) -> Option<Place> {
    let joint: Vec<_> = engine.knobs.iter().filter(|knob| knob.joint).collect();
    let set = &one.arm.settings;
    set.keys().all(|name| joint.iter().any(|knob| knob.name == *name)).then_some(())?;
    let step = |knob: &&crate::engine::Knob| match set.get(&knob.name) {
        None => Some(0),
        Some(value) => {
            let at = knob.tune.iter().position(|tried| knob.shows(tried).as_ref() == Some(value));
            at.map(|at| at + 1)
        }
    };
    Some(Place {
        engine: engine.name.clone(),
        steps: joint.iter().map(step).collect::<Option<_>>()?,
        last: joint.iter().map(|knob| knob.tune.len()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::Arm;
    use crate::tune::Facts;
    use crate::tune::grid;

    fn all() -> Vec<Tried> {
        let engine = Engines::builtin().get("glibc").expect("glibc");
        let (points, _) = grid::points(engine, None);
        let arm = |settings: BTreeMap<String, String>| Arm { settings, ..Arm::unproved("glibc") };
        points.into_iter().map(|p| Tried::new(arm(p.spec.settings), p.blind)).collect()
    }

    /// How many are counted, if `faults` tells what each shows; what is inferred must
    /// be what it would have shown.
    fn counted(faults: impl Fn(&BTreeMap<String, String>) -> f64) -> usize {
        let mut tried = all();
        let grid = Grid::of(&tried);
        let mut turns: Vec<usize> = (0..tried.len()).collect();
        grid.ends_first(&mut turns);
        let mut counted = 0;
        for i in turns {
            let true_faults = faults(&tried[i].arm.settings);
            let facts = Facts {
                calls: 0.0,
                brk_calls: 0.0,
                faults: true_faults,
                asked_bytes: 0.0,
                peak_bytes: None,
            };
            if let Some((one, other)) = grid.between(i, &tried) {
                for j in [one, other] {
                    assert_eq!(tried[j].facts.expect("known").faults, true_faults);
                }
            } else {
                counted += 1;
            }
            tried[i].facts = Some(facts);
        }
        counted
    }

    #[test]
    fn a_program_that_no_knob_changes_is_counted_at_the_ends_alone() {
        assert!(counted(|_| 1000.0) < all().len() / 2);
    }

    #[test]
    fn where_a_knob_makes_a_difference_its_neighbours_are_counted_and_none_is_wrong() {
        let at_128k = |settings: &BTreeMap<String, String>| {
            let set = settings.get("mmap_threshold").is_some_and(|value| value != "128K");
            if set { 1000.0 } else { 90_000.0 }
        };
        let some = counted(at_128k);
        assert!(some > counted(|_| 1.0) && some < all().len());
    }
}
