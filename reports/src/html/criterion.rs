//! The section of criterion's benchmarks.

use std::fmt::Write;

use super::escape;
use crate::criterion::{Benchmark, Criterion};
use crate::record::Unit;
use crate::{svg, units};

/// Writes the section, if there is anything to show.
pub(super) fn section(out: &mut String, criterion: &Criterion) {
    if criterion.benchmarks.is_empty() {
        return;
    }
    out.push_str(
        "<section id=\"criterion\">\n<h2>Criterion's benchmarks</h2>\n\
         <p class=\"about\">Medians of <code>cargo bench</code>, the latest run of each benchmark; \
         the interval that criterion bootstraps shows on pointing at a figure. Criterion runs each \
         function's samples as one block: whatever the machine did meanwhile is a part of the \
         difference between two columns. So nothing here is called better or worse; verdicts \
         between engines come from interleaved records only. System calls and faults are those \
         of the whole process, from exec to the end; \
         <em>start-up</em> is a process that allocates and frees one block.</p>\n",
    );
    let same = |a: &Benchmark, b: &Benchmark| (&a.measure, &a.unit) == (&b.measure, &b.unit);
    for (at, table) in criterion.benchmarks.chunk_by(same).enumerate() {
        curves(out, at, table);
        self::table(out, at, table);
    }
    out.push_str("</section>\n");
}

/// A curve of each work that was measured at several settings.
fn curves(out: &mut String, at: usize, benchmarks: &[Benchmark]) {
    let mut figures = Vec::new();
    for work in benchmarks.chunk_by(|a, b| a.work == b.work) {
        let settings: Vec<&str> = {
            let rows = work.chunk_by(|a, b| a.parameter == b.parameter);
            rows.filter_map(|row| row[0].parameter.as_deref()).collect()
        };
        if settings.len() < 2 {
            continue;
        }
        let mut engines: Vec<&str> = work.iter().map(|b| b.engine.as_str()).collect();
        engines.sort_unstable();
        engines.dedup();
        let curve = |engine: &&'_ str| {
            let at = |setting: &&str| {
                let found = work
                    .iter()
                    .find(|b| b.engine == *engine && b.parameter.as_deref() == Some(setting));
                Some(in_base(found?.median, &found?.unit))
            };
            let values = settings.iter().map(at).collect();
            svg::Curve {
                engine: work.iter().find(|b| b.engine == *engine).map_or("", |b| &b.engine),
                values,
            }
        };
        let curves: Vec<svg::Curve<'_>> = engines.iter().map(curve).collect();
        let unit = base(&work[0].unit);
        let title = format!("{} of {}", work[0].measure, work[0].work);
        let svg = svg::curve(&title, &settings, &curves, unit, |v| units::human(v, unit));
        figures.extend(svg.map(|svg| (escape(&work[0].work), svg)));
    }
    if figures.is_empty() {
        return;
    }
    let _ = writeln!(out, "<h3>{}</h3>\n<div class=\"panels\">", escape(&benchmarks[0].measure));
    for (name, svg) in figures {
        let _ = write!(
            out,
            "<figure class=\"curve\">\n<figcaption title=\"{name}\">{name}: lower is better</figcaption>\n{svg}\
             <p class=\"note\"><a href=\"#criterion-{at}\">As a table</a></p></figure>\n"
        );
    }
    out.push_str("</div>\n");
}

/// The unit of ours that stands for one of criterion's or of ours.
fn base(unit: &str) -> Unit {
    match unit {
        "ns" => Unit::Seconds,
        "x live" => Unit::Ratio,
        _ => Unit::Count,
    }
}

fn in_base(value: f64, unit: &str) -> f64 {
    if unit == "ns" { value * 1e-9 } else { value }
}

/// A table of one measure: a row for each work and parameter, a column an engine.
fn table(out: &mut String, at: usize, benchmarks: &[Benchmark]) {
    let mut engines: Vec<&str> = benchmarks.iter().map(|b| b.engine.as_str()).collect();
    engines.sort_unstable();
    engines.dedup();
    let label = escape(&benchmarks[0].measure);
    let _ = write!(
        out,
        "<div class=\"scroll\" id=\"criterion-{at}\" tabindex=\"0\" role=\"region\" aria-label=\"criterion: {label}\">\n\
         <table>\n<caption>{label}</caption>\n<thead><tr><th scope=\"col\">work</th>"
    );
    for engine in &engines {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escape(engine));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let same = |a: &Benchmark, b: &Benchmark| (&a.work, &a.parameter) == (&b.work, &b.parameter);
    for row in benchmarks.chunk_by(same) {
        let parameter = row[0].parameter.as_ref().map(|p| format!(" {p}")).unwrap_or_default();
        let name = format!("{}{parameter}", row[0].work);
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escape(&name));
        for engine in &engines {
            match row.iter().find(|benchmark| benchmark.engine == *engine) {
                Some(benchmark) => figure(out, benchmark),
                None => out.push_str("<td>–</td>"),
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

fn figure(out: &mut String, benchmark: &Benchmark) {
    let Benchmark { unit, median, interval: [low, high], level, samples, .. } = benchmark;
    let value = |value: f64| escape(&human(value, unit));
    let _ = write!(
        out,
        "<td title=\"median of {samples} samples; criterion's {:.0} % interval {} to {}\">{}</td>",
        level * 100.0,
        value(*low),
        value(*high),
        value(*median)
    );
}

/// A value in a unit of criterion's or of ours.
fn human(value: f64, unit: &str) -> String {
    match unit {
        "ns" if value < 999.5 => format!("{value:.3} ns"),
        "ns" => units::human(value * 1e-9, Unit::Seconds),
        "calls" | "faults" => units::human(value, Unit::Count),
        "x live" => units::ratio(value),
        other => format!("{value:.3} {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn values_read_well_in_every_unit() {
        for (value, unit, text) in [
            (3.2814, "ns", "3.281 ns"),
            (71_300_000.0, "ns", "71.3 ms"),
            (40_012.0, "calls", "40,012"),
            (1.305, "x live", "1.30×"),
            (2.0, "cycles", "2.000 cycles"),
        ] {
            assert_eq!(human(value, unit), text);
        }
    }
}
