//! Mutation testing of the allocator: small mistakes are made in its source, one
//! at a time, and each should be noticed by a test or a short fuzz run.
//!
//! All mutants of a sample are compiled into one program, each behind a
//! condition ([`weave`]), and a variable says which is active (`guard.rs`); so
//! that a mutant costs a run of the tests that reach it, up to the first that
//! fails. What the compiler evaluates is built in, one build for each mutant.
//!
//! - [`find`]: what can be changed; bodies of `unsafe fn` included
//! - [`value`]: what a function can return in place of what it works out
//! - [`sample`]: which of that is tried, by a seed
//! - [`weave`]: the source with all of them in it
//! - [`tree`]: a copy of the repository, and its builds
//! - [`suite`]: the tests, one by one
//! - [`record`]: what became of each, and the figures

mod find;
mod record;
mod sample;
mod suite;
mod tree;
mod value;
mod weave;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use find::Mutant;
use record::{Record, Records, Verdict, wilson};
use sample::Sample;
use suite::{Active, Outcome, Test};
use tree::{PARTS, Tree};

/// Break the allocator in small ways, and see whether a test notices.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many mutants that compile
    #[arg(long, default_value_t = 300)]
    count: usize,

    /// Which ones
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Tests at a time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,

    /// Try those again that survived: there are new tests
    #[arg(long)]
    again: bool,

    /// With the tests of real programs under the preload library, which take minutes
    #[arg(long)]
    programs: bool,

    /// Those that the compiler evaluates, too: one build for each
    #[arg(long)]
    built: bool,

    /// Only tell what is known
    #[arg(long)]
    report: bool,

    /// The repository
    #[arg(long, default_value = ".")]
    repository: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.count > 0, "no mutants are asked for: --count is at least 1");
    let repository = arguments.repository.canonicalize().context("no such repository")?;
    let work = repository.join("target/mutants");
    std::fs::create_dir_all(&work).context("cannot make target/mutants")?;
    let tree = Tree::copy(&repository, &work)?;
    let sample = Sample::draw(&tree, arguments.seed, arguments.count)?;
    let path = work.join("records.jsonl");
    let mut records = Records::open(&path, &sample.source, arguments.seed)?;
    if !arguments.report {
        if arguments.again {
            records.last.retain(|_, record| record.verdict != Verdict::Survived);
        }
        let run = Run {
            tree: &tree,
            sample: &sample,
            seed: arguments.seed,
            work: &work,
            with_programs: arguments.programs,
        };
        run.all(&mut records, arguments.jobs, arguments.built)?;
    }
    print!("{}", told(&sample, &records, arguments.seed));
    Ok(())
}

/// A run over a sample.
struct Run<'a> {
    tree: &'a Tree,
    sample: &'a Sample,
    seed: u64,
    work: &'a Path,
    with_programs: bool,
}

/// The tests of real programs.
const PROGRAMS: &str = "preload";

impl Run<'_> {
    fn all(&self, records: &mut Records, jobs: u16, with_built: bool) -> Result<()> {
        for (number, mutant) in &self.sample.mutants {
            if self.sample.unviable.contains(number) && !records.last.contains_key(number) {
                records.add(self.record(*number, mutant, Verdict::Unviable, None, 0, 0.0))?;
            }
        }
        let open = |is_const: bool| -> Vec<&(u32, Mutant)> {
            self.sample
                .viable()
                .filter(|(number, mutant)| {
                    mutant.is_const == is_const && !records.last.contains_key(number)
                })
                .collect()
        };
        let (chosen, mut built) = (open(false), open(true));
        eprintln!("mutants: {} to choose, {} to build in", chosen.len(), built.len());
        if !with_built {
            built.clear();
        }
        let mut tests = Vec::new();
        if !chosen.is_empty() {
            tests = self.learnt()?;
            self.choose(&chosen, &mut tests, records, jobs)?;
        }
        for (at, (number, mutant)) in built.iter().enumerate() {
            let record = self.build(*number, mutant, &mut tests)?;
            progress("built in", at + 1, built.len(), &record);
            records.add(record)?;
        }
        Ok(())
    }

    /// The tests, as the unchanged source has them pass.
    fn learnt(&self) -> Result<Vec<Test>> {
        let mut binaries: Vec<tree::Binary> = Vec::new();
        for &part in PARTS {
            eprintln!("mutants: building {} {}", part.package, part.targets.join(" "));
            let built = self.tree.build(part, None)?.context("the tests do not build")?;
            for binary in built {
                if !binaries.iter().any(|known| known.path == binary.path) {
                    binaries.push(binary);
                }
            }
        }
        binaries.retain(|binary| self.with_programs || binary.name != PROGRAMS);
        let tests = suite::Learnt::of(&binaries, self.sample.mutants.len(), self.work)?;
        eprintln!("mutants: {} tests pass without a mutant", tests.len());
        Ok(tests)
    }

    /// Runs tests for those that are woven in.
    fn choose(
        &self,
        mutants: &[&(u32, Mutant)],
        tests: &mut Vec<Test>,
        records: &mut Records,
        jobs: u16,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let tests = Mutex::new(tests);
        let records = Mutex::new((records, 0));
        std::thread::scope(|scope| -> Result<()> {
            let work = || -> Result<()> {
                while let Some((number, mutant)) =
                    mutants.get(next.fetch_add(1, Ordering::Relaxed)).copied()
                {
                    let record = self.judge(*number, mutant, Active::Chosen(*number), &tests)?;
                    let mut guard = records.lock().expect("no panic elsewhere");
                    guard.1 += 1;
                    progress("chosen", guard.1, mutants.len(), &record);
                    guard.0.add(record)?;
                }
                Ok(())
            };
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no panic elsewhere"))
        })
    }

    /// Runs tests, the most promising first, until one notices.
    fn judge(
        &self,
        number: u32,
        mutant: &Mutant,
        active: Active<'_>,
        tests: &Mutex<&mut Vec<Test>>,
    ) -> Result<Record> {
        let begun = Instant::now();
        let mut done = Vec::new();
        loop {
            let next = {
                let tests = tests.lock().expect("no panic elsewhere");
                let reaches = |test: &Test| {
                    test.reaches.as_ref().is_none_or(|marks| marks[number as usize] != 0)
                };
                (0..tests.len())
                    .filter(|at| !done.contains(at) && reaches(&tests[*at]))
                    .max_by(|&a, &b| tests[a].promise().total_cmp(&tests[b].promise()))
                    .map(|at| {
                        (
                            at,
                            Test {
                                reaches: None,
                                binary: tests[at].binary.clone(),
                                name: tests[at].name.clone(),
                                ..tests[at]
                            },
                        )
                    })
            };
            let (count, seconds) = (done.len() as u32, begun.elapsed().as_secs_f64());
            let Some((at, test)) = next else {
                return Ok(self.record(number, mutant, Verdict::Survived, None, count, seconds));
            };
            let outcome = test.run(active)?;
            let mut tests = tests.lock().expect("no panic elsewhere");
            tests[at].asked += 1;
            done.push(at);
            if let Outcome::Failed(how) = outcome {
                tests[at].noticed += 1;
                let by = Some(format!("{}: {how}", test.title()));
                let seconds = begun.elapsed().as_secs_f64();
                return Ok(self.record(number, mutant, Verdict::Killed, by, count + 1, seconds));
            }
        }
    }

    /// Builds a mutant in, part of the tests by part, until one notices.
    fn build(&self, number: u32, mutant: &Mutant, learnt: &mut [Test]) -> Result<Record> {
        let begun = Instant::now();
        let mut count = 0;
        let mut known = Vec::new();
        for (at, &part) in PARTS.iter().enumerate() {
            let Some(binaries) = self.tree.build(part, Some(number))? else {
                let seconds = begun.elapsed().as_secs_f64();
                ensure!(at == 0, "mutant {number} builds in part only");
                return Ok(self.record(number, mutant, Verdict::Unviable, None, 0, seconds));
            };
            let new: Vec<_> =
                binaries.into_iter().filter(|binary| !known.contains(&binary.path)).collect();
            known.extend(new.iter().map(|binary| binary.path.clone()));
            let new: Vec<_> = new
                .into_iter()
                .filter(|binary| self.with_programs || binary.name != PROGRAMS)
                .collect();
            let mut tests = suite::list(&new)?;
            for test in &mut tests {
                let same = |other: &&Test| other.title() == test.title();
                if let Some(other) = learnt.iter().find(same) {
                    (test.seconds, test.asked, test.noticed) =
                        (other.seconds, other.asked, other.noticed);
                }
            }
            let mut record =
                self.judge(number, mutant, Active::Built(number), &Mutex::new(&mut tests))?;
            count += record.tests;
            (record.tests, record.seconds) = (count, begun.elapsed().as_secs_f64());
            if record.verdict == Verdict::Killed || at + 1 == PARTS.len() {
                return Ok(record);
            }
        }
        unreachable!("the last part decides")
    }

    fn record(
        &self,
        number: u32,
        mutant: &Mutant,
        verdict: Verdict,
        by: Option<String>,
        tests: u32,
        seconds: f64,
    ) -> Record {
        let text = self.tree.sources.get(&mutant.file).map_or("", String::as_str);
        Record {
            number,
            seed: self.seed,
            source: self.sample.source.clone(),
            file: mutant.file.clone(),
            line: mutant.line,
            function: mutant.function.clone(),
            is_unsafe: mutant.is_unsafe,
            what: mutant.what.clone(),
            diff: weave::diff(text, mutant),
            verdict,
            by,
            tests,
            seconds,
        }
    }
}

fn progress(how: &str, at: usize, all: usize, record: &Record) {
    let Record { file, line, what, verdict, seconds, tests, .. } = record;
    let by = record.by.as_deref().unwrap_or_default();
    eprintln!(
        "mutants: {how} {at} of {all}: {file}:{line}: {what}: {verdict:?} ({tests} tests, {seconds:.1} s) {by}"
    );
}

/// What is known of a sample: those that survived, and the figures.
fn told(sample: &Sample, records: &Records, seed: u64) -> String {
    use std::fmt::Write;
    let last: Vec<&Record> =
        sample.mutants.iter().filter_map(|(number, _)| records.last.get(number)).collect();
    let mut text = String::new();
    for record in last.iter().filter(|record| record.verdict == Verdict::Survived) {
        let Record { number, file, line, function, what, tests, diff, .. } = record;
        let reached = match tests {
            0 => "no test reaches it".to_owned(),
            tests => format!("{tests} tests pass"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{number}. {}{file}:{line} in {function}: {what} ({reached})\n{diff}",
            tree::MUTATED
        );
    }
    let count = |of: &dyn Fn(&Record) -> bool| last.iter().filter(|record| of(record)).count();
    let killed = |of: bool| {
        move |record: &Record| record.verdict == Verdict::Killed && (!of || record.is_unsafe)
    };
    let viable = |of: bool| {
        move |record: &Record| record.verdict != Verdict::Unviable && (!of || record.is_unsafe)
    };
    for (of, name) in [(false, "in all"), (true, "in the bodies of `unsafe fn`")] {
        let (killed, viable) = (count(&killed(of)), count(&viable(of)));
        let (low, high) = wilson(killed, viable);
        let _ = writeln!(
            text,
            "{name}: {killed} of {viable} mutants killed: {:.1} % (95 % interval {:.1} to {:.1} %), {} survived",
            100.0 * killed as f64 / viable.max(1) as f64,
            100.0 * low,
            100.0 * high,
            viable - killed,
        );
    }
    let unviable = count(&|record| record.verdict == Verdict::Unviable);
    let open = sample.mutants.len() - last.len();
    let _ = writeln!(
        text,
        "seed {seed}, source {}: {} drawn of {}, {unviable} do not compile, {open} not tried yet",
        sample.source,
        sample.mutants.len(),
        sample.population,
    );
    text
}
