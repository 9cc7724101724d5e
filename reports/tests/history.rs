//! Records of many commits as lines.

mod fixture;

use brkpoint_reports::history::history;
use brkpoint_reports::record::{Gating, Line, Margins, Metric, Pass, Role, Run, Sample, Stage};
use brkpoint_reports::{Quantity, Records};
use fixture::{cell, run, sample};

/// A gate of `base` against `new`, the medians of which are these wall times.
fn gated(id: &str, started: &str, stage: Stage, arms: [(&str, f64); 2]) -> Vec<Line> {
    let roles = [Role::Reference, Role::Candidate, Role::Repeat, Role::Control];
    let cells = roles.map(|role| {
        let arm = arms[usize::from(role == Role::Candidate)].0;
        cell(&format!("lib@{arm}"), "churn", role)
    });
    let gate = Some(Gating { stage, margins: Margins::USUAL });
    let run = Run { gate, started: started.to_owned(), ..run(id, cells.to_vec()) };
    let mut lines = vec![Line::Run(run)];
    for cell in &cells {
        let wall = match cell.role {
            Role::Reference => arms[0].1,
            Role::Candidate => arms[1].1,
            _ => 99.0,
        };
        for round in 0..9 {
            let wall = wall + f64::from(round) / 100.0 - 0.04;
            let sample = sample(cell, Pass::Time, round, &[(Metric::WallS, wall)]);
            lines.push(Line::Sample(Sample { run: id.to_owned(), ..sample }));
        }
    }
    lines
}

#[test]
fn commits_come_in_the_order_in_which_they_were_measured() {
    // The later file is read first.
    let mut lines =
        gated("r2", "2026-01-03T00:00:00Z", Stage::Measure, [("bbb", 2.0), ("ccc", 3.0)]);
    lines.extend(gated("r1", "2026-01-02T00:00:00Z", Stage::Measure, [("aaa", 1.0), ("bbb", 2.5)]));
    lines.extend(gated("r3", "2026-01-02T00:01:00Z", Stage::Confirm, [("aaa", 7.0), ("bbb", 7.0)]));
    let records = Records::from_lines(lines);
    let history = history(&records);
    let [trend] = &history.trends[..] else { panic!("{history:#?}") };
    assert_eq!((trend.engine.as_str(), trend.workload.as_str()), ("lib", "churn"));
    assert_eq!(trend.quantity, Quantity::WallTime);
    let points: Vec<(&str, f64)> =
        trend.points.iter().map(|point| (point.commit.as_str(), point.median)).collect();
    assert_eq!(points, [("aaa", 1.0), ("bbb", 2.5), ("bbb", 2.0), ("ccc", 3.0)]);
    assert!(trend.points.iter().all(|point| point.n == 9 && point.interval.is_some()));

    let page = history.to_html(&records);
    assert!(page.contains("<svg") && page.contains(">ccc</th>"), "{page}");
    assert_eq!(page.matches("<tr><th scope=\"row\">").count(), 4);
    let lines = history.to_json_lines();
    let first: serde_json::Value =
        serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["commit"], &first["metric"]), (&"aaa".into(), &"wall_s".into()));
    assert_eq!(lines.lines().count(), 4);
}

#[test]
fn hostile_names_and_no_records_do_no_harm() {
    let empty = Records::default();
    assert!(history(&empty).trends.is_empty());
    assert!(history(&empty).to_html(&empty).ends_with("</html>\n"));
    let arm = cell(fixture::HOSTILE, fixture::HOSTILE_COMMAND, Role::Reference);
    let samples = [sample(&arm, Pass::Time, 0, &[(Metric::WallS, 0.0)])];
    let records = Records::from_lines(fixture::lines(run("r1", vec![arm]), samples));
    let page = history(&records).to_html(&records);
    assert!(!page.contains("<script>") && !page.contains("<img src=x"), "{page}");
}
