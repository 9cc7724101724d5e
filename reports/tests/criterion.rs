//! Criterion's directory in; its section on the page out.

use std::fs;
use std::path::Path;

use brkpoint_reports::criterion::group_id;
use brkpoint_reports::{Records, analyse};
use serde_json::json;

/// What criterion leaves of a benchmark whose every iteration took `value`.
fn leave(root: &Path, group: &str, function: &str, parameter: Option<&str>, value: f64) {
    let new = root.join(group).join(function).join(parameter.unwrap_or(".")).join("new");
    fs::create_dir_all(&new).expect("made");
    let estimate = json!({
        "confidence_interval":
            { "confidence_level": 0.95, "lower_bound": value * 0.9, "upper_bound": value * 1.1 },
        "point_estimate": value,
        "standard_error": value * 0.01,
    });
    let (function, parameter) = match parameter {
        Some(parameter) => (json!(function), json!(parameter)),
        None => (json!(null), json!(function)),
    };
    let id = json!({
        "group_id": group, "function_id": function, "value_str": parameter, "throughput": null,
        "full_id": "", "directory_name": "", "title": "",
    });
    let estimates = json!({
        "mean": estimate, "median": estimate, "median_abs_dev": estimate, "slope": null,
        "std_dev": estimate,
    });
    let sample = json!({
        "sampling_mode": "Flat", "iters": [2.0, 2.0, 2.0], "times": vec![2.0 * value; 3],
    });
    for (file, content) in [("benchmark", id), ("estimates", estimates), ("sample", sample)] {
        fs::write(new.join(format!("{file}.json")), content.to_string()).expect("written");
    }
}

fn page(root: &Path) -> String {
    analyse(&Records::read(&[root]).expect("read")).to_html()
}

#[test]
fn every_benchmark_is_on_the_page_in_its_unit_and_the_page_says_what_blocks_mean() {
    let root = tempfile::tempdir().expect("a directory");
    let calls = group_id("syscalls", "calls", "straddle");
    leave(root.path(), &calls, "glibc", None, 40_012.0);
    leave(root.path(), &calls, "<b>", None, 87.0);
    let against = group_id("time against the mmap threshold", "ns", "large");
    for (threshold, value) in [("off", 2e6), ("128K", 71.3e6), ("0", 5e6)] {
        leave(root.path(), &against, "brkpoint", Some(threshold), value);
    }
    leave(root.path(), "fib", "fast", None, 3.28);
    // Criterion's own pages, which lie beside them, are passed over.
    fs::create_dir_all(root.path().join("report")).expect("made");

    let records = Records::read(&[root.path()]).expect("read");
    assert_eq!(records.problems, []);
    let known: Vec<_> = records.criterion.benchmarks.iter().collect();
    assert_eq!(known.len(), 6);
    assert!(known.iter().all(|benchmark| benchmark.samples == 3));
    let parameters: Vec<_> = known.iter().filter_map(|b| b.parameter.as_deref()).collect();
    assert_eq!(parameters, ["0", "128K", "off"]);

    let page = page(root.path());
    for part in [
        "one block",
        "interleaved records only",
        "40,012",
        "71.3 ms",
        "3.280 ns",
        "large 128K",
        "median of 3 samples; criterion's 95 % interval 78.3 to 95.7",
        "&lt;b&gt;",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(page.contains("No verdict") && !page.contains("<b>"));
}

#[test]
fn without_criterion_there_is_no_section() {
    assert!(!analyse(&Records::default()).to_html().contains("id=\"criterion\""));
}

#[test]
fn files_that_are_not_whole_are_named_with_what_to_do_and_the_rest_is_read() {
    let root = tempfile::tempdir().expect("a directory");
    let group = group_id("faults", "faults", "large");
    for engine in ["good", "cut", "gone", "odd", "negative"] {
        leave(root.path(), &group, engine, None, 7.0);
    }
    let of =
        |engine: &str, file: &str| root.path().join(&group).join(engine).join("new").join(file);
    let text = fs::read_to_string(of("cut", "estimates.json")).expect("read");
    fs::write(of("cut", "estimates.json"), &text[..text.len() / 2]).expect("written");
    fs::remove_file(of("gone", "sample.json")).expect("removed");
    fs::write(of("odd", "sample.json"), r#"{"iters":[1.0],"times":[]}"#).expect("written");
    fs::write(of("negative", "estimates.json"), text.replace("7.0", "-7.0")).expect("written");

    let records = Records::read(&[root.path()]).expect("read");
    let engines: Vec<_> = records.criterion.benchmarks.iter().map(|b| b.engine.as_str()).collect();
    assert_eq!(engines, ["good"]);
    assert_eq!(records.problems.len(), 4);
    for problem in &records.problems {
        assert!(problem.line.is_some(), "damage: {problem}");
        assert!(problem.to_string().contains("run the benchmark again"), "{problem}");
    }
}

#[test]
fn a_directory_without_results_is_an_error() {
    let root = tempfile::tempdir().expect("a directory");
    let error = Records::read(&[root.path()]).expect_err("nothing there");
    assert!(error.to_string().contains("cargo bench"), "{error}");
}
