//! What the tests of the command line share: a directory to run it in, and how
//! its answers are read.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

#[path = "../probe_common/mod.rs"]
mod probe_common;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use brkpoint::engine::{ArmSpec, Engines};
use brkpoint_reports::record::{Line, Sample};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use probe_common::has;

/// What hangs is given up on; far more than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// The peers of every default build.
pub const PEERS: &[&str] = if cfg!(feature = "peers") { &["mimalloc", "jemalloc"] } else { &[] };

/// The presets of our engine that stand for strategies.
pub const PRESETS: [&str; 4] = [
    "brkpoint:preset=brk-only",
    "brkpoint:preset=mmap-only",
    "brkpoint:preset=hybrid",
    "brkpoint:preset=hybrid-dynamic",
];

/// The metrics that each engine has on each command.
pub const OF_COMMANDS: [&str; 12] = [
    "wall_s",
    "user_s",
    "sys_s",
    "minor_faults",
    "major_faults",
    "syscalls_brk",
    "syscalls_mmap",
    "syscalls_munmap",
    "syscalls_mremap",
    "syscalls_madvise",
    "syscalls_mprotect",
    "peak_rss_bytes",
];

/// The library of our own engine.
pub fn our_library() -> PathBuf {
    let spec: ArmSpec = "brkpoint".parse().expect("a spec");
    let program = env!("CARGO_BIN_EXE_brkpoint").as_ref();
    let arm = Engines::builtin().resolve(&spec, program).expect("our engine");
    arm.library.expect("a library")
}

/// An empty directory in which the program runs.
pub struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    pub fn new() -> Lab {
        Lab { dir: tempfile::tempdir().expect("making a temporary directory") }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("writing a file");
    }

    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether there is any file or directory below, but for those named.
    pub fn holds_only(&self, names: &[&str]) -> bool {
        let entries = fs::read_dir(self.dir()).expect("listing the directory");
        entries.flatten().all(|entry| {
            let empty = |dir: PathBuf| fs::read_dir(dir).is_ok_and(|mut it| it.next().is_none());
            names.iter().any(|name| entry.file_name() == *name)
                || (entry.file_name() == "target" && empty(entry.path().join("brkpoint")))
        })
    }

    /// `program` with `arguments` in this directory, in an environment without
    /// what would change an allocator, an output or a configuration.
    pub fn command(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        for name in Engines::builtin().strays() {
            command.env_remove(name);
        }
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PYTHONMALLOC"] {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").env("HOME", self.dir()).env("GIT_CONFIG_NOSYSTEM", "1");
        command.args(arguments).current_dir(self.dir()).stdin(Stdio::null());
        command
    }

    /// The program with `arguments`.
    pub fn brkpoint(&self, arguments: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_brkpoint"), arguments)
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.brkpoint(arguments))
    }

    /// Runs `compare` into the record file `records.jsonl`, which must be new.
    pub fn compare(&self, engines: &[&str], arguments: &[&str]) -> Ran {
        let mut all = vec!["compare", "--json", "-o", "records.jsonl"];
        all.extend(engines.iter().flat_map(|engine| ["-e", engine]));
        all.extend(arguments);
        self.run(&all)
    }

    /// The samples in `records.jsonl`, every line of which must be whole.
    pub fn samples(&self) -> Vec<Sample> {
        let text = self.read("records.jsonl");
        assert!(text.ends_with('\n'), "the last line is cut: {text}");
        let lines = text.lines().map(|line| {
            serde_json::from_str::<Line>(line).unwrap_or_else(|e| panic!("{e}: {line}"))
        });
        let mut runs = 0;
        let samples = lines.filter_map(|line| match line {
            Line::Run(_) => {
                runs += 1;
                None
            }
            Line::Sample(sample) => Some(sample),
            Line::Answer(_) => None,
        });
        let samples = samples.collect();
        assert_eq!(runs, 1, "{text}");
        samples
    }
}

/// A process that has ended, and what it said.
#[derive(Debug)]
pub struct Ran {
    pub command: String,
    /// `None`: a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// It ended with `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// It printed one JSON object a line.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> Vec<T> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    #[track_caller]
    pub fn rows(&self) -> Rows {
        let rows: Vec<Row> = self.json();
        assert!(!rows.is_empty(), "{self}");
        Rows(rows)
    }

    /// It told an error on stderr, which holds each of `words`, and nothing else.
    #[track_caller]
    pub fn complains_of(self, words: &[&str]) -> Ran {
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in what it said: {self}");
        }
        assert_eq!(self.stdout, "", "{self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ran { command, code, stdout, stderr } = self;
        write!(f, "{command}\nexit: {code:?}\nstdout: {stdout}\nstderr: {stderr}")
    }
}

/// Runs `command` to its end; its output goes through files, so that it never
/// waits for a reader.
pub fn run(command: &mut Command) -> Ran {
    let started = Started::new(command);
    started.wait()
}

/// A process whose output is collected.
pub struct Started {
    pub child: Child,
    command: String,
    stdout: File,
    stderr: File,
}

impl Started {
    pub fn new(command: &mut Command) -> Started {
        let file = || tempfile::tempfile().expect("making a temporary file");
        let (stdout, stderr) = (file(), file());
        let copy = |file: &File| file.try_clone().expect("a second descriptor");
        let child = command.stdout(copy(&stdout)).stderr(copy(&stderr)).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Started { child, command: format!("{command:?}"), stdout, stderr }
    }

    pub fn wait(mut self) -> Ran {
        let mut ended = None;
        let in_time = until(|| {
            ended = self.child.try_wait().expect("waiting for a process");
            ended.is_some()
        });
        let read = |mut file: &File| {
            let mut bytes = Vec::new();
            file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("reading output");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let code = ended.and_then(|status| status.code());
        let (stdout, stderr) = (read(&self.stdout), read(&self.stderr));
        let ran = Ran { command: self.command.clone(), code, stdout, stderr };
        assert!(in_time, "does not end: {ran}");
        ran
    }
}

impl Drop for Started {
    /// A test that fails meanwhile leaves no process.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `done`; false if [`PATIENCE`] ended first.
pub fn until(mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
    true
}

/// A row of `compare --json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Row {
    pub engine: String,
    pub settings: String,
    pub role: String,
    pub workload: String,
    pub metric: String,
    pub median: Option<f64>,
    pub n: usize,
    pub error: Option<String>,
}

/// All that `compare --json` printed.
#[derive(Debug)]
pub struct Rows(pub Vec<Row>);

impl Rows {
    /// The rows of an engine as `-e` spells it; not those of the A/A arm.
    pub fn of(&self, engine: &str) -> Vec<&Row> {
        let (name, settings) = engine.split_once(':').unwrap_or((engine, ""));
        let own = |row: &&Row| row.engine == name && row.settings == settings;
        self.0.iter().filter(own).filter(|row| row.role != "repeat").collect()
    }

    /// The rows of the A/A arm.
    pub fn repeat(&self) -> Vec<&Row> {
        self.0.iter().filter(|row| row.role == "repeat").collect()
    }

    /// The median of `metric` under `engine`.
    #[track_caller]
    pub fn median(&self, engine: &str, metric: &str) -> f64 {
        let row = self.of(engine).into_iter().find(|row| row.metric == metric);
        let row = row.unwrap_or_else(|| panic!("no {metric} of {engine}"));
        row.median.unwrap_or_else(|| panic!("{row:?}"))
    }

    /// The one error that all rows of `engine` show, which have no figures.
    #[track_caller]
    pub fn error(&self, engine: &str) -> String {
        let rows = self.of(engine);
        assert!(!rows.is_empty(), "{engine} has no row");
        for row in &rows {
            assert!(row.error == rows[0].error && row.median.is_none(), "{row:?}");
        }
        rows[0].error.clone().unwrap_or_else(|| panic!("{engine} has no error"))
    }

    /// `engine` and the A/A arm, or both of them, have figures for every metric of a
    /// command, and no error.
    #[track_caller]
    pub fn are_sound(&self, engines: &[&str]) {
        let arms = engines.iter().map(|engine| (*engine, self.of(engine)));
        for (arm, rows) in arms.chain([("A/A", self.repeat())]) {
            for metric in OF_COMMANDS {
                let row = rows.iter().find(|row| row.metric == metric);
                let row = row.unwrap_or_else(|| panic!("{arm} has no row of {metric}"));
                assert_eq!(row.error, None, "{arm}");
                assert!(row.median.is_some() && row.n > 0, "{row:?}");
            }
        }
    }
}
