//! `brkpoint lint`: mistakes in allocator settings.

use std::ffi::{CStr, OsString};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

use super::{BAD, INCONCLUSIVE, output, run};
use crate::lint::{self, Level, Proof, Setting, source};
use crate::plan::Work;

/// Name the mistakes in settings of glibc's malloc.
///
/// Reads this environment, or files (systemd units, Dockerfiles, scripts, programs that
/// set their own environment, lines of NAME=value), processes and GLIBC_TUNABLES strings, and judges them for the C library of
/// this machine. With a command, it is counted with and without the settings.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  brkpoint lint
  brkpoint lint --file app.service --file Dockerfile
  brkpoint lint --tunables glibc.malloc.mmap_threshold=64k
  MALLOC_ARENA_MAX=2 brkpoint lint --pid 1234
  MALLOC_ARENA_MAX=1 brkpoint lint -- ./program

Exit status: 0 no mistake; 1 a mistake, or no effect; 2 usage or set-up error; 3 the effect
cannot be told.")]
pub struct Arguments {
    /// File to read in place of the environment
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,

    /// Process to look at in place of the environment: what it began with, and what is
    /// set here that it began without
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,

    /// Value of GLIBC_TUNABLES to read in place of the environment
    #[arg(long, value_name = "STRING")]
    tunables: Vec<String>,

    /// The command in which the settings are to take effect
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let mut settings: Vec<Setting> = Vec::new();
    for path in &arguments.file {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        settings.extend(source::file(&path.display().to_string(), &text));
    }
    settings.extend(arguments.tunables.iter().flat_map(|text| source::tunables(text)));
    let mut late = Vec::new();
    for &pid in &arguments.pid {
        let path = format!("/proc/{pid}/environ");
        let bytes = fs::read(&path).with_context(|| format!("cannot read {path}"))?;
        let began_with = source::process(pid, &bytes);
        late.extend(lint::too_late(pid, &began_with, &source::environment()));
        settings.extend(began_with);
    }
    if arguments.file.is_empty() && arguments.tunables.is_empty() && arguments.pid.is_empty() {
        settings = source::environment();
    }
    let mut findings = lint::check(&settings, glibc()?, max_map_count());
    findings.extend(late);
    let mut text = String::new();
    for finding in &findings {
        let level = match finding.level {
            Level::Mistake => "mistake",
            Level::Risk => "risk",
        };
        text.push_str(&format!("{}: {level}: {}\n", finding.origin, finding.what));
    }
    if settings.is_empty() && findings.is_empty() {
        text.push_str("No setting of glibc's malloc there.\n");
    } else if findings.is_empty() {
        text.push_str(&format!("{} setting(s), no mistake found.\n", settings.len()));
    }
    let mut unclear = false;
    let mut bad = findings.iter().any(|finding| finding.level == Level::Mistake);
    if let Some((program, args)) = arguments.command.split_first() {
        ensure!(
            settings.iter().any(|setting| setting.unheard.is_none()),
            "there is no setting whose effect in the command could be seen; set one in the \
             environment, or name a --file"
        );
        let work = Work::command(program.clone(), args.to_vec(), None);
        let stop = run::stop_on_signals()?;
        match lint::prove(&work, &settings, &run::executable()?, &stop) {
            Ok(Proof::Effect(why)) => text.push_str(&format!("They take effect: {why}\n")),
            Ok(Proof::None(why)) => {
                bad = true;
                text.push_str(&format!(
                    "No effect is seen in the command ({why}): it may clear its environment, use \
                     another allocator, or never do what the settings change.\n"
                ));
            }
            Ok(Proof::Unclear(why)) => {
                unclear = true;
                text.push_str(&format!(
                    "It cannot be told whether they take effect ({why}): the counts differ as much \
                     from run to run.\n"
                ));
            }
            Err(why) => bail!(why),
        }
    }
    output::print(&text)?;
    Ok(match (bad, unclear) {
        (true, _) => BAD,
        (false, true) => INCONCLUSIVE,
        (false, false) => 0,
    })
}

/// The version of the C library of this process.
fn glibc() -> anyhow::Result<(u32, u32)> {
    // SAFETY: the function takes nothing and returns a static C string (its
    // manual page, gnu_get_libc_version(3)).
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) }.to_string_lossy();
    let mut parts = version.split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => bail!("cannot read the version of the C library: {version:?}"),
    }
}

/// The most mappings that a process may have.
fn max_map_count() -> Option<u64> {
    fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()
}
