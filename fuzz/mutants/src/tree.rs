//! A copy of the repository, where mutants are woven in, and its builds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::find::Mutant;
use crate::weave::{Woven, weave};

/// What is mutated.
pub const MUTATED: &str = "allocator/src/";

/// No lint keeps a mutant from being built. The tests' own builds get it, too.
pub const RUSTFLAGS: &str = "--cap-lints=allow";

/// The copy.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    target: PathBuf,
    /// The mutated files' texts, by their names below [`MUTATED`].
    pub sources: BTreeMap<String, String>,
}

/// A test program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Binary {
    /// What it tests, in a word.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Where cargo would run it.
    pub directory: PathBuf,
}

/// Which tests are built.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The workspace, below the root.
    pub workspace: &'static str,
    /// The package.
    pub package: &'static str,
    /// What of it.
    pub targets: &'static [&'static str],
}

const fn allocator(targets: &'static [&'static str]) -> Part {
    Part { workspace: "", package: "brkpoint-allocator", targets }
}

/// The allocator's tests, and the fuzz targets' code over their seeds. What is
/// built soonest and notices most comes first: where a mutant has to be built
/// in, the rest is built only if needed.
pub const PARTS: &[Part] = &[
    allocator(&["--lib"]),
    allocator(&["--test", "classes", "--test", "knobs", "--test", "strategies"]),
    allocator(&["--tests"]),
    Part { workspace: "fuzz", package: "brkpoint-fuzz", targets: &["--tests"] },
];

impl Tree {
    /// Copies what git knows or would know of `repository` to a directory below
    /// `work`, but for what is mutated, which is kept in memory.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or written.
    pub fn copy(repository: &Path, work: &Path) -> Result<Tree> {
        let root = work.join("tree");
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(repository)
            .output()
            .context("cannot run git")?;
        ensure!(listed.status.success(), "git cannot list the files of {}", repository.display());
        let listed = String::from_utf8(listed.stdout).context("a file's name is not UTF-8")?;
        let mut sources = BTreeMap::new();
        let mut known = BTreeSet::new();
        for name in listed.split_terminator('\0') {
            let from = repository.join(name);
            // A file that was removed, or a link to nowhere.
            let Ok(bytes) = fs::read(&from) else { continue };
            known.insert(root.join(name));
            match name.strip_prefix(MUTATED) {
                Some(name) if !name.ends_with("tests.rs") => {
                    let text = String::from_utf8(bytes).context("source that is not UTF-8")?;
                    sources.insert(name.to_owned(), text);
                }
                _ => write_changed(&root.join(name), &bytes)?,
            }
        }
        known.insert(root.join(MUTATED).join("mutant.rs"));
        remove_others(&root, &known)?;
        let target = work.join("target");
        Ok(Tree { root, target, sources })
    }

    /// Lays the mutated crate's files with numbered mutants woven in.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn lay(&self, mutants: &[(u32, &Mutant)]) -> Result<BTreeMap<String, Woven>> {
        let mut all = BTreeMap::new();
        for (name, text) in &self.sources {
            let here: Vec<_> =
                mutants.iter().copied().filter(|(_, mutant)| mutant.file == *name).collect();
            let mut woven = weave(text, &here);
            if name == "lib.rs" {
                woven.text.push_str("\nmod mutant;\n");
            }
            write_changed(&self.root.join(MUTATED).join(name), woven.text.as_bytes())?;
            all.insert(name.clone(), woven);
        }
        let guard = include_bytes!("guard.rs");
        write_changed(&self.root.join(MUTATED).join("mutant.rs"), guard)?;
        Ok(all)
    }

    /// Has the compiler look at what is laid; gives the mutants that it refuses.
    ///
    /// # Errors
    ///
    /// If it refuses something that is nobody's.
    pub fn refused(&self, all: &BTreeMap<String, Woven>) -> Result<BTreeSet<u32>> {
        let mut command = self.cargo("", "check", None);
        command.args(["-p", "brkpoint-allocator", "--message-format=json"]);
        let (is_fine, messages) = messages(command)?;
        let mut refused = BTreeSet::new();
        if is_fine {
            return Ok(refused);
        }
        for message in &messages {
            let message = &message["message"];
            if message["level"] != "error" {
                continue;
            }
            for (name, woven) in all {
                let of = |only_primary: bool| -> Vec<Range<usize>> {
                    let spans = message["spans"].as_array().into_iter().flatten();
                    spans
                        .filter(|span| span["is_primary"] == true || !only_primary)
                        .filter(|span| span["file_name"] == format!("{MUTATED}{name}"))
                        .filter_map(|span| {
                            let start = span["byte_start"].as_u64()? as usize;
                            Some(start..span["byte_end"].as_u64()? as usize)
                        })
                        .collect()
                };
                let mut blamed = woven.blamed(&of(false));
                if blamed.len() > 1 {
                    let first = woven.blamed(&of(true));
                    blamed = if first.is_empty() { blamed } else { first };
                }
                refused.extend(blamed);
            }
        }
        if refused.is_empty() {
            for message in &messages {
                eprintln!("{}", message["message"]["rendered"].as_str().unwrap_or_default());
            }
            bail!("what is woven does not compile, and no mutant can be blamed");
        }
        Ok(refused)
    }

    /// Builds a part of the tests; `None` if it does not build. With a mutant
    /// `built` in, in a directory of its own.
    ///
    /// # Errors
    ///
    /// If cargo cannot be run.
    pub fn build(&self, part: Part, built: Option<u32>) -> Result<Option<Vec<Binary>>> {
        let mut command = self.cargo(part.workspace, "test", built);
        command.args(["--no-run", "--message-format=json", "-p", part.package]).args(part.targets);
        let (is_fine, messages) = messages(command)?;
        if !is_fine {
            if built.is_none() {
                for message in &messages {
                    eprintln!("{}", message["message"]["rendered"].as_str().unwrap_or_default());
                }
            }
            return Ok(None);
        }
        let mut binaries = Vec::new();
        for artifact in &messages {
            let (Some(path), true) =
                (artifact["executable"].as_str(), artifact["profile"]["test"] == true)
            else {
                continue;
            };
            let manifest = artifact["manifest_path"].as_str().unwrap_or_default();
            let is_lib = artifact["target"]["kind"][0] != "test";
            let name = artifact["target"]["name"].as_str().unwrap_or_default();
            binaries.push(Binary {
                name: if is_lib { format!("{name} (units)") } else { name.to_owned() },
                path: path.into(),
                directory: Path::new(manifest).parent().unwrap_or(&self.root).to_owned(),
            });
        }
        Ok(Some(binaries))
    }

    fn cargo(&self, workspace: &str, verb: &str, built: Option<u32>) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        let target = match built {
            Some(number) => {
                command.env("MUTANT_BUILT", number.to_string());
                self.target.join("built")
            }
            None => self.target.clone(),
        };
        command.arg(verb).current_dir(self.root.join(workspace));
        command.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", RUSTFLAGS);
        command.env("CARGO_INCREMENTAL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0");
        command
    }
}

/// Runs cargo, and gives whether it was content, and what it said.
fn messages(mut command: Command) -> Result<(bool, Vec<Value>)> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let messages = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Ok((output.status.success(), messages))
}

/// Writes a file, unless that is what is there: cargo goes by times.
fn write_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, bytes)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Removes the files that an earlier state of the repository had.
fn remove_others(directory: &Path, known: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, known)?;
        } else if !known.contains(&path) && path.extension().is_some_and(|ext| ext == "rs") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
