//! The preload library, in processes: the C contract, misuse, and real
//! programs, whose output must be what it is without the library.

#[path = "support/programs.rs"]
mod programs;

use std::path::{Path, PathBuf};
use std::process::Command;

use programs::{PRESETS, compiled, have, library, output, preloaded, stdout};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a C program of ours under each preset; it must say "ok".
fn says_ok(name: &str, arguments: &[&str]) {
    let Some(binary) = compiled(name) else { return };
    for preset in PRESETS {
        let mut command = preloaded(&binary, preset);
        command.args(arguments);
        let output = output(command);
        assert_eq!(
            (text(&output.stdout).as_str(), output.status.success()),
            ("ok\n", true),
            "{name} under {preset}: {}{}",
            output.status,
            text(&output.stderr)
        );
    }
}

#[test]
fn the_c_contract_and_its_errno_rules_hold() {
    says_ok("contract", &[]);
}

#[test]
fn a_library_that_is_opened_calls_no_function_of_the_programs_malloc() {
    let Some(binary) = compiled("opened") else { return };
    let mut command = Command::new(binary);
    command.arg(library()).env("BRKPOINT_BREAK", "reserved");
    assert_eq!(text(&stdout(command)), "ok\n");
}

#[test]
fn memory_of_a_foreign_sbrk_stays_foreign() {
    says_ok("sbrk", &[]);
}

#[test]
fn children_forked_amid_allocating_threads_live() {
    says_ok("race", &["100"]);
}

#[test]
fn forks_do_not_wait_for_threads_that_hold_a_stream_and_allocate() {
    says_ok("forks", &["streams", "300"]);
}

#[test]
fn a_signal_handler_may_fork_amid_malloc_in_a_program_with_one_thread() {
    says_ok("forks", &["signals", "150"]);
}

#[test]
fn threads_may_race_for_the_first_allocation() {
    let Some(binary) = compiled("race") else { return };
    for launch in 0..200 {
        let output = output({
            let mut command = preloaded(&binary, "default");
            command.arg("0");
            command
        });
        assert!(
            output.status.success(),
            "launch {launch}: {}{}",
            output.status,
            text(&output.stderr)
        );
    }
}

#[test]
fn exhaustion_is_enomem_and_not_the_end() {
    says_ok("exhaust", &[]);
}

#[test]
fn with_headers_misuse_ends_the_process_with_a_message_that_names_it() {
    let Some(binary) = compiled("misuse") else { return };
    let mistakes = [
        ("double-free", "double free"),
        ("delayed-double-free", "double free"),
        ("interior-free", "not the start of a block"),
        ("unaligned-free", "not the start of a block"),
        ("foreign-free", "not the start of a block"),
        ("stack-free", "not the start of a block"),
        ("overflow-by-1", "past the end of this block"),
        ("overflow-by-8", "past the end of this block"),
        ("underflow-by-1", "header was overwritten"),
        ("underflow-by-8", "header was overwritten"),
        ("realloc-of-freed", "realloc("),
        ("write-after-free", "a freed block was written to"),
        ("underflow-after-free", "a freed block's header was overwritten"),
    ];
    for (mistake, says) in mistakes {
        for (cache, placement) in [("0", "good"), ("0", "next"), ("0", "best"), ("16K", "good")] {
            // Caches do not look into the blocks they keep, nor at their left.
            if cache != "0" && mistake == "write-after-free" {
                continue;
            }
            let mut command = preloaded(&binary, "default");
            command.env("BRKPOINT_METADATA", "header").env("BRKPOINT_THREAD_CACHE", cache);
            command.env("BRKPOINT_PLACEMENT", placement);
            expect_end(command.arg(mistake), mistake, says);
        }
    }
}

#[test]
fn out_of_band_misuse_is_noticed_when_blocks_reach_the_heap() {
    let Some(binary) = compiled("misuse") else { return };
    // The first few blocks of a class have headers, which tell more; later ones
    // lie in units, which are dissolved when all blocks are free.
    for (mistake, alone, crowded) in [
        ("double-free", "double free", "double free"),
        ("delayed-double-free", "double free", "not the start of a block"),
        ("interior-free", "not the start of a block", "not the start of a block"),
        ("unaligned-free", "not the start of a block", "not the start of a block"),
        ("foreign-free", "not the start of a block", "not the start of a block"),
        ("stack-free", "not the start of a block", "not the start of a block"),
    ] {
        for (arguments, says) in [(&[mistake][..], alone), (&[mistake, "crowded"], crowded)] {
            let mut command = preloaded(&binary, "default");
            command.env("BRKPOINT_THREAD_CACHE", "0");
            expect_end(command.args(arguments), mistake, says);
        }
    }
}

/// Runs a program that must end with a message of ours.
fn expect_end(command: &mut Command, mistake: &str, says: &str) {
    let command = std::mem::replace(command, Command::new(""));
    let output = output(command);
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{mistake} went unnoticed");
    assert!(said.starts_with("brkpoint: ") && said.contains(says), "{mistake}: {said}");
}

#[test]
fn a_bad_setting_is_refused_by_name_and_the_program_runs() {
    let mut command = preloaded("ls", "default");
    command.env("BRKPOINT_MMAP_THRESHOLD", "12Q").env("BRKPOINT_TRIMM", "never");
    let output = output(command);
    assert!(output.status.success());
    assert_eq!(
        text(&output.stderr),
        "brkpoint: BRKPOINT_MMAP_THRESHOLD=12Q refused: not a size in bytes (K, M, G), 0 (every \
         block is mapped), off, dynamic or dynamic:SIZE; keeping dynamic:8M\n\
         brkpoint: BRKPOINT_TRIMM is not a setting and is ignored; did you mean BRKPOINT_TRIM?\n"
    );
}

#[test]
fn the_program_break_is_moved_by_brk_and_mmap_only_maps() {
    if !have("strace") {
        return;
    }
    // Of a shell that forks nothing.
    let calls = |preset: &str| {
        let mut command = Command::new("strace");
        command
            .args(["-qq", "-e", "trace=brk,mmap,munmap", "-E"])
            .arg(format!("LD_PRELOAD={}", library().display()))
            .args([
                "-E",
                &format!("BRKPOINT_PRESET={preset}"),
                "bash",
                "-c",
                "x=1; for i in 1 2 3 4; do x=$x$x$x$x; done",
            ]);
        let said = text(&output(command).stderr);
        let count = |call: &str| said.lines().filter(|line| line.starts_with(call)).count();
        (count("brk("), count("mmap("))
    };
    let (brk, mmap) = calls("mmap-only");
    let (brk_of_brk_only, mmap_of_brk_only) = calls("brk-only");
    assert!(brk <= 1, "mmap-only moved the break: {brk}");
    assert!(brk_of_brk_only > 1 && mmap > mmap_of_brk_only + 500, "{mmap} {mmap_of_brk_only}");
}

/// A directory for one test's files.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Runs `tool` with and without the library, under every preset; the output
/// must be the same.
fn same_output(tool: &str, arguments: &[&str], directory: &Path) {
    if !have(tool) {
        return;
    }
    let with = |mut command: Command| {
        command.args(arguments).current_dir(directory);
        stdout(command)
    };
    let expected = with(Command::new(tool));
    for preset in PRESETS {
        assert!(with(preloaded(tool, preset)) == expected, "{tool} {arguments:?} under {preset}");
    }
}

#[test]
fn small_tools_and_interpreters() {
    let root = Path::new("/");
    same_output("ls", &["-l", "/usr/lib"], root);
    same_output(
        "perl",
        &[
            "-e",
            "my %h; $h{$_ % 999} .= 'x' x ($_ % 50) for 1..200000; print join ',', map { $_ . length $h{$_} } sort keys %h",
        ],
        root,
    );
    same_output(
        "bash",
        &["-c", "for i in {1..300}; do x=$(echo $i | tr 1 2); a[$i]=$x; done; echo ${a[@]}"],
        root,
    );
    same_output(
        "sqlite3",
        &[
            ":memory:",
            "create table t(a, b); with recursive n(i) as (select 1 union all select i + 1 from n where i < 50000) insert into t select i, hex(i * 7919) from n; create index x on t(b); select count(*), sum(length(b)), max(b) from t where b > '3';",
        ],
        root,
    );
}

#[test]
fn python_with_threads_processes_and_large_objects() {
    let program = r#"
import hashlib, json, multiprocessing, sqlite3, subprocess, sys, threading
def work(seed):
    table = {}
    for i in range(20000):
        table[(i * 7919 + seed) % 5000] = bytes([i % 256]) * (i % 3000)
    return sum(map(len, table.values()))
results = []
threads = [threading.Thread(target=lambda n=n: results.append(work(n))) for n in range(4)]
[t.start() for t in threads]
children = [subprocess.run([sys.executable, '-S', '-c', 'print(sum(range(1000)))'], capture_output=True).stdout for _ in range(5)]
with multiprocessing.get_context('fork').Pool(3) as pool:
    results += pool.map(work, range(6))
[t.join() for t in threads]
blocks = [bytearray(1 << n) for n in range(10, 25)]
database = sqlite3.connect(':memory:')
database.execute('create table t(x)')
database.executemany('insert into t values(?)', [(i,) for i in range(10000)])
print(sorted(results), children, sum(map(len, blocks)), database.execute('select sum(x) from t').fetchone())
print(hashlib.sha256(json.dumps(list(range(100000))).encode()).hexdigest())
"#;
    same_output("python3", &["-c", program], Path::new("/"));
}

#[test]
fn sort_and_xz_with_threads() {
    let directory = scratch("sort");
    let mut lines = String::new();
    let mut random = 1_u32;
    for _ in 0..200_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        lines += &format!("{random} {}\n", random % 977);
    }
    std::fs::write(directory.join("lines"), lines).unwrap();
    same_output("sort", &["--parallel=4", "-S", "8M", "lines"], &directory);
    same_output("xz", &["-2", "-T4", "--block-size=1MiB", "-c", "lines"], &directory);
}

#[test]
fn git_clones_and_logs() {
    if !have("git") {
        return;
    }
    let directory = scratch("git");
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=n", "-c", "user.email=e@x"])
            .args(arguments)
            .current_dir(&directory);
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_DATE", "2020-01-01T00:00Z")
            .env("GIT_COMMITTER_DATE", "2020-01-01T00:00Z");
        stdout(command);
    };
    git(&["init", "-q", "origin"]);
    for commit in 0..30 {
        let lines: String =
            (0..500).map(|line| format!("{} {line}\n", line * commit % 97)).collect();
        std::fs::write(directory.join("origin").join(format!("file{}", commit % 7)), lines)
            .unwrap();
        git(&["-C", "origin", "add", "."]);
        git(&["-C", "origin", "commit", "-q", "-m", &format!("commit {commit}")]);
    }
    for preset in PRESETS {
        let mut clone = preloaded("git", preset);
        clone.args(["clone", "-q", "--no-local", "origin", preset]).current_dir(&directory);
        stdout(clone);
    }
    same_output("git", &["-C", "default", "log", "-p", "--stat"], &directory);
    same_output(
        "git",
        &["-C", "mmap-only", "repack", "-q", "-a", "-d", "-f", "--threads=4"],
        &directory,
    );
}

#[test]
fn gcc_compiles_to_the_same_object() {
    if !have("gcc") {
        return;
    }
    let directory = scratch("gcc");
    let functions: String = (0..400)
        .map(|i| format!("int f{i}(int x) {{ int s = {i}; for (int i = 0; i < x; i++) s = s * 31 + (s >> (i % {})); return s; }}\n", i % 7 + 1))
        .collect();
    std::fs::write(directory.join("a.c"), functions).unwrap();
    same_output("gcc", &["-O2", "-S", "-o", "-", "a.c"], &directory);
}

#[test]
fn a_rust_compiler_and_its_threads() {
    let directory = scratch("rustc");
    std::fs::write(directory.join("main.rs"), "fn main() { let v: Vec<String> = (0..1000).map(|i| i.to_string()).collect(); println!(\"{}\", v.concat().len()); }").unwrap();
    let rustc = Path::new(&std::env::var_os("CARGO").unwrap()).with_file_name("rustc");
    for preset in PRESETS {
        let mut command = preloaded(&rustc, preset);
        command.args(["-O", "--edition=2021", "main.rs"]).current_dir(&directory);
        stdout(command);
        assert_eq!(stdout(preloaded(directory.join("main"), preset)), b"2890\n");
    }
}
