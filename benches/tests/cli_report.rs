//! `brkpoint report` makes the page of what can be read, and names what cannot.

mod cli_support;

use std::fs;
use std::path::Path;

use brkpoint_reports::record::CONTROL;
use cli_support::{Lab, Ran};

/// A directory with a run's `records.jsonl`.
fn measured() -> Lab {
    let lab = Lab::new();
    let command = ["--rounds", "2", "--", "sh", "-c", "echo $((6 * 7))"];
    lab.compare(&["glibc", "brkpoint"], &command).exits(0);
    lab
}

#[track_caller]
fn is_page(path: &Path) {
    let page = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(page.contains("<svg") && page.contains("brkpoint"), "no plot or no engine");
}

/// The report of `file` is written, with this exit status, and stderr says
/// `complaints`, one a line.
#[track_caller]
fn reports(lab: &Lab, file: &str, status: i32, complaints: &[&str]) -> Ran {
    let ran = lab.run(&["report", file, "-o", "page.html"]).exits(status);
    is_page(&lab.path("page.html"));
    let said: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(said.len(), complaints.len(), "{ran}");
    for (line, complaint) in said.iter().zip(complaints) {
        assert!(line.contains(file) && line.contains(complaint), "no {complaint:?}: {ran}");
    }
    ran
}

#[test]
fn what_compare_writes_is_read_without_complaint() {
    let lab = Lab::new();
    // So short that some end before their memory was looked at once.
    let compared = lab.compare(&["glibc", "brkpoint"], &["--rounds", "8", "--", "true"]).exits(0);
    let ran = reports(&lab, "records.jsonl", 0, &[]);
    assert!(ran.stdout.contains("The page: page.html"), "{ran}");
    // The control is in the records and on the page, and no row of what is compared.
    assert!(lab.read("page.html").contains("Positive control, planted on purpose:"), "{ran}");
    assert!(lab.read("records.jsonl").contains(CONTROL) && !compared.stdout.contains(CONTROL));
    let ran = lab.run(&["report", "records.jsonl"]).exits(0);
    let page = ran.stdout.lines().find_map(|line| line.strip_prefix("The page: "));
    is_page(&lab.path(page.expect("the place of the page")));
}

#[test]
fn the_same_rows_come_from_the_records_as_from_the_run() {
    let lab = Lab::new();
    let compared = lab.compare(&["glibc", "brkpoint"], &["--rounds", "2", "--", "true"]).exits(0);
    let reported = lab.run(&["report", "--json", "records.jsonl"]).exits(0);
    assert_eq!(reported.stdout, compared.stdout);
}

#[test]
fn a_line_cut_off_at_the_end_is_named_and_the_rest_is_used() {
    let lab = measured();
    let records = lab.read("records.jsonl");
    let lines = records.lines().count();
    let last = records.lines().last().map_or(0, str::len);
    lab.write("cut.jsonl", &records[..records.len() - last / 2]);
    reports(&lab, "cut.jsonl", 2, &[&format!("line {lines}: cut off")]);
}

#[test]
fn a_damaged_line_in_the_middle_is_named_and_the_rest_is_used() {
    let lab = measured();
    let records = lab.read("records.jsonl");
    let mut lines: Vec<Vec<u8>> = records.lines().map(|line| line.as_bytes().to_vec()).collect();
    let middle = &mut lines[3];
    let half = middle.len() / 2;
    middle[half..half + 8].fill(0xff);
    lines[5] = b"<<<<<<< HEAD".to_vec();
    lab.write("damaged.jsonl", lines.join(&b'\n'));
    reports(&lab, "damaged.jsonl", 2, &["line 4: not a record", "line 6: not a record"]);
}

#[test]
fn records_without_their_run_are_used_and_that_is_said() {
    let lab = measured();
    let records = lab.read("records.jsonl");
    let (_run, samples) = records.split_once('\n').expect("lines");
    lab.write("samples.jsonl", samples);
    reports(&lab, "samples.jsonl", 0, &["whose own line is missing"]);
}

#[test]
fn files_are_merged_and_those_given_twice_are_counted_once() {
    let lab = measured();
    fs::rename(lab.path("records.jsonl"), lab.path("first.jsonl")).expect("renaming");
    let command = ["--rounds", "1", "--", "sh", "-c", "echo $((6 * 7))"];
    lab.compare(&["glibc", "brkpoint"], &command).exits(0);
    let n = |files: &[&str]| {
        let rows = lab.run(&[&["report", "--json"], files].concat()).exits(0).rows();
        rows.of("brkpoint").iter().find(|row| row.metric == "wall_s").map(|row| row.n)
    };
    assert_eq!(n(&["first.jsonl"]), Some(2));
    assert_eq!(n(&["first.jsonl", "records.jsonl"]), Some(3));
    assert_eq!(n(&["first.jsonl", "first.jsonl"]), Some(2));
}

#[test]
fn files_that_hold_no_records_are_told() {
    let lab = Lab::new();
    fs::create_dir(lab.path("directory")).expect("mkdir");
    lab.write("empty.jsonl", "");
    lab.write("binary.jsonl", (0..9000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    lab.write("prose.txt", "Dear reader,\nthis is no record.\n");
    lab.write("other.json", "{\"type\": \"invoice\", \"sum\": 3}\n[1, 2]\n");
    for (file, words) in [
        ("no-such.jsonl", &["No such file"][..]),
        ("directory", &["directory"]),
        ("empty.jsonl", &["no record in empty.jsonl", "brkpoint compare"]),
        ("binary.jsonl", &["line 1: not a record", "no record in binary.jsonl"]),
        ("prose.txt", &["line 1: not a record", "line 2: not a record", "no record in prose.txt"]),
        ("other.json", &["line 1: not a record", "line 2: not a record"]),
    ] {
        let ran = lab.run(&["report", file, "-o", "page.html"]).exits(2);
        let ran = ran.complains_of(words).complains_of(&[file]);
        assert!(ran.stderr.lines().count() < 30, "endless: {ran}");
        assert!(!lab.path("page.html").exists(), "{file}");
    }
}

#[test]
fn an_unreadable_file_among_others_is_told() {
    let lab = measured();
    let arguments = ["report", "records.jsonl", "no-such.jsonl", "-o", "page.html"];
    lab.run(&arguments).exits(2).complains_of(&["no-such.jsonl", "No such file"]);
    assert!(!lab.path("page.html").exists());
}

#[test]
fn records_of_failures_end_with_status_1() {
    let lab = Lab::new();
    let script = "test -z \"$LD_PRELOAD\"";
    lab.compare(&["glibc", "brkpoint"], &["--rounds", "1", "--", "sh", "-c", script]).exits(1);
    let ran = lab.run(&["report", "records.jsonl", "-o", "page.html"]).exits(1);
    assert!(ran.stdout.contains("The page: page.html"), "{ran}");
    let page = lab.read("page.html");
    assert!(page.contains("exit status 1, where glibc has exit status 0"), "not in the page");
}
