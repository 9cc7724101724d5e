//! The figures as tables, which the terminal and the page share.

use super::Profile;
use crate::record::Unit;
use crate::units::{human, shorten};

/// A table: a title, the columns' names, and rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What it shows.
    pub title: &'static str,
    /// Names of the columns; the first is on the left.
    pub columns: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

fn count(number: u64) -> String {
    human(number as f64, Unit::Count)
}

fn bytes(number: u64) -> String {
    human(number as f64, Unit::Bytes)
}

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { percent(part as f64 / whole as f64) }
}

impl Profile {
    /// The summary in words.
    pub fn summary(&self) -> Vec<String> {
        let calls: u64 = self.calls.iter().map(|(_, count)| count).sum();
        let kinds: Vec<String> =
            self.calls.iter().map(|(name, number)| format!("{} {name}", count(*number))).collect();
        let mut lines = vec![
            format!(
                "{} calls ({}) of {} thread(s) in {}",
                count(calls),
                kinds.join(", "),
                self.threads,
                human(self.span_s, Unit::Seconds)
            ),
            format!(
                "At most {} live in {} blocks; {} in {} blocks at the end; {} asked for in all.",
                bytes(self.peak_live_bytes),
                count(self.peak_blocks),
                bytes(self.left_bytes),
                count(self.left_blocks),
                bytes(self.requested_bytes)
            ),
            format!(
                "The theoretical best: no allocator can do with less than {} at the peak ({} OS \
                 pages).",
                bytes(self.peak_live_bytes),
                count(self.peak_live_bytes.div_ceil(4096))
            ),
        ];
        if self.threads > 1 {
            lines.push(format!("{} blocks passed between threads.", count(self.handed_over)));
        }
        lines
    }

    /// All tables that have rows.
    pub fn tables(&self) -> Vec<Table> {
        let allocations: u64 = self.sizes.iter().map(|bin| bin.calls).sum();
        let blocks: u64 = self.lifetimes.iter().map(|it| it.blocks).sum();
        let process = |(place, line): (usize, &super::ProcessLine)| {
            let mark = if place as u32 == self.process { " *" } else { "" };
            let from = line.forked_from.map_or("-".to_owned(), |from| from.to_string());
            vec![
                format!("{place}{mark}"),
                shorten(&line.program, 40),
                line.pid.to_string(),
                from,
                count(line.events),
                count(line.threads.into()),
                bytes(line.peak_live_bytes),
                count(line.foreign),
            ]
        };
        // Of hundreds of processes the largest tell most.
        let mut largest: Vec<(usize, &super::ProcessLine)> =
            self.processes.iter().enumerate().collect();
        largest.sort_by_key(|(place, line)| (std::cmp::Reverse(line.events), *place));
        largest.truncate(12);
        largest.sort_by_key(|(place, _)| *place);
        let tables = vec![
            Table {
                title: "Processes (* shown here; the largest of them)",
                columns: vec![
                    "process",
                    "program",
                    "pid",
                    "forked from",
                    "events",
                    "threads",
                    "peak live",
                    "foreign",
                ],
                rows: if self.processes.len() > 1 {
                    largest.into_iter().map(process).collect()
                } else {
                    Vec::new()
                },
            },
            Table {
                title: "Sizes",
                columns: vec!["up to", "calls", "share", "bytes", "peak live"],
                rows: (self.sizes.iter().filter(|bin| bin.calls > 0))
                    .map(|bin| {
                        vec![
                            bytes(bin.most),
                            count(bin.calls),
                            share(bin.calls, allocations),
                            bytes(bin.bytes),
                            bytes(bin.peak_live_bytes),
                        ]
                    })
                    .collect(),
            },
            Table {
                title: "Sizes asked for most often",
                columns: vec!["size", "calls", "share"],
                rows: (self.hottest.iter())
                    .map(|&(size, calls)| {
                        vec![bytes(size), count(calls), share(calls, allocations)]
                    })
                    .collect(),
            },
            Table {
                title: "Lifetimes, in calls of the process",
                columns: vec!["below", "blocks", "share", "bytes"],
                rows: (self.lifetimes.iter().filter(|it| it.blocks > 0))
                    .map(|it| {
                        vec![
                            it.below.map_or("to the end".to_owned(), count),
                            count(it.blocks),
                            share(it.blocks, blocks),
                            bytes(it.bytes),
                        ]
                    })
                    .collect(),
            },
            Table {
                title: "At or above an mmap threshold",
                columns: vec!["threshold", "calls", "most live blocks", "most live bytes"],
                rows: (self.thresholds.iter().filter(|it| it.calls > 0))
                    .map(|it| {
                        vec![
                            bytes(it.bytes),
                            count(it.calls),
                            count(it.peak_blocks),
                            bytes(it.peak_live_bytes),
                        ]
                    })
                    .collect(),
            },
            Table {
                title: "Internal fragmentation by size classes",
                columns: vec!["scheme", "peak", "/ theoretical best", "waste", "waste at the peak"],
                rows: (self.schemes.iter())
                    .map(|scheme| {
                        let ratio = scheme.peak_bytes as f64 / self.peak_live_bytes.max(1) as f64;
                        vec![
                            scheme.name.clone(),
                            bytes(scheme.peak_bytes),
                            format!("{ratio:.3}×"),
                            percent(scheme.waste),
                            percent(scheme.waste_at_peak),
                        ]
                    })
                    .collect(),
            },
        ];
        tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
    }
}

/// The figures for a terminal.
pub fn to_text(profile: &Profile) -> String {
    let mut text = format!("{}\n", profile.arguments.join(" "));
    for line in profile.summary().iter().chain(&profile.notes) {
        text += &format!("{line}\n");
    }
    for table in profile.tables() {
        text += &format!("\n{}\n", table.title);
        let width = |column: usize| {
            let cells = table.rows.iter().map(|row| row[column].chars().count());
            cells.chain([table.columns[column].chars().count()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
        let heads: Vec<String> = table.columns.iter().map(|&name| name.to_owned()).collect();
        for row in [&heads].into_iter().chain(&table.rows) {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width - cell.chars().count());
                // Names on the left, figures on the right.
                let left = column == 0 || matches!(table.columns[column], "program");
                line += &if left { format!("  {cell}{pad}") } else { format!("  {pad}{cell}") };
            }
            text += line.trim_end();
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::*;

    #[test]
    fn tables_without_rows_are_left_out_and_columns_line_up() {
        let profile = Profile {
            arguments: vec!["x".into()],
            sizes: vec![
                SizeBin { most: 16, calls: 3, bytes: 30, peak_live_bytes: 20 },
                SizeBin { most: 1 << 20, calls: 1_000_000, bytes: 1 << 40, peak_live_bytes: 9 },
            ],
            ..Profile::default()
        };
        let text = to_text(&profile);
        assert!(!text.contains("Lifetimes") && !text.contains("Processes"));
        let rows: Vec<&str> = text.lines().skip_while(|line| *line != "Sizes").skip(1).collect();
        assert_eq!(rows.len(), 3, "{text}");
        assert!(rows.iter().all(|row| row.chars().count() == rows[0].chars().count()), "{text}");
    }

    #[test]
    fn a_page_holds_no_markup_of_a_trace() {
        let profile = Profile {
            arguments: vec!["<marquee>".into()],
            notes: vec!["<marquee>".into()],
            live: vec![(0.0, 1, 5), (1.0, 2, 9)],
            sizes: vec![SizeBin { most: 16, calls: 3, bytes: 30, peak_live_bytes: 20 }],
            ..Profile::default()
        };
        let page = to_html(&profile);
        assert!(!page.contains("<marquee") && page.contains("<svg"));
    }
}
