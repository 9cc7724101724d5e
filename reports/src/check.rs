//! Which samples count: how they ended and what they computed, against the
//! reference of their run.

use std::collections::{BTreeSet, HashMap};

use crate::read::Records;
use crate::record::{Exit, Role, Sample};

/// The judgement on each sample of some records.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Checked {
    /// In the order of [`Records::samples`]: why the sample does not count.
    pub errors: Vec<Option<String>>,
    /// By workload: why outputs or exit statuses could not be compared.
    pub notes: Vec<(String, String)>,
}

/// What the reference of one run did with one workload; its repeat is the same
/// program, so it adds to what is known.
#[derive(Default)]
struct Standard {
    engine: String,
    exits: Vec<Exit>,
    digests: BTreeSet<String>,
    with_digest: usize,
}

/// Checks every sample: errors that the harness wrote down, crashes, time-outs,
/// and then exit status and digest against the reference's.
pub(crate) fn check(records: &Records) -> Checked {
    let mut standards: HashMap<(&str, &str), Standard> = HashMap::new();
    for sample in &records.samples {
        let is_standard = matches!(sample.cell.role, Role::Reference | Role::Repeat);
        if !is_standard || own_error(sample).is_some() {
            continue;
        }
        let standard = standards.entry(place(sample)).or_default();
        // Where a command stands on each side, both run under one engine.
        let has_command = sample.cell.settings.contains_key("command");
        standard.engine = if has_command { "the base" } else { &sample.cell.engine }.to_owned();
        if let Some(exit) = sample.exit.filter(|exit| !standard.exits.contains(exit)) {
            standard.exits.push(exit);
        }
        if let Some(digest) = &sample.digest {
            standard.digests.insert(digest.clone());
            standard.with_digest += 1;
        }
    }
    let errors = records
        .samples
        .iter()
        .map(|sample| own_error(sample).or_else(|| standards.get(&place(sample))?.error(sample)))
        .collect();
    let mut notes = Vec::new();
    for sample in &records.samples {
        let Some(standard) = standards.remove(&place(sample)) else {
            continue;
        };
        for note in standard.notes() {
            let note = (sample.cell.workload.clone(), note);
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    Checked { errors, notes }
}

/// Where a sample is compared: within its run and workload.
fn place(sample: &Sample) -> (&str, &str) {
    (&sample.run, &sample.cell.workload)
}

/// What is wrong with a sample whatever the others did.
fn own_error(sample: &Sample) -> Option<String> {
    if let Some(error) = &sample.error {
        return Some(error.clone());
    }
    match sample.exit {
        None => Some("could not be started".into()),
        Some(exit @ (Exit::Signal(_) | Exit::TimedOut)) => Some(exit.to_string()),
        Some(Exit::Code(_)) => None,
    }
}

impl Checked {
    /// The notes, with what each is about.
    pub(crate) fn said(&self) -> Vec<String> {
        self.notes.iter().map(|(workload, note)| format!("{workload}: {note}.")).collect()
    }
}

impl Standard {
    fn error(&self, sample: &Sample) -> Option<String> {
        let exit = sample.exit?;
        if let [expected] = self.exits[..]
            && exit != expected
        {
            return Some(format!("{exit}, where {} has {expected}", self.engine));
        }
        let digest = sample.digest.as_ref()?;
        let known = self.with_digest > 1 && self.digests.len() == 1;
        (known && !self.digests.contains(digest))
            .then(|| format!("its output differs from that under {}", self.engine))
    }

    fn notes(&self) -> Vec<String> {
        let engine = &self.engine;
        let mut notes = Vec::new();
        if self.exits.len() > 1 {
            notes.push(format!(
                "the exit status varies under {engine} itself, so it is not compared"
            ));
        }
        if self.digests.len() > 1 {
            notes.push(format!(
                "the output varies from run to run under {engine} itself, so it is not compared"
            ));
        } else if self.with_digest == 1 {
            notes.push(format!(
                "the output is known from one run under {engine} only, so it is not compared"
            ));
        }
        notes
    }
}
