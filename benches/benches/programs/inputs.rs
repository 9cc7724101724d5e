//! What the programs read: made anew by each run, and the same on any machine.
//!
//! The one real source, `sqlite3.c`, comes from a crate that cargo fetches and
//! never builds; everything else is generated.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// The crate whose source holds `sqlite3.c`.
const SQLITE: &str = "libsqlite3-sys";

const WORDS: u64 = 4000;
const LINES_PER_FILE: usize = 240;

/// SQLite in one file, preprocessed: what the compiler proper is given.
pub fn amalgamation(file: &Path) -> anyhow::Result<()> {
    let source = sqlite()?;
    // The version of the headers that this C library has.
    let mut gcc = Command::new("gcc");
    run(gcc.args(["-E", "-o"]).arg(file).arg(source), &[])
}

/// Where cargo keeps SQLite's source.
fn sqlite() -> anyhow::Result<PathBuf> {
    let cargo = env::var_os("CARGO").context("CARGO is not set: start this with `cargo bench`")?;
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .stderr(Stdio::inherit())
        .output()
        .context("cargo does not start")?;
    ensure!(output.status.success(), "cargo cannot fetch the source of {SQLITE}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let package = packages.iter().find(|package| package["name"] == SQLITE);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let manifest = manifest.with_context(|| format!("{SQLITE} is not in Cargo.lock"))?;
    Ok(Path::new(manifest).with_file_name("sqlite3/sqlite3.c"))
}

/// `bytes` of lines of made words, the first of which are much the most common,
/// so that it can be compressed as text can.
pub fn text(file: &Path, bytes: usize) -> anyhow::Result<()> {
    let mut prose = Prose::new(1);
    let mut text = String::with_capacity(bytes + 200);
    while text.len() < bytes {
        text += &prose.line();
    }
    text.truncate(bytes);
    write(file, text)
}

/// An array of `count` objects, as JSON.
pub fn objects(file: &Path, count: usize) -> anyhow::Result<()> {
    let mut prose = Prose::new(2);
    let mut objects = Vec::with_capacity(count);
    for id in 0..count {
        let tags: Vec<String> = (0..prose.below(6)).map(|_| prose.word()).collect();
        objects.push(serde_json::json!({
            "id": id,
            "kind": prose.below(300),
            "name": prose.word() + &prose.word(),
            "size": prose.below(1 << 20),
            "tags": tags,
            "text": prose.line(),
        }));
    }
    write(file, serde_json::to_vec(&objects)?)
}

/// A bare repository of `files` files, of which each of `commits` commits after
/// the first changes a few.
pub fn repository(folder: &Path, files: usize, commits: usize) -> anyhow::Result<()> {
    let mut prose = Prose::new(3);
    let file = |prose: &mut Prose| (0..LINES_PER_FILE).map(|_| prose.line()).collect();
    let mut contents: Vec<Vec<String>> = (0..files).map(|_| file(&mut prose)).collect();
    let mut stream = Vec::new();
    for commit in 0..=commits {
        let message = prose.line();
        writeln!(stream, "commit refs/heads/main")?;
        writeln!(stream, "committer A <a@example.org> {} +0000", 1_700_000_000 + 3600 * commit)?;
        writeln!(stream, "data {}\n{message}", message.len())?;
        let changed: Vec<usize> = match commit {
            0 => (0..files).collect(),
            _ => (0..1 + prose.below(4)).map(|_| prose.below(files)).collect(),
        };
        for index in changed {
            for _ in 0..1 + prose.below(12) {
                let line = prose.below(LINES_PER_FILE);
                contents[index][line] = prose.line();
            }
            let text = contents[index].concat();
            writeln!(stream, "M 644 inline folder{}/file{index}", index % 7)?;
            writeln!(stream, "data {}\n{text}", text.len())?;
        }
    }
    let git = |arguments: &[&str], input: &[u8]| {
        run(Command::new("git").args(arguments).envs(super::programs::GIT_ALONE), input)
    };
    let folder = folder.to_str().context("the folder's name is not UTF-8")?;
    if Path::new(folder).exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {folder}"))?;
    }
    git(&["init", "--quiet", "--bare", "--initial-branch=main", folder], &[])?;
    git(&["-C", folder, "fast-import", "--quiet"], &stream)
}

/// Writes a file.
pub fn write(file: &Path, contents: impl AsRef<[u8]>) -> anyhow::Result<()> {
    fs::write(file, contents).with_context(|| format!("cannot write {}", file.display()))
}

/// Runs a command that must succeed, on `input`.
fn run(command: &mut Command, input: &[u8]) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let status = child.wait()?;
    if !status.success() {
        bail!("{command:?} failed ({status})");
    }
    written.with_context(|| format!("{name} did not read its input"))
}

/// Made text from a seed.
struct Prose {
    random: Pcg64Mcg,
    words: Vec<String>,
}

impl Prose {
    fn new(seed: u128) -> Prose {
        let mut prose = Prose { random: Pcg64Mcg::new(seed), words: Vec::new() };
        prose.words = (0..WORDS).map(|_| prose.invent()).collect();
        prose
    }

    fn below(&mut self, end: usize) -> usize {
        (self.random.next_u64() % end as u64) as usize
    }

    fn invent(&mut self) -> String {
        const LETTERS: &[u8] = b"eeetttaaoinshrdlucmfwypvbgk";
        (0..2 + self.below(8)).map(|_| LETTERS[self.below(LETTERS.len())] as char).collect()
    }

    /// A word; small indices are much the likeliest.
    fn word(&mut self) -> String {
        let share = self.random.next_u64() as f64 / u64::MAX as f64;
        let index = (share * share * share * (WORDS - 1) as f64) as usize;
        self.words[index].clone()
    }

    /// 6 to 14 words and a newline.
    fn line(&mut self) -> String {
        let words: Vec<String> = (0..6 + self.below(9)).map(|_| self.word()).collect();
        words.join(" ") + "\n"
    }
}
