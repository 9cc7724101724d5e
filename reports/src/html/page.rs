//! The page, section by section.

use std::fmt::Write;

use super::{escape, frame, tables};
use crate::analysis::{Arm, Report, Workload};
use crate::judge::margin;
use crate::record::{Metric, Role};
use crate::stats::MIN_SAMPLES;
use crate::{svg, units};

impl Report {
    /// The report as one HTML file: no network, no script.
    pub fn to_html(&self) -> String {
        let mut out = String::new();
        frame::head(&mut out, "brkpoint: allocation strategies compared");
        header(&mut out, self);
        verdict(&mut out, self);
        plots(&mut out, self);
        figures(&mut out, self);
        super::criterion::section(&mut out, &self.criterion);
        errors_and_notes(&mut out, self);
        engines(&mut out, self);
        frame::machines(&mut out, self.runs.iter().map(|run| &run.machine));
        method(&mut out, self);
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }
}

/// Writing into a string does not fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => { let _ = writeln!($out, $($arg)*); };
}

fn header(out: &mut String, report: &Report) {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let engines = report.arms.iter().filter(|arm| arm.role != Role::Repeat).count();
    let mut facts = vec![count(engines, "engine"), count(report.workloads.len(), "workload")];
    facts.extend(report.runs.first().and_then(|run| run.machine.cpu.clone()));
    facts.extend(report.runs.first().map(|run| run.started.clone()));
    put!(
        out,
        "<header>\n<h1>Allocation strategies compared</h1>\n<p class=\"facts\">{}</p>\n</header>",
        escape(&facts.join(" · "))
    );
}

fn verdict(out: &mut String, report: &Report) {
    put!(out, "<section id=\"verdict\">\n<h2>Verdict</h2>");
    for (i, sentence) in report.verdict.iter().enumerate() {
        let class = if i == 0 { " class=\"first\"" } else { "" };
        put!(out, "<p{class}>{}</p>", escape(sentence));
    }
    put!(out, "</section>");
}

/// A plot of one workload.
type Plot<'p> = &'p dyn Fn(&Workload, &[Arm]) -> Option<String>;

fn plots(out: &mut String, report: &Report) {
    let reference = report.arms.iter().find(|arm| arm.role == Role::Reference);
    let reference = escape(reference.map_or("the reference", |arm| &arm.label));
    panels(
        out,
        report,
        ("memory", "Time against peak memory"),
        "Median wall time and median peak resident memory (the largest process). \
         Lower left is better; a cross is the 99 % interval, and nothing measured lies \
         below and left of the stepped line (the Pareto front).",
        &legend(report),
        &svg::scatter,
    );
    panels(
        out,
        report,
        ("ratios", "Time against the reference"),
        &format!(
            "Wall time as a ratio to {reference}, paired round by round, with its 99 % interval. \
             Left is better; within the grey band ({}) a difference is not worth acting on.",
            units::percent(margin(Metric::WallS))
        ),
        "",
        &|workload, arms| svg::forest(workload, arms, Metric::WallS, "Wall time"),
    );
    let counted = counted_over(report);
    let kinds: Vec<String> = (0..svg::KINDS.len())
        .map(|i| format!("<li>{}{}</li>", svg::swatch_kind(i), svg::KINDS[i]))
        .collect();
    panels(
        out,
        report,
        ("syscalls", "System calls by kind"),
        &format!("Calls that manage memory, counted over {counted}. Fewer is better."),
        &format!("<ul class=\"legend\">\n{}\n</ul>", kinds.join("\n")),
        &svg::syscalls,
    );
    panels(
        out,
        report,
        ("faults", "Minor faults"),
        &format!(
            "OS pages that the kernel had to supply without I/O, over {counted}. Fewer is better."
        ),
        "",
        &svg::faults,
    );
    panels(
        out,
        report,
        ("rss", "Memory over time"),
        "Resident memory of the process tree, from the run with the median peak. Lower is better; \
         where the workload knows its live bytes, they are the grey area.",
        "",
        &svg::memory,
    );
}

/// What calls and faults were counted over: a driven workload is measured from
/// its first operation on, and only such a one knows what was resident before.
fn counted_over(report: &Report) -> &'static str {
    let driven = |w: &Workload| w.metrics().contains(&Metric::BaselineRssBytes);
    let (driven, commands): (Vec<&Workload>, Vec<&Workload>) =
        report.workloads.iter().partition(|w| driven(w));
    match (driven.is_empty(), commands.is_empty()) {
        (true, _) => "the whole process tree",
        (false, true) => "the measured operations of each workload, without its start and end",
        (false, false) => {
            "the whole process tree of a command, and over the measured operations of a workload \
             that brkpoint drives, without its start and end"
        }
    }
}

fn panels(
    out: &mut String,
    report: &Report,
    (id, title): (&str, &str),
    about: &str,
    legend: &str,
    plot: Plot<'_>,
) {
    let drawn: Vec<(&Workload, String)> =
        report.workloads.iter().filter_map(|w| Some((w, plot(w, &report.arms)?))).collect();
    if drawn.is_empty() {
        return;
    }
    put!(
        out,
        "<section id=\"{id}\">\n<h2>{title}</h2>\n<p class=\"about\">{about}</p>\n{legend}\n<div class=\"panels\">"
    );
    for (workload, svg) in drawn {
        let name = escape(&workload.name);
        put!(out, "<figure>\n<figcaption title=\"{name}\">{name}</figcaption>\n{svg}</figure>");
    }
    put!(out, "</div>\n</section>");
}

fn legend(report: &Report) -> String {
    let mut out = String::from("<ul class=\"legend\">\n");
    for (i, arm) in report.arms.iter().enumerate() {
        put!(out, "<li>{}{}</li>", svg::swatch_series(&report.arms, i), escape(&arm.label));
    }
    out.push_str("</ul>");
    out
}

fn figures(out: &mut String, report: &Report) {
    if report.workloads.is_empty() {
        return;
    }
    put!(
        out,
        "<section id=\"tables\">\n<h2>All figures</h2>\n<p class=\"about\">Medians, and beneath them the ratio to the \
         reference with its 99 % interval: <span class=\"ratio better\">better</span>, \
         <span class=\"ratio worse\">worse</span>, <span class=\"ratio same\">same</span>, \
         <span class=\"ratio undecided\">undecided</span>. Less is better everywhere.</p>"
    );
    for workload in &report.workloads {
        put!(out, "<h3>{}</h3>\n{}", escape(&workload.name), tables::workload(report, workload));
    }
    put!(out, "</section>");
}

fn errors_and_notes(out: &mut String, report: &Report) {
    let failed: Vec<String> = report
        .workloads
        .iter()
        .flat_map(|w| w.cells.iter().map(move |cell| (w, cell)))
        .filter_map(|(w, cell)| {
            let error = cell.error.as_ref()?;
            let arm = &report.arms[cell.arm].label;
            Some(format!("{arm} on {}: {error}", w.name))
        })
        .collect();
    frame::list(out, "errors", "Errors", &failed);
    frame::list(out, "notes", "Notes", &report.notes);
    let problems: Vec<String> = report.problems.iter().map(|p| format!("{p}.")).collect();
    frame::list(out, "problems", "Problems in the records", &problems);
}

fn engines(out: &mut String, report: &Report) {
    if report.arms.is_empty() {
        return;
    }
    put!(
        out,
        "<section id=\"engines\">\n<h2>Engines</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Engines\">\n\
         <table class=\"words\">\n<thead><tr><th scope=\"col\">name here</th><th scope=\"col\">version</th>\
         <th scope=\"col\">on the command line</th><th scope=\"col\">role</th></tr></thead>\n<tbody>"
    );
    for arm in &report.arms {
        let role = match arm.role {
            Role::Reference => "reference: the others are compared with it",
            Role::Repeat => "A/A: the reference once more; what it differs by is noise",
            Role::Candidate => "",
        };
        put!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td><code>-e {}</code></td><td>{role}</td></tr>",
            escape(&arm.label),
            escape(&arm.version),
            escape(&frame::shell(std::slice::from_ref(&arm.spelling)))
        );
    }
    put!(out, "</tbody>\n</table>\n</div>\n</section>");
}

fn method(out: &mut String, report: &Report) {
    put!(
        out,
        "<section id=\"method\">\n<h2>How this page was made</h2>\n\
         <p>Each sample is a process of its own; engines take turns in random order within each round, \
         and one pass times, another counts, a third watches memory. Ratios are paired by round \
         (Hodges–Lehmann estimate, 99 % signed-rank interval; without pairs, a bootstrap of the medians). \
         Intervals of medians come from order statistics. Fewer than {MIN_SAMPLES} samples give no interval, unless \
         a count was the same every time. An engine is called better or worse only if the whole interval \
         lies beyond the margin: {} in time, {} in memory, {} in counts. An average over workloads is \
         a geometric mean, its interval the mean of the ends.</p>",
        units::percent(margin(Metric::WallS)),
        units::percent(margin(Metric::PeakRssBytes)),
        units::percent(margin(Metric::MinorFaults))
    );
    frame::commands(out, report.runs.iter(), &report.sources);
    put!(out, "</section>");
}
