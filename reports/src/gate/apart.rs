//! Two record files that were not measured together.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{APART, Levels, exactly, margin};
use super::{Gate, Row};
use crate::check::check;
use crate::judge::Verdict;
use crate::quantity::Quantity;
use crate::read::Records;
use crate::record::{Cell, Machine, Margins, Pass, Role};
use crate::stats::{Estimate, bootstrap_ratio, median};

/// The resampling starts here, so that the same records give the same answer.
const SEED: u64 = 0x6469_6666;

/// Why two record files cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// They come from different machines.
    #[error(
        "the records come from different machines, so a difference may be theirs: {}; say \
         --across-machines to compare them all the same",
        .0.join("; ")
    )]
    Machines(Vec<String>),
    /// Nothing was measured in both.
    #[error(
        "no engine with its settings was measured on one workload in both: base has {base}; new has {new}"
    )]
    NothingInCommon {
        /// What the first file has.
        base: String,
        /// What the second file has.
        new: String,
    },
}

/// Compares what two record files have in common: cells of the same engine, settings
/// and workload, of any version. If each has one engine only, these two are compared
/// whatever their names.
///
/// # Errors
/// [`DiffError`]; that of machines only without `across_machines`.
pub fn diff(
    base: &Records,
    new: &Records,
    margins: Margins,
    across_machines: bool,
) -> Result<Gate, DiffError> {
    let machines = differences(base, new);
    if !machines.is_empty() && !across_machines {
        return Err(DiffError::Machines(machines));
    }
    let (base_side, mut new_side) = (Side::of(base), Side::of(new));
    if let ([one], [other]) = (&base_side.arms()[..], &new_side.arms()[..]) {
        new_side.rename(other, one);
    }
    let common: Vec<&Place> =
        base_side.order.iter().filter(|place| new_side.order.contains(place)).collect();
    if common.is_empty() {
        let (base, new) = (base_side.listed(), new_side.listed());
        return Err(DiffError::NothingInCommon { base, new });
    }
    let arms: BTreeSet<&str> = common.iter().map(|place| place.0.as_str()).collect();
    let name = |place: &Place| match arms.len() {
        1 => place.1.clone(),
        _ => format!("{} under {}", place.1, place.0),
    };

    let mut failures = Vec::new();
    let mut notes = Vec::new();
    let mut pairs = Vec::new();
    for place in &common {
        match (base_side.errors.get(*place), new_side.errors.get(*place)) {
            (None, Some(error)) => failures.push((name(place), error.clone())),
            (Some(error), _) => {
                notes.push(format!("{} is not compared: base failed: {error}", name(place)));
            }
            (None, None) => pairs.extend(Quantity::ALL.iter().filter_map(|&quantity| {
                let key = ((*place).clone(), quantity);
                let (base, new) = (base_side.values.get(&key)?, new_side.values.get(&key)?);
                Some((name(place), quantity, base, new, base_side.is_exact(&key, new)))
            })),
        }
    }
    let judged = |quantity: Quantity, exact: bool| !exact && quantity.pass() != Pass::Time;
    let with_interval = pairs.iter().filter(|(_, quantity, .., exact)| judged(*quantity, *exact));
    let levels = Levels::of(with_interval.count(), 1);
    let rows = pairs
        .into_iter()
        .map(|(workload, quantity, base, new, exact)| {
            let (ratio, first) = compare(quantity, (base, new), exact, &margins, levels);
            Row {
                workload,
                quantity,
                base: median(base),
                new: median(new),
                ratio,
                pairs: base.len().min(new.len()),
                exact,
                first,
                // There is nothing fresh in a file: it stands as it is.
                again: (first == Verdict::Worse).then_some(super::Again {
                    ratio,
                    pairs: new.len(),
                    verdict: first,
                }),
                why_not: (quantity.pass() == Pass::Time)
                    .then(|| "times of different hours are not judged".to_owned()),
            }
        })
        .collect();
    notes.push(format!(
        "The two were measured at different hours, and what the machine did meanwhile is in them: \
         times are shown and not judged, and peak RSS counts from {} on. `brkpoint gate` measures \
         both now, in turns.",
        crate::units::percent(APART.max(margins.memory))
    ));
    notes.extend(machines.into_iter().map(|what| format!("The machines differ in {what}.")));
    Ok(Gate {
        base: base.sources.join(", "),
        new: new.sources.join(", "),
        rows,
        repeats: Vec::new(),
        controls: Vec::new(),
        failures,
        distrust: Vec::new(),
        notes,
        margins,
        levels,
        interleaved: false,
        equal: false,
    })
}

fn compare(
    quantity: Quantity,
    (base, new): (&[f64], &[f64]),
    exact: bool,
    margins: &Margins,
    levels: Levels,
) -> (Option<Estimate>, Verdict) {
    let usual = median(base).unwrap_or_default();
    let mut margin = margin(quantity, margins, usual);
    if exact {
        return exactly(usual, new[0], margin);
    }
    if quantity.pass() == Pass::Memory {
        margin = margin.max(APART);
    }
    let (ratio, verdict) = levels.judge(margin, |level| bootstrap_ratio(new, base, level, SEED));
    (ratio, if quantity.pass() == Pass::Time { Verdict::Undecided } else { verdict })
}

/// Engine with its settings, and workload.
type Place = (String, String);

/// The samples of one file.
#[derive(Default)]
struct Side {
    order: Vec<Place>,
    values: BTreeMap<(Place, Quantity), Vec<f64>>,
    errors: BTreeMap<Place, String>,
}

impl Side {
    fn of(records: &Records) -> Side {
        let mut side = Side::default();
        let checked = check(records);
        let place = |cell: &Cell| (cell.spelling(), cell.workload.clone());
        for (sample, error) in records.samples.iter().zip(&checked.errors) {
            if sample.cell.role == Role::Control {
                continue;
            }
            let place = place(&sample.cell);
            if !side.order.contains(&place) {
                side.order.push(place.clone());
            }
            match error {
                Some(error) => {
                    side.errors.entry(place).or_insert_with(|| error.clone());
                }
                // The repeat of the reference is one more sample of it.
                None => {
                    for quantity in Quantity::ALL {
                        if let Some(value) = quantity.of(sample) {
                            side.values.entry((place.clone(), quantity)).or_default().push(value);
                        }
                    }
                }
            }
        }
        side
    }

    fn arms(&self) -> Vec<String> {
        let arms: BTreeSet<&String> = self.order.iter().map(|place| &place.0).collect();
        arms.into_iter().cloned().collect()
    }

    fn rename(&mut self, from: &str, to: &str) {
        let named = |place: &Place| match place.0 == from {
            true => (to.to_owned(), place.1.clone()),
            false => place.clone(),
        };
        self.order = self.order.iter().map(named).collect();
        self.values = std::mem::take(&mut self.values)
            .into_iter()
            .map(|((p, q), v)| ((named(&p), q), v))
            .collect();
        self.errors =
            std::mem::take(&mut self.errors).into_iter().map(|(p, e)| (named(&p), e)).collect();
    }

    fn listed(&self) -> String {
        let all: Vec<String> =
            self.order.iter().map(|(arm, workload)| format!("{workload} under {arm}")).collect();
        if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
    }

    /// Whether a count never varied, neither here nor among `new`.
    fn is_exact(&self, key: &(Place, Quantity), new: &[f64]) -> bool {
        let base = &self.values[key];
        let same = |values: &[f64]| values.len() >= 2 && values.windows(2).all(|p| p[0] == p[1]);
        key.1.pass() == Pass::Counts && same(base) && same(new)
    }
}

/// What differs between the machines, but for their load.
fn differences(base: &Records, new: &Records) -> Vec<String> {
    let machines = |records: &Records| -> Vec<Machine> {
        let mut all: Vec<Machine> = Vec::new();
        for run in &records.runs {
            let machine = Machine { load: None, ..run.machine.clone() };
            if !all.contains(&machine) {
                all.push(machine);
            }
        }
        all
    };
    let (base, new) = (machines(base), machines(new));
    if base.is_empty() || new.is_empty() {
        return vec!["the machine of one of them is not known: its run has no line".to_owned()];
    }
    let fields = |machine: &Machine| match serde_json::to_value(machine) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let mut found = BTreeSet::new();
    for (a, b) in base.iter().flat_map(|a| new.iter().map(move |b| (fields(a), fields(b)))) {
        for (field, value) in &a {
            let other = b.get(field).unwrap_or(&serde_json::Value::Null);
            if value != other {
                found.insert(format!("{field}: {value} and {other}"));
            }
        }
    }
    found.into_iter().collect()
}
