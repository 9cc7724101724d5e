//! `brkpoint gate` and `brkpoint diff`, on differences that counts show: what they
//! answer does not depend on how busy the machine is.

mod cli_support;

use std::path::Path;
use std::process::Command;

use cli_support::{Lab, Ran, has, our_library, run};
use serde_json::Value;

/// A malloc that hands everything on to glibc's, in a repository of its own.
const LIBRARY: &str = include_str!("cli_support/gate_library.rs");

/// What a commit may put in the place of `waste()`.
const WASTE: &str = "unsafe { waste() }";

impl Lab {
    fn git(&self, arguments: &[&str]) -> String {
        let mut command = self.command("git", arguments);
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@b");
        }
        run(&mut command).exits(0).stdout.trim().to_owned()
    }

    /// A repository with one commit, of a library that wastes nothing.
    fn repository() -> Lab {
        let lab = Lab::new();
        std::fs::create_dir(lab.path("src")).expect("a directory");
        lab.write(
            "Cargo.toml",
            "[package]\nname = \"scratch-malloc\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [lib]\ncrate-type = [\"cdylib\"]\n\n[workspace]\n",
        );
        lab.write(".gitignore", "target\n");
        lab.git(&["init", "--quiet"]);
        lab.commit(&LIBRARY.replace(WASTE, ""));
        lab
    }

    /// The name of a new commit with this source.
    fn commit(&self, source: &str) -> String {
        self.write("src/lib.rs", source);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn gate(&self, arguments: &[&str]) -> Ran {
        let always = ["gate", "--counts-only", "--json", "--scale", "0.01"];
        run(&mut self.gate_command(env!("CARGO_BIN_EXE_brkpoint"), &[&always, arguments].concat()))
    }

    /// A command that may have cargo build something.
    fn gate_command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(program, arguments);
        // Cargo looks for its settings in the home directory, of which a test has none.
        let home = std::env::var_os("CARGO_HOME");
        let home =
            home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo").into()));
        command.envs(home.map(|home| ("CARGO_HOME", home)));
        let rustup = std::env::var_os("RUSTUP_HOME");
        let rustup =
            rustup.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".rustup").into()));
        command.envs(rustup.map(|home| ("RUSTUP_HOME", home)));
        command
    }
}

/// The verdict of each metric of the workload, as `metric=verdict`.
fn verdicts(ran: &Ran) -> Vec<String> {
    let gate: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran}"));
    let rows = gate["rows"].as_array().expect("rows");
    let text = |row: &Value, key: &str| row[key].as_str().expect("text").to_owned();
    rows.iter().map(|row| format!("{}={}", text(row, "metric"), text(row, "verdict"))).collect()
}

#[test]
fn two_commits_are_built_and_the_one_that_wastes_is_found_out() {
    if !has("git") {
        return;
    }
    let lab = Lab::repository();
    let base = lab.git(&["rev-parse", "HEAD"]);
    let worse = lab.commit(LIBRARY);
    let compare = |new: &str, more: &[&str]| {
        lab.gate(&[&["--base", &base, "--new", new, "-w", "straddle"], more].concat())
    };
    let found = compare("HEAD", &["--markdown", "summary.md", "-o", "gate.jsonl"]).exits(1);
    let worse_rows = ["minor_faults=regression", "memory_calls=regression"];
    assert_eq!(verdicts(&found), worse_rows, "{found}");
    let gate: Value = serde_json::from_str(&found.stdout).expect("JSON");
    assert_eq!(gate["new"], format!("scratch-malloc@{}", &worse[..12]));
    assert_eq!(gate["trusted"], true, "{found}");
    let summary = lab.read("summary.md");
    assert!(summary.starts_with("### brkpoint gate: REGRESSION"), "{summary}");
    assert!(summary.contains("minor faults on straddle"), "{summary}");
    assert!(lab.read("gate.html").contains("<section id=\"gate\">"));
    the_workflow_for_github(&lab, &base, &worse);
    // The other way round it is an improvement, and both libraries are there already.
    let back = lab.gate(&["--base", &worse, "--new", &base, "-w", "straddle"]).exits(0);
    assert_eq!(verdicts(&back), ["minor_faults=improvement", "memory_calls=improvement"]);

    // Equal sources are equal bytes, whatever the commit; measured, they are the same.
    let twin = lab.commit(&LIBRARY.replace(WASTE, ""));
    let equal = compare(&twin, &[]).exits(0);
    assert!(equal.stdout.contains("\"equal\":true"), "{equal}");
    let measured = compare(&twin, &["--always"]).exits(0);
    assert_eq!(verdicts(&measured), ["minor_faults=same", "memory_calls=same"]);

    // The working tree, as it is.
    lab.write("src/lib.rs", LIBRARY);
    assert_eq!(verdicts(&compare(".", &[]).exits(1)), worse_rows);

    let broken = lab.commit("pub fn f() -> u32 { \"no number\" }");
    let refused = compare("HEAD", &[]).exits(2);
    refused.complains_of(&["does not build", &broken[..12], "mismatched types", "no number"]);
    assert_eq!(lab.git(&["status", "--porcelain"]), "", "the repository was touched");
    assert!(!lab.path("target/brkpoint/gate/source").exists(), "the sources were left");
}

/// The one step of docs/ci/github-gate.yml that is ours, run as a runner would: with the
/// variables that it sets, and leaving what the next step uploads.
fn the_workflow_for_github(lab: &Lab, base: &str, worse: &str) {
    let workflow = include_str!("../../docs/ci/github-gate.yml");
    let after = |key: &str| {
        let lines = workflow.lines().filter_map(|line| line.trim().strip_prefix(key));
        lines.collect::<Vec<&str>>()
    };
    let [step] = after("run: ")[..] else { panic!("one step runs a command: {workflow}") };
    let set = ["BASE: ${{ github.event.pull_request.base.sha }}", "GATE_UNDECIDED: pass"];
    let set = set.iter().chain(["NEW: ${{ github.event.pull_request.head.sha }}"].iter());
    set.for_each(|variable| assert_eq!(after(variable).len(), 1, "{variable}: {workflow}"));

    std::fs::create_dir(lab.path("scripts")).expect("a directory");
    lab.write("scripts/gate", include_str!("../../scripts/gate"));
    // Within seconds, and whatever else the machine does.
    let brkpoint = env!("CARGO_BIN_EXE_brkpoint");
    let quick =
        format!("#!/bin/sh\nexec {brkpoint} \"$@\" --counts-only --scale 0.01 -w straddle\n");
    lab.write("scripts/quick", quick);
    for script in ["scripts/gate", "scripts/quick"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(lab.path(script), mode).expect("made executable");
    }
    let mut shell =
        lab.gate_command("bash", &["--noprofile", "--norc", "-eo", "pipefail", "-c", step]);
    shell.env("BASE", base).env("NEW", worse).env("GATE_UNDECIDED", "pass");
    shell.env("GITHUB_STEP_SUMMARY", lab.path("step.md"));
    shell.env("BRKPOINT", lab.path("scripts/quick"));
    let ran = run(&mut shell).exits(1);
    assert!(lab.read("step.md").starts_with("### brkpoint gate: REGRESSION"), "{ran}");
    let uploaded = workflow.lines().map(str::trim).filter(|line| line.starts_with("target/"));
    let uploaded: Vec<&str> = uploaded.filter(|path| path.contains("gate.")).collect();
    assert_eq!(uploaded.len(), 4, "{workflow}");
    assert!(uploaded.iter().all(|path| lab.path(path).is_file()), "{ran}");
    std::fs::remove_dir_all(lab.path("scripts")).expect("removed");
    std::fs::remove_file(lab.path("step.md")).expect("removed");
}

#[test]
fn settings_are_compared_like_commits() {
    let lab = Lab::new();
    let pair = "glibc:mmap_threshold=1M,trim_threshold=8M";
    let worse = lab.gate(&["--base", pair, "--new", "glibc", "-w", "straddle"]).exits(1);
    assert!(verdicts(&worse).contains(&"minor_faults=regression".to_owned()), "{worse}");
    let same = lab.gate(&["--base", "glibc", "--new", "glibc", "-w", "straddle"]).exits(0);
    assert_eq!(verdicts(&same), ["minor_faults=same", "memory_calls=same"]);
}

#[test]
fn libraries_run_a_command_of_the_users() {
    let lab = Lab::new();
    let library = our_library();
    let library = library.to_str().expect("a plain path");
    let ran = lab.gate(&["--base", library, "--new", library, "--", "true"]).exits(0);
    assert_eq!(verdicts(&ran), ["minor_faults=same", "memory_calls=same"]);
}

#[test]
fn two_commands_are_compared_and_one_that_fails_is_worse() {
    let lab = Lab::new();
    let gate = |base: &str, new: &str| lab.gate(&["--base-command", base, "--new-command", new]);
    let same = gate("sh -c 'exit 0'", "sh -c 'exit 0'").exits(0);
    assert_eq!(verdicts(&same), ["minor_faults=same", "memory_calls=same"]);
    let failed = gate("true", "sh -c 'exit 3'").exits(1);
    assert!(failed.stdout.contains("exit status 3"), "{failed}");
    gate("true", "sh -c 'kill -9 $$'").exits(1);
}

#[test]
fn what_cannot_be_compared_is_told() {
    let lab = Lab::new();
    let refuses = |arguments: &[&str], words: &[&str]| {
        lab.gate(arguments).exits(2).complains_of(words);
    };
    refuses(&["--base", "nosuch", "--new", "glibc"], &["nosuch", "no engine, no library"]);
    refuses(&["--base", "glibc"], &["--new"]);
    refuses(&["--base", "glibc", "--new", "glibc:top_padd=1"], &["did you mean top_pad"]);
    refuses(&["--base", "glibc", "--new", "glibc", "-w", "nosuch"], &["no workload"]);
    refuses(&["--base-command", "true"], &["--new-command"]);
    refuses(&["--base-command", "true", "--new-command", "sh 'open"], &["a quote is open"]);
    let missing = ["--base-command", "no-such-program", "--new-command", "true"];
    refuses(&missing, &["no-such-program"]);
    let missing = ["--base-command", "true", "--new-command", "no-such-program"];
    refuses(&missing, &["no-such-program"]);
    assert!(lab.holds_only(&[]), "nothing was measured");
}

#[test]
fn what_was_not_compared_is_said_with_the_answer() {
    let lab = Lab::new();
    let varies = "sh -c 'echo $$'";
    let ran = lab.gate(&["--base-command", varies, "--new-command", varies]).exits(0);
    assert!(ran.stdout.contains("the output varies from run to run"), "{ran}");
    let file = ["--markdown", "/proc/no/such/place.md"];
    let both = ["--base-command", "true", "--new-command", "true"];
    let ran = lab.gate(&[&both[..], &file].concat()).exits(2);
    assert!(ran.stderr.contains("place.md"), "{ran}");
    assert!(ran.stdout.contains("passes"), "the answer is not lost: {ran}");
    let answer: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(answer["controls"][0]["verdict"], "regression", "{ran}");
}

#[test]
fn record_files_are_compared_and_other_machines_are_refused() {
    let lab = Lab::new();
    let record = |engine: &str, file: &str| {
        let arguments = ["compare", "-e", engine, "-w", "straddle", "--scale", "0.05"];
        let rest = ["--rounds", "2", "--json", "-o", file];
        lab.run(&[&arguments[..], &rest].concat()).exits(0);
    };
    record("glibc:mmap_threshold=1M,trim_threshold=8M", "old.jsonl");
    record("glibc", "new.jsonl");
    let diff = |arguments: &[&str]| lab.run(&[&["diff", "--json"], arguments].concat());
    let worse = diff(&["old.jsonl", "new.jsonl", "--markdown", "summary.md"]).exits(1);
    assert!(verdicts(&worse).contains(&"minor_faults=regression".to_owned()), "{worse}");
    assert!(lab.read("summary.md").contains("at different hours"));

    let text = lab.read("new.jsonl");
    let key = "\"kernel\":\"";
    assert!(text.contains(key), "{text}");
    lab.write("there.jsonl", text.replacen(key, "\"kernel\":\"Other ", 1));
    diff(&["old.jsonl", "there.jsonl"]).exits(2).complains_of(&["different machines", "kernel"]);
    diff(&["old.jsonl", "there.jsonl", "--across-machines"]).exits(1);
    lab.write("empty.jsonl", "");
    diff(&["old.jsonl", "empty.jsonl"]).exits(2).complains_of(&["no record in empty.jsonl"]);
    diff(&["old.jsonl", "nosuch.jsonl"]).exits(2).complains_of(&["nosuch.jsonl"]);
}
