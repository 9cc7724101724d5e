//! Programs that do not end by themselves, and numbers that programs print.

mod cli_support;

use brkpoint_reports::record::{Exit, Line, Metric, Pass, Role, Sample};
use brkpoint_reports::tuning::{Advice, Answer, Cost};
use cli_support::{Lab, Ran};

/// A server in a folder: it answers each file `ask-N` with a file `answer-N`, and
/// holds a buffer meanwhile. It says when it is there.
const SERVER: &str = "\
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open('ready', 'w').close()
while True:
    for name in os.listdir('.'):
        if name.startswith('ask-'):
            held = bytearray(3_000_000)
            os.remove(name)
            open('answer-' + name[4:], 'w').close()
    time.sleep(0.001)
";

/// Asks twenty questions, one after the other.
const LOAD: &str = "for n in 1 2 3 4 5 6 7 8 9 10; do touch ask-$n; \
                    until [ -e answer-$n ]; do sleep 0.002; done; rm answer-$n; done; \
                    echo 'served 10 at 1,234.5 a second'";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("server.py", SERVER);
    lab
}

const COMMAND: [&str; 4] = ["--", "/usr/bin/python3", "-I", "server.py"];

fn compare(lab: &Lab, options: &[&str]) -> Ran {
    let fixed = ["compare", "-e", "glibc", "--rounds", "1", "--json", "-o", "records.jsonl"];
    lab.run(&[&fixed[..], options, &COMMAND].concat())
}

fn of(samples: &[Sample], pass: Pass) -> &Sample {
    let mut samples = samples.iter();
    let reference = |s: &&Sample| s.cell.role == Role::Reference && s.pass == pass;
    samples.find(reference).expect("a sample of the reference")
}

#[test]
fn a_server_is_put_under_load_and_asked_to_end() {
    let lab = lab();
    let load = ["--ready-when", "test -e ready", "--drive", LOAD];
    let number = ["--metric-regex", "at ([0-9,.]+) a second", "--better", "higher"];
    compare(&lab, &[&load[..], &number].concat()).exits(0);
    let samples = lab.samples();
    for pass in [Pass::Time, Pass::Counts, Pass::Memory] {
        let sample = of(&samples, pass);
        assert_eq!((sample.exit, &sample.error), (Some(Exit::Code(0)), &None), "{pass:?}");
    }
    let time = &of(&samples, Pass::Time).metrics;
    assert_eq!(time[&Metric::PrintedRate], 1234.5);
    // The load took its sleeps at the least, and the server's start is not in it.
    assert!(time[&Metric::WallS] > 0.01, "{time:?}");
    let counts = &of(&samples, Pass::Counts).metrics;
    assert!(counts[&Metric::SyscallsMmap] > 10.0, "the buffers are mapped: {counts:?}");
    assert!(of(&samples, Pass::Memory).metrics[&Metric::PeakRssBytes] > 3e6);
}

#[test]
fn a_program_is_watched_for_a_time_or_until_it_has_done_its_work() {
    let lab = lab();
    compare(&lab, &["--for", "300ms"]).exits(0);
    let time = of(&lab.samples(), Pass::Time).metrics.clone();
    assert!(time[&Metric::WallS] >= 0.3, "{time:?}");
    std::fs::remove_file(lab.path("records.jsonl")).expect("records");
    std::fs::remove_file(lab.path("ready")).expect("made by the server");
    // Its ready file stays from the first process on, so each run makes it anew.
    let stop = "test -e ready && rm ready";
    compare(&lab, &["--stop-when", stop]).exits(0);
    assert!(lab.samples().iter().all(|sample| sample.error.is_none()));
}

#[test]
fn what_goes_wrong_with_a_server_is_told() {
    let lab = lab();
    let drive = ["--drive", "echo no such host >&2; exit 3"];
    let failed = compare(&lab, &drive).exits(2);
    assert!(failed.stdout.contains("failed (exit status: 3): no such host"), "{failed}");
    let early = ["compare", "-e", "glibc", "--rounds", "1", "-o", "b.jsonl", "--for", "60s"];
    let ran = lab.run(&[&early[..], &["--", "true"]].concat()).exits(2);
    assert!(ran.stdout.contains("the program ended before"), "{ran}");
    let silent = ["compare", "-e", "glibc", "--rounds", "1", "-o", "c.jsonl"];
    let number = ["--metric-regex", "([0-9]+) ms", "--better", "lower", "--", "echo", "fast"];
    let ran = lab.run(&[&silent[..], &number].concat()).exits(2);
    assert!(ran.stdout.contains("printed nothing that"), "{ran}");
    for (options, words) in [
        (&["--warmup", "1s"][..], &["--drive, --stop-when or --for"][..]),
        (&["--metric-regex", "(", "--better", "lower"], &["--metric-regex"]),
        (&["--metric-regex", "(a)(b)", "--better", "lower"], &["more than one group"]),
        (&["--metric-regex", "a"], &["--better"]),
    ] {
        let asked = [&["compare", "-e", "glibc"][..], options, &["--", "true"]].concat();
        lab.run(&asked).exits(2).complains_of(words);
    }
    let asked = ["compare", "-w", "straddle", "--for", "1s"];
    lab.run(&asked).exits(2).complains_of(&["--for is for a command"]);
}

#[test]
fn a_number_that_depends_on_a_setting_is_tuned() {
    let lab = Lab::new();
    // The program has a figure of its own, which one knob decides.
    let script = "case $GLIBC_TUNABLES in *top_pad=16777216*) echo 250;; *) echo 100;; esac";
    let asked = ["tune", "--json", "--budget", "60s", "-o", "tune.jsonl"];
    let number = ["--metric-regex", "[0-9]+", "--better", "higher", "--", "sh", "-c", script];
    let ran = lab.run(&[&asked[..], &number].concat()).exits(0);
    let answers: Vec<Answer> = ran.json();
    let [answer] = &answers[..] else { panic!("{ran}") };
    assert_eq!((answer.advice, answer.cost), (Advice::Recommend, Cost::PrintedRate), "{ran}");
    // Its counts spoke against it.
    assert!(answer.tried.readmitted > 0, "{ran}");
    let won = answer.recommended.as_ref().expect("settings");
    assert_eq!(won.settings.get("top_pad").map(String::as_str), Some("16M"), "{ran}");
    let cost = answer.contenders.iter().find(|one| one.cell == *won).expect("it").cost;
    assert!((answer.cost.shown(cost).value - 2.5).abs() < 1e-9, "{ran}");
    // The answer ends the record file, and the page comes from that alone.
    let last = lab.read("tune.jsonl");
    let last: Line = serde_json::from_str(last.lines().last().expect("lines")).expect("a line");
    assert_eq!(last, Line::Answer(Box::new(answer.clone())));
    let page = lab.read("tune.html");
    lab.run(&["report", "tune.jsonl", "-o", "again.html"]).exits(0);
    assert_eq!(page, lab.read("again.html"));
    assert!(page.contains("top_pad=16M") && page.contains("id=\"front\""), "{page}");
}
