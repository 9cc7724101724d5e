//! A gate for a terminal and for a pull request.

use super::{Answer, Gate, Row, shown};
use crate::judge::Verdict;
use crate::stats::CONFIDENCE;
use crate::text::{BOLD, Entry, GREEN, RED, paint, plain, side_by_side, wrap};
use crate::units;

impl Gate {
    /// The findings in words, the answer first.
    pub fn headline(&self) -> Vec<String> {
        let mut said = vec![self.answer_in_words()];
        said.extend(self.distrust.iter().map(|why| format!("This cannot be trusted: {why}.")));
        let failed = self.failures.iter();
        said.extend(failed.map(|(workload, why)| format!("FAILED on {workload}: {why}.")));
        let rows = |verdict| self.rows.iter().filter(move |row| row.verdict() == verdict);
        said.extend(rows(Verdict::Worse).map(regression));
        said.extend(rows(Verdict::Better).map(|row| {
            format!("IMPROVEMENT: {} {}{}.", row.named(), shown(row.ratio), medians(row))
        }));
        let open: Vec<&Row> = rows(Verdict::Undecided).filter(|row| self.decides(row)).collect();
        said.extend(open.iter().map(|row| inconclusive(row)));
        if open.iter().any(|row| row.why_not.is_none()) && self.interleaved {
            said.push(
                "More time (--budget), a quieter machine, longer workloads (--scale) or a wider \
                 margin decide."
                    .to_owned(),
            );
        }
        said.extend(self.notes.iter().cloned());
        said
    }

    fn answer_in_words(&self) -> String {
        let (base, new) = (units::clip(&self.base, 60), units::clip(&self.new, 60));
        match self.answer() {
            Answer::Passes if self.equal => format!(
                "Passes: {base} and {new} are built to the same bytes, so nothing can differ and \
                 nothing was measured (--always measures)."
            ),
            Answer::Passes => format!(
                "Passes: of {} rows none became worse from {base} to {new}{}.",
                self.rows.iter().filter(|row| row.verdict() != Verdict::Undecided).count(),
                match self.controls.is_empty() {
                    true => "",
                    false => ", and the positive control was found",
                }
            ),
            Answer::Worse => format!("Worse: {new}, compared with {base}."),
            Answer::Open => {
                format!("Undecided: whether {new} is worse than {base}, or no answer to trust.")
            }
        }
    }

    /// The answer and its table, for a terminal of `width` columns.
    pub fn to_text(&self, width: usize, colour: bool) -> String {
        let mut out = String::new();
        for (at, sentence) in self.headline().iter().enumerate() {
            let text = wrap(sentence, width.max(40), "");
            let style = match self.answer() {
                _ if at > 0 => "",
                Answer::Passes => GREEN,
                Answer::Worse => RED,
                Answer::Open => BOLD,
            };
            out.push_str(&paint(text.trim_end(), style, colour));
            out.push('\n');
        }
        let mut lines: Vec<(Vec<String>, Verdict)> = Vec::new();
        for (mark, rows) in self.blocks() {
            lines.extend(rows.iter().map(|row| (cells(row, mark), row.verdict())));
        }
        let columns: Vec<Vec<Entry>> = (0..HEADINGS.len())
            .map(|column| {
                let of = |(cells, verdict): &(Vec<String>, Verdict)| {
                    let style = match verdict {
                        Verdict::Worse if column == HEADINGS.len() - 1 => RED,
                        Verdict::Better if column == HEADINGS.len() - 1 => GREEN,
                        _ => "",
                    };
                    Entry { text: units::clip(&cells[column], 44), style }
                };
                std::iter::once(plain(HEADINGS[column])).chain(lines.iter().map(of)).collect()
            })
            .collect();
        if lines.is_empty() {
            return out;
        }
        out.push('\n');
        for line in side_by_side(&columns, colour) {
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// The same for a pull request.
    pub fn to_markdown(&self) -> String {
        let title = match self.answer() {
            Answer::Passes => "passes",
            Answer::Worse => "REGRESSION",
            Answer::Open => "undecided",
        };
        let mut out = format!("### brkpoint gate: {title}\n\n");
        for sentence in self.headline() {
            out.push_str(&format!("- {}\n", escaped(&sentence)));
        }
        if self.equal {
            return out;
        }
        out.push_str(&format!("\n| {} |\n", HEADINGS.join(" | ")));
        out.push_str(&format!("|{}\n", "---|".repeat(HEADINGS.len())));
        for (mark, rows) in self.blocks() {
            for row in rows {
                let cells: Vec<String> =
                    cells(row, mark).iter().map(|cell| escaped(cell)).collect();
                out.push_str(&format!("| {} |\n", cells.join(" | ")));
            }
        }
        out.push_str(&format!("\n{}\n", self.promise()));
        out
    }

    /// How seldom the gate errs, and from where on a difference counts.
    pub(super) fn promise(&self) -> String {
        format!(
            "A false alarm among all rows, and a pass in spite of a row that is worse by more than \
             the margin, have a chance of {} each. Margins: {} in time, {} in memory, {} in counts.",
            units::percent(1.0 - CONFIDENCE),
            units::percent(self.margins.time),
            units::percent(self.margins.memory),
            units::percent(self.margins.counts),
        )
    }

    /// The rows, then those that tell whether they can be trusted.
    pub(super) fn blocks(&self) -> [(&'static str, &[Row]); 3] {
        [("", &self.rows), (" (A/A)", &self.repeats), (" (control)", &self.controls)]
    }
}

pub(super) const HEADINGS: [&str; 7] =
    ["workload", "quantity", "base", "new", "new / base", "pairs", "verdict"];

/// A row of the table, as [`HEADINGS`] has it.
pub(super) fn cells(row: &Row, mark: &str) -> Vec<String> {
    let value = |value: Option<f64>| value.map_or("-".to_owned(), |v| row.quantity.shown(v));
    vec![
        format!("{}{mark}", units::clip(&row.workload, 40)),
        row.quantity.name().to_owned(),
        value(row.base),
        value(row.new),
        row.ratio.map_or("-".to_owned(), units::ratio_interval),
        if row.exact { "exact".to_owned() } else { row.pairs.to_string() },
        word(row, mark).to_owned(),
    ]
}

/// The verdict of a row; one that only tells about the gate itself is not confirmed.
fn word(row: &Row, mark: &str) -> &'static str {
    match mark {
        "" => row.verdict().change(),
        " (control)" if row.first == Verdict::Worse => "found",
        _ if matches!(row.first, Verdict::Better | Verdict::Worse) => "DIFFERS",
        _ => row.first.word(),
    }
}

fn regression(row: &Row) -> String {
    let again = match row.again {
        Some(again) if row.exact => {
            format!("; {} fresh processes say the same", again.pairs)
        }
        Some(again) => format!("; {} fresh pairs say {}", again.pairs, shown(again.ratio)),
        None => String::new(),
    };
    format!("REGRESSION: {} {}{}{again}.", row.named(), shown(row.ratio), medians(row))
}

fn medians(row: &Row) -> String {
    match (row.base, row.new) {
        (Some(base), Some(new)) => {
            format!(" ({} -> {})", row.quantity.shown(base), row.quantity.shown(new))
        }
        _ => String::new(),
    }
}

fn inconclusive(row: &Row) -> String {
    let why = match (&row.why_not, row.first, row.again) {
        (Some(why), ..) => format!(", since {why}"),
        (None, Verdict::Worse, Some(again)) => {
            format!(", but {} fresh pairs say {}", again.pairs, shown(again.ratio))
        }
        (None, Verdict::Worse, None) => ", which was not confirmed".to_owned(),
        _ => format!(" after {} pairs", row.pairs),
    };
    format!("INCONCLUSIVE: {} {}{why}.", row.named(), shown(row.ratio))
}

/// Text that stands in a table of Markdown, whatever it holds.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '`' | '<' | '*' | '_' | '[' | ']' | '\\' | '@' | '#' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
