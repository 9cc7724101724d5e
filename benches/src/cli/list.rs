//! `brkpoint list`: engines and workloads.

use std::fmt::Write;

use brkpoint_reports::human;
use brkpoint_reports::record::Unit;
use brkpoint_workloads::synthetic;
use serde::Serialize;

use super::{output, run};
use crate::engine::{ArmSpec, Engine, Engines};
use crate::programs;

/// Show engines, their knobs, and workloads.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  brkpoint list
  brkpoint list --knobs
  brkpoint list --json")]
pub struct Arguments {
    /// Show the knobs of each engine as well
    #[arg(long)]
    knobs: bool,

    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// A line of the list.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Entry<'a> {
    Engine {
        name: &'a str,
        about: &'a str,
        /// `None`: it is not here, or does not answer.
        version: Option<String>,
        /// Why not.
        error: Option<String>,
        knobs: Vec<Knob<'a>>,
    },
    Program {
        name: &'a str,
        about: &'a str,
        here: bool,
    },
    Workload {
        name: &'a str,
        group: &'a str,
        /// What the group is.
        #[serde(skip)]
        title: String,
        about: &'a str,
        /// By default, if `--threads` takes other numbers.
        threads: Option<usize>,
        /// Half of its requests are no larger, in bytes.
        p50_bytes: Option<u64>,
        /// 99 of a hundred.
        p99_bytes: Option<u64>,
        /// Requests of 128 KiB and more, in a million.
        large_per_million: Option<u64>,
    },
}

#[derive(Serialize)]
struct Knob<'a> {
    name: &'a str,
    about: &'a str,
    expected: String,
    default: &'a str,
    disables: Option<&'a str>,
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let engines = Engines::builtin();
    let worker = run::executable()?;
    let mut entries = Vec::new();
    for engine in engines.iter() {
        let spec = ArmSpec { engine: engine.name.clone(), settings: Default::default() };
        let (version, error) = match engines.resolve(&spec, &worker) {
            Ok(arm) => (Some(arm.version), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let (name, about) = (&engine.name, &engine.about);
        entries.push(Entry::Engine { name, about, version, error, knobs: knobs(engine) });
    }
    entries.extend(synthetic::ALL.iter().map(|w| {
        let mix = w.mix();
        Entry::Workload {
            name: w.name,
            group: w.group.name(),
            title: w.group.to_string(),
            about: w.about,
            threads: w.threads,
            p50_bytes: mix.map(|mix| mix.p50),
            p99_bytes: mix.map(|mix| mix.p99),
            large_per_million: mix.map(|mix| mix.large),
        }
    }));
    entries.extend(programs::ALL.iter().map(|program| Entry::Program {
        name: program.name,
        about: program.about,
        here: program.is_here(),
    }));
    output::print(&if arguments.json { json(&entries)? } else { text(&entries, arguments.knobs) })?;
    Ok(0)
}

fn knobs(engine: &Engine) -> Vec<Knob<'_>> {
    let mut knobs = Vec::new();
    for knob in &engine.knobs {
        knobs.push(Knob {
            name: &knob.name,
            about: &knob.about,
            expected: knob.expected(),
            default: &knob.default,
            disables: knob.disables.as_deref(),
        });
    }
    knobs
}

fn json(entries: &[Entry<'_>]) -> anyhow::Result<String> {
    let mut text = String::new();
    for entry in entries {
        text.push_str(&serde_json::to_string(entry)?);
        text.push('\n');
    }
    Ok(text)
}

/// The mix of a workload's sizes, as people read it.
fn sizes(entry: &Entry<'_>) -> String {
    let Entry::Workload {
        p50_bytes: Some(p50),
        p99_bytes: Some(p99),
        large_per_million: Some(large),
        ..
    } = entry
    else {
        return String::new();
    };
    let bytes = |bytes: &u64| human(*bytes as f64, Unit::Bytes);
    let large = match large {
        0 => String::new(),
        large => format!(", {}", human(*large as f64 * 1e-6, Unit::Share)),
    };
    format!("{}, {}{large}", bytes(p50), bytes(p99))
}

fn state(version: &Option<String>) -> &str {
    version.as_deref().unwrap_or("not here")
}

fn text(entries: &[Entry<'_>], with_knobs: bool) -> String {
    let mut engines = String::from("Engines (-e ENGINE, or -e ENGINE:knob=value,...)\n");
    let mut workloads = String::from(
        "\nWorkloads (-w NAME, -w group:NAME, -w all), and the sizes they ask for: the median, the \
         99th percentile, and how many are of 128 KiB and more; --threads takes other numbers \
         where one is shown\n",
    );
    let mut commands = String::from("\nPrograms (-w program:NAME)\n");
    let mut last_group = "";
    let states = entries.iter().map(|entry| match entry {
        Entry::Engine { version, .. } => state(version).len(),
        Entry::Workload { .. } | Entry::Program { .. } => 0,
    });
    let width = states.max().unwrap_or_default();
    for entry in entries {
        // Writing to a String cannot fail.
        let _ = match entry {
            Entry::Engine { name, about, version, error, knobs } => {
                let _ = writeln!(engines, "  {name:<11} {:<width$} {about}", state(version));
                if let Some(error) = error {
                    let _ = writeln!(engines, "{:14}{:width$} {error}", "", "");
                }
                knobs.iter().filter(|_| with_knobs).try_for_each(|knob| {
                    writeln!(engines, "      {:<18} {}", knob.name, knob.about)?;
                    writeln!(engines, "{:25}{}; default {}", "", knob.expected, knob.default)?;
                    knob.disables
                        .iter()
                        .try_for_each(|what| writeln!(engines, "{:25}switches off {what}", ""))
                })
            }
            Entry::Program { name, about, here } => {
                let absent = if *here { "" } else { " (not here)" };
                writeln!(commands, "    {name:<14} {about}{absent}")
            }
            Entry::Workload { name, group, title, about, threads, .. } => {
                if *group != last_group {
                    let _ = writeln!(workloads, "  group:{group}, {title}:");
                    last_group = group;
                }
                let _ = write!(workloads, "    {name:<14} {:<28} {about}", sizes(entry));
                let threads = threads.map(|threads| format!(" (--threads {threads})"));
                writeln!(workloads, "{}", threads.unwrap_or_default())
            }
        };
    }
    if !with_knobs {
        engines.push_str("  `brkpoint list --knobs` shows what can be set\n");
    }
    engines + &workloads + &commands
}
