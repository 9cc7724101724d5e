//! Counts of system calls are exact, whatever the program does and whoever watches.

mod probe_common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use brkpoint::supervise::{Call, Counts, Instrument, Launch, Observation, Tracer};
use brkpoint_reports::record::{Exit, Pass};
use probe_common::{again_as_nobody, has, launch, observe, temp_dir, worker};

const TRACERS: [(Tracer, Instrument); 2] =
    [(Tracer::Notify, Instrument::Notify), (Tracer::Ptrace, Instrument::Ptrace)];

fn count(launch: &Launch, tracer: Tracer) -> Observation {
    let seen = observe(launch, Pass::Counts, tracer);
    assert_eq!(seen.exit, Exit::Code(0), "{launch:?}: {}", seen.stderr_tail);
    seen
}

fn phase(seen: &Observation, phase: u32) -> Counts {
    let syscalls = seen.syscalls.as_ref().unwrap_or_else(|| panic!("{:?}", seen.instrument));
    syscalls.phases.get(&phase).copied().unwrap_or_default()
}

fn calls(counts: &Counts) -> [u64; 6] {
    Call::ALL.map(|call| counts.calls(call))
}

/// What `strace -f -c` counts, with the same environment and addresses.
fn strace(launch: &Launch, dir: &Path) -> [u64; 6] {
    let (summary, stdout) = (dir.join("summary"), dir.join("stdout"));
    let names = Call::ALL.map(Call::name).join(",");
    let status = Command::new("setarch")
        .args(["-R", "strace", "-f", "-c", "-e", &format!("trace={names}"), "-o"])
        .arg(&summary)
        .arg(&launch.program)
        .args(&launch.args)
        .envs(launch.env.iter().cloned())
        .stdin(Stdio::null())
        .stdout(fs::File::create(&stdout).expect("creating a file"))
        .stderr(Stdio::null())
        .status()
        .expect("starting strace");
    assert!(status.success(), "strace {launch:?}: {status}");
    let summary = fs::read_to_string(summary).expect("reading strace's summary");
    let mut counts = [0; 6];
    for line in summary.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [_, _, _, calls, .., name] = fields[..]
            && let Some(call) = Call::ALL.iter().find(|call| call.name() == name)
        {
            counts[*call as usize] = calls.parse().expect("a number of calls");
        }
    }
    assert!(counts.iter().sum::<u64>() > 0, "nothing in strace's summary: {summary}");
    counts
}

#[test]
fn counts_equal_strace_exactly() {
    if has("strace") && has("setarch") {
        let dir = temp_dir();
        let source = dir.path().join("small.c");
        fs::write(&source, "#include <stdio.h>\nint main(void) { return puts(\"x\"); }\n")
            .expect("writing a source file");
        let (source, object) = (source.to_str().expect("a path"), dir.path().join("small.o"));
        let object = object.to_str().expect("a path");
        let commands: &[(&str, &[&str])] = &[
            ("true", &[]),
            ("ls", &["-l", "/"]),
            ("git", &["--version"]),
            ("sh", &["-c", "ls / | sort; for i in 1 2 3; do true; ls -d /; done; (exit 0)"]),
            ("python3", &["-c", "x = [str(i) * 100 for i in range(20000)]; print(len(x))"]),
            ("gcc", &["-O1", "-c", source, "-o", object]),
        ];
        for &(program, args) in commands {
            if !has(program) {
                continue;
            }
            let mut command = launch(program, args);
            // Python's tables depend on its hash seed.
            command.env.push(("PYTHONHASHSEED".into(), "0".into()));
            // What the first run leaves behind (byte code, say) is there for the others.
            let expected = [strace(&command, dir.path()), strace(&command, dir.path())][1];
            for (tracer, instrument) in TRACERS {
                let seen = count(&command, tracer);
                assert_eq!(seen.instrument, instrument, "{program}");
                assert_eq!(
                    calls(&phase(&seen, 0)),
                    expected,
                    "{program} {tracer:?}: {:?}",
                    Call::ALL
                );
            }
        }
    }
    again_as_nobody("counts_equal_strace_exactly");
}

#[test]
fn a_thousand_touched_pages_are_a_thousand_minor_faults() {
    let dir = temp_dir();
    let Some(worker) = worker(dir.path()) else { return };
    for tracer in [Tracer::Notify, Tracer::Ptrace, Tracer::None] {
        // Other processes that map the same files now and then keep one of their
        // pages from being mapped ahead; the least of some runs is undisturbed.
        let least = |pages: &str| {
            let command = launch(&worker, &["touch", pages]);
            let seen = (0..8).map(|_| {
                let seen = count(&command, tracer);
                assert_eq!(seen.stdout.read().expect("output"), format!("{pages}\n").as_bytes());
                seen.minor_faults
            });
            seen.min().expect("several runs")
        };
        assert_eq!(least("1000") - least("0"), 1000, "{tracer:?}");
    }
    again_as_nobody("a_thousand_touched_pages_are_a_thousand_minor_faults");
}

#[test]
fn threads_forks_signals_and_execs_are_counted_exactly() {
    let dir = temp_dir();
    let Some(worker) = worker(dir.path()) else { return };
    for (tracer, _) in TRACERS {
        let seen = |what| count(&launch(&worker, &[what]), tracer);

        let threads = phase(&seen("threads"), 1);
        assert_eq!(calls(&threads), [0, 2000, 2000, 0, 0, 0], "{tracer:?}");
        assert_eq!(threads.bytes(Call::Mmap), 2000 * 3 * 4096);

        let forks = phase(&seen("forks"), 1);
        assert_eq!(calls(&forks), [0, 0, 0, 0, 0, 150], "{tracer:?}");

        let alarms = phase(&seen("alarms"), 1);
        assert_eq!(calls(&alarms), [0, 2000, 2000, 0, 0, 0], "{tracer:?}");

        let exec = phase(&seen("thread-exec"), 2);
        assert_eq!(calls(&exec), [0, 0, 0, 0, 0, 7], "{tracer:?}");
    }
    again_as_nobody("threads_forks_signals_and_execs_are_counted_exactly");
}

#[test]
fn growth_by_brk_is_known_in_bytes() {
    let dir = temp_dir();
    let Some(worker) = worker(dir.path()) else { return };
    for (tracer, _) in TRACERS {
        let seen = count(&launch(&worker, &["brk"]), tracer);
        let grown = |n| phase(&seen, n).bytes(Call::Brk);
        // 10 pages; then from 6 to 7 pages and a byte, which takes 8.
        assert_eq!((phase(&seen, 1).calls(Call::Brk), grown(1)), (3, 12 * 4096), "{tracer:?}");
        // Asked for in vain: counted as asked, and the heap is still known after it.
        assert!(grown(2) > 1 << 61, "{tracer:?}: {}", grown(2));
        // The child's copy from 8 to 13, then the heap itself to 10 and 11.
        assert_eq!((phase(&seen, 3).calls(Call::Brk), grown(3)), (3, 8 * 4096), "{tracer:?}");
        assert_eq!(seen.notes, [""; 0]);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn calls_by_the_32_bit_convention_are_counted() {
    let dir = temp_dir();
    let Some(worker) = worker(dir.path()) else { return };
    for (tracer, _) in TRACERS {
        let seen = count(&launch(&worker, &["i386"]), tracer);
        assert_eq!(calls(&phase(&seen, 1)), [5, 0, 0, 0, 0, 0], "{tracer:?}");
    }
}

#[test]
fn stopping_and_continuing_works_under_each_tracer() {
    let dir = temp_dir();
    let Some(worker) = worker(dir.path()) else { return };
    for (tracer, _) in TRACERS {
        let seen = observe(&launch(&worker, &["stop"]), Pass::Counts, tracer);
        assert_eq!(seen.exit, Exit::Code(5), "{tracer:?}");
        let seen = observe(&launch(&worker, &["segfault"]), Pass::Counts, tracer);
        assert_eq!(seen.exit, Exit::Signal(libc::SIGSEGV), "{tracer:?}");
    }
}

const NESTED: &str = "BRKPOINT_TEST_NESTED";

#[test]
fn below_another_listener_ptrace_counts_the_same() {
    let command = launch("ls", &["/"]);
    if std::env::var_os(NESTED).is_some() {
        let seen = count(&command, Tracer::Auto);
        assert_eq!(seen.instrument, Instrument::Ptrace);
        println!("counted {:?}", calls(&phase(&seen, 0)));
        return;
    }
    let direct = count(&command, Tracer::Auto);
    assert_eq!(direct.instrument, Instrument::Notify);
    let own = std::env::current_exe().expect("finding this program");
    let name = "below_another_listener_ptrace_counts_the_same";
    let mut nested = launch(own, &["--exact", name, "--nocapture"]);
    nested.env.push((NESTED.into(), "1".into()));
    let seen = observe(&nested, Pass::Counts, Tracer::Notify);
    let said = String::from_utf8(seen.stdout.read().expect("output")).expect("text");
    assert_eq!(seen.exit, Exit::Code(0), "{said}{}", seen.stderr_tail);
    let expected = format!("counted {:?}", calls(&phase(&direct, 0)));
    assert!(said.contains(&expected), "{said}, expected {expected}");
}
