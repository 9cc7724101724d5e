//! What became of mutants, one line of JSON for each.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A test noticed.
    Killed,
    /// All tests passed.
    Survived,
    /// It does not compile.
    Unviable,
}

/// A mutant and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number: its rank in the sample of that seed.
    pub number: u32,
    /// The seed that ranked it.
    pub seed: u64,
    /// The checksum of the mutated source.
    pub source: String,
    /// Where it is.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The function.
    pub function: String,
    /// Whether that is an `unsafe fn`.
    pub is_unsafe: bool,
    /// What was changed.
    pub what: String,
    /// As lines that go and lines that come.
    pub diff: String,
    /// What became of it.
    pub verdict: Verdict,
    /// The test that noticed, and how it ended.
    pub by: Option<String>,
    /// How many tests were run, of those that reach it.
    pub tests: u32,
    /// How long that took, with the build if it needed one.
    pub seconds: f64,
}

/// The file of records, which only grows.
#[derive(Debug)]
pub struct Records {
    file: File,
    /// The last of each mutant of one source and seed, by number.
    pub last: BTreeMap<u32, Record>,
}

impl Records {
    /// Opens the file; what it has of another source or seed is passed over.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or a line is no record.
    pub fn open(path: &Path, source: &str, seed: u64) -> Result<Records> {
        let known = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let mut last = BTreeMap::new();
        for (at, line) in known.lines().enumerate() {
            let record: Record = serde_json::from_str(line)
                .with_context(|| format!("{}:{}: not a record", path.display(), at + 1))?;
            if record.source == source && record.seed == seed {
                last.insert(record.number, record);
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Records { file, last })
    }

    /// Adds a record.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn add(&mut self, record: Record) -> Result<()> {
        let mut line = serde_json::to_string(&record)?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).context("cannot write a record")?;
        self.last.insert(record.number, record);
        Ok(())
    }
}

/// The interval (Wilson's, 95 %) of a share, of which `hits` of `all` were seen.
pub fn wilson(hits: usize, all: usize) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (all as f64, 1.959_964);
    let share = hits as f64 / n;
    let middle = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    ((middle - half) / scale, (middle + half) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // By hand: 95 of 100.
        let (low, high) = wilson(95, 100);
        assert!((low - 0.888_25).abs() < 1e-4 && (high - 0.978_46).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
        assert!(wilson(300, 300).1 <= 1.0 && wilson(300, 300).0 > 0.98);
    }

    #[test]
    fn a_later_record_of_a_mutant_counts_and_those_of_other_sources_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.jsonl");
        let record = |number, source: &str, verdict| Record {
            number,
            seed: 1,
            source: source.to_owned(),
            file: "a.rs".to_owned(),
            line: 1,
            function: "f".to_owned(),
            is_unsafe: false,
            what: "replace".to_owned(),
            diff: String::new(),
            verdict,
            by: None,
            tests: 3,
            seconds: 0.5,
        };
        let mut records = Records::open(&path, "here", 1).unwrap();
        for (number, source, verdict) in [
            (1, "here", Verdict::Survived),
            (1, "here", Verdict::Killed),
            (2, "there", Verdict::Killed),
        ] {
            records.add(record(number, source, verdict)).unwrap();
        }
        let records = Records::open(&path, "here", 1).unwrap();
        assert_eq!(records.last.len(), 1);
        assert_eq!(records.last[&1].verdict, Verdict::Killed);
        assert!(Records::open(&path, "here", 2).unwrap().last.is_empty());
        fs::write(&path, "{}\n").unwrap();
        let error = format!("{:#}", Records::open(&path, "here", 1).unwrap_err());
        assert!(error.contains("records.jsonl:1: not a record"), "{error}");
    }
}
