//! The tests, each run in a process of its own.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::tree::{Binary, RUSTFLAGS};

/// One test.
#[derive(Debug, Serialize, Deserialize)]
pub struct Test {
    /// The program that has it.
    pub binary: Binary,
    /// Its name there.
    pub name: String,
    /// How long it takes, in seconds.
    pub seconds: f64,
    /// Which mutants it reaches, by number; `None` if that is not known.
    pub reaches: Option<Vec<u8>>,
    /// How often it was asked.
    pub asked: u32,
    /// How often it noticed a mutant.
    pub noticed: u32,
}

/// Which mutant is active while a test runs.
#[derive(Clone, Copy, Debug)]
pub enum Active<'a> {
    /// The one that the test was built with.
    Built(u32),
    /// One of those woven in; 0 is none of them.
    Chosen(u32),
    /// None; what is reached is marked in this file of so many bytes.
    Marking(usize, &'a Path),
}

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Passed,
    /// Badly; how.
    Failed(String),
}

/// What a test may take, beside what it takes without a mutant.
const GRACE: f64 = 20.0;
/// What it may take as a multiple of that: the machine has other things to do.
const PATIENCE: f64 = 10.0;
/// How long a test is thought to take, in seconds, before it was run.
const UNKNOWN: f64 = 10.0;
/// Heap and mappings of one process, in bytes.
const MEMORY: u64 = 6 << 30;
/// What one process may write to a file, in bytes.
const OUTPUT: u64 = 64 << 20;

/// Tests that compile programs to one place: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The tests of programs.
///
/// # Errors
///
/// If a program does not list them.
pub fn list(binaries: &[Binary]) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for binary in binaries {
        let names = |ignored: &[&str]| -> Result<Vec<String>> {
            let mut command = Command::new(&binary.path);
            command.args(["--list", "--format=terse"]).args(ignored);
            let output = command.current_dir(&binary.directory).output();
            let output = output.with_context(|| format!("cannot run {}", binary.path.display()))?;
            ensure!(output.status.success(), "{} does not list its tests", binary.path.display());
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok(text
                .lines()
                .filter_map(|line| line.strip_suffix(": test").map(str::to_owned))
                .collect())
        };
        let ignored = names(&["--ignored"])?;
        for name in names(&[])?.into_iter().filter(|name| !ignored.contains(name)) {
            let (binary, asked, noticed) = (binary.clone(), 0, 0);
            tests.push(Test { binary, name, seconds: 60.0, reaches: None, asked, noticed });
        }
    }
    Ok(tests)
}

/// What was learnt of tests, in a file, for as long as their programs and the
/// sample stay what they are.
#[derive(Debug, Serialize, Deserialize)]
pub struct Learnt {
    key: Vec<String>,
    /// The tests.
    pub tests: Vec<Test>,
}

impl Learnt {
    /// What is known of the tests of programs with so many mutants; and who are
    /// not known yet are run.
    ///
    /// # Errors
    ///
    /// If one fails.
    pub fn of(binaries: &[Binary], mutants: usize, work: &Path) -> Result<Vec<Test>> {
        let path = work.join("learnt.json");
        let mut key = vec![mutants.to_string()];
        for binary in binaries {
            let written = fs::metadata(&binary.path)?.modified()?;
            key.push(format!("{} {written:?}", binary.path.display()));
        }
        let known = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let known: Option<Learnt> = known.filter(|known: &Learnt| known.key == key);
        if let Some(known) = known {
            return Ok(known.tests);
        }
        let mut tests = list(binaries)?;
        for test in &mut tests {
            test.learn(mutants, work)?;
            eprintln!("mutants: {} passes, in {:.1} s", test.title(), test.seconds);
        }
        let learnt = Learnt { key, tests };
        fs::write(&path, serde_json::to_vec(&learnt)?)?;
        Ok(learnt.tests)
    }
}

impl Test {
    /// The test as people read it.
    pub fn title(&self) -> String {
        format!("{}: {}", self.binary.name, self.name)
    }

    /// How much is to be expected of it in a second.
    pub fn promise(&self) -> f64 {
        (f64::from(self.noticed) + 0.5) / (f64::from(self.asked) + 2.0) / (self.seconds + 0.05)
    }

    /// Runs it with no mutant, to learn how long it takes and what it reaches.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub fn learn(&mut self, mutants: usize, work: &Path) -> Result<()> {
        let path = work.join("marks");
        fs::write(&path, vec![0; mutants + 1]).context("cannot write marks")?;
        self.seconds = UNKNOWN;
        let begun = Instant::now();
        let seen = self.run(Active::Marking(mutants + 1, &path))?;
        self.seconds = begun.elapsed().as_secs_f64();
        self.reaches = Some(fs::read(&path)?);
        if seen == Outcome::Passed {
            return Ok(());
        }
        // It minds the marking: it counts system calls, perhaps.
        self.reaches = None;
        match self.run(Active::Chosen(0))? {
            Outcome::Passed => Ok(()),
            Outcome::Failed(how) => bail!("{} fails without any mutant: {how}", self.title()),
        }
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// If it cannot be run.
    pub fn run(&self, active: Active<'_>) -> Result<Outcome> {
        let is_alone = self.binary.name == "preload";
        // A thread that panicked has left nothing behind.
        let _turn = is_alone.then(|| ALONE.lock().unwrap_or_else(|broken| broken.into_inner()));
        let mut said = tempfile::tempfile().context("cannot make a file for what a test says")?;
        let mut command = Command::new(&self.binary.path);
        command.args(["--exact", &self.name, "--test-threads=1"]);
        command.current_dir(&self.binary.directory).stdin(Stdio::null());
        command.stdout(said.try_clone()?).stderr(said.try_clone()?);
        command.env("RUSTFLAGS", RUSTFLAGS).env("PROPTEST_RNG_SEED", "1");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        command.env("CARGO", cargo).process_group(0);
        match active {
            Active::Built(number) => command.env("MUTANT_BUILT", number.to_string()),
            Active::Chosen(number) => command.env("MUTANT_ACTIVE", number.to_string()),
            Active::Marking(length, path) => {
                command.env("MUTANT_MARKS", format!("{length}:{}", path.display()))
            }
        };
        let seconds = GRACE + PATIENCE * self.seconds;
        let limits = [
            (libc::RLIMIT_CPU, seconds as u64),
            (libc::RLIMIT_DATA, MEMORY),
            (libc::RLIMIT_FSIZE, OUTPUT),
            (libc::RLIMIT_CORE, 0),
        ];
        // SAFETY: setrlimit may be called between fork and exec.
        unsafe {
            command.pre_exec(move || {
                for (what, most) in limits {
                    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
                    if libc::setrlimit(what, &limit) != 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let child = command.spawn().with_context(|| format!("cannot run {}", self.title()))?;
        let ended = wait(child, Duration::from_secs_f64(3.0 * seconds))?;
        Ok(match ended {
            None => Outcome::Failed("hangs".to_owned()),
            Some(status) if status.success() => Outcome::Passed,
            Some(status) => Outcome::Failed(match status.signal() {
                Some(libc::SIGXCPU | libc::SIGKILL) => "runs on and on".to_owned(),
                Some(signal) => format!("ended by signal {signal}"),
                None => why(&mut said),
            }),
        })
    }
}

/// Waits for a process and ends what it leaves behind; `None` if it takes
/// longer.
fn wait(mut child: Child, patience: Duration) -> Result<Option<ExitStatus>> {
    let group = child.id() as libc::pid_t;
    let mut ended = child.try_wait()?;
    let (mut waited, mut last) = (Duration::ZERO, Instant::now());
    while ended.is_none() && waited < patience {
        std::thread::sleep(Duration::from_millis(4));
        // Where all of this is stopped for a while, as a machine may be, that
        // is not the test's time.
        waited += last.elapsed().min(Duration::from_millis(100));
        last = Instant::now();
        ended = child.try_wait()?;
    }
    // SAFETY: only signals; the group is one that was made for the child.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    if ended.is_none() {
        child.wait()?;
    }
    Ok(ended)
}

/// The words of a failed test that say most.
fn why(said: &mut File) -> String {
    let mut bytes = Vec::new();
    // What cannot be read again is not told.
    let _ = said.seek(SeekFrom::Start(0)).and_then(|_| said.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
    let line = lines.find(|line| !line.trim().is_empty()).unwrap_or("fails");
    line.chars().take(160).collect()
}
