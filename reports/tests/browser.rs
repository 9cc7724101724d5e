//! The page in a real browser: everything is there, visible and within the
//! window, on a telephone and on a desk, in light and in dark.

mod fixture;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
    // The page forbids scripts; its measured copy allows one.
    let page = page
        .replace("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';")
        .replace("</body>", &format!("<pre id=\"probe\"></pre><script>{PROBE}</script></body>"));
    // A headless window is no narrower than 500 pixels, a frame is.
    let framed = format!(
        "<!DOCTYPE html><style>body{{margin:0}}iframe{{border:0;width:{width}px;height:6000px}}</style>\
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

#[test]
fn the_page_is_whole_and_fits_every_window_in_light_and_dark() {
    if skipped("chromium") {
        eprintln!("skipped: BRKPOINT_SKIP names chromium");
        return;
    }
    let report = analyse(&Records::from_lines(fixture::rich()));
    let page = report.to_html();
    assert!(!page.contains("://"), "the page names an address on a network");
    let directory = tempfile::tempdir().unwrap();
    for (width, dark) in
        [(400, false), (400, true), (1000, false), (1000, true), (1400, false), (1400, true)]
    {
        let seen = measure(directory.path(), &page, width, dark);
        let at = format!("{width} px, {}", if dark { "dark" } else { "light" });
        let number = |name: &str| seen[name].as_f64().unwrap_or(f64::NAN);
        let none = |name: &str| assert_eq!(seen[name], serde_json::json!([]), "{name} at {at}");

        assert_eq!(number("width"), f64::from(width), "{at}");
        assert!(number("scrollWidth") <= f64::from(width), "overflows at {at}: {seen}");
        assert_eq!(seen["title"], "brkpoint: allocation strategies compared", "{at}");
        assert_eq!(seen["firstSection"], "verdict", "{at}");
        assert_eq!(seen["verdict"].as_str(), Some(&*report.verdict[0]), "{at}");
        assert!(
            number("verdictTop") < 300.0,
            "the verdict is not on the first screen at {at}: {seen}"
        );
        assert_eq!(seen["plots"]["memory"], 5, "{at}");
        assert_eq!(seen["plots"]["ratios"], 5, "{at}");
        assert_eq!(seen["plots"]["syscalls"], 5, "{at}");
        assert_eq!(seen["plots"]["faults"], 5, "{at}");
        assert_eq!(seen["plots"]["rss"], 5, "{at}");
        none("emptyPlots");
        none("outside");
        none("overlaps");
        none("faint");
        none("requests");
        none("badHeadings");
        none("scripts");
        assert!(number("smallestText") >= 10.0, "text of {} px at {at}", seen["smallestText"]);
        assert_eq!(seen["dark"], dark, "the colour scheme was not applied at {at}");
    }
}
