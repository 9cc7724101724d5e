//! Line coverage out of what instrumented programs counted, as a table.
//!
//! The compiler puts into each program a map from regions of source to
//! counters; a run writes the counters to a file. Neither needs LLVM's tools to
//! be read, which Rust's toolchain does not bring along.
//!
//! - [`counters`]: what was counted, function by function
//! - [`lines`]: how often each line of a file was run

mod counters;
mod lines;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use counters::Counters;
use lines::Lines;

/// The folders whose files are told of.
const SOURCES: [&str; 2] = ["allocator/src", "allocator/preload/src"];

/// Tell which lines of the allocator were reached.
#[derive(Debug, Parser)]
struct Arguments {
    /// The lines that were not, with their text
    #[arg(long)]
    unreached: bool,

    /// The repository
    #[arg(long, default_value = ".")]
    repository: PathBuf,

    /// A folder of profiles, which the programs wrote
    #[arg(long)]
    profiles: PathBuf,

    /// The programs and libraries
    #[arg(required = true)]
    objects: Vec<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let repository = arguments.repository.canonicalize().context("no such repository")?;
    let counters = Counters::read(&arguments.profiles)?;
    let mut files: BTreeMap<PathBuf, Lines> = BTreeMap::new();
    for object in &arguments.objects {
        lines::add(object, &counters, &mut files, |path| place(&repository, path))?;
    }
    ensure!(!files.is_empty(), "no line of {} is in these programs", SOURCES.join(" or "));

    let mut table = Table::default();
    let mut unreached = String::new();
    for (path, lines) in &files {
        let text = std::fs::read_to_string(repository.join(path))
            .with_context(|| format!("{} is gone", path.display()))?;
        let (mut count, mut reached) = (0, 0);
        for (number, line) in (1..).zip(text.lines()) {
            let Some(&times) = lines.get(&number).filter(|_| is_code(line)) else { continue };
            count += 1;
            reached += usize::from(times > 0);
            if times == 0 {
                unreached += &format!("{}:{number}: {}\n", path.display(), line.trim_end());
            }
        }
        table.add(path, count, reached);
    }
    table.print();
    if arguments.unreached {
        print!("\n{unreached}");
    }
    Ok(())
}

/// Whether there is something on a line that can be run: a region goes over
/// blank lines, comments and closing braces, too.
fn is_code(line: &str) -> bool {
    let line = line.trim_start();
    !line.starts_with("//") && line.contains(|letter: char| letter.is_alphanumeric())
}

/// Where in the repository a file is that is told of. The copy that the
/// schedules are built from has the same lines.
fn place(repository: &Path, path: &Path) -> Option<PathBuf> {
    let text = path.to_str()?;
    let path = match text.rsplit_once("/out/allocator/") {
        Some((_, copied)) => Path::new(SOURCES[0]).join(copied),
        None => path.strip_prefix(repository).ok()?.to_path_buf(),
    };
    SOURCES.iter().any(|folder| path.starts_with(folder)).then_some(path)
}

/// A line for each file.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<(String, usize, usize)>,
}

impl Table {
    fn add(&mut self, path: &Path, lines: usize, reached: usize) {
        self.rows.push((path.display().to_string(), lines, reached));
    }

    fn print(&self) {
        let wide = self.rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        println!("{:wide$}  {:>6}  {:>7}  {:>6}", "file", "lines", "reached", "%");
        let row = |name: &str, lines: usize, reached: usize| {
            let share = 100.0 * reached as f64 / lines.max(1) as f64;
            println!("{name:wide$}  {lines:>6}  {reached:>7}  {share:>6.1}");
        };
        self.rows.iter().for_each(|(name, lines, reached)| row(name, *lines, *reached));
        for folder in SOURCES {
            let under = self.rows.iter().filter(|(name, ..)| name.starts_with(folder));
            let (lines, reached) = under
                .fold((0, 0), |(lines, reached), (_, more, hit)| (lines + more, reached + hit));
            if lines > 0 {
                row(&format!("all of {folder}"), lines, reached);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_are_the_allocators_files_and_their_copies() {
        let of = |path: &str| place(Path::new("/here"), Path::new(path));
        let heap = Some(PathBuf::from("allocator/src/heap/mod.rs"));
        assert_eq!(of("/here/allocator/src/heap/mod.rs"), heap);
        assert_eq!(of("/here/fuzz/target/debug/build/x/out/allocator/heap/mod.rs"), heap);
        let preload = Some(PathBuf::from("allocator/preload/src/lib.rs"));
        assert_eq!(of("/here/allocator/preload/src/lib.rs"), preload);
        for other in ["/here/allocator/tests/oracle.rs", "/there/allocator/src/heap/mod.rs", ""] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
