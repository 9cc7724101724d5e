//! The programs: what each of them does here, and which package has it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use brkpoint::plan::Work;

use super::inputs;

/// A real program on a piece of work.
pub struct Program {
    /// Its name here and in `BRKPOINT_SKIP`.
    pub name: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
    /// Makes its input in a folder, and gives its arguments.
    prepare: fn(&Path) -> anyhow::Result<Vec<OsString>>,
    /// Variables that make each of its runs the same.
    variables: &'static [(&'static str, &'static str)],
}

/// Keeps the settings of whoever runs this from git.
pub const GIT_ALONE: [(&str, &str); 2] =
    [("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")];

/// All programs, in the order of the tables.
pub const ALL: &[Program] = &[
    Program { name: "cc1", package: "gcc", prepare: cc1, variables: &[] },
    Program {
        name: "python3",
        package: "python3",
        prepare: python3,
        variables: &[("PYTHONHASHSEED", "0")],
    },
    Program { name: "sqlite3", package: "sqlite3", prepare: sqlite3, variables: &[] },
    Program { name: "perl", package: "perl", prepare: perl, variables: &[("PERL_HASH_SEED", "0")] },
    Program { name: "xz", package: "xz-utils", prepare: xz, variables: &[] },
    Program { name: "jq", package: "jq", prepare: jq, variables: &[] },
    Program { name: "git", package: "git", prepare: git, variables: &GIT_ALONE },
];

/// The compiler proper on 150,000 lines: trees, hash tables, pools of its own.
fn cc1(folder: &Path) -> anyhow::Result<Vec<OsString>> {
    let file = folder.join("sqlite3.i");
    inputs::amalgamation(&file)?;
    Ok(words(["-quiet", "-fpreprocessed", "-O0", "-o", "-"], [file]))
}

/// Dictionaries, strings, lists and JSON, at the interpreter's own defaults:
/// objects up to 512 bytes come from its own pools.
fn python3(folder: &Path) -> anyhow::Result<Vec<OsString>> {
    let file = folder.join("objects.py");
    inputs::write(&file, include_str!("objects.py"))?;
    Ok(words(["-I"], [file]))
}

/// A table in memory.
fn sqlite3(folder: &Path) -> anyhow::Result<Vec<OsString>> {
    let file = folder.join("table.sql");
    inputs::write(&file, include_str!("table.sql"))?;
    // In place of the user's own ~/.sqliterc.
    let mut words = words(["-batch", "-init"], [file]);
    words.extend([":memory:", ".quit"].map(OsString::from));
    Ok(words)
}

/// Hashes, regular expressions, strings that grow.
fn perl(folder: &Path) -> anyhow::Result<Vec<OsString>> {
    let file = folder.join("words.pl");
    inputs::write(&file, include_str!("words.pl"))?;
    Ok(words([], [file]))
}

/// Two threads that hand large buffers on.
fn xz(folder: &Path) -> anyhow::Result<Vec<OsString>> {
    let file = folder.join("text");
    inputs::text(&file, 8 << 20)?;
    Ok(words(["-T2", "-1", "--keep", "--stdout"], [file]))
}

/// Many small values, parsed, sorted and grouped.
fn jq(folder: &Path) -> anyhow::Result<Vec<OsString>> {
    let (filter, file) = (folder.join("group.jq"), folder.join("objects.json"));
    inputs::write(&filter, include_str!("group.jq"))?;
    inputs::objects(&file, 12_000)?;
    Ok(words(["--compact-output", "--from-file"], [filter, file]))
}

/// The history of a repository with every change: objects inflated, compared,
/// printed.
fn git(folder: &Path) -> anyhow::Result<Vec<OsString>> {
    let repository = folder.join("repository.git");
    inputs::repository(&repository, 80, 600)?;
    let mut words = words(["--no-pager", "-C"], [repository]);
    words.extend(["log", "--patch", "--stat"].map(OsString::from));
    Ok(words)
}

fn words<const W: usize, const F: usize>(words: [&str; W], files: [PathBuf; F]) -> Vec<OsString> {
    words.into_iter().map(OsString::from).chain(files.map(PathBuf::into_os_string)).collect()
}

impl Program {
    /// The work, with its inputs made in `folder`; `None` if the program is not
    /// here and `BRKPOINT_SKIP` (names, separated by commas) allows that.
    pub fn work(&self, folder: &Path) -> anyhow::Result<Option<Work>> {
        let Some(program) = self.find()? else {
            let skip = env::var("BRKPOINT_SKIP").unwrap_or_default();
            ensure!(
                skip.split(',').any(|name| name.trim() == self.name),
                "{} is not here: install Debian's package {}, or set BRKPOINT_SKIP={} to do \
                 without it",
                self.name,
                self.package,
                self.name
            );
            return Ok(None);
        };
        let inputs = (self.prepare)(folder);
        let mut words = inputs.with_context(|| format!("cannot prepare {}", self.name))?;
        if self.variables.is_empty() {
            return Ok(Some(Work::command(program.into(), words, None)));
        }
        // `env` becomes the program: what runs under the engine is one process.
        let set = self.variables.iter().map(|(name, value)| format!("{name}={value}").into());
        words.splice(0..0, set.chain([program.into()]));
        Ok(Some(Work::command("env".into(), words, None)))
    }

    /// The distribution's program rather than a wrapper of the same name.
    fn find(&self) -> anyhow::Result<Option<PathBuf>> {
        if self.name == "cc1" {
            return compiler_proper();
        }
        let usual = Path::new("/usr/bin").join(self.name);
        Ok(if usual.is_file() { Some(usual) } else { on_path(self.name) })
    }
}

/// The program that gcc runs to compile C; gcc itself allocates next to nothing.
fn compiler_proper() -> anyhow::Result<Option<PathBuf>> {
    if on_path("gcc").is_none() {
        return Ok(None);
    }
    let output = Command::new("gcc").arg("-print-prog-name=cc1").output()?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !path.is_absolute() {
        bail!("gcc does not know where its cc1 is: it says {path:?}");
    }
    Ok(Some(path))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).map(|folder| folder.join(OsStr::new(name))).find(|path| path.is_file())
}
