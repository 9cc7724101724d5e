//! The samples behind an answer: a point for each configuration.

use std::collections::{BTreeMap, HashMap};

use super::Answer;
use crate::read::Records;
use crate::record::{Cell, Metric, Pass, Role, Sample};
use crate::stats::median;

/// A configuration and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub cell: Cell,
    /// Its cost to the reference's: the median over the rounds, of the confirmation
    /// where it was there, else of the search.
    pub cost: Option<f64>,
    /// Rounds behind `cost`.
    pub rounds: usize,
    /// Peak resident bytes; the median.
    pub memory: Option<f64>,
    /// Minor faults, of the search.
    pub faults: Option<f64>,
    pub confirmed: bool,
}

/// All configurations that did their work at least once, the reference first.
pub(super) fn points(answer: &Answer, records: &Records) -> Vec<Point> {
    let stages = [Some(&answer.search), answer.confirmation.as_ref()];
    let mut points: BTreeMap<Cell, Point> = BTreeMap::new();
    for stage in stages.into_iter().flatten() {
        let samples: Vec<&Sample> = records
            .samples
            .iter()
            .filter(|sample| sample.run == *stage && sample.error.is_none())
            .filter(|sample| sample.cell.role != Role::Repeat)
            .collect();
        let cost = |sample: &Sample| answer.cost.of(&sample.metrics);
        let bases: HashMap<u32, f64> = samples
            .iter()
            .filter(|s| s.cell.role == Role::Reference && s.pass == Pass::Time)
            .filter_map(|s| Some((s.round, cost(s).filter(|cost| *cost > 0.0)?)))
            .collect();
        let mut by_cell: BTreeMap<&Cell, Vec<&Sample>> = BTreeMap::new();
        for sample in samples {
            by_cell.entry(&sample.cell).or_default().push(sample);
        }
        for (cell, samples) in by_cell {
            let of = |pass, value: &dyn Fn(&Sample) -> Option<f64>| -> Vec<f64> {
                samples.iter().filter(|s| s.pass == pass).filter_map(|s| value(s)).collect()
            };
            let metric = |metric| move |s: &Sample| s.metrics.get(&metric).copied();
            let ratios = of(Pass::Time, &|s| Some(cost(s)? / bases.get(&s.round)?));
            let memory = of(Pass::Memory, &metric(Metric::PeakRssBytes));
            let faults = of(Pass::Counts, &metric(Metric::MinorFaults));
            let point = points.entry(cell.clone()).or_insert_with(|| Point {
                cell: cell.clone(),
                cost: None,
                rounds: 0,
                memory: None,
                faults: None,
                confirmed: false,
            });
            point.confirmed |= Some(stage) == answer.confirmation.as_ref();
            if let Some(middle) = median(&ratios) {
                (point.cost, point.rounds) = (Some(middle), ratios.len());
            }
            point.memory = median(&memory).or(point.memory);
            point.faults = median(&faults).or(point.faults);
        }
    }
    let mut points: Vec<Point> = points.into_values().collect();
    points.sort_by_key(|point| point.cell.role != Role::Reference);
    points
}

/// The knobs of `engine`, with the values tried, in ascending order; those first that
/// change the most of what `of` tells.
pub(super) fn knobs(
    points: &[Point],
    engine: &str,
    of: &dyn Fn(&Point) -> Option<f64>,
) -> Vec<(String, Vec<String>)> {
    let mut values: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    for point in points.iter().filter(|point| point.cell.engine == engine) {
        for (knob, value) in &point.cell.settings {
            let values = values.entry(knob).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    let own: Vec<&Point> = points.iter().filter(|point| point.cell.engine == engine).collect();
    // The most that this knob changes, all others being equal.
    let strength = |knob: &String| -> f64 {
        let others = |point: &Point| {
            let mut settings = point.cell.settings.clone();
            settings.remove(knob);
            settings
        };
        let mut ends: BTreeMap<BTreeMap<String, String>, (f64, f64)> = BTreeMap::new();
        for point in &own {
            let Some(value) = of(point).filter(|value| *value > 0.0) else { continue };
            let (least, most) = ends.entry(others(point)).or_insert((value, value));
            (*least, *most) = (least.min(value), most.max(value));
        }
        ends.values().map(|(least, most)| (most / least).ln()).fold(0.0, f64::max)
    };
    let mut knobs: Vec<(f64, String, Vec<String>)> = values
        .into_iter()
        .map(|(knob, mut values)| {
            values.sort_by(|a, b| order(a).total_cmp(&order(b)).then(a.cmp(b)));
            let values_owned = values.iter().map(|v| (*v).clone()).collect();
            (strength(knob), knob.clone(), values_owned)
        })
        .collect();
    knobs.sort_by(|a, b| b.0.total_cmp(&a.0));
    knobs.into_iter().map(|(_, knob, values)| (knob, values)).collect()
}

/// Numbers by their size, words after them.
fn order(value: &str) -> f64 {
    let letters = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
    let number = value[..value.len() - letters.len()].parse::<f64>();
    let unit = match letters {
        "" => 1.0,
        "K" => 1024.0,
        "M" => 1_048_576.0,
        "G" => 1_073_741_824.0,
        "T" => 1_099_511_627_776.0,
        _ => return f64::INFINITY,
    };
    match number {
        // Never, which the engines spell -1, comes after the longest time.
        Ok(number) if number < 0.0 => f64::MAX,
        Ok(number) => number * unit,
        Err(_) => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knob_comes_first_that_changes_most_with_all_others_equal() {
        let point = |settings: &[(&str, &str)], faults: f64| Point {
            cell: Cell {
                engine: "glibc".into(),
                version: String::new(),
                settings: settings.iter().map(|&(k, v)| (k.into(), v.into())).collect(),
                workload: "w".into(),
                role: if settings.is_empty() { Role::Reference } else { Role::Candidate },
            },
            cost: None,
            rounds: 0,
            memory: None,
            faults: Some(faults),
            confirmed: false,
        };
        let points = [
            point(&[], 1000.0),
            point(&[("alone", "1")], 1010.0),
            point(&[("m", "1M")], 5000.0),
            point(&[("m", "128K")], 6000.0),
            point(&[("m", "1M"), ("t", "8M")], 100.0),
            point(&[("t", "8M")], 1100.0),
        ];
        let knobs = knobs(&points, "glibc", &|point| point.faults);
        let names: Vec<&str> = knobs.iter().map(|(knob, _)| knob.as_str()).collect();
        // t: 5,000 to 100 beside m=1M; m: 1,100 to 100 beside t=8M; alone: nothing.
        assert_eq!(names, ["t", "m", "alone"]);
        assert_eq!(knobs[1].1, ["128K", "1M"]);
    }

    #[test]
    fn values_stand_in_the_order_of_their_size() {
        let mut values = ["off", "1G", "0", "-1", "64K", "8M", "dynamic"];
        values.sort_by(|a, b| order(a).total_cmp(&order(b)).then(a.cmp(b)));
        assert_eq!(values, ["0", "64K", "8M", "1G", "-1", "dynamic", "off"]);
    }
}
