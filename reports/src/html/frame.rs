//! What all pages have: their head, notes, machines and commands.

use std::fmt::Write;

use super::escape;
use super::parts::put;
use crate::record::{Machine, Run, Unit};
use crate::{svg, units};

const STYLE: &str = include_str!("style.css");

/// The page from its beginning to the first section, in a language. `script` is
/// the hash of the one script that may run, if there is one.
pub(crate) fn head(out: &mut String, language: &str, title: &str, script: Option<&str>) {
    let scripts = script.map(|hash| format!(" script-src '{hash}';")).unwrap_or_default();
    put!(
        out,
        "<!DOCTYPE html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';{scripts} style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}\n<main>",
        escape(title),
        svg::symbols()
    );
}

/// A section of sentences, if there are any.
pub(crate) fn list(out: &mut String, id: &str, title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    put!(out, "<section id=\"{id}\">\n<h2>{title}</h2>\n<ul>");
    for item in items {
        put!(out, "<li>{}</li>", escape(item));
    }
    put!(out, "</ul>\n</section>");
}

/// The machines, each once.
pub(crate) fn machines<'m>(out: &mut String, machines: impl Iterator<Item = &'m Machine>) {
    let mut seen: Vec<&Machine> = Vec::new();
    for machine in machines {
        if !seen.contains(&machine) {
            seen.push(machine);
        }
    }
    if seen.is_empty() {
        return;
    }
    put!(out, "<section id=\"machine\">\n<h2>Machine</h2>");
    for machine in seen {
        put!(out, "<dl>");
        for (name, value) in describe(machine) {
            put!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
        }
        put!(out, "</dl>");
    }
    put!(out, "</section>");
}

/// What is known about a machine; what is not is said to be unknown.
fn describe(machine: &Machine) -> Vec<(&'static str, String)> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
    let bytes = |value: Option<u64>| value.map(|b| units::human(b as f64, Unit::Bytes));
    let mut facts = vec![
        ("CPU", text(&machine.cpu)),
        ("CPUs", text(&machine.cpus.map(|n| n.to_string()))),
        ("memory", text(&bytes(machine.memory_bytes))),
        ("kernel", text(&machine.kernel)),
        ("C library", text(&machine.libc)),
        ("system", text(&machine.os)),
        ("transparent huge pages", text(&machine.thp)),
        ("frequency governor", text(&machine.governor)),
        ("address randomisation", text(&machine.aslr)),
        ("load when it began", text(&machine.load.map(|l| format!("{l:.2}")))),
    ];
    facts.extend(machine.hypervisor.clone().map(|name| ("hypervisor", name)));
    facts.extend(bytes(machine.cgroup_memory_bytes).map(|limit| ("memory limit", limit)));
    facts.extend(machine.cgroup_cpus.map(|limit| ("CPU limit", limit.to_string())));
    facts
}

/// The commands that made the page.
pub(crate) fn commands<'r>(
    out: &mut String,
    runs: impl Iterator<Item = &'r Run>,
    sources: &[String],
) {
    for run in runs {
        put!(
            out,
            "<p>Measured {} by brkpoint {}:</p>\n<pre tabindex=\"0\"><code>{}</code></pre>",
            escape(&run.started),
            escape(&run.brkpoint),
            escape(&shell(&run.command_line))
        );
    }
    if !sources.is_empty() {
        let mut command = vec!["brkpoint".to_owned(), "report".to_owned()];
        command.extend(sources.iter().cloned());
        command.extend(["-o".to_owned(), "report.html".to_owned()]);
        put!(
            out,
            "<p>To make this page again from its records:</p>\n<pre tabindex=\"0\"><code>{}</code></pre>",
            escape(&shell(&command))
        );
    }
}

/// A command line as a shell reads it.
pub(super) fn shell(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    let quoted = words.iter().map(|word| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}
