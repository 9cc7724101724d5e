//! The pages in a real browser: everything is there, visible and within the
//! window, on a telephone and on a desk, in light and in dark.

mod book;
mod fixture;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use brkpoint_reports::explain::Language;
use brkpoint_reports::{Records, analyse};
use serde_json::Value;

/// Runs in the page and writes what it measured into it.
const PROBE: &str = include_str!("probe.js");

/// Whether `BRKPOINT_SKIP`, a list of tools, excuses the lack of this one.
fn skipped(tool: &str) -> bool {
    let list = std::env::var("BRKPOINT_SKIP").unwrap_or_default();
    list.split(',').any(|name| name.trim() == tool)
}

/// What Chromium makes of a file: its document after `PROBE` ran.
fn measure(directory: &Path, page: &str, width: u32, dark: bool) -> Value {
    let file = directory.join(format!("page-{width}-{dark}.html"));
    // The page lets no script run but its own; its measured copy allows one more.
    let allowed = "'nonce-probe'";
    let page = match page.contains("script-src ") {
        true => page.replace("script-src ", &format!("script-src {allowed} ")),
        false => page
            .replace("default-src 'none';", &format!("default-src 'none'; script-src {allowed};")),
    };
    let page = page.replace("</body>", &format!("<script nonce=\"probe\">{PROBE}</script></body>"));
    // A headless window is no narrower than 500 pixels, a frame is.
    let framed = format!(
        "<!DOCTYPE html><style>body{{margin:0}}iframe{{border:0;width:{width}px;height:9000px}}</style>\
         <iframe src=\"{}\"></iframe><pre id=\"result\"></pre><script>\
         addEventListener('message', e => document.getElementById('result').textContent = e.data)</script>",
        file.file_name().unwrap().to_string_lossy()
    );
    std::fs::write(&file, page).unwrap();
    let outer = directory.join(format!("frame-{width}-{dark}.html"));
    std::fs::write(&outer, framed).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new("chromium");
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--allow-file-access-from-files",
            "--virtual-time-budget=20000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={},6000", width.max(500)))
        .arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }))
        .arg(format!("file://{}", outer.display()));
    let dom = output_within(&mut command, Duration::from_secs(120));
    let (_, result) = dom.split_once("<pre id=\"result\">").expect("the frame's own document");
    let (result, _) = result.split_once("</pre>").expect("the frame's own document");
    let result = result.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&result).unwrap_or_else(|error| panic!("no measurements ({error}): {dom}"))
}

fn output_within(command: &mut Command, limit: Duration) -> String {
    let out = tempfile::NamedTempFile::new().unwrap();
    let mut child =
        command.stdout(Stdio::from(out.reopen().unwrap())).stderr(Stdio::null()).spawn().expect(
            "chromium cannot be started: install it (Debian: `apt-get install chromium`), \
             or set BRKPOINT_SKIP=chromium to go without this test",
        );
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("chromium did not finish within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::read_to_string(out.path()).unwrap()
}

/// A telephone, a laptop and a desk, each in light and in dark; any three in a row
/// are all of them.
const WINDOWS: [(u32, bool); 6] =
    [(400, false), (1600, true), (1000, false), (400, true), (1600, false), (1000, true)];

/// Looks at `page` in some windows; `check` has more to say.
fn look(page: &str, title: &str, windows: &[(u32, bool)], check: impl Fn(&Value, &str)) {
    assert!(!page.contains("://"), "the page names an address on a network");
    let directory = tempfile::tempdir().unwrap();
    for &(width, dark) in windows {
        let seen = measure(directory.path(), page, width, dark);
        let at = format!("{title}, {width} px, {}", if dark { "dark" } else { "light" });
        let number = |name: &str| seen[name].as_f64().unwrap_or(f64::NAN);
        let none = |name: &str| assert_eq!(seen[name], serde_json::json!([]), "{name} at {at}");

        assert_eq!(number("width"), f64::from(width), "{at}");
        assert!(number("folded") <= f64::from(width), "overflows at {at}: {seen}");
        assert!(number("scrollWidth") <= f64::from(width), "overflows unfolded at {at}: {seen}");
        assert_eq!(seen["title"], title, "{at}");
        assert_eq!(seen["firstSection"], "verdict", "{at}");
        assert!(
            number("verdictTop") < 300.0,
            "the verdict is not on the first screen at {at}: {seen}"
        );
        for name in [
            "emptyPlots",
            "outside",
            "overlaps",
            "faint",
            "badHeadings",
            "tableless",
            "undirected",
            "unlabelled",
            "unfit",
            "requests",
            "strangers",
        ] {
            none(name);
        }
        assert!(number("smallestText") >= 10.0, "text of {} px at {at}", seen["smallestText"]);
        assert_eq!(seen["dark"], dark, "the colour scheme was not applied at {at}");
        check(&seen, &at);
    }
}

fn has_chromium() -> bool {
    if skipped("chromium") {
        eprintln!("skipped: BRKPOINT_SKIP names chromium");
        return false;
    }
    true
}

#[test]
fn the_page_is_whole_and_fits_every_window_in_light_and_dark() {
    if !has_chromium() {
        return;
    }
    let mut records = Records::from_lines(fixture::rich());
    records.criterion = fixture::thresholds();
    let report = analyse(&records);
    let title = "brkpoint: allocation strategies compared";
    look(&report.to_html(), title, &WINDOWS, |seen, at| {
        assert_eq!(seen["verdict"].as_str(), Some(&*report.verdict[0]), "{at}");
        for class in ["ratios", "samples", "syscalls", "faults", "rss"] {
            assert_eq!(seen["plots"][class], 5, "{class} at {at}");
        }
        for (class, plots) in [("latency", 3), ("occupancy", 3), ("curve", 4)] {
            assert_eq!(seen["plots"][class], plots, "{class} at {at}");
        }
        // Three driven workloads of ten engines without an error but two, three moments.
        assert!(seen["maps"].as_u64() >= Some(3 * 8 * 3), "{at}: {}", seen["maps"]);
        assert_eq!(seen["scatters"], 6, "one a workload, and one of all: {at}");
        assert_eq!(seen["heat"], serde_json::json!([1, 1, 1, 1, 1]), "the best of each row: {at}");
        // Its hash must be that of the page's policy, or it does not run.
        assert_eq!(seen["script"], "ran", "{at}: is SCRIPT_HASH that of script.js?");
        for what in ["sorted", "reversed", "restored", "filtered", "unfiltered"] {
            assert_eq!(seen["tried"][what], true, "{what} at {at}: {seen}");
        }
    });
}

#[test]
fn what_is_packed_is_unpacked() {
    if !has_chromium() {
        return;
    }
    let names: Vec<String> = (0..30).map(|i| format!("workload-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let report = analyse(&Records::from_lines(fixture::rich_over(&names)));
    let page = report.to_html();
    assert_eq!(page.matches("<template class=\"packed\">").count(), names.len());
    let title = "brkpoint: allocation strategies compared";
    look(&page, title, &WINDOWS[3..4], |seen, at| {
        assert_eq!((&seen["script"], &seen["packed"]), (&"ran".into(), &0.into()), "{at}");
        let plots = seen["workloads"].as_array().unwrap();
        assert_eq!(plots.len(), names.len(), "{at}");
        assert!(plots.iter().all(|count| count.as_u64() >= Some(6)), "{at}: {plots:?}");
        for what in ["sorted", "reversed", "restored", "filtered", "unfiltered"] {
            assert_eq!(seen["tried"][what], true, "{what} at {at}");
        }
    });
}

/// For a page that took long to measure: `BRKPOINT_PAGE=FILE cargo test --test browser
/// -- --ignored`.
#[test]
#[ignore = "looks at the page that BRKPOINT_PAGE names"]
fn a_page_of_yours_is_whole_and_fits_every_window() {
    let path = std::env::var("BRKPOINT_PAGE").expect("BRKPOINT_PAGE names a page");
    let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let title = page.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    look(&page, title.expect("a title").0, &WINDOWS, |seen, at| {
        println!("{at}: {} maps, plots: {}", seen["maps"], seen["plots"]);
    });
}

#[test]
fn the_textbook_is_whole_in_both_languages() {
    if !has_chromium() {
        return;
    }
    // The layout is the same in both.
    for (language, title, stands, windows) in [
        (
            Language::En,
            "How malloc works, tried on this machine",
            ["✓ holds", "✗ does not hold"],
            &WINDOWS[1..4],
        ),
        (
            Language::Zh,
            "malloc 如何工作：在这台机器上验证",
            ["✓ 成立", "✗ 在这台机器"],
            &WINDOWS[3..5],
        ),
    ] {
        look(&book::book().to_html(language), title, windows, |seen, at| {
            let claims: Vec<&str> =
                seen["claims"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert_eq!(claims.len(), 5, "{at}");
            assert_eq!(claims[0], stands[0], "{at}");
            assert!(claims[1].starts_with(stands[1]), "{at}: {claims:?}");
            assert!(claims[2].starts_with("? "), "{at}: {claims:?}");
            assert_eq!(seen["maps"], 3, "{at}");
            assert_eq!(seen["language"].as_str().unwrap()[..2], language.code()[..2], "{at}");
        });
    }
}
