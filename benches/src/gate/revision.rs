//! A revision of a repository -> the library of it that is preloaded.
//!
//! The files of the commit are written to one directory, always the same, so that
//! equal sources give equal libraries; cargo builds there; the library is kept under
//! the commit's name and the sources are removed. Neither the repository's working
//! tree nor its index is touched.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;

/// Letters of a commit in names.
const SHORT: usize = 12;

/// Lines of cargo's log that an error shows.
const LAST_LINES: usize = 40;

/// The package that is taken of several, since it is brkpoint's own.
const OURS: &str = "brkpoint-malloc";

/// Set for an outer build, and wrong for this one.
const NOT_INHERITED: [&str; 4] =
    ["CARGO_BUILD_TARGET", "CARGO_BUILD_TARGET_DIR", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL"];

/// Where revisions are built and libraries are kept.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
}

/// A library of a revision.
#[derive(Debug)]
pub struct Built {
    /// Package and commit.
    pub name: String,
    /// Its file.
    pub library: PathBuf,
}

/// Why a revision has no library.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// What was named is nothing.
    #[error(
        "{0:?} is no engine, no library and no revision of a repository here ({1}); `brkpoint list` shows the engines"
    )]
    Unknown(String, String),
    /// A program that is needed failed.
    #[error("{what} failed: {said}")]
    Tool {
        /// What was done.
        what: String,
        /// What it said.
        said: String,
    },
    /// No package, or several, that could be meant.
    #[error(
        "{revision} has {found} that builds a library to preload (cdylib); name one with --package"
    )]
    Package {
        /// The revision.
        revision: String,
        /// What there is.
        found: String,
    },
    /// The build failed.
    #[error("{revision} ({commit}) does not build; the end of cargo's log:\n{log}")]
    Build {
        /// The revision.
        revision: String,
        /// Its commit.
        commit: String,
        /// The end of the log.
        log: String,
    },
    /// Files.
    #[error("cannot build in {}: {source}", .dir.display())]
    Files {
        /// Where.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Scratch {
    /// Builds in `dir`, which is made when it is needed.
    pub fn new(dir: PathBuf) -> Scratch {
        Scratch { dir }
    }

    /// The library of `revision` (`.`: the tracked files of the working tree as they
    /// are), built unless it is there.
    ///
    /// # Errors
    /// [`RevisionError`].
    pub fn library(&self, revision: &str, package: Option<&str>) -> Result<Built, RevisionError> {
        let commit = commit(revision)?;
        let files = |source| RevisionError::Files { dir: self.dir.clone(), source };
        fs::create_dir_all(&self.dir).map_err(files)?;
        let dir = self.dir.canonicalize().map_err(files)?;
        // Others that build here wait.
        let lock = File::create(dir.join("lock")).map_err(files)?;
        lock.lock().map_err(files)?;

        let short = &commit[..SHORT.min(commit.len())];
        let keep = dir.join(format!("{short}-{:08x}", key(package)?));
        if let Some(built) = kept(&keep, short).map_err(files)? {
            return Ok(built);
        }
        let source = dir.join("source");
        let built = check_out(&commit, &source)
            .and_then(|root| build(&root, &dir.join("target"), revision, short, package));
        let cleaned = remove(&source);
        let (name, library) = built?;
        cleaned.map_err(files)?;
        let put = || -> io::Result<PathBuf> {
            let library_name = library.file_name().unwrap_or_default();
            let half = dir.join("half");
            remove(&half)?;
            fs::create_dir_all(&half)?;
            fs::copy(&library, half.join(library_name))?;
            fs::write(half.join("package"), &name)?;
            remove(&keep)?;
            fs::rename(&half, &keep)?;
            Ok(keep.join(library_name))
        };
        Ok(Built { name: format!("{name}@{short}"), library: put().map_err(files)? })
    }
}

/// What was built before of this commit.
fn kept(keep: &Path, short: &str) -> io::Result<Option<Built>> {
    if !keep.is_dir() {
        return Ok(None);
    }
    let name = fs::read_to_string(keep.join("package"))?;
    let mut entries = fs::read_dir(keep)?.flatten().map(|entry| entry.path());
    let library = entries.find(|path| path.extension().is_some_and(|extension| extension == "so"));
    Ok(library.map(|library| Built { name: format!("{name}@{short}"), library }))
}

/// The commit that `revision` names.
///
/// # Errors
/// If git knows none.
pub(super) fn commit(revision: &str) -> Result<String, RevisionError> {
    if revision == "." {
        // A commit of what is there, which belongs to no branch; nothing if all is committed.
        let stashed = said(git(&["stash", "create"])?);
        return if stashed.is_empty() { commit("HEAD") } else { Ok(stashed) };
    }
    let asked = format!("{revision}^{{commit}}");
    let parsed = ["rev-parse", "--verify", "--quiet", "--end-of-options", &asked];
    match git(&parsed) {
        Ok(output) => Ok(said(output)),
        Err(error) => {
            let why = match git(&["rev-parse", "--show-toplevel"]) {
                Ok(_) => "git knows no such commit".to_owned(),
                Err(_) => error.to_string(),
            };
            Err(RevisionError::Unknown(revision.to_owned(), why))
        }
    }
}

/// What a library depends on beside its commit: two sides are built alike or not
/// taken for the same.
fn key(package: Option<&str>) -> Result<u32, RevisionError> {
    let compiler = said(done("rustc --version", Command::new("rustc").arg("-vV"))?);
    let mut hasher = DefaultHasher::new();
    (compiler, package, std::env::var_os("RUSTFLAGS")).hash(&mut hasher);
    Ok(hasher.finish() as u32)
}

/// Writes the files of `commit` to `source`, and returns the directory in it that
/// stands for this one.
fn check_out(commit: &str, source: &Path) -> Result<PathBuf, RevisionError> {
    let files = |error| RevisionError::Files { dir: source.to_owned(), source: error };
    let root = PathBuf::from(said(git(&["rev-parse", "--show-toplevel"])?));
    let prefix = said(git(&["rev-parse", "--show-prefix"])?);
    remove(source).map_err(files)?;
    fs::create_dir_all(source).map_err(files)?;
    // An index of its own, which git makes as a new file.
    let index = source.with_extension("index");
    let index_git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(&root).args(arguments).env("GIT_INDEX_FILE", &index);
        done(&format!("git {}", arguments[0]), &mut command)
    };
    let into = format!("--prefix={}/", source.display());
    let written = index_git(&["read-tree", commit])
        .and_then(|_| index_git(&["checkout-index", "--all", "--force", &into]));
    let _ = fs::remove_file(&index);
    written?;
    Ok(source.join(prefix))
}

/// Package and file of the library.
fn build(
    root: &Path,
    target: &Path,
    revision: &str,
    commit: &str,
    package: Option<&str>,
) -> Result<(String, PathBuf), RevisionError> {
    let mut cargo = cargo(root);
    let metadata =
        done("cargo metadata", cargo.args(["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: Metadata = serde_json::from_slice(&metadata.stdout).map_err(|error| {
        RevisionError::Tool { what: "cargo metadata".to_owned(), said: error.to_string() }
    })?;
    let (package, library) = metadata.cdylib(revision, package)?;
    let mut cargo = self::cargo(root);
    cargo.args(["build", "--release", "--lib", "--package", &package, "--target-dir"]).arg(target);
    let output = run(&mut cargo)
        .map_err(|error| RevisionError::Tool { what: "cargo".into(), said: error.to_string() })?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = log.lines().collect();
        return Err(RevisionError::Build {
            revision: revision.to_owned(),
            commit: commit.to_owned(),
            log: lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"),
        });
    }
    Ok((package, target.join("release").join(format!("lib{}.so", library.replace('-', "_")))))
}

/// The part of `cargo metadata` that is needed.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Metadata {
    /// The package that is meant, and the name of its library.
    fn cdylib(
        self,
        revision: &str,
        asked: Option<&str>,
    ) -> Result<(String, String), RevisionError> {
        let cdylib =
            |target: Target| target.kind.iter().any(|k| k == "cdylib").then_some(target.name);
        let of = |package: Package| {
            let library = package.targets.into_iter().find_map(cdylib)?;
            Some((package.name, library))
        };
        let mut all: Vec<(String, String)> = self.packages.into_iter().filter_map(of).collect();
        let names: Vec<String> = all.iter().map(|(name, _)| name.clone()).collect();
        let only = if names.len() == 1 { &names[0] } else { OURS };
        let wanted = asked.unwrap_or(only);
        let at = names.iter().position(|name| name == wanted);
        let error = || RevisionError::Package {
            revision: revision.to_owned(),
            found: match (asked, &names[..]) {
                (Some(asked), _) if names.is_empty() => format!("no package {asked} nor any other"),
                (Some(asked), names) => format!("no package {asked}, but {},", names.join(", ")),
                (None, []) => "no package".to_owned(),
                (None, names) => format!("more than one package ({})", names.join(", ")),
            },
        };
        at.map(|at| all.swap_remove(at)).ok_or_else(error)
    }
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    cargo
}

fn git(arguments: &[&str]) -> Result<Output, RevisionError> {
    done(&format!("git {}", arguments[0]), Command::new("git").args(arguments))
}

fn run(command: &mut Command) -> io::Result<Output> {
    command.stdin(std::process::Stdio::null()).output()
}

/// Runs a program that must succeed.
fn done(what: &str, command: &mut Command) -> Result<Output, RevisionError> {
    let failed = |said: String| RevisionError::Tool { what: what.to_owned(), said };
    let output = run(command).map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(failed(match stderr.trim() {
        "" => output.status.to_string(),
        said => said.to_owned(),
    }))
}

fn said(output: Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(names: &[(&str, &str)]) -> Metadata {
        let package = |(name, kind): &(&str, &str)| Package {
            name: (*name).to_owned(),
            targets: vec![Target { name: name.replace('-', "_"), kind: vec![(*kind).to_owned()] }],
        };
        Metadata { packages: names.iter().map(package).collect() }
    }

    #[test]
    fn the_only_library_is_taken_or_ours_or_the_one_that_is_named() {
        let one = [("a", "lib"), ("b", "cdylib")];
        assert_eq!(metadata(&one).cdylib("r", None).expect("b").0, "b");
        let ours = [("a", "cdylib"), (OURS, "cdylib")];
        assert_eq!(metadata(&ours).cdylib("r", None).expect("ours").0, OURS);
        assert_eq!(metadata(&ours).cdylib("r", Some("a")).expect("a").0, "a");
        let several = [("a", "cdylib"), ("b", "cdylib")];
        let error = metadata(&several).cdylib("r", None).expect_err("which?").to_string();
        assert!(error.contains("a, b") && error.contains("--package"), "{error}");
        let error = metadata(&[("a", "lib")]).cdylib("r", None).expect_err("none").to_string();
        assert!(error.contains("no package that builds"), "{error}");
    }
}
