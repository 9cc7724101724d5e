//! Recording and replaying: a trace ends with exactly the blocks that the program
//! itself counts as live, however it ends; and its replay ends with them too.

mod cli_support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use brkpoint_reports::fidelity::Fidelity;
use brkpoint_reports::record::Pass;
use brkpoint_workloads::trace::replay::{Options, Touch};
use brkpoint_workloads::trace::verify::{self, Window};
use brkpoint_workloads::trace::{Closing, Header, Limit, Reader};
use cli_support::{Lab, has, run};
use serde::Deserialize;

/// What `record --json` prints, and what the worker answers.
#[derive(Debug, Deserialize)]
struct Made {
    header: Header,
    processes: Vec<Closing>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    digest: String,
    ops: u64,
    live_blocks: u64,
    live_bytes: u64,
}

/// The program, compiled in the lab.
fn program(lab: &Lab) -> bool {
    if !has("gcc") {
        return false;
    }
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/traced/program.c");
    let built = run(&mut lab.command("gcc", &["-O1", "-pthread", "-o", "program", source]));
    built.exits(0);
    true
}

/// Records `command` into `name`; gives what it printed, and what came of it.
fn record(lab: &Lab, name: &str, options: &[&str], command: &[&str]) -> (String, Made) {
    let mut arguments = vec!["record", "--json", "-o", name];
    arguments.extend(options);
    arguments.push("--");
    arguments.extend(command);
    let ran = lab.run(&arguments).exits(0);
    let (printed, json) = ran.stdout.rsplit_once('{').map_or((String::new(), ""), |_| {
        let at = ran.stdout.find("{\"bytes\"").expect("JSON");
        (ran.stdout[..at].to_owned(), &ran.stdout[at..])
    });
    let made = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {ran}"));
    (printed, made)
}

/// Blocks of odd sizes that are live at the end of a process, and their bytes.
fn odd(trace: &Path, process: u32) -> (u64, u64) {
    let file = fs::File::open(trace).expect("the trace");
    let mut reader = Reader::new(std::io::BufReader::new(file)).expect("a trace");
    let mut slots = vec![0_u64; 1 << 20];
    // Within a window actions are told thread by thread; so a slot may hold the
    // next block before the previous one went. Each slot's last word is what counts.
    let mut live: i64 = 0;
    let mut bytes: i64 = 0;
    let mut each = |window: &Window<'_>| {
        let mut actions: Vec<_> = window.actions.to_vec();
        while !actions.is_empty() {
            let before = actions.len();
            actions.retain(|action| {
                let taken = slots[action.slot() as usize];
                if action.takes_block() && taken == 0
                    || !action.takes_block() && action.gives_block() && taken != 0
                {
                    return true;
                }
                if action.takes_block() {
                    slots[action.slot() as usize] = 0;
                    if taken.is_multiple_of(2) {
                        (live, bytes) = (live - 1, bytes - (taken / 2 - 1) as i64);
                    }
                }
                if action.gives_block() {
                    // Twice the size, and one more unless it is odd; never 0.
                    let even = u64::from(action.size().is_multiple_of(2));
                    slots[action.to() as usize] = 2 * (action.size() + 1) + even;
                    if even == 0 {
                        (live, bytes) = (live + 1, bytes + action.size() as i64);
                    }
                }
                false
            });
            assert!(actions.len() < before, "the window cannot be performed");
        }
    };
    verify::check(&mut reader, process, &mut each).expect("it is good");
    (live as u64, bytes as u64)
}

fn replay(lab: &Lab, trace: &str, process: u32, touch: Touch, engine: Option<&Path>) -> Answer {
    let options = Options { process: Some(process), touch, gaps: false };
    let arguments = brkpoint::worker::replay_arguments(&lab.path(trace), Pass::Memory, options);
    let mut command = lab.command(env!("CARGO_BIN_EXE_brkpoint"), &[]);
    command.args(arguments);
    if let Some(library) = engine {
        command.env("LD_PRELOAD", library);
    }
    let ran = run(&mut command).exits(0);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

fn counted(printed: &str, who: &str) -> (u64, u64) {
    let line = printed.lines().find_map(|line| line.strip_prefix(who)).expect("its counts");
    let mut numbers = line.split_ascii_whitespace().map(|word| word.parse().expect("a number"));
    (numbers.next().expect("blocks"), numbers.next().expect("bytes"))
}

#[test]
fn a_trace_and_its_replay_end_with_what_the_program_counts_as_live() {
    let lab = Lab::new();
    if !program(&lab) {
        return;
    }
    let ours = cli_support::our_library();
    for (how, threads, operations) in [
        ("return", "1", "40000"),
        ("return", "8", "20000"),
        ("_exit", "8", "20000"),
        ("kill", "8", "20000"),
        ("exec", "1", "20000"),
        ("fork", "8", "20000"),
        ("signals", "4", "60000"),
        ("many", "4", "40"),
    ] {
        let told = format!("{how} {threads}");
        let command = ["./program", how, threads, operations];
        let (printed, made) = record(&lab, "a.trace", &[], &command);
        assert_eq!((made.header.lost, &made.header.limited), (0, &None), "{told}");
        assert_eq!(odd(&lab.path("a.trace"), 0), counted(&printed, "parent"), "{told}");
        let closing = &made.processes[0];
        assert_eq!((closing.unfreed, closing.foreign), (0, 0), "{told}");
        if threads != "1" {
            assert!(closing.handed_over > 0, "{told}");
        }
        let first = replay(&lab, "a.trace", 0, Touch::Pages, None);
        assert_eq!(first.ops, closing.events, "{told}");
        let live = (closing.live_blocks, closing.live_bytes);
        assert_eq!((first.live_blocks, first.live_bytes), live, "{told}");
        let second = replay(&lab, "a.trace", 0, Touch::All, Some(&ours));
        assert_eq!((second.live_blocks, second.live_bytes), live, "{told}");
        assert_eq!(first.digest, second.digest, "{told}");
        match how {
            "fork" => {
                assert_eq!(odd(&lab.path("a.trace"), 1), counted(&printed, "child"));
                assert_eq!(made.header.processes[1].forked_from, Some(0));
                let foreign = made.processes[1].foreign;
                assert!(foreign > 0, "what was inherited is not its own");
            }
            "exec" => assert!(made.header.processes[1].program.ends_with("true")),
            "many" => assert!(closing.threads > 1600, "{closing:?}"),
            _ => {}
        }
    }
    assert!(
        !fs::read_dir(lab.dir())
            .expect("the lab")
            .flatten()
            .any(|entry| { entry.file_name().to_string_lossy().starts_with(".brkpoint") })
    );
}

#[test]
fn a_header_tells_of_command_machine_and_settings() {
    let lab = Lab::new();
    let mut command = lab.brkpoint(&["record", "-o", "a.trace", "--", "sh", "-c", "true; :"]);
    command.env("MALLOC_ARENA_MAX", "1");
    run(&mut command).exits(0);
    let file = fs::File::open(lab.path("a.trace")).expect("the trace");
    let header = Reader::new(file).expect("a trace").header().clone();
    assert_eq!(header.command, ["sh", "-c", "true; :"]);
    assert!(header.machine.contains_key("kernel"));
    let process = &header.processes[0];
    assert_eq!(process.arguments, header.command);
    assert!(process.libc.starts_with("glibc 2."), "{process:?}");
    assert_eq!(process.settings.get("MALLOC_ARENA_MAX").map(String::as_str), Some("1"));
    assert!(!process.settings.contains_key("LD_PRELOAD"), "the recorder is no setting");
}

#[test]
fn a_recording_that_ends_early_says_why() {
    let lab = Lab::new();
    let script = "for i in 1 2 3 4 5 6 7 8 9; do (echo $i); done";
    let (_, made) = record(&lab, "a.trace", &["--max-bytes", "100K"], &["bash", "-c", script]);
    assert_eq!(made.header.limited, Some(Limit::Bytes(100 << 10)));
    assert!(made.processes[0].events > 0, "what came before is there");
    replay(&lab, "a.trace", 0, Touch::Pages, None);

    let (_, made) = record(&lab, "b.trace", &["--for", "1s"], &["bash", "-c", "sleep 1.5"]);
    assert_eq!(made.header.limited, Some(Limit::Seconds(1)));

    let script = "ulimit -n 3; (a=1; echo $a)";
    let (_, made) = record(&lab, "c.trace", &[], &["bash", "-c", script]);
    match &made.header.limited {
        Some(Limit::Failure(why)) => assert!(why.contains("thread's file"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_recording_that_cannot_be_joined_is_kept_and_can_be_later() {
    let lab = Lab::new();
    // The command puts a directory where the trace is to be.
    let ran = lab.run(&["record", "-o", "a.trace", "--", "mkdir", "-p", "a.trace/x"]).exits(2);
    let kept = ran.stderr.split("what was recorded is in ").nth(1).expect("where it is");
    let kept = kept.split(';').next().expect("a path");
    lab.run(&["record", "--join", kept, "-o", "b.trace"]).exits(0);
    let file = fs::File::open(lab.path("b.trace")).expect("the trace");
    let header = Reader::new(file).expect("a trace").header().clone();
    assert!(header.processes[0].program.ends_with("mkdir"), "{header:?}");
}

#[test]
fn a_service_is_recorded_by_its_environment() {
    let lab = Lab::new();
    let library = lab.run(&["record", "--library"]).exits(0).stdout.trim().to_owned();
    fs::create_dir(lab.path("parts")).expect("a directory");
    let serve = |directory: &Path| {
        let mut command: Command = lab.command("ls", &["/"]);
        command.env("LD_PRELOAD", &library).env("BRKPOINT_RECORD", directory);
        run(command.stdin(Stdio::null())).exits(0)
    };
    serve(&lab.path("parts"));
    serve(&lab.path("parts"));
    lab.run(&["record", "--join", "parts", "-o", "a.trace"]).exits(0);
    let file = fs::File::open(lab.path("a.trace")).expect("the trace");
    assert_eq!(Reader::new(file).expect("a trace").header().processes.len(), 2);
    for bad in ["", "parts", "/nowhere/at/all"] {
        let ran = serve(Path::new(bad));
        assert!(ran.stderr.contains("nothing is recorded"), "{ran}");
    }
}

#[test]
fn bad_traces_are_refused_with_the_place_of_the_damage() {
    let lab = Lab::new();
    record(&lab, "a.trace", &[], &["ls", "/"]);
    let good = fs::read(lab.path("a.trace")).expect("the trace");
    let half = good.len() / 2;
    let mut flipped = good.clone();
    flipped[half] ^= 4;
    let mut newer = good.clone();
    newer[8] = 200;
    for (content, words) in [
        (&good[..half], &["damaged at byte"][..]),
        (&flipped, &["damaged at byte", "checksum"]),
        (&newer, &["newer brkpoint"]),
        (b"", &["no trace"]),
        (b"BRKTRACE", &["damaged at byte 8"]),
        (b"a text", &["no trace", "brkpoint record"]),
    ] {
        lab.write("bad.trace", content);
        let ran = lab.run(&["replay", "bad.trace", "-e", "glibc", "--rounds", "1"]);
        let told = ran.stdout.clone() + &ran.stderr;
        assert!(matches!(ran.code, Some(1 | 2)), "{ran}");
        for word in words {
            assert!(told.contains(word), "no {word:?}: {ran}");
        }
        assert!(!told.contains("panicked"), "{ran}");
    }
    lab.run(&["replay", "missing.trace"]).exits(2).complains_of(&["missing.trace"]);
    lab.run(&["record", "-o", "x.trace"]).exits(2).complains_of(&["command"]);
    lab.run(&["record", "-o", "x.trace", "--", "no-such-program"]).exits(2);
}

#[test]
fn a_replay_does_to_the_allocator_what_the_program_did() {
    let lab = Lab::new();
    if !program(&lab) {
        return;
    }
    // One thread, and nothing of the C library that is there before main.
    record(&lab, "a.trace", &[], &["./program", "return", "1", "30000"]);
    let ran = lab.run(&["replay", "a.trace", "--fidelity", "--json", "-o", "page.html"]).exits(0);
    let told: Fidelity = serde_json::from_str(&ran.stdout).expect("JSON");
    let row = |name: &str| told.rows.iter().find(|row| row.name == name).expect("the row");
    for name in ["brk", "mmap", "munmap", "peak heap", "peak live bytes"] {
        let row = row(name);
        assert!(row.recorded > 1.0 && row.off() == Some(0.0), "{row:?}");
    }
    let faults = row("minor faults on the heap");
    assert!(faults.recorded > 100.0 && faults.holds() == Some(true), "{told:?}");
    let page = fs::read_to_string(lab.path("page.html")).expect("the page");
    assert!(page.contains("minor faults on the heap"));
}

/// scripts/record-traces makes them.
#[test]
fn the_recordings_that_ship_can_be_replayed() {
    let lab = Lab::new();
    let ours = cli_support::our_library();
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../workloads/traces"));
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).expect("the recordings").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "trace") {
            continue;
        }
        let told = path.display();
        let file = fs::File::open(&path).expect("the trace");
        let mut reader = Reader::new(std::io::BufReader::new(file)).expect("a trace");
        let checked = verify::check(&mut reader, 0, &mut |_| ());
        let checked = checked.unwrap_or_else(|problem| panic!("{told}: {problem}"));
        let closing = checked.closing.expect("whole");
        assert!(closing.events > 30 && !checked.untouched.is_empty(), "{told}: {closing:?}");
        let trace = path.to_str().expect("UTF-8");
        let [one, other] =
            [None, Some(&*ours)].map(|engine| replay(&lab, trace, 0, Touch::Recorded, engine));
        assert_eq!(one.digest, other.digest, "{told}");
        assert_eq!(one.live_blocks, closing.live_blocks, "{told}");
        names.push(path.file_stem().expect("a name").to_owned());
    }
    names.sort();
    assert_eq!(names, ["python3", "sqlite3", "xz"]);
}

#[test]
fn a_trace_is_a_workload() {
    let lab = Lab::new();
    record(&lab, "a.trace", &[], &["bash", "-c", "x=1; for i in {1..500}; do x=$x$i; done"]);
    let rows =
        lab.run(&["replay", "a.trace", "-e", "glibc", "-e", "brkpoint", "--rounds", "1", "--json"]);
    let rows = rows.exits(0).rows();
    for engine in ["glibc", "brkpoint"] {
        let rows = rows.of(engine);
        assert!(rows.iter().all(|row| row.error.is_none() && row.workload == "a.trace"));
        assert!(rows.iter().any(|row| row.metric == "peak_live_bytes" && row.median > Some(0.0)));
    }
    let ran = lab.compare(&["glibc"], &["-w", "a.trace", "--rounds", "1"]).exits(0);
    assert!(ran.rows().median("glibc", "wall_s") > 0.0);
    lab.compare(&["glibc"], &["-w", "no.trace"]).exits(2);
    let gate = ["gate", "--base", "glibc", "--new", "glibc:mmap_threshold=0"];
    let ran = lab.run(&[&gate[..], &["--counts-only", "-w", "a.trace"]].concat()).exits(1);
    assert!(ran.stdout.contains("memory calls on a.trace"), "{ran}");
}
