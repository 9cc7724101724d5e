//! Programs that do not end by themselves: started, put under load, and ended.
//!
//! ```text
//! exec ── ready ── warm-up ──[ the window: the load ]── SIGTERM ── end
//! ```
//!
//! Times are those of the window; system calls, faults and peak memory those of the
//! whole life of the program.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::supervise::Leash;

/// How often a condition is tried again.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// How often it is looked whether the load is over.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How much of the end of what a load generator printed is kept, in bytes.
pub(crate) const PRINTED: u64 = 1 << 20;

/// What is done to a program that does not end by itself. Commands are the shell's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// It is ready when this succeeds, which is tried again and again.
    pub ready_when: Option<String>,
    /// So long, from then on, does not count. The load generator runs meanwhile, the
    /// last time to its end.
    pub warmup: Duration,
    /// The load generator: the window is as long as it runs.
    pub drive: Option<String>,
    /// The window ends when this succeeds.
    pub stop_when: Option<String>,
    /// The window ends after so long.
    pub lasts: Option<Duration>,
}

/// What the window showed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    /// Its length, in seconds.
    pub wall_s: f64,
    /// CPU time of the program and its descendants in it, in user mode.
    pub user_s: f64,
    /// The same in the kernel.
    pub sys_s: f64,
    /// The end of what the load generator printed.
    pub said: String,
}

impl Service {
    /// Whether the length of the window is given, so that it measures nothing.
    pub fn is_timed(&self) -> bool {
        self.lasts.is_some()
    }

    /// Waits for the program on `leash`, puts it under load, and has it ended.
    ///
    /// # Errors
    /// If the program ended before the load did, or the load generator failed: why.
    pub fn conduct(&self, leash: &Leash, hidden: &[OsString]) -> Result<Window, String> {
        let result = Conductor { service: self, leash, hidden }.conduct();
        leash.end();
        result
    }
}

struct Conductor<'a> {
    service: &'a Service,
    leash: &'a Leash,
    /// Variables that are kept from the commands: they are the program's.
    hidden: &'a [OsString],
}

impl Conductor<'_> {
    fn conduct(&self) -> Result<Window, String> {
        let service = self.service;
        while self.leash.program().is_none() {
            self.goes_on("it was started")?;
            thread::sleep(LOOK_EVERY);
        }
        if let Some(condition) = &service.ready_when {
            while !self.succeeds(condition)? {
                self.goes_on(&format!("`{condition}` succeeded"))?;
                thread::sleep(TRY_EVERY);
            }
        }
        let warm = Instant::now() + service.warmup;
        while Instant::now() < warm {
            self.goes_on("its warm-up was over")?;
            match &service.drive {
                Some(drive) => drop(self.drive(drive, None)?),
                None => thread::sleep(LOOK_EVERY),
            }
        }
        // What nothing was done to before is measured from its exec on.
        let fresh = service.ready_when.is_none() && service.warmup.is_zero();
        let before = if fresh { Duration::ZERO } else { self.leash.age() };
        let cpu = if fresh { (0.0, 0.0) } else { self.leash.cpu_s() };
        let until = service.lasts.map(|lasts| Instant::now() + lasts);
        let said = match &service.drive {
            Some(drive) => self.drive(drive, until)?,
            None => self.wait(until)?,
        };
        let wall_s = (self.leash.age() - before).as_secs_f64();
        let (user, system) = self.leash.cpu_s();
        self.goes_on("its load was over")?;
        Ok(Window { wall_s, user_s: user - cpu.0, sys_s: system - cpu.1, said })
    }

    /// Until the condition succeeds or the time is up.
    fn wait(&self, until: Option<Instant>) -> Result<String, String> {
        while until.is_none_or(|until| Instant::now() < until) {
            self.goes_on("its time was over")?;
            if let Some(condition) = &self.service.stop_when
                && self.succeeds(condition)?
            {
                break;
            }
            thread::sleep(if self.service.stop_when.is_some() { TRY_EVERY } else { LOOK_EVERY });
        }
        Ok(String::new())
    }

    /// Runs the load generator to its end, or until the condition succeeds or the
    /// time is up; what it printed.
    fn drive(&self, command: &str, until: Option<Instant>) -> Result<String, String> {
        let failed = |error: io::Error| format!("the load generator `{command}`: {error}");
        let (mut said, mut complained) =
            (tempfile::tempfile().map_err(failed)?, tempfile::tempfile().map_err(failed)?);
        let streams = (&said, &complained);
        let mut group = self.start(command, Some(streams)).map_err(failed)?;
        let mut next_try = Instant::now();
        let status = loop {
            if let Some(status) = group.0.try_wait().map_err(failed)? {
                break Some(status);
            }
            self.goes_on("its load was over")?;
            let stops = match &self.service.stop_when {
                Some(condition) if Instant::now() >= next_try => {
                    next_try = Instant::now() + TRY_EVERY;
                    self.succeeds(condition)?
                }
                _ => false,
            };
            if stops || until.is_some_and(|until| Instant::now() >= until) {
                break None;
            }
            thread::sleep(LOOK_EVERY);
        };
        drop(group);
        let text = end(&mut said).map_err(failed)?;
        match status {
            Some(status) if !status.success() => {
                let why = end(&mut complained).map_err(failed)?;
                let why = if why.trim().is_empty() { &text } else { &why };
                Err(format!("the load generator `{command}` failed ({status}): {}", last(why)))
            }
            _ => Ok(text),
        }
    }

    fn succeeds(&self, condition: &str) -> Result<bool, String> {
        let failed = |error: io::Error| format!("`{condition}`: {error}");
        let mut group = self.start(condition, None).map_err(failed)?;
        loop {
            if let Some(status) = group.0.try_wait().map_err(failed)? {
                return Ok(ExitStatus::success(&status));
            }
            self.goes_on(&format!("`{condition}` had an answer"))?;
            thread::sleep(LOOK_EVERY);
        }
    }

    fn start(&self, command: &str, streams: Option<(&File, &File)>) -> io::Result<Group> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).stdin(Stdio::null()).process_group(0);
        for name in self.hidden {
            shell.env_remove(name);
        }
        let program = self.leash.program().unwrap_or_default();
        shell.env("BRKPOINT_PROGRAM", program.to_string());
        match streams {
            Some((said, complained)) => {
                shell.stdout(said.try_clone()?).stderr(complained.try_clone()?)
            }
            None => shell.stdout(Stdio::null()).stderr(Stdio::null()),
        };
        shell.spawn().map(Group)
    }

    /// Whether the program still runs, before `what`.
    fn goes_on(&self, what: &str) -> Result<(), String> {
        match self.leash.is_over() {
            true => Err(format!("the program ended before {what}")),
            false => Ok(()),
        }
    }
}

/// A command and what it has started, none of which outlives this.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let group = self.0.id().cast_signed();
        // SAFETY: takes integers only. The leader, whose id names the group, is not
        // waited for before this unless it has ended; then what it left in its group
        // keeps the id from being given away, and an empty group is no error here.
        unsafe { libc::kill(-group, libc::SIGKILL) };
        let _ = self.0.wait();
    }
}

fn end(file: &mut File) -> io::Result<String> {
    let length = file.seek(io::SeekFrom::End(0))?;
    file.seek(io::SeekFrom::Start(length.saturating_sub(PRINTED)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last line that says something.
fn last(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim()
}
