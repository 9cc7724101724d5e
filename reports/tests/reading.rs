//! Record files as they are found: cut off, concatenated, mixed with garbage.

mod fixture;

use std::io::Write;

use brkpoint_reports::record::{Line, Metric, Pass, Role, Sample};
use brkpoint_reports::{Records, analyse};
use fixture::{cell, lines, run, timed};
use proptest::prelude::*;

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect()
}

fn some() -> Vec<Line> {
    let glibc = cell("glibc", "churn", Role::Reference);
    lines(run("r1", vec![glibc.clone()]), timed(&glibc, &[1.0, 2.0, 3.0]))
}

fn read(text: impl AsRef<[u8]>) -> Records {
    Records::from_reader("file", text.as_ref()).unwrap()
}

/// The only problem of some records.
fn problem(records: &Records) -> String {
    match &records.problems[..] {
        [only] => only.to_string(),
        others => panic!("one problem expected: {others:?}"),
    }
}

#[test]
fn what_was_written_is_read_back() {
    let records = read(text(&some()));
    assert_eq!(records.problems, []);
    let again: Vec<Line> = records
        .runs
        .into_iter()
        .map(Line::Run)
        .chain(records.samples.into_iter().map(Line::Sample))
        .collect();
    assert_eq!(again, some());
}

#[test]
fn a_file_cut_off_anywhere_keeps_its_whole_lines_and_says_where_it_ends() {
    let whole = text(&some());
    let starts: Vec<usize> = whole.match_indices('\n').map(|(i, _)| i + 1).collect();
    let last = starts[2];
    for end in last + 1..whole.len() - 1 {
        let records = read(&whole[..end]);
        assert_eq!(records.samples.len(), if end == whole.len() - 1 { 3 } else { 2 });
        let said = problem(&records);
        assert!(said.starts_with("file, line 4: cut off in the middle"), "{end}: {said}");
    }
    // Without its last newline only, the last record is whole.
    assert_eq!(read(&whole[..whole.len() - 1]).samples.len(), 3);
}

#[test]
fn a_record_behind_a_cut_one_on_the_same_line_is_still_read() {
    let whole = text(&some());
    let joined = format!("{}{}", &whole[..whole.len() - 30], text(&other_run()));
    let records = read(joined);
    assert_eq!((records.runs.len(), records.samples.len()), (2, 2 + 3));
    assert_eq!(problem(&records), "file, line 4: cut off in the middle, before another record");
}

#[test]
fn a_byte_order_mark_before_a_file_is_passed_over() {
    let marked = format!("\u{feff}{}\u{feff}{}", text(&some()), text(&other_run()));
    let records = read(marked);
    assert_eq!(records.problems, []);
    assert_eq!((records.runs.len(), records.samples.len()), (2, 6));
    assert_eq!(read("\u{feff}").problems, []);
}

fn other_run() -> Vec<Line> {
    let renamed = some().into_iter().map(|line| match line {
        Line::Run(mut run) => {
            run.id = "r2".into();
            Line::Run(run)
        }
        Line::Sample(mut sample) => {
            sample.run = "r2".into();
            Line::Sample(sample)
        }
        answer @ Line::Answer(_) => answer,
    });
    renamed.collect()
}

#[test]
fn a_garbage_line_is_named_and_the_rest_is_read() {
    for garbage in
        ["garbage", "{}", "[]", "{\"type\":\"sample\"}", "\u{0}\u{1}", "{\"type\":\"other\"}"]
    {
        let whole = text(&some());
        let (first, rest) = whole.split_once('\n').unwrap();
        let records = read(format!("{first}\n{garbage}\n{rest}"));
        assert_eq!(records.samples.len(), 3);
        let said = problem(&records);
        assert!(said.starts_with("file, line 2: not a record ("), "{said}");
    }
}

#[test]
fn many_bad_lines_are_counted_and_not_all_named() {
    let records = read("garbage\n".repeat(5_000));
    assert_eq!(records.problems.len(), 21);
    assert_eq!(records.problems[20].to_string(), "file: 4980 more lines could not be used");
}

#[test]
fn a_run_in_a_newer_format_is_refused_with_its_samples() {
    let newer = text(&some()).replacen("\"schema\":1", "\"schema\":2", 1);
    let with_unknown_field = newer.replacen("\"command_line\"", "\"new_name\"", 1);
    for text in [newer, with_unknown_field] {
        let records = read(text);
        assert_eq!((records.runs.len(), records.samples.len()), (0, 0));
        let said = problem(&records);
        assert!(
            said.starts_with("file, line 1: format 2, but this brkpoint reads up to 1"),
            "{said}"
        );
    }
}

#[test]
fn samples_without_their_run_are_kept_with_a_warning() {
    let records = read(text(&some()[1..]));
    assert_eq!(records.samples.len(), 3);
    let said = problem(&records);
    assert!(said.contains("3 samples belong to run r1, whose own line is missing"), "{said}");
}

#[test]
fn the_same_samples_given_twice_count_once() {
    let records = read(text(&some()).repeat(2));
    assert_eq!((records.runs.len(), records.samples.len()), (1, 3));
    assert!(problem(&records).contains("3 samples were there before"));
}

#[test]
fn another_sample_in_the_place_of_one_is_named() {
    let mut all = some();
    let Line::Sample(mut other) = all[1].clone() else { unreachable!() };
    other.metrics.insert(Metric::WallS, 9.0);
    all.push(Line::Sample(other));
    let records = Records::from_lines(all);
    assert_eq!(records.samples.len(), 3);
    assert!(problem(&records).contains("another sample of glibc in round 0; the first is used"));
}

#[test]
fn several_files_are_read_as_one_and_an_unreadable_one_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (directory.path().join("a.jsonl"), directory.path().join("b.jsonl"));
    std::fs::write(&a, text(&some())).unwrap();
    let mut file = std::fs::File::create(&b).unwrap();
    file.write_all(text(&other_run()).as_bytes()).unwrap();
    let records = Records::read(&[&a, &b]).unwrap();
    assert_eq!((records.runs.len(), records.samples.len(), records.sources.len()), (2, 6, 2));
    let missing = directory.path().join("missing.jsonl");
    let error = Records::read(&[&a, &missing]).unwrap_err().to_string();
    assert!(error.contains("missing.jsonl") && error.contains("cannot read"), "{error}");
    assert!(Records::read(&[directory.path()]).is_err());
}

#[test]
fn impossible_figures_are_refused() {
    for value in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
        let glibc = cell("glibc", "churn", Role::Reference);
        let records = Records::from_lines(lines(run("r1", vec![]), timed(&glibc, &[1.0, value])));
        assert_eq!(records.samples.len(), 1);
        assert!(problem(&records).contains("wall_s is"), "{value}");
    }
    let huge = text(&some()).replace("\"wall_s\":2.0", "\"wall_s\":1e999");
    assert_eq!(read(huge).samples.len(), 2);
}

#[test]
fn memory_over_time_that_is_out_of_order_is_left_out() {
    for (x, rss) in [(vec![2.0, 1.0], vec![1, 2]), (vec![1.0], vec![1, 2]), (vec![], vec![])] {
        let glibc = cell("glibc", "churn", Role::Reference);
        let mut sample: Sample =
            fixture::sample(&glibc, Pass::Memory, 0, &[(Metric::PeakRssBytes, 5.0)]);
        sample.series = Some(brkpoint_reports::record::Series {
            axis: brkpoint_reports::record::Axis::Seconds,
            x,
            rss_bytes: rss,
            live_bytes: vec![],
        });
        let records = Records::from_lines(lines(run("r1", vec![]), [sample]));
        assert_eq!(records.samples[0].series, None);
        assert!(problem(&records).contains("not in order"));
    }
}

#[test]
fn a_line_without_end_is_skipped_without_being_kept() {
    let mut long = vec![b'x'; 70 << 20];
    long.push(b'\n');
    long.extend(text(&some()).bytes());
    let records = read(long);
    assert_eq!(records.samples.len(), 3);
    assert!(problem(&records).contains("longer than 64 MiB"));
}

#[test]
fn deep_nesting_is_garbage_like_any_other() {
    let records = read("[".repeat(1_000_000));
    assert_eq!(records.samples.len(), 0);
    assert_eq!(records.problems.len(), 1);
}

/// Good lines with some bytes changed.
fn mutilated() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12).prop_map(
        |changes| {
            let mut bytes = text(&some()).into_bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    )
}

fn all_of_it(bytes: &[u8]) {
    let report = analyse(&read(bytes));
    report.to_html();
    report.to_text(80, true);
    for line in report.to_json_lines().lines() {
        let row: brkpoint_reports::Row = serde_json::from_str(line).unwrap();
        assert!([row.median, row.low, row.high].iter().flatten().all(|v| v.is_finite()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        all_of_it(&bytes);
    }

    #[test]
    fn any_change_to_good_records_is_read_without_panic(bytes in mutilated()) {
        all_of_it(&bytes);
    }

    #[test]
    fn any_figures_are_reported_without_panic(
        wall in proptest::collection::vec(0.0f64..1e18, 0..30),
        rss in proptest::collection::vec(prop_oneof![Just(0.0), 0.0f64..1e18, 0.0f64..1e-300], 0..30),
        calls in proptest::collection::vec(0.0f64..1e18, 0..4),
    ) {
        let mut samples = Vec::new();
        let cells = [cell("glibc", "w", Role::Reference), cell("glibc", "w", Role::Repeat), cell("x", "w", Role::Candidate)];
        for (i, cell) in cells.iter().enumerate() {
            let mut add = |pass, metric, values: &[f64]| {
                for (round, value) in (0..).zip(values) {
                    samples.push(fixture::sample(cell, pass, round, &[(metric, value * (1.0 + i as f64))]));
                }
            };
            add(Pass::Time, Metric::WallS, &wall);
            add(Pass::Memory, Metric::PeakRssBytes, &rss);
            add(Pass::Counts, Metric::SyscallsMmap, &calls);
        }
        let text = text(&lines(run("r1", cells.to_vec()), samples));
        all_of_it(text.as_bytes());
    }
}
