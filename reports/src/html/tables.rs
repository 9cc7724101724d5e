//! The tables of the page: every figure.

use std::fmt::Write;

use super::escape;
use crate::analysis::{Measured, Report, Workload};
use crate::figure::Figure;
use crate::judge::Verdict;
use crate::record::{Metric, Unit};
use crate::units;

/// The groups of columns, each a table of its own.
const GROUPS: [(&str, &[Metric]); 5] = [
    (
        "Time and memory",
        &[
            Metric::WallS,
            Metric::PrintedCost,
            Metric::PrintedRate,
            Metric::UserS,
            Metric::SysS,
            Metric::PeakRssBytes,
            Metric::BaselineRssBytes,
            Metric::PeakLiveBytes,
            Metric::KeptRssBytes,
            Metric::TableBytes,
        ],
    ),
    (
        "Latency of single calls",
        &[
            Metric::AllocP50S,
            Metric::AllocP99S,
            Metric::AllocP999S,
            Metric::AllocMaxS,
            Metric::FreeP50S,
            Metric::FreeP99S,
            Metric::FreeP999S,
            Metric::FreeMaxS,
            Metric::ClockS,
        ],
    ),
    (
        "Fragmentation",
        &[
            Metric::InternalFragmentation,
            Metric::ExternalFragmentation,
            Metric::StrandedBytes,
            Metric::HeapBytes,
            Metric::KeptHeapBytes,
            Metric::BlowUp,
            Metric::MeanBlowUp,
        ],
    ),
    (
        "Counts",
        &[
            Metric::MinorFaults,
            Metric::MajorFaults,
            Metric::SyscallsBrk,
            Metric::SyscallsMmap,
            Metric::SyscallsMunmap,
            Metric::SyscallsMremap,
            Metric::SyscallsMadvise,
            Metric::SyscallsMprotect,
        ],
    ),
    (
        "Bytes named in system calls",
        &[
            Metric::BytesBrk,
            Metric::BytesMmap,
            Metric::BytesMunmap,
            Metric::BytesMremap,
            Metric::BytesMadvise,
            Metric::BytesMprotect,
        ],
    ),
];

/// All tables of a workload.
pub(super) fn workload(report: &Report, workload: &Workload) -> String {
    let known = workload.metrics();
    let mut out = String::new();
    for (caption, metrics) in GROUPS {
        let metrics: Vec<Metric> = metrics.iter().copied().filter(|m| known.contains(m)).collect();
        if !metrics.is_empty() {
            table(&mut out, report, workload, caption, &metrics);
        }
    }
    out
}

fn table(
    out: &mut String,
    report: &Report,
    workload: &Workload,
    caption: &str,
    metrics: &[Metric],
) {
    let label = escape(&format!("{caption}: {}", workload.name));
    let better = match metrics.iter().any(|metric| metric.more_is_better()) {
        true => "lower is better, but for what says more",
        false => "lower is better",
    };
    // Focusable, so that the keyboard can scroll it too.
    let _ = writeln!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\">\n<table class=\"sortable\">\n\
         <caption>{}; {better}</caption>\n<thead><tr><th scope=\"col\">engine</th>",
        escape(caption)
    );
    for metric in metrics {
        let _ = write!(out, "<th scope=\"col\">{}</th>", name(*metric));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for cell in &workload.cells {
        let arm = &report.arms[cell.arm];
        let _ = write!(
            out,
            "<tr data-arm=\"{}\"><th scope=\"row\">{}</th>",
            cell.arm,
            escape(&arm.label)
        );
        match &cell.error {
            Some(error) => {
                let _ = write!(
                    out,
                    "<td class=\"error\" colspan=\"{}\">error: {}</td>",
                    metrics.len(),
                    escape(error)
                );
            }
            None => metrics.iter().for_each(|metric| figure(out, cell, *metric)),
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

fn figure(out: &mut String, cell: &Measured, metric: Metric) {
    let Some(figure) = cell.figure(metric) else {
        out.push_str("<td>–</td>");
        return;
    };
    let value = units::human(figure.median, metric.unit());
    let title = escape(&title(figure, metric.unit()));
    let _ = write!(out, "<td data-v=\"{:.4e}\" title=\"{title}\">{value}", figure.median);
    if let Some(ratio) = figure.ratio {
        let class = figure.verdict.map_or("undecided", Verdict::word);
        let _ =
            write!(out, "<span class=\"ratio {class}\">{}</span>", units::ratio_interval(ratio));
    }
    out.push_str("</td>");
}

/// All else that is known about a figure.
fn title(figure: &Figure, unit: Unit) -> String {
    let samples = if figure.n == 1 { "1 sample".into() } else { format!("{} samples", figure.n) };
    match figure.interval {
        Some(i) if i.low == i.high => format!("{samples}, all alike"),
        Some(i) => {
            format!(
                "{samples}; 99 %: {} to {}",
                units::human(i.low, unit),
                units::human(i.high, unit)
            )
        }
        None => format!("{samples}: too few for an interval"),
    }
}

/// Heading of a column.
fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::WallS => "wall time",
        Metric::PrintedCost => "printed, less is better",
        Metric::PrintedRate => "printed, more is better",
        Metric::UserS => "user time",
        Metric::SysS => "system time",
        Metric::MinorFaults => "minor faults",
        Metric::MajorFaults => "major faults",
        Metric::SyscallsBrk | Metric::BytesBrk => "brk",
        Metric::SyscallsMmap | Metric::BytesMmap => "mmap",
        Metric::SyscallsMunmap | Metric::BytesMunmap => "munmap",
        Metric::SyscallsMremap | Metric::BytesMremap => "mremap",
        Metric::SyscallsMadvise | Metric::BytesMadvise => "madvise",
        Metric::SyscallsMprotect | Metric::BytesMprotect => "mprotect",
        Metric::PeakRssBytes => "peak RSS",
        Metric::BaselineRssBytes => "RSS before the first operation",
        Metric::PeakLiveBytes => "peak live bytes",
        Metric::KeptRssBytes => "RSS when all is freed",
        Metric::TableBytes => "tables of the workload",
        Metric::BlowUp => "peak heap / peak live",
        Metric::MeanBlowUp => "mean heap / mean live",
        Metric::AllocP50S => "malloc p50",
        Metric::AllocP99S => "malloc p99",
        Metric::AllocP999S => "malloc p99.9",
        Metric::AllocMaxS => "malloc max",
        Metric::FreeP50S => "free p50",
        Metric::FreeP99S => "free p99",
        Metric::FreeP999S => "free p99.9",
        Metric::FreeMaxS => "free max",
        Metric::ClockS => "the clock (subtracted)",
        Metric::InternalFragmentation => "internal",
        Metric::ExternalFragmentation => "external",
        Metric::StrandedBytes => "stranded (pages under 10 % live)",
        Metric::HeapBytes => "mean heap",
        Metric::KeptHeapBytes => "heap when all is freed",
    }
}
