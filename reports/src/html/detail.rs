//! Workload by workload: all plots and figures of each, on demand.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::parts::{Table, behind, put};
use super::{escape, maps, tables};
use crate::analysis::{Arm, Measured, Report, Workload};
use crate::record::{self, Metric, Role, Unit};
use crate::stats::Interval;
use crate::{svg, units};

/// Of so many workloads, each is unfolded.
const UNFOLDED: usize = 3;
/// Of so many, the panel of time against memory stands above; of more, here.
pub(super) const AT_ONCE: usize = 6;
/// So many bytes of plots and figures stand in the page as they are. More would
/// make it slow, and are packed.
const PLAIN: usize = 2_000_000;
/// Moments of the table behind memory over time.
const MOMENTS: usize = 7;

/// A plot of a workload, and how it reads.
struct Plot {
    /// Its class in the page.
    class: &'static str,
    /// What it shows, with what is better.
    title: &'static str,
    legend: fn() -> String,
    draw: fn(&Workload, &[Arm]) -> Option<String>,
    behind: Behind,
}

/// Where the figures of a plot are.
enum Behind {
    /// In the tables of the workload.
    Figures,
    /// In a table of the plot's own.
    Own(fn(&Workload, &[Arm]) -> Table<'static>),
}

const SCATTER: Plot = Plot {
    class: "scatter",
    title: "Time against peak memory: lower left is better",
    legend: String::new,
    draw: svg::scatter,
    behind: Behind::Figures,
};

const PLOTS: [Plot; 7] = [
    Plot {
        class: "ratios",
        title: "Time against the reference: left is better",
        legend: String::new,
        draw: |workload, arms| svg::forest(workload, arms, Metric::WallS, "Wall time"),
        behind: Behind::Figures,
    },
    Plot {
        class: "samples",
        title: "Wall time of each sample: left is better",
        legend: String::new,
        draw: svg::samples,
        behind: Behind::Own(samples),
    },
    Plot {
        class: "syscalls",
        title: "System calls by kind: fewer is better",
        legend: kinds,
        draw: svg::syscalls,
        behind: Behind::Figures,
    },
    Plot {
        class: "faults",
        title: "Minor faults: fewer is better",
        legend: String::new,
        draw: svg::faults,
        behind: Behind::Figures,
    },
    Plot {
        class: "rss",
        title: "Memory over time: lower is better",
        legend: String::new,
        draw: svg::memory,
        behind: Behind::Own(moments),
    },
    Plot {
        class: "latency",
        title: "Latency of single calls (malloc above, free below): left is better",
        legend: String::new,
        draw: svg::latency,
        behind: Behind::Figures,
    },
    Plot {
        class: "occupancy",
        title: "How full the heap’s OS pages are, on average: fewer and fuller is better",
        legend: fullness,
        draw: svg::occupancy,
        behind: Behind::Figures,
    },
];

/// Writes the section.
pub(super) fn section(out: &mut String, report: &Report) {
    if report.workloads.is_empty() {
        return;
    }
    put!(
        out,
        "<section id=\"workloads\">\n<h2>Workload by workload</h2>\n\
         <p class=\"about\">Ratios are to the reference, paired round by round, with 99 % intervals; \
         within the grey band a difference is not worth acting on. Dots are samples, the bar their \
         median. System calls are those that manage memory; they and faults are counted over {}. \
         Memory over time is that of the run with the median peak, and the grey area are live bytes \
         where the workload knows them. Latency is that of the call alone, from the median over the \
         99th and the 99.9th percentile to the longest, which holds whatever interrupted it. Of the \
         heap’s resident OS pages, live bytes take up a share.</p>\n\
         <p class=\"buttons\"><button type=\"button\" data-open=\"all\" hidden>Unfold all</button>\
         <button type=\"button\" data-open=\"none\" hidden>Fold all</button></p>",
        counted_over(report)
    );
    let all = report.workloads.iter().enumerate();
    let contents: Vec<String> =
        all.clone().map(|(at, workload)| contents(report, at, workload)).collect();
    let packs = contents.iter().map(String::len).sum::<usize>() > PLAIN;
    if packs {
        put!(
            out,
            "<noscript><p class=\"about\">There is so much of it that it is packed, and takes a script \
             to be unpacked. `brkpoint report --json` tells the same figures.</p></noscript>"
        );
    }
    for ((at, workload), contents) in all.zip(contents) {
        let open = if report.workloads.len() <= UNFOLDED { " open" } else { "" };
        put!(
            out,
            "<details class=\"workload\" id=\"w{at}\" data-workload=\"{at}\"{open}>\n\
             <summary><h3>{}</h3> <span class=\"note\">{}</span></summary>\n{}</details>",
            escape(&workload.name),
            escape(&gist(workload, &report.arms)),
            if packs { packed(&contents) } else { contents }
        );
    }
    put!(out, "</section>");
}

/// All plots and figures of a workload.
fn contents(report: &Report, at: usize, workload: &Workload) -> String {
    let mut out = String::new();
    if let Some(about) = &workload.about {
        put!(out, "<p class=\"about\">It does: {}.</p>", escape(about));
    }
    out.push_str("<div class=\"panels\">\n");
    let first = (report.workloads.len() > AT_ONCE).then_some(&SCATTER);
    for plot in first.into_iter().chain(&PLOTS) {
        figure(&mut out, report, (at, workload), plot);
    }
    put!(
        out,
        "</div>\n{}<div id=\"w{at}-figures\">{}</div>",
        maps::of(workload, &report.arms),
        tables::workload(report, workload)
    );
    out
}

/// A part of the page for the script to unpack: deflated, as base64.
fn packed(contents: &str) -> String {
    let deflated = miniz_oxide::deflate::compress_to_vec(contents.as_bytes(), 6);
    format!("<template class=\"packed\">{}</template>\n", STANDARD.encode(deflated))
}

fn figure(out: &mut String, report: &Report, (at, workload): (usize, &Workload), plot: &Plot) {
    let Some(svg) = (plot.draw)(workload, &report.arms) else { return };
    let table = match plot.behind {
        Behind::Figures => {
            format!("<p class=\"note\"><a href=\"#w{at}-figures\">As a table</a></p>\n")
        }
        Behind::Own(table) => behind("As a table", &table(workload, &report.arms)),
    };
    put!(
        out,
        "<figure class=\"{}\">\n<figcaption>{}</figcaption>\n{}{svg}{table}</figure>",
        plot.class,
        plot.title,
        (plot.legend)()
    );
}

/// The fastest and the smallest by their medians, in a line.
fn gist(workload: &Workload, arms: &[Arm]) -> String {
    let failed = workload.cells.iter().filter(|cell| cell.error.is_some()).count();
    let least = |metric: Metric| {
        let cells = workload.cells.iter().filter(|cell| cell.cell.role != Role::Repeat);
        let known = cells.filter_map(|cell| Some((cell, cell.figure(metric)?)));
        known.min_by(|a, b| a.1.median.total_cmp(&b.1.median))
    };
    let told = |metric: Metric, what: &str| {
        let (cell, figure) = least(metric)?;
        let value = units::human(figure.median, metric.unit());
        Some(format!("{what}: {}, {value}", arms[cell.arm].label))
    };
    let time = told(Metric::WallS, "least time (median)");
    let memory = told(Metric::PeakRssBytes, "least memory");
    let failed = (failed > 0).then(|| format!("{failed} failed"));
    [time, memory, failed].into_iter().flatten().collect::<Vec<_>>().join(" · ")
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

fn kinds() -> String {
    let kinds: Vec<String> = (0..svg::KINDS.len())
        .map(|i| format!("<li>{}{}</li>", svg::swatch_kind(i), svg::KINDS[i]))
        .collect();
    format!("<ul class=\"legend\">{}</ul>\n", kinds.join(""))
}

fn fullness() -> String {
    let step = |(kind, (name, _)): (usize, &(&str, usize))| {
        format!("<li>{}{name}</li>", svg::swatch_kind(kind))
    };
    let steps: Vec<String> = svg::FULLNESS.iter().enumerate().map(step).collect();
    format!("<ul class=\"legend\">{}</ul>\n", steps.join(""))
}

fn samples(workload: &Workload, arms: &[Arm]) -> Table<'static> {
    let value = |value: f64| units::human(value, Unit::Seconds);
    let interval = |interval: Option<Interval>| match interval {
        Some(i) => format!("{} to {}", value(i.low), value(i.high)),
        None => "–".to_owned(),
    };
    let row = |cell: &Measured| {
        let figure = cell.figure(Metric::WallS)?;
        let extreme = |of: fn(f64, f64) -> f64| {
            cell.wall_s.iter().copied().reduce(of).map_or("–".to_owned(), value)
        };
        Some(vec![
            arms[cell.arm].label.clone(),
            figure.n.to_string(),
            extreme(f64::min),
            value(figure.median),
            extreme(f64::max),
            interval(figure.interval),
        ])
    };
    let columns = ["engine", "samples", "least", "median", "most", "99 % interval of the median"];
    Table {
        label: "Wall time of the samples",
        class: "",
        columns: columns.map(str::to_owned).into(),
        rows: workload.cells.iter().filter_map(row).collect(),
    }
}

/// RSS at some moments, and live bytes where they are known.
fn moments(workload: &Workload, arms: &[Arm]) -> Table<'static> {
    let all = || workload.cells.iter().filter_map(|cell| Some((cell, cell.series.as_ref()?)));
    let first = all().next().map(|(_, series)| series.axis);
    let name = |x: f64| match first {
        Some(record::Axis::Seconds) => units::human(x, Unit::Seconds),
        _ => format!("operation {}", units::human(x, Unit::Count)),
    };
    let most = all().filter_map(|(_, series)| series.x.last().copied()).fold(0.0, f64::max);
    let marks: Vec<f64> = (0..MOMENTS).map(|i| most * i as f64 / (MOMENTS - 1) as f64).collect();
    // The last value that was known then.
    let at = |x: &[f64], values: &[u64], mark: f64| {
        let after = x.partition_point(|x| *x <= mark);
        let value = values.get(after.saturating_sub(1));
        value.map_or("–".to_owned(), |bytes| units::human(*bytes as f64, Unit::Bytes))
    };
    let row = |name: String, x: &[f64], values: &[u64]| {
        let cells = marks.iter().map(|mark| at(x, values, *mark));
        std::iter::once(name).chain(cells).collect::<Vec<String>>()
    };
    let mut rows: Vec<Vec<String>> = all()
        .filter(|(_, series)| Some(series.axis) == first)
        .map(|(cell, series)| row(arms[cell.arm].label.clone(), &series.x, &series.rss_bytes))
        .collect();
    let live = all().map(|(_, series)| series).find(|series| !series.live_bytes.is_empty());
    rows.extend(live.map(|live| row("live bytes".to_owned(), &live.x, &live.live_bytes)));
    let columns = std::iter::once("RSS of".to_owned()).chain(marks.iter().map(|m| name(*m)));
    Table { label: "Memory over time", class: "", columns: columns.collect(), rows }
}
