//! What is to be measured, before anything runs.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use brkpoint_reports::record::{Cell, Gating, Pass, Role};
use brkpoint_reports::tuning::Cost;
use brkpoint_workloads::synthetic::{self, Amount, Workload};
use brkpoint_workloads::trace::{self, replay};

use crate::control::Control;
use crate::engine::Arm;
use crate::printed::Printed;
use crate::service::Service;
use crate::worker::Burden;

/// Rounds when nobody says otherwise.
pub const DEFAULT_ROUNDS: u32 = 10;

/// More rounds than this are refused as a slip of the finger.
pub const MAX_ROUNDS: u32 = 10_000;

/// What stands between a workload's name and its number of threads, on the command
/// line and in records, if that is not the usual one.
pub const THREADS: &str = ":threads=";

/// All that a run needs to know.
#[derive(Debug)]
pub struct Plan {
    /// The engines under their settings; the first is the reference, which
    /// is also measured once more as the A/A arm.
    pub arms: Vec<Arm>,
    /// What each of them runs.
    pub works: Vec<Work>,
    /// Timed samples of each cell.
    pub rounds: u32,
    /// Of these rounds, the first so many sample memory as well.
    pub memory_rounds: u32,
    /// Of these rounds, the first so many also take latency and layout.
    pub detail_rounds: u32,
    /// No round starts after this long.
    pub budget: Option<Duration>,
    /// A process that runs longer is killed and recorded as timed out.
    pub timeout: Duration,
    /// Seeds the workloads and the order of the arms.
    pub seed: u64,
    /// On what, and by what, the reference is burdened to see whether that is found.
    pub control: Control,
    /// What a gate has beyond that.
    pub gate: Option<GatePlan>,
}

/// What a gate has beyond other runs.
#[derive(Debug)]
pub struct GatePlan {
    /// Its stage and margins.
    pub gating: Gating,
    /// The instruments that are used.
    pub passes: &'static [Pass],
    /// The first so many rounds are counted, whether or not counts vary.
    pub counted: u32,
}

/// A work and all that run it.
#[derive(Debug)]
pub struct Course<'a> {
    /// What is run.
    pub work: &'a Work,
    /// The same with the burden of the positive control, if there is one.
    pub burdened: Option<Work>,
    /// By whom.
    pub entries: Vec<Entry<'a>>,
}

/// What a single process takes of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// It is killed if it runs longer.
    pub timeout: Duration,
    /// Seeds a workload of ours.
    pub seed: u64,
}

/// A workload of ours, or a command.
#[derive(Debug, Clone)]
pub enum Work {
    /// A workload of the registry, run by the worker.
    Synthetic {
        /// Its name in the registry.
        name: &'static str,
        /// The name in records and tables: as a rule the same, and the number of
        /// threads if it is not the usual one.
        label: String,
        /// How much of it.
        amount: Amount,
        /// What is measured of it.
        passes: &'static [Pass],
        /// What the process does beyond it.
        burden: Option<Burden>,
    },
    /// A recorded program, replayed by the worker.
    Trace {
        /// The file as a person named it.
        label: String,
        /// The file, absolute.
        path: PathBuf,
        /// How it is replayed.
        options: replay::Options,
    },
    /// Any program.
    Command {
        /// As a person would type it.
        label: String,
        /// Looked up in `PATH`.
        program: OsString,
        /// Its arguments.
        args: Vec<OsString>,
        /// Standard input; `None` is `/dev/null`.
        stdin: Option<PathBuf>,
        /// How it is put under load and ended, if it does not end by itself.
        service: Option<Service>,
        /// The number that it, or its load generator, prints and that is measured.
        printed: Option<Printed>,
    },
}

impl Work {
    /// A workload of ours, with all that can be measured of it.
    pub fn synthetic(workload: &Workload, amount: impl Into<Amount>) -> Work {
        let passes: &[Pass] = if workload.idles() { &[Pass::Memory] } else { &Pass::ALL };
        let (name, mut amount) = (workload.name, amount.into());
        // As many as usual are not another workload, nor another command line.
        amount.threads = amount.threads.filter(|threads| Some(*threads) != workload.threads);
        let label = match amount.threads {
            Some(threads) => format!("{name}{THREADS}{threads}"),
            None => name.to_owned(),
        };
        Work::Synthetic { name, label, amount, passes, burden: None }
    }

    /// A trace, which is looked at.
    ///
    /// # Errors
    /// A file that cannot be read, or is no trace.
    pub fn trace(path: &Path, options: replay::Options) -> anyhow::Result<Work> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        trace::Reader::new(file).with_context(|| path.display().to_string())?;
        let label = path.display().to_string();
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        Ok(Work::Trace { label, path, options })
    }

    /// A command with the label a person would type.
    pub fn command(program: OsString, args: Vec<OsString>, stdin: Option<PathBuf>) -> Work {
        let label =
            std::iter::once(&program).chain(&args).map(quoted).collect::<Vec<_>>().join(" ");
        Work::Command { label, program, args, stdin, service: None, printed: None }
    }

    /// What it is that it should take less of: of a window of a given length the CPU
    /// time, where a number is printed this number, of all else the elapsed time.
    pub fn cost(&self) -> Cost {
        match self {
            Work::Command { printed: Some(printed), .. } => match printed.more_is_better {
                true => Cost::PrintedRate,
                false => Cost::PrintedCost,
            },
            Work::Command { service: Some(service), .. } if service.is_timed() => Cost::Cpu,
            _ => Cost::Wall,
        }
    }

    /// The same, and what the process does beyond it; a command or trace cannot be burdened.
    pub fn burdened(&self, more: Burden) -> Work {
        let mut work = self.clone();
        if let Work::Synthetic { burden, .. } = &mut work {
            *burden = Some(more);
        }
        work
    }

    /// What is measured of it.
    pub fn passes(&self) -> &'static [Pass] {
        match self {
            Work::Synthetic { passes, .. } => passes,
            Work::Trace { .. } | Work::Command { .. } => &Pass::OF_COMMANDS,
        }
    }

    /// Whether it mostly sleeps: then all engines are measured at the same time.
    pub fn idles(&self) -> bool {
        let Work::Synthetic { name, .. } = self else { return false };
        synthetic::find(name).is_some_and(|workload| workload.idles())
    }

    /// What it does, in a line, if it is a workload of ours.
    pub fn about(&self) -> Option<String> {
        let Work::Synthetic { name, amount, .. } = self else { return None };
        let workload = synthetic::find(name)?;
        // The line may tell how many threads there usually are.
        Some(match (amount.threads, workload.threads) {
            (Some(threads), Some(usual)) => {
                format!("by default, {}; here threads={threads}, not {usual}", workload.about)
            }
            _ => workload.about.to_owned(),
        })
    }

    /// The name in records and tables.
    pub fn label(&self) -> &str {
        match self {
            Work::Synthetic { label, .. }
            | Work::Trace { label, .. }
            | Work::Command { label, .. } => label,
        }
    }
}

/// An arm in its role: the reference, its repeat, or a candidate.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The engine under its settings.
    pub arm: &'a Arm,
    /// What it is for.
    pub role: Role,
}

impl Plan {
    /// Those of each of its processes.
    pub fn conditions(&self) -> Conditions {
        Conditions { timeout: self.timeout, seed: self.seed }
    }

    /// Every arm with its role: the reference, its repeat, then the others.
    pub fn entries(&self) -> Vec<Entry<'_>> {
        let mut arms = self.arms.iter();
        let mut entries = Vec::with_capacity(self.arms.len() + 1);
        if let Some(reference) = arms.next() {
            entries.push(Entry { arm: reference, role: Role::Reference });
            entries.push(Entry { arm: reference, role: Role::Repeat });
        }
        entries.extend(arms.map(|arm| Entry { arm, role: Role::Candidate }));
        entries
    }

    /// Every work with those that run it.
    pub fn courses(&self) -> Vec<Course<'_>> {
        let mut courses: Vec<Course<'_>> = self
            .works
            .iter()
            .map(|work| Course { work, burdened: None, entries: self.entries() })
            .collect();
        let Some(arm) = self.arms.first() else { return courses };
        for work in &self.control.works {
            let at = courses.iter().position(|course| course.work.label() == work.label());
            let at = at.unwrap_or_else(|| {
                let mut entries = self.entries();
                // A gate counts the base's repeat as well.
                let base = |role| match role {
                    Role::Reference => true,
                    Role::Repeat => self.gate.is_some(),
                    Role::Candidate | Role::Control => false,
                };
                entries.retain(|entry| base(entry.role));
                courses.push(Course { work, burdened: None, entries });
                courses.len() - 1
            });
            courses[at].burdened = Some(courses[at].work.burdened(self.control.burden));
            courses[at].entries.push(Entry { arm, role: Role::Control });
        }
        courses
    }
}

impl Entry<'_> {
    /// The cell of this arm and `work`.
    pub fn cell(&self, work: &Work) -> Cell {
        Cell {
            engine: self.arm.engine.clone(),
            version: self.arm.version.clone(),
            settings: self.arm.settings.clone(),
            workload: work.label().to_owned(),
            role: self.role,
        }
    }
}

/// `word` as a shell would need it.
fn quoted(word: &OsString) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,./:@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_labelled_as_a_shell_would_read_it() {
        let work = Work::command(
            "sh".into(),
            vec!["-c".into(), "echo 'a b'".into(), String::new().into()],
            None,
        );
        assert_eq!(work.label(), r"sh -c 'echo '\''a b'\''' ''");
    }

    #[test]
    fn another_number_of_threads_is_another_workload_and_the_usual_one_is_not() {
        let larson = synthetic::find("larson").expect("there");
        let label =
            |threads| Work::synthetic(larson, Amount { scale: 1.0, threads }).label().to_owned();
        assert_eq!((label(None), label(larson.threads)), ("larson".into(), "larson".into()));
        assert_eq!(label(Some(4)), "larson:threads=4");
    }

    #[test]
    fn what_is_said_of_a_workload_holds_in_as_many_threads() {
        for workload in synthetic::ALL {
            let about = |threads| Work::synthetic(workload, Amount { scale: 1.0, threads }).about();
            assert_eq!(about(None).as_deref(), Some(workload.about));
            let Some(usual) = workload.threads else { continue };
            assert_eq!(about(Some(usual)), about(None));
            let other = about(Some(usual + 1)).expect("it is ours");
            let end = format!("; here threads={}, not {usual}", usual + 1);
            assert!(other.starts_with("by default, ") && other.ends_with(&end), "{other}");
        }
    }
}
