//! The report for a terminal: verdict, one table a workload, errors, notes.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::analysis::{Measured, Report, Workload};
use crate::judge::Verdict;
use crate::labels;
use crate::record::{Metric, Role};
use crate::units;

/// Narrower terminals are written to as if they were this wide: the longest name
/// of an engine, and the widest column beside it.
const MIN_WIDTH: usize = labels::COLUMNS + 26;

pub(crate) const GREEN: &str = "\x1b[32m";
pub(crate) const RED: &str = "\x1b[31m";
pub(crate) const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// What a column shows.
enum Column {
    /// The median of a metric.
    Value(&'static str, Metric),
    /// The ratio of a metric to the reference, with its interval.
    Ratio(&'static str, Metric),
    /// The sum of some counts.
    Sum(&'static str, &'static [Metric]),
}

const COLUMNS: &[Column] = &[
    Column::Value("wall", Metric::WallS),
    Column::Ratio("wall / ref", Metric::WallS),
    Column::Value("printed", Metric::PrintedCost),
    Column::Ratio("printed / ref", Metric::PrintedCost),
    Column::Value("printed", Metric::PrintedRate),
    Column::Ratio("printed / ref", Metric::PrintedRate),
    Column::Value("peak RSS", Metric::PeakRssBytes),
    Column::Ratio("RSS / ref", Metric::PeakRssBytes),
    Column::Value("user", Metric::UserS),
    Column::Value("sys", Metric::SysS),
    Column::Value("minor faults", Metric::MinorFaults),
    Column::Value("brk", Metric::SyscallsBrk),
    Column::Value("mmap", Metric::SyscallsMmap),
    Column::Value("munmap", Metric::SyscallsMunmap),
    Column::Sum(
        "other",
        &[Metric::SyscallsMremap, Metric::SyscallsMadvise, Metric::SyscallsMprotect],
    ),
    Column::Value("malloc p50", Metric::AllocP50S),
    Column::Value("p99", Metric::AllocP99S),
    Column::Value("p99.9", Metric::AllocP999S),
    Column::Value("max", Metric::AllocMaxS),
    Column::Value("free p50", Metric::FreeP50S),
    Column::Value("p99", Metric::FreeP99S),
    Column::Value("p99.9", Metric::FreeP999S),
    Column::Value("max", Metric::FreeMaxS),
    Column::Value("clock", Metric::ClockS),
    Column::Value("internal", Metric::InternalFragmentation),
    Column::Value("external", Metric::ExternalFragmentation),
    Column::Value("stranded", Metric::StrandedBytes),
    Column::Value("blow-up", Metric::BlowUp),
    Column::Value("mean", Metric::MeanBlowUp),
    Column::Value("kept", Metric::KeptHeapBytes),
];

/// Text of a table, and how it is coloured.
#[derive(Clone)]
pub(crate) struct Entry {
    pub text: String,
    pub style: &'static str,
}

impl Report {
    /// The report as text for a terminal of `width` columns; with ANSI colours
    /// if `colour`. Columns that do not fit go into a further block.
    pub fn to_text(&self, width: usize, colour: bool) -> String {
        let width = width.max(MIN_WIDTH);
        let mut out = String::new();
        for sentence in &self.verdict {
            out.push_str(&wrap(sentence, width, ""));
        }
        for workload in &self.workloads {
            let title = units::clip(&workload.name, width);
            out.push('\n');
            out.push_str(&paint(&title, BOLD, colour));
            out.push('\n');
            for line in self.table(workload, width, colour) {
                out.push_str(line.trim_end());
                out.push('\n');
            }
            for cell in &workload.cells {
                if let Some(error) = &cell.error {
                    let label = &self.arms[cell.arm].label;
                    let text = wrap(&format!("{label}: {error}"), width - 2, "  ");
                    out.push_str(&paint(text.trim_end(), RED, colour));
                    out.push('\n');
                }
            }
        }
        let problems = self.problems.iter().map(|p| format!("In the records: {p}."));
        let mut beneath: Vec<String> = self.legend().collect();
        beneath.extend(self.notes.iter().cloned());
        beneath.extend(problems);
        if !beneath.is_empty() {
            out.push('\n');
        }
        for note in beneath {
            out.push_str(&wrap(&format!("* {note}"), width, ""));
        }
        out
    }

    /// What the names that had to be shortened stand for.
    fn legend(&self) -> impl Iterator<Item = String> {
        self.arms.iter().filter(|arm| labels::is_short(arm)).map(|arm| {
            let role = match arm.role {
                Role::Reference => ", the reference",
                Role::Repeat => ", the reference once more",
                Role::Candidate | Role::Control => "",
            };
            format!("{} stands for {}, version {}{role}.", arm.label, arm.spelling, arm.version)
        })
    }

    /// The lines of one workload's table, in as many blocks as it takes.
    fn table(&self, workload: &Workload, width: usize, colour: bool) -> Vec<String> {
        let mut labels = vec![plain("engine")];
        labels.extend(workload.cells.iter().map(|cell| self.label(cell)));
        let mut blocks: Vec<Vec<Vec<Entry>>> = vec![vec![labels.clone()]];
        let mut used = column_width(&labels);
        for column in COLUMNS {
            let Some(entries) = entries(column, workload) else {
                continue;
            };
            let needed = column_width(&entries) + 2;
            if used + needed > width && blocks.last().is_some_and(|block| block.len() > 1) {
                blocks.push(vec![labels.clone()]);
                used = column_width(&labels);
            }
            used += needed;
            blocks.last_mut().expect("there is a first block").push(entries);
        }
        let blocks: Vec<Vec<String>> =
            blocks.iter().map(|block| side_by_side(block, colour)).collect();
        blocks.join(&String::new())
    }

    fn label(&self, cell: &Measured) -> Entry {
        let style = match cell.cell.role {
            Role::Candidate | Role::Control => "",
            Role::Reference | Role::Repeat => DIM,
        };
        Entry { text: self.arms[cell.arm].label.clone(), style }
    }
}

/// A column with its heading; `None` if no cell has anything in it.
fn entries(column: &Column, workload: &Workload) -> Option<Vec<Entry>> {
    let heading = match column {
        Column::Value(name, _) | Column::Ratio(name, _) | Column::Sum(name, _) => plain(name),
    };
    let cells: Vec<Option<Entry>> = workload.cells.iter().map(|cell| entry(column, cell)).collect();
    if cells.iter().all(Option::is_none) {
        return None;
    }
    let filled = workload.cells.iter().zip(cells).map(|(cell, entry)| {
        entry.unwrap_or_else(|| match &cell.error {
            Some(_) => Entry { text: "error".into(), style: RED },
            None => plain("-"),
        })
    });
    Some(std::iter::once(heading).chain(filled).collect())
}

fn entry(column: &Column, cell: &Measured) -> Option<Entry> {
    match column {
        Column::Value(_, metric) => {
            let figure = cell.figure(*metric)?;
            Some(plain(&units::short(figure.median, metric.unit())))
        }
        Column::Ratio(_, metric) => {
            let figure = cell.figure(*metric)?;
            Some(Entry { text: units::ratio_interval(figure.ratio?), style: style(figure.verdict) })
        }
        Column::Sum(_, metrics) => {
            let medians: Vec<f64> =
                metrics.iter().filter_map(|m| Some(cell.figure(*m)?.median)).collect();
            let sum: f64 = medians.iter().sum();
            (!medians.is_empty()).then(|| plain(&units::short(sum, metrics[0].unit())))
        }
    }
}

fn style(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Better) => GREEN,
        Some(Verdict::Worse) => RED,
        Some(Verdict::Undecided) => DIM,
        Some(Verdict::Same | Verdict::NotWorse) | None => "",
    }
}

pub(crate) fn plain(text: &str) -> Entry {
    Entry { text: text.to_owned(), style: "" }
}

fn column_width(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| entry.text.width()).max().unwrap_or(0)
}

/// Columns side by side: the first flush left, figures flush right.
pub(crate) fn side_by_side(columns: &[Vec<Entry>], colour: bool) -> Vec<String> {
    let widths: Vec<usize> = columns.iter().map(|column| column_width(column)).collect();
    let rows = columns.first().map_or(0, Vec::len);
    (0..rows)
        .map(|row| {
            let mut line = String::new();
            for (i, column) in columns.iter().enumerate() {
                let entry = &column[row];
                let pad = " ".repeat(widths[i] - entry.text.width());
                let style = if row == 0 { DIM } else { entry.style };
                let text = paint(&entry.text, style, colour);
                line.push_str(&match i {
                    0 => format!("{text}{pad}"),
                    _ => format!("  {pad}{text}"),
                });
            }
            line
        })
        .collect()
}

pub(crate) fn paint(text: &str, style: &str, colour: bool) -> String {
    match colour && !style.is_empty() {
        true => format!("{style}{text}{PLAIN}"),
        false => text.to_owned(),
    }
}

/// `text` in lines of at most `width` columns, each after `indent`. A word that
/// is longer than that is broken, and one in a script without spaces where the
/// line ends.
pub(crate) fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut out = String::new();
    let mut line = String::new();
    let mut flush = |line: &mut String| {
        out.push_str(indent);
        out.push_str(line);
        out.push('\n');
        line.clear();
    };
    for word in text.split_whitespace() {
        let mut word = units::clip(word, usize::MAX);
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            let room = width.saturating_sub(line.width() + 1);
            if let Some(head) = break_at(&word, room) {
                line.push(' ');
                line.extend(word.drain(..head));
            }
            flush(&mut line);
        }
        while word.width() > width {
            let head = break_at(&word, width).unwrap_or_else(|| prefix(&word, width));
            let rest = word.split_off(head);
            line.push_str(&word);
            flush(&mut line);
            word = rest;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if !line.is_empty() {
        flush(&mut line);
    }
    out
}

/// Where `word` may end so that at most `width` columns are left of it, in bytes:
/// beside a wide character, and not before punctuation.
fn break_at(word: &str, width: usize) -> Option<usize> {
    let mut used = 0;
    let ends = word.char_indices().take_while(|(_, c)| {
        used += c.width().unwrap_or(0);
        used <= width
    });
    let may_end = |&(at, c): &(usize, char)| {
        let next = word[at + c.len_utf8()..].chars().next();
        !next.is_some_and(|next| "，。；：、）」".contains(next))
            && (is_wide(c) || next.is_some_and(is_wide))
    };
    ends.filter(may_end).last().map(|(at, c)| at + c.len_utf8())
}

fn is_wide(c: char) -> bool {
    c.width() == Some(2)
}

/// How many bytes of `text` fill at most `width` columns.
fn prefix(text: &str, width: usize) -> usize {
    let ends = text.char_indices().map(|(i, c)| i + c.len_utf8());
    ends.take_while(|&end| text[..end].width() <= width).last().unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_end_at_spaces_and_beside_wide_characters() {
        assert_eq!(wrap("one two three", 8, "> "), "> one two\n> three\n");
        assert_eq!(wrap("abcdefghij", 4, ""), "abcd\nefgh\nij\n");
        assert_eq!(wrap("mmap 单独建立，一个", 11, ""), "mmap 单独建\n立，一个\n");
        // Punctuation stays with what it follows.
        assert_eq!(wrap("单独建立，一个", 8, ""), "单独建\n立，一个\n");
        for width in 1..20 {
            let text = "abcdefghijklm单独建立abc，，，。 x 建";
            let lines = wrap(text, width, "");
            let joined: String = lines.split_whitespace().collect();
            assert_eq!(joined, text.replace(' ', ""), "{width}");
        }
    }
}
