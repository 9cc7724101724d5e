//! What a tuning concluded, and the records behind it, as text and as a page.
//!
//! ```text
//! Answer  what was concluded: a line of the record file
//! points  the samples of its search and confirmation -> a point for each configuration
//! text    Answer -> a terminal            page    Answer, points -> the page
//! plots   the front, the sweep of a knob, the joint picture of two
//! ```

mod page;
mod plots;
mod points;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Verdict;
use crate::record::{Cell, Metric};
use crate::stats::Estimate;

pub use page::to_html;
pub use text::to_text;

/// What a piece of work should take less of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// Elapsed time.
    Wall,
    /// Time on a CPU, user and system: where the elapsed time is given.
    Cpu,
    /// A number that it prints.
    PrintedCost,
    /// A number that it prints and there should be more of: the cost is its inverse.
    PrintedRate,
}

impl Cost {
    /// Its value, less of which is better.
    pub fn of(self, metrics: &BTreeMap<Metric, f64>) -> Option<f64> {
        let get = |metric| metrics.get(&metric).copied();
        match self {
            Cost::Wall => get(Metric::WallS),
            Cost::Cpu => Some(get(Metric::UserS)? + get(Metric::SysS)?),
            Cost::PrintedCost => get(Metric::PrintedCost),
            Cost::PrintedRate => get(Metric::PrintedRate).map(|rate| 1.0 / rate),
        }
    }

    /// Its name; of a rate the rate's, which a person reads.
    pub fn name(self) -> &'static str {
        match self {
            Cost::Wall => "time",
            Cost::Cpu => "CPU time",
            Cost::PrintedCost => "printed number",
            Cost::PrintedRate => "printed rate",
        }
    }

    /// A ratio of costs as a person reads it: of rates, if it is one.
    pub fn shown(self, ratio: Estimate) -> Estimate {
        if self == Cost::PrintedRate { ratio.inverse() } else { ratio }
    }
}

/// What came of a tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The run in which configurations were searched.
    pub search: String,
    /// The run in which the best were measured again, if there was one.
    pub confirmation: Option<String>,
    /// What was tuned.
    pub workload: String,
    /// What there was to be less of: `time`, `memory`, `balanced` or `faults`.
    pub objective: String,
    /// What stands for time.
    pub cost: Cost,
    /// The conclusion.
    pub advice: Advice,
    /// Why, where nothing is recommended.
    pub why: String,
    /// What all are compared with.
    pub reference: Cell,
    /// What is recommended.
    pub recommended: Option<Cell>,
    /// Its settings, as each place takes them.
    pub spellings: Vec<Spelling>,
    /// Why it is better, in what was counted.
    pub facts: Vec<String>,
    /// Those that were confirmed.
    pub contenders: Vec<Contender>,
    /// The reference against itself.
    pub repeat: Option<Estimate>,
    /// Rounds of the confirmation.
    pub rounds: u32,
    /// How many configurations there were, and what was done with them.
    pub tried: Tried,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// The conclusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// Other settings.
    Recommend,
    /// The default is best.
    KeepDefault,
    /// Nothing is decided.
    Undecided,
}

/// A way to give a program its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spelling {
    /// Where it goes.
    pub place: String,
    /// What to write there.
    pub text: String,
}

/// A configuration that was confirmed, against the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contender {
    /// The configuration.
    pub cell: Cell,
    /// How it stands.
    pub word: Verdict,
    /// Ratio of the objective.
    pub objective: Estimate,
    /// Ratio of the cost.
    pub cost: Estimate,
    /// Ratio of peak resident bytes; `None`: not measured.
    pub memory: Option<f64>,
}

/// Configurations by what was done with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// All.
    pub all: usize,
    /// Those whose calls and faults were counted.
    pub counted: usize,
    /// Those that lie between two which count alike, and so were not counted.
    pub inferred: usize,
    /// Those that were timed.
    pub timed: usize,
    /// Of these, those that counts alone would have left out.
    pub readmitted: usize,
}

/// Engine and settings, in short.
fn named(cell: &Cell) -> String {
    match cell.settings.is_empty() {
        true => format!("{} at its defaults", cell.engine),
        false => cell.spelling(),
    }
}

/// The objective in words.
fn objective(answer: &Answer) -> String {
    match answer.objective.as_str() {
        "time" => answer.cost.name().to_owned(),
        "balanced" => format!("{} and memory", answer.cost.name()),
        "memory" => "peak memory".to_owned(),
        "faults" => "minor faults".to_owned(),
        other => other.to_owned(),
    }
}

/// The ratio of the objective as a person reads it.
fn objective_ratio(answer: &Answer, ratio: Estimate) -> Estimate {
    if answer.objective == "time" { answer.cost.shown(ratio) } else { ratio }
}
