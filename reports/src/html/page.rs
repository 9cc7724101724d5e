//! The page, section by section.

use std::fmt::Write;

use super::parts::put;
use super::{detail, escape, frame, heat};
use crate::analysis::{Report, Workload};
use crate::figure::Figure;
use crate::judge::{Verdict, margin};
use crate::record::{Metric, Role};
use crate::stats::{Estimate, MIN_SAMPLES};
use crate::{svg, units};

impl Report {
    /// The report as one HTML file: no network, and a script only for comfort.
    pub fn to_html(&self) -> String {
        let mut out = String::new();
        let title = format!("brkpoint: {}", heading(self).to_lowercase());
        frame::head(&mut out, "en", &title, Some(SCRIPT_HASH));
        header(&mut out, self);
        verdict(&mut out, self);
        if let Some(gate) = &self.gate {
            crate::gate::section(&mut out, gate);
        }
        filters(&mut out, self);
        heat::section(&mut out, self);
        memory(&mut out, self);
        detail::section(&mut out, self);
        super::criterion::section(&mut out, &self.criterion);
        errors_and_notes(&mut out, self);
        engines(&mut out, self);
        frame::machines(&mut out, self.runs.iter().map(|run| &run.machine));
        method(&mut out, self);
        put!(out, "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>");
        out
    }
}

/// What cannot be done without: sorting, filtering, unfolding for the printer.
const SCRIPT: &str = include_str!("script.js");
/// SHA-256 of [`SCRIPT`]: the page lets no other run.
const SCRIPT_HASH: &str = "sha256-+VaFAH73lEDBAT3m68ul7XQysHJrTD5vsILKTF+2E6Q=";

fn heading(report: &Report) -> &'static str {
    match report.gate {
        Some(_) => "Did it become worse?",
        None => "Allocation strategies compared",
    }
}

fn header(out: &mut String, report: &Report) {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let engines = report.arms.iter().filter(|arm| arm.role != Role::Repeat).count();
    let mut facts = vec![count(engines, "engine"), count(report.workloads.len(), "workload")];
    facts.extend(report.runs.first().and_then(|run| run.machine.cpu.clone()));
    facts.extend(report.runs.first().map(|run| run.started.clone()));
    put!(
        out,
        "<header>\n<h1>{}</h1>\n<p class=\"facts\">{}</p>\n</header>",
        heading(report),
        escape(&facts.join(" · "))
    );
}

fn verdict(out: &mut String, report: &Report) {
    put!(out, "<section id=\"verdict\">\n<h2>Verdict</h2>");
    for (i, sentence) in report.verdict.iter().enumerate() {
        let class = if i == 0 { " class=\"first\"" } else { "" };
        put!(out, "<p{class}>{}</p>", escape(sentence));
    }
    checks(out, report);
    put!(out, "</section>");
}

/// What the A/A rows say, metric by metric, and the positive control.
fn checks(out: &mut String, report: &Report) {
    let mut items = Vec::new();
    for (metric, what) in [
        (Metric::WallS, "time"),
        (Metric::PeakRssBytes, "peak memory"),
        (Metric::MinorFaults, "minor faults"),
    ] {
        let cells = report.workloads.iter().flat_map(|w| &w.cells);
        let repeats = cells.filter(|cell| cell.cell.role == Role::Repeat);
        let figures: Vec<&Figure> = repeats.filter_map(|cell| cell.figure(metric)).collect();
        let count = |of: &[Verdict]| {
            figures.iter().filter(|f| f.verdict.is_some_and(|v| of.contains(&v))).count()
        };
        let differ = count(&[Verdict::Better, Verdict::Worse]);
        let (same, all) = (count(&[Verdict::Same]), figures.len());
        let ratios = figures.iter().filter_map(|figure| figure.ratio);
        let far = |ratio: &Estimate| ratio.value.ln().abs();
        let Some(widest) = ratios.max_by(|a, b| far(a).total_cmp(&far(b))) else { continue };
        let (class, mark) = match (differ, same == all) {
            (0, true) => ("ok", "✓"),
            (0, false) => ("open", "?"),
            _ => ("bad", "✗"),
        };
        items.push(format!(
            "<li class=\"{class}\"><span aria-hidden=\"true\">{mark}</span> {what}: same on {same} of {all}{}, furthest {}</li>",
            if differ > 0 { format!(", different on {differ}") } else { String::new() },
            units::ratio_interval(widest)
        ));
    }
    check_list(out, "A/A, the reference against itself:", &items);
    let planted = report.controls.iter().map(|control| {
        let (class, mark, word) = match (control.ratio.interval, control.verdict) {
            (_, Verdict::Worse) => ("ok", "✓", "found"),
            (None, _) => ("open", "?", "too few rounds to find it"),
            _ => ("bad", "✗", "not found"),
        };
        format!(
            "<li class=\"{class}\"><span aria-hidden=\"true\">{mark}</span> {} more {}: {word}, reads {}</li>",
            units::percent(control.planted),
            control.quantity.name(),
            units::ratio_interval(control.ratio)
        )
    });
    check_list(out, "Positive control, planted on purpose:", &planted.collect::<Vec<_>>());
}

fn check_list(out: &mut String, title: &str, items: &[String]) {
    if !items.is_empty() {
        put!(out, "<div class=\"checks\"><p>{title}</p><ul>{}</ul></div>", items.join(""));
    }
}

/// Engines and workloads to tick; the script shows it.
fn filters(out: &mut String, report: &Report) {
    let engines: Vec<&str> = report.arms.iter().map(|arm| arm.label.as_str()).collect();
    let workloads: Vec<&str> = report.workloads.iter().map(|w| w.name.as_str()).collect();
    if engines.len() < 2 {
        return;
    }
    put!(out, "<form id=\"filters\" hidden aria-label=\"Filters\">");
    for (name, title, labels) in [("arm", "Engines", engines), ("workload", "Workloads", workloads)]
    {
        put!(
            out,
            "<details>\n<summary>{title} shown</summary>\n<fieldset><legend class=\"unseen\">{title}</legend>\n\
             <button type=\"button\" data-set=\"all\">all</button><button type=\"button\" data-set=\"none\">none</button>"
        );
        for (at, label) in labels.into_iter().enumerate() {
            let label = escape(&units::clip(label, 60));
            put!(
                out,
                "<label><input type=\"checkbox\" name=\"{name}\" value=\"{at}\" checked> {label}</label>"
            );
        }
        put!(out, "</fieldset>\n</details>");
    }
    put!(out, "</form>");
}

/// Time against memory, over all workloads and, if they are few, for each.
fn memory(out: &mut String, report: &Report) {
    let panels: Vec<String> = report
        .workloads
        .iter()
        .enumerate()
        .filter_map(|(at, workload)| {
            let svg = svg::scatter(workload, &report.arms)?;
            let name = escape(&workload.name);
            Some(format!(
                "<figure data-workload=\"{at}\">\n<figcaption title=\"{name}\">{name}</figcaption>\n{svg}\
                 <p class=\"note\"><a href=\"#w{at}-figures\">As a table</a></p></figure>\n"
            ))
        })
        .collect();
    let means = means(report);
    let shown = if panels.len() <= detail::AT_ONCE { panels.concat() } else { String::new() };
    if means.is_none() && shown.is_empty() {
        return;
    }
    put!(
        out,
        "<section id=\"memory\">\n<h2>Time against peak memory</h2>\n\
         <p class=\"about\">Median wall time and median peak resident memory (the largest process). \
         Lower left is better; a cross is the 99 % interval, and nothing measured lies \
         below and left of the stepped line (the Pareto front).</p>\n{}\n<div class=\"panels\">",
        legend(report)
    );
    if let Some(svg) = means {
        put!(
            out,
            "<figure>\n<figcaption>all {} workloads, geometric mean</figcaption>\n{svg}\
             <p class=\"note\"><a href=\"#heat\">As a table</a></p></figure>",
            report.workloads.len()
        );
    }
    put!(out, "{shown}</div>\n</section>");
}

/// Means over workloads of the engines that have a ratio in each.
fn means(report: &Report) -> Option<String> {
    if report.workloads.len() < 2 {
        return None;
    }
    let workloads: Vec<&Workload> = report.workloads.iter().collect();
    let of = |arm: usize, metric| match report.arms[arm].role {
        Role::Reference => Some(1.0),
        _ => heat::mean(&workloads, arm, metric),
    };
    let all = 0..report.arms.len();
    let mean = |arm| Some((arm, of(arm, Metric::WallS)?, of(arm, Metric::PeakRssBytes)?));
    let means: Vec<(usize, f64, f64)> = all.filter_map(mean).collect();
    if means.len() < 2 { None } else { svg::means(&means, &report.arms) }
}

fn legend(report: &Report) -> String {
    let mut out = String::from("<ul class=\"legend\">\n");
    for (i, arm) in report.arms.iter().enumerate() {
        put!(
            out,
            "<li data-arm=\"{i}\">{}{}</li>",
            svg::swatch_series(&report.arms, i),
            escape(&arm.label)
        );
    }
    out.push_str("</ul>");
    out
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
            Role::Candidate | Role::Control => "",
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
