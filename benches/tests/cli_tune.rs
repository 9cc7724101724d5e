//! `brkpoint tune` says what it found, and when it found nothing.

mod cli_support;

use cli_support::Lab;

#[test]
fn a_churn_across_the_threshold_gets_settings_with_fewer_faults_and_a_line_to_paste() {
    let lab = Lab::new();
    // By counts, which do not depend on how busy the machine is.
    let asked = ["tune", "-w", "straddle", "--scale", "0.2", "--objective", "faults"];
    let limits = ["--max-slowdown", "1000%", "--budget", "100s", "-o", "tune.jsonl"];
    let ran = lab.run(&[&asked[..], &limits].concat()).exits(0);
    let text = &ran.stdout;
    assert!(text.contains("Recommended for straddle"), "{text}");
    assert!(text.contains("MALLOC_MMAP_THRESHOLD_="), "{text}");
    assert!(text.contains("A/A: the default against itself"), "{text}");
    let faults = text.split("minor faults ").last().expect("the reason");
    let (before, after) = faults.split_once(" -> ").expect("from, to");
    let number = |text: &str| -> f64 {
        let digits = text.split([';', '\n']).next().expect("a number").replace(',', "");
        digits.trim().parse().expect(text)
    };
    assert!(number(after) < 0.8 * number(before), "{faults}");
    assert!(lab.holds_only(&["tune.jsonl", "tune.html"]));
}

#[test]
fn a_program_that_never_allocates_much_gets_no_recommendation() {
    let lab = Lab::new();
    let ran = lab.run(&["tune", "--budget", "10s", "-o", "t.jsonl", "--", "true"]);
    assert!(!ran.stdout.contains("Recommended"), "{}", ran.stdout);
}

#[test]
fn a_budget_below_one_run_is_too_small_and_is_kept() {
    let lab = Lab::new();
    let begun = std::time::Instant::now();
    lab.run(&["tune", "--budget", "500ms", "-o", "t.jsonl", "--", "sleep", "60"])
        .exits(2)
        .complains_of(&["too small", "--budget"]);
    assert!(begun.elapsed().as_secs() < 60, "the command was waited for");
}

#[test]
fn a_budget_that_is_too_small_to_decide_is_told_with_what_would() {
    let lab = Lab::new();
    let ran = lab.run(&["tune", "--budget", "6s", "-o", "t.jsonl", "--", "sleep", "0.3"]).exits(3);
    assert!(ran.stdout.starts_with("Undecided: "), "{ran}");
    assert!(ran.stdout.contains("--budget"), "{ran}");
}

#[test]
fn settings_under_which_the_program_fails_are_named_and_never_recommended() {
    let lab = Lab::new();
    // It fails under one knob, and prints something else under another.
    let script = "case $GLIBC_TUNABLES in *mmap_max=0*) exit 3;; *tcache_count=0*) echo other;; \
                  *) echo usual;; esac";
    let ran = lab.run(&["tune", "--budget", "60s", "-o", "t.jsonl", "--", "sh", "-c", script]);
    let told = "2 of 115 configurations fail and are left out, glibc:mmap_max=0 among them: exit \
                status 3, where the reference has exit status 0";
    assert!(ran.stdout.contains(told), "{ran}");
    assert!(!ran.stdout.contains("Recommended"), "{ran}");
}

#[test]
fn a_command_that_dies_at_the_defaults_cannot_be_tuned() {
    let lab = Lab::new();
    lab.run(&["tune", "--budget", "9s", "-o", "t.jsonl", "--", "sh", "-c", "kill -9 $$"])
        .exits(2)
        .complains_of(&["fails at the defaults of glibc", "signal 9"]);
}

#[test]
fn slips_of_the_command_line_are_told() {
    let lab = Lab::new();
    lab.run(&["tune"]).exits(2).complains_of(&["nothing to tune"]);
    lab.run(&["tune", "-e", "nosuch", "--", "true"]).exits(2).complains_of(&["nosuch"]);
    lab.run(&["tune", "-w", "nosuch"]).exits(2).complains_of(&["nosuch"]);
    lab.run(&["tune", "--max-slowdown", "lots", "--", "true"]).exits(2).complains_of(&["share"]);
    let missing = ["tune", "-o", "t.jsonl", "--", "no-such-program"];
    lab.run(&missing).exits(2).complains_of(&["no-such-program"]);
    assert!(!lab.path("t.jsonl").exists(), "nothing was measured");
}

#[test]
fn a_limit_that_nothing_keeps_decides_nothing() {
    let lab = Lab::new();
    let ran = lab.run(&["tune", "--max-memory", "1K", "--budget", "10s", "--", "true"]).exits(3);
    assert!(ran.stdout.contains("--max-memory"), "{ran}");
}

#[test]
fn compare_says_why_in_memory_calls() {
    let lab = Lab::new();
    let pair = "glibc:mmap_threshold=1M,trim_threshold=8M";
    let asked = ["compare", "-e", "glibc", "-e", pair, "-w", "straddle", "--scale", "0.2"];
    let ran = lab.run(&[&asked[..], &["--rounds", "1", "--why"]].concat()).exits(0);
    assert!(ran.stdout.contains("Why"), "{}", ran.stdout);
    assert!(ran.stdout.contains("mappings of 128 KiB or more given back: "), "{}", ran.stdout);
}
