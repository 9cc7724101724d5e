//! Reading record files: every good line, and a list of what was wrong.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::criterion::Criterion;
use crate::record::{CONTROL, Cell, Line, Pass, Run, SCHEMA, Sample};
use crate::tuning::Answer;

/// Longest line that is read, in bytes; longer ones are skipped and named.
/// A sample with a series of 100,000 points takes about 5 MB.
const MAX_LINE: usize = 64 << 20;

/// What may precede UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Largest value that a metric can have; an exabyte.
const MAX_VALUE: f64 = 1e18;

/// Bad lines that are named one by one in each file; the others are counted.
const NAMED_PROBLEMS: usize = 20;

/// Runs and samples, from one file or several, and what could not be used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Records {
    /// Names of the files, in the order in which they were read.
    pub sources: Vec<String>,
    /// What was asked, each run once.
    pub runs: Vec<Run>,
    /// All usable samples, each once.
    pub samples: Vec<Sample>,
    /// Those of a positive control on a workload of its own ([`CONTROL`][crate::record::CONTROL]):
    /// no part of what is compared.
    pub controls: Vec<Sample>,
    /// What tunings concluded, each once.
    pub answers: Vec<Answer>,
    /// What criterion measured, if one of its directories was read.
    pub criterion: Criterion,
    /// What was wrong with the input.
    pub problems: Vec<Problem>,
}

/// Something wrong with the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub source: String,
    /// The line, from 1; `None` if it concerns the file as a whole.
    pub line: Option<u64>,
    /// What is wrong, and what was done about it.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.source, self.what),
            None => write!(f, "{}: {}", self.source, self.what),
        }
    }
}

/// A file that could not be read at all, or not to its end.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the records in {}: {cause}", path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub cause: io::Error,
}

impl Records {
    /// Reads the files, which may be concatenations of files; a directory is one of
    /// criterion's output. A line that is no record, and a benchmark that is not
    /// whole, become a [`Problem`], and the rest is still read.
    ///
    /// # Errors
    /// The first file or directory that cannot be opened or read.
    pub fn read<P: AsRef<Path>>(paths: &[P]) -> Result<Records, ReadError> {
        let mut reading = Reading::default();
        for path in paths.iter().map(AsRef::as_ref) {
            let read = match path.is_dir() {
                true => reading.directory(path),
                false => File::open(path).and_then(|file| {
                    reading.file(&path.display().to_string(), BufReader::new(file))
                }),
            };
            read.map_err(|cause| ReadError { path: path.to_owned(), cause })?;
        }
        Ok(reading.finish())
    }

    /// Reads one stream of lines; `source` names it in problems.
    ///
    /// # Errors
    /// Those of `reader`.
    pub fn from_reader(source: &str, reader: impl BufRead) -> io::Result<Records> {
        let mut reading = Reading::default();
        reading.file(source, reader)?;
        Ok(reading.finish())
    }

    /// Takes lines that are already in memory; they are checked like a file's.
    pub fn from_lines(lines: impl IntoIterator<Item = Line>) -> Records {
        let mut reading = Reading::default();
        reading.open("records");
        for (number, line) in (1..).zip(lines) {
            reading.line(number, line);
        }
        reading.close();
        reading.finish()
    }
}

/// What tells a sample from all others.
type Key = (String, Cell, Pass, u32);

#[derive(Default)]
struct Reading {
    records: Records,
    source: String,
    unnamed: usize,
    duplicates: usize,
    named_from: usize,
    runs: HashMap<String, usize>,
    refused: HashSet<String>,
    samples: HashMap<Key, usize>,
}

impl Reading {
    fn open(&mut self, source: &str) {
        self.source = source.to_owned();
        self.records.sources.push(source.to_owned());
        self.named_from = self.records.problems.len();
        self.unnamed = 0;
        self.duplicates = 0;
    }

    fn close(&mut self) {
        let mut whole_file = |what| {
            self.records.problems.push(Problem { source: self.source.clone(), line: None, what });
        };
        if self.unnamed > 0 {
            whole_file(format!("{} more lines could not be used", self.unnamed));
        }
        if self.duplicates > 0 {
            whole_file(format!(
                "{} samples were there before (the same file given twice?); counted once",
                self.duplicates
            ));
        }
    }

    fn directory(&mut self, path: &Path) -> io::Result<()> {
        self.records.sources.push(path.display().to_string());
        let problems = self.records.criterion.add(path)?;
        self.records.problems.extend(problems);
        Ok(())
    }

    fn file(&mut self, source: &str, mut reader: impl BufRead) -> io::Result<()> {
        self.open(source);
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            let read = (&mut reader).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut bytes)?;
            if read == 0 {
                break;
            }
            let whole = bytes.ends_with(b"\n");
            if !whole && read > MAX_LINE {
                reader.skip_until(b'\n')?;
                self.problem(number, format!("longer than {} MiB; skipped", MAX_LINE >> 20));
                continue;
            }
            // Some editors put one at the start; concatenated files have more of them.
            let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes).trim_ascii();
            if !text.is_empty() {
                self.parse(number, text, whole);
            }
        }
        self.close();
        Ok(())
    }

    fn parse(&mut self, number: u64, text: &[u8], whole: bool) {
        let error = match serde_json::from_slice(text) {
            Ok(line) => return self.line(number, line),
            Err(error) => error,
        };
        if let Some((schema, run)) = newer_schema(text) {
            self.refused.extend(run);
            return self.problem(
                number,
                format!("format {schema}, but this brkpoint reads up to {SCHEMA}; read it with a newer one"),
            );
        }
        // A file that was cut off and then appended to: the cut record and a
        // whole one share a line.
        if let Some(line) = record_after_a_cut(text) {
            self.problem(number, "cut off in the middle, before another record".into());
            return self.line(number, line);
        }
        let what = if error.is_eof() && !whole {
            "cut off in the middle; the lines before it are used".into()
        } else {
            format!("not a record ({error}); skipped")
        };
        self.problem(number, what);
    }

    fn line(&mut self, number: u64, line: Line) {
        match line {
            Line::Run(run) if run.schema > SCHEMA => {
                self.problem(
                    number,
                    format!("format {}, but this brkpoint reads up to {SCHEMA}; read it with a newer one", run.schema),
                );
                self.refused.insert(run.id);
            }
            Line::Run(run) => self.run(number, run),
            Line::Sample(sample) => self.sample(number, sample),
            Line::Answer(answer) if self.records.answers.contains(&answer) => self.duplicates += 1,
            Line::Answer(answer) => self.records.answers.push(*answer),
        }
    }

    fn run(&mut self, number: u64, run: Run) {
        match self.runs.entry(run.id.clone()) {
            Entry::Vacant(slot) => {
                slot.insert(self.records.runs.len());
                self.records.runs.push(run);
            }
            Entry::Occupied(slot) if self.records.runs[*slot.get()] == run => {}
            Entry::Occupied(_) => {
                let what = format!("another run with the same id, {}; the first is used", run.id);
                self.problem(number, what);
            }
        }
    }

    fn sample(&mut self, number: u64, mut sample: Sample) {
        let bad = sample.metrics.iter().find(|(_, v)| !(0.0..=MAX_VALUE).contains(*v));
        if let Some((metric, value)) = bad {
            let what = format!("{metric} is {value}, which cannot be; the sample is skipped");
            return self.problem(number, what);
        }
        if sample.series.as_ref().is_some_and(|series| !series.is_usable()) {
            self.problem(number, "its memory over time is not in order; left out".into());
            sample.series = None;
        }
        if sample.occupancy.as_ref().is_some_and(|occupancy| !occupancy.is_usable()) {
            self.problem(number, "its occupancy of OS pages cannot be; left out".into());
            sample.occupancy = None;
        }
        let key = (sample.run.clone(), sample.cell.clone(), sample.pass, sample.round);
        match self.samples.entry(key) {
            Entry::Vacant(slot) => {
                slot.insert(self.records.samples.len());
                self.records.samples.push(sample);
            }
            Entry::Occupied(slot) if self.records.samples[*slot.get()] == sample => {
                self.duplicates += 1;
            }
            Entry::Occupied(_) => {
                let what = format!(
                    "another sample of {} in round {}; the first is used",
                    sample.cell.arm(),
                    sample.round
                );
                self.problem(number, what);
            }
        }
    }

    fn problem(&mut self, number: u64, what: String) {
        if self.records.problems.len() - self.named_from >= NAMED_PROBLEMS {
            self.unnamed += 1;
            return;
        }
        self.records.problems.push(Problem {
            source: self.source.clone(),
            line: Some(number),
            what,
        });
    }

    /// Samples without a run are kept (their cell says what they are), those of
    /// a run in a newer format are not.
    fn finish(mut self) -> Records {
        let refused = |sample: &Sample| {
            self.refused.contains(&sample.run) && !self.runs.contains_key(&sample.run)
        };
        self.records.samples.retain(|sample| !refused(sample));
        let mut orphans: Vec<(&str, usize)> = Vec::new();
        for sample in &self.records.samples {
            if self.runs.contains_key(&sample.run) {
                continue;
            }
            match orphans.iter_mut().find(|(run, _)| *run == sample.run) {
                Some((_, count)) => *count += 1,
                None => orphans.push((&sample.run, 1)),
            }
        }
        let source = self.records.sources.join(", ");
        let problems = orphans.into_iter().map(|(run, count)| Problem {
            source: source.clone(),
            line: None,
            what: format!(
                "{count} samples belong to run {run}, whose own line is missing: \
                 the machine and the command that made them are unknown"
            ),
        });
        self.records.problems.extend(problems.collect::<Vec<_>>());
        let of_control = |sample: &mut Sample| sample.cell.workload == CONTROL;
        self.records.controls = self.records.samples.extract_if(.., of_control).collect();
        for run in &mut self.records.runs {
            run.cells.retain(|cell| cell.workload != CONTROL);
        }
        self.records
    }
}

/// Schema and run id of a line that is JSON, but newer than this reader.
fn newer_schema(text: &[u8]) -> Option<(u64, Option<String>)> {
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let schema = value.get("schema")?.as_u64()?;
    let id = value.get("id").and_then(|id| id.as_str()).map(str::to_owned);
    (schema > u64::from(SCHEMA)).then_some((schema, id))
}

/// The record behind the start of another one on the same line. Its opening
/// cannot be inside a string of the other: quotes are escaped there.
fn record_after_a_cut(text: &[u8]) -> Option<Line> {
    const OPENING: &[u8] = br#"{"type":""#;
    let last = text.windows(OPENING.len()).rposition(|window| window == OPENING)?;
    if last == 0 {
        return None;
    }
    serde_json::from_slice(&text[last..]).ok()
}
