//! What a reader should know beside the figures.

use std::collections::HashMap;

use crate::analysis::Arm;
use crate::check::Checked;
use crate::read::Records;
use crate::record::Role;

/// Notes of samples that are listed one by one.
const MAX_SAID: usize = 50;

/// Collects the notes: what was not compared, what was not covered, what the
/// harness wrote down. A note that holds for several engines is given once.
pub(crate) fn collect(
    records: &Records,
    checked: &Checked,
    arms: &[Arm],
    one_machine: bool,
) -> Vec<String> {
    let mut notes = Vec::new();
    if !one_machine {
        notes.push(
            "The records come from different machines: ratios are taken within each run only, \
             but medians mix the machines."
                .to_owned(),
        );
    }
    if !records.samples.is_empty() && !arms.iter().any(|arm| arm.role == Role::Repeat) {
        notes.push(
            "There is no A/A row (the reference against itself), so the noise of this machine \
             is not known."
                .to_owned(),
        );
    }
    notes.extend(checked.said());
    let said = by_text(records);
    for (text, who) in said.iter().take(MAX_SAID) {
        notes.push(match who.len() == arms.len() {
            true => text.clone(),
            false => format!("{text} ({})", who.join(", ")),
        });
    }
    if said.len() > MAX_SAID {
        notes.push(format!("{} more notes are in the records.", said.len() - MAX_SAID));
    }
    notes
}

/// What the samples say beside their figures, each text once, with the arms
/// that say so.
fn by_text(records: &Records) -> Vec<(String, Vec<String>)> {
    let mut said: Vec<(String, Vec<String>)> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for sample in &records.samples {
        let uncovered = sample.not_covered.iter().map(|what| format!("not covered: {what}"));
        for text in uncovered.chain(sample.notes.iter().cloned()) {
            let text = format!("{}: {text}", sample.cell.workload);
            let arm = sample.cell.arm();
            let at = *index.entry(text.clone()).or_insert_with(|| {
                said.push((text, Vec::new()));
                said.len() - 1
            });
            if !said[at].1.contains(&arm) {
                said[at].1.push(arm);
            }
        }
    }
    said
}
