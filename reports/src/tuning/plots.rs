//! What the plots of the page show.

use super::points::{Point, knobs};
use super::{Answer, named};
use crate::record::{Role, Unit};
use crate::svg::{self, Kind, Mark, Spot, Square};
use crate::units;

/// Below so many timed configurations, a knob is shown by faults, which all have.
const FEW: usize = 4;

/// A plot with its caption.
pub(super) struct Plot {
    pub caption: String,
    pub svg: String,
}

/// Cost against peak memory.
pub(super) fn front(answer: &Answer, points: &[Point]) -> Option<Plot> {
    let spots: Vec<Spot> = points
        .iter()
        .filter_map(|point| {
            Some(Spot {
                label: label(answer, point),
                tip: tip(answer, point),
                kind: kind(answer, point),
                cost: cost(point)?,
                memory: point.memory.filter(|memory| *memory > 0.0)?,
            })
        })
        .collect();
    let svg = (spots.len() > 1).then(|| svg::front(&spots, cost_name(answer)))??;
    Some(Plot { caption: answer.workload.clone(), svg })
}

/// Each knob of the tuned engine, the one that changes most first.
pub(super) fn sweeps(answer: &Answer, points: &[Point]) -> Vec<Plot> {
    let engine = engine(answer);
    knobs(points, engine, &|point| point.faults)
        .into_iter()
        .filter_map(|(knob, values)| {
            let own: Vec<&Point> = points.iter().filter(|p| p.cell.engine == engine).collect();
            let timed = own.iter().filter(|p| p.cell.settings.contains_key(&knob));
            let by_cost = timed.filter(|p| cost(p).is_some()).count() >= FEW;
            let name = if by_cost { cost_name(answer) } else { "minor faults" };
            let mut slots = vec!["unset".to_owned()];
            slots.extend(values);
            let mark = |point: &&Point| {
                let value = point.cell.settings.get(&knob);
                let slot = value.map_or(Some(0), |v| slots.iter().position(|s| s == v))?;
                Some(Mark {
                    slot,
                    figure: if by_cost {
                        cost(point)?
                    } else {
                        point.faults.filter(|f| *f > 0.0)?
                    },
                    alone: point.cell.settings.len() == usize::from(value.is_some()),
                    tip: tip(answer, point),
                })
            };
            let marks: Vec<Mark> = own.iter().filter_map(mark).collect();
            let svg = svg::sweep(&slots, &marks, &format!("{name}{}", ratio(by_cost)))?;
            Some(Plot { caption: knob, svg })
        })
        .collect()
}

/// The two knobs that change most, together; the others unset.
pub(super) fn joint(answer: &Answer, points: &[Point]) -> Option<Plot> {
    let engine = engine(answer);
    let knobs = knobs(points, engine, &|point| point.faults);
    // The two strongest of those that were tried together.
    let together = |a: &String, b: &String| {
        points.iter().any(|p| p.cell.settings.contains_key(a) && p.cell.settings.contains_key(b))
    };
    let mut pairs =
        knobs.iter().enumerate().flat_map(|(i, a)| knobs[i + 1..].iter().map(move |b| (a, b)));
    let (across, down) = pairs.find(|(a, b)| together(&a.0, &b.0))?;
    let slots = |values: &[String]| -> Vec<String> {
        std::iter::once("unset".to_owned()).chain(values.iter().cloned()).collect()
    };
    let (columns, rows) = (slots(&across.1), slots(&down.1));
    let square = |point: &Point| {
        let set = &point.cell.settings;
        let (x, y) = (set.get(&across.0), set.get(&down.0));
        let only = set.len() == usize::from(x.is_some()) + usize::from(y.is_some());
        let slot = |value: Option<&String>, slots: &[String]| match value {
            None => Some(0),
            Some(value) => slots.iter().position(|slot| slot == value),
        };
        let at = (slot(x, &columns)?, slot(y, &rows)?);
        (only && point.cell.engine == engine).then_some(())?;
        let text = cost(point).map_or(String::new(), |cost| units::ratio(shown(answer, cost)));
        Some(Square { at, figure: point.faults?, text, tip: tip(answer, point) })
    };
    let squares: Vec<Square> = points.iter().filter_map(square).collect();
    let svg = svg::heat((&across.0, &columns), (&down.0, &rows), &squares)?;
    Some(Plot { caption: format!("{} and {}", across.0, down.0), svg })
}

/// The engine whose settings matter: of what is recommended, else of the reference.
fn engine(answer: &Answer) -> &str {
    &answer.recommended.as_ref().unwrap_or(&answer.reference).engine
}

fn kind(answer: &Answer, point: &Point) -> Kind {
    match point.cell.role {
        Role::Reference => Kind::Reference,
        _ if Some(&point.cell) == answer.recommended.as_ref() => Kind::Recommended,
        _ if point.confirmed => Kind::Confirmed,
        _ => Kind::Searched,
    }
}

/// The settings alone, where the engine goes without saying.
fn label(answer: &Answer, point: &Point) -> String {
    match point.cell.role {
        Role::Reference => "default".to_owned(),
        _ if point.cell.engine != answer.reference.engine => named(&point.cell),
        _ => point.cell.spelling()[point.cell.engine.len()..].trim_start_matches(':').to_owned(),
    }
}

/// The reference's is 1 by definition.
fn cost(point: &Point) -> Option<f64> {
    match point.cell.role {
        Role::Reference => Some(1.0),
        _ => point.cost.filter(|cost| *cost > 0.0),
    }
}

/// Costs are drawn, also of rates: less is better in every plot.
fn cost_name(answer: &Answer) -> &'static str {
    match answer.cost {
        super::Cost::PrintedRate => "inverse of the printed rate",
        cost => cost.name(),
    }
}

fn ratio(by_cost: bool) -> &'static str {
    if by_cost { " to the default's" } else { "" }
}

fn shown(answer: &Answer, cost: f64) -> f64 {
    answer.cost.shown(crate::stats::Estimate::exact(cost)).value
}

fn tip(answer: &Answer, point: &Point) -> String {
    let mut lines = vec![named(&point.cell)];
    if let Some(cost) = point.cost {
        lines.push(format!(
            "{} {} of the default's ({} round{}{})",
            answer.cost.name(),
            units::ratio(shown(answer, cost)),
            point.rounds,
            if point.rounds == 1 { "" } else { "s" },
            if point.confirmed { ", confirmed" } else { ", search" }
        ));
    }
    lines
        .extend(point.memory.map(|bytes| format!("peak RSS {}", units::human(bytes, Unit::Bytes))));
    let faults = point.faults.map(|n| format!("minor faults {}", units::human(n, Unit::Count)));
    lines.extend(faults);
    lines.join("\n")
}
