//! How often each line of a file was run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use llvm_profparser::coverage_mapping::read_object_file;
use llvm_profparser::{CounterMappingRegion, RegionKind, SourceLocation};

use crate::counters::Counters;

/// How often lines were run, by their numbers; those with code only.
pub type Lines = BTreeMap<usize, u64>;

/// Adds the lines of the files that `place` knows, as a program has them.
///
/// A line is run as often as in the instance of its function that runs it most:
/// what matters is whether it was.
///
/// # Errors
///
/// The program is not instrumented.
pub fn add(
    object: &Path,
    counters: &Counters,
    files: &mut BTreeMap<PathBuf, Lines>,
    place: impl Fn(&Path) -> Option<PathBuf>,
) -> Result<()> {
    let map = read_object_file(object, counters.version())
        .with_context(|| format!("{} is not instrumented", object.display()))?;
    let mut known: BTreeMap<u64, Vec<Option<PathBuf>>> = BTreeMap::new();
    for function in &map.cov_fun {
        let files_of = function.header.filenames_ref;
        let places = known.entry(files_of).or_insert_with(|| {
            map.get_files_from_id(files_of).iter().map(|path| place(path)).collect()
        });
        let mut values = counters.of(function);
        // Most functions are in one file; macros bring others in.
        for (at, path) in places.iter().enumerate() {
            let Some(path) = path else { continue };
            let regions: Vec<(&SourceLocation, u64)> = function
                .regions
                .iter()
                .filter(|region| is_code(region) && region.file_id == at)
                .map(|region| (&region.loc, values.get(region.count)))
                .collect();
            if regions.is_empty() {
                continue;
            }
            let lines = files.entry(path.clone()).or_default();
            for (number, times) in counted(&regions) {
                let most = lines.entry(number).or_default();
                *most = times.max(*most);
            }
        }
    }
    Ok(())
}

fn is_code(region: &CounterMappingRegion) -> bool {
    region.kind == RegionKind::Code
}

/// The lines of a function: each has the count of the innermost region that it
/// begins in, or of one that begins on it, whichever is more.
fn counted(regions: &[(&SourceLocation, u64)]) -> Lines {
    let mut lines = Lines::new();
    let first = regions.iter().map(|(at, _)| at.line_start).min().unwrap_or(1);
    let last = regions.iter().map(|(at, _)| at.line_end).max().unwrap_or(0);
    for line in first..=last {
        let goes_on = regions
            .iter()
            .filter(|(at, _)| at.line_start < line && line <= at.line_end)
            .max_by_key(|(at, _)| (at.line_start, at.column_start));
        let begin = regions.iter().filter(|(at, _)| at.line_start == line);
        if let Some(times) = begin.chain(goes_on).map(|&(_, times)| times).max() {
            lines.insert(line, times);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_count_of_the_innermost_region_or_of_one_that_begins_on_it() {
        let region = |line_start, column_start, line_end| SourceLocation {
            line_start,
            column_start,
            line_end,
            column_end: 80,
        };
        // A function of lines 10 to 16, a branch in it that is not taken from 12 to 14,
        // and one on line 15 alone.
        let (all, branch, short) = (region(10, 1, 16), region(12, 9, 14), region(15, 20, 15));
        let lines = counted(&[(&all, 5), (&branch, 0), (&short, 2)]);
        let expected = [(10, 5), (11, 5), (12, 5), (13, 0), (14, 0), (15, 5), (16, 5)];
        assert_eq!(lines, Lines::from(expected));
        // Regions apart: what lies between is no code.
        let (first, second) = (region(1, 1, 2), region(4, 1, 4));
        assert_eq!(counted(&[(&first, 1), (&second, 0)]), Lines::from([(1, 1), (2, 1), (4, 0)]));
    }
}
