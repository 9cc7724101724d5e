//! Record files, which come from other machines: whatever is in them, there is
//! a report, or a message, and no page with somebody else's markup in it.
#![no_main]

use brkpoint_reports::{Records, analyse};
use libfuzzer_sys::fuzz_target;

/// What no page of ours has in it unless a record brought it.
const FOREIGN: &str = "<marquee";

fuzz_target!(|bytes: &[u8]| {
    let Ok(records) = Records::from_reader("fuzz.jsonl", bytes) else { return };
    let report = analyse(&records);
    for (width, coloured) in [(20, false), (100, true)] {
        report.to_text(width, coloured);
    }
    for line in report.to_json_lines().lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    }
    let page = report.to_html();
    assert!(!page.contains(FOREIGN), "markup from a record is in the page");
});
