//! What was counted, function by function, in the runs of all programs.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use llvm_profparser::{Counter, CounterType, ExprKind, Expression, FunctionRecordV3};

/// The counters of functions, by the hashes of their name and of their source:
/// programs have functions of the same name that are not the same.
#[derive(Debug, Default)]
pub struct Counters {
    functions: HashMap<(u64, u64), Vec<u64>>,
    version: u64,
}

impl Counters {
    /// Reads all profiles in a folder, and adds them up.
    ///
    /// # Errors
    ///
    /// A file that is no profile, or none at all.
    pub fn read(folder: &Path) -> Result<Counters> {
        let mut counters = Counters::default();
        for entry in std::fs::read_dir(folder).context("no folder of profiles")? {
            let path = entry?.path();
            counters
                .add(&path)
                .with_context(|| format!("cannot read the profile {}", path.display()))?;
        }
        ensure!(counters.version != 0, "no profile is in {}", folder.display());
        Ok(counters)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let profile = llvm_profparser::parse(path)?;
        self.version = profile.version().context("it does not say its version")?;
        for function in profile.records() {
            let (Some(name), Some(hash)) = (function.name_hash, function.hash) else { continue };
            let sums = self.functions.entry((name, hash)).or_default();
            sums.resize(sums.len().max(function.counts().len()), 0);
            sums.iter_mut().zip(function.counts()).for_each(|(sum, &count)| *sum += count);
        }
        Ok(())
    }

    /// Of which version of the format profiles are.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How often regions of a function were run, by their counters.
    ///
    /// A function that is not in any profile, such as an instance that nobody
    /// calls, was not run.
    pub fn of<'a>(&'a self, function: &'a FunctionRecordV3) -> Values<'a> {
        let key = (function.header.name_hash, function.header.fn_hash);
        let counts = self.functions.get(&key).map_or(&[][..], Vec::as_slice);
        Values { function, counts, known: vec![None; function.expressions.len()] }
    }
}

/// The values of a function's counters: those that were counted, and their sums
/// and differences.
#[derive(Debug)]
pub struct Values<'a> {
    function: &'a FunctionRecordV3,
    counts: &'a [u64],
    /// Those of expressions, which share their parts.
    known: Vec<Option<i64>>,
}

impl Values<'_> {
    /// How often what has this counter was run.
    pub fn get(&mut self, counter: Counter) -> u64 {
        // Less than nothing is where a program was stopped amid it.
        self.value(counter).max(0) as u64
    }

    fn value(&mut self, counter: Counter) -> i64 {
        let at = counter.id as usize;
        let kind = match counter.kind {
            CounterType::Zero => return 0,
            CounterType::ProfileInstrumentation => {
                return self.counts.get(at).map_or(0, |&count| count as i64);
            }
            CounterType::Expression(kind) => kind,
        };
        if let Some(value) = self.known[at] {
            return value;
        }
        let Expression { lhs, rhs, .. } = self.function.expressions[at];
        let (left, right) = (self.value(lhs), self.value(rhs));
        let value = match kind {
            ExprKind::Add => left + right,
            ExprKind::Subtract => left - right,
        };
        self.known[at] = Some(value);
        value
    }
}
