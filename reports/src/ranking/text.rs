//! The boards as tables for a terminal.

use std::fmt::Write;

use super::{Base, Board, Contestant, Quantity, REFERENCE, Ranking, Side, Standing};
use crate::text::{BOLD, Entry, RED, paint, plain, side_by_side, wrap};
use crate::units;

/// From here on a row is named as lost: so many times the row's best peer.
const LOST: f64 = 1.25;

const WIDTH: usize = 100;

impl Ranking {
    /// The tables of all boards, and what they amount to; `mode` says how the
    /// allocators came into the processes. With ANSI colours if `colour`.
    pub fn to_text(&self, mode: &str, colour: bool) -> String {
        let mut out = String::new();
        for board in &self.boards {
            // A second look at the same samples: what it amounts to is enough.
            if board.quantity != Quantity::Wall {
                out.push_str(&board.table(mode, colour));
            }
            out.push_str(&board.words(mode));
            out.push('\n');
        }
        for failure in &self.failures {
            out.push_str(&wrap(&format!("* {failure}"), WIDTH, ""));
        }
        out
    }
}

impl Board {
    /// Figures as multiples of the best peer's, and of the limit's for ours.
    fn table(&self, mode: &str, colour: bool) -> String {
        let base = match self.quantity.base() {
            Base::BestPeer => "the row’s best peer",
            Base::Reference => &self.arms[REFERENCE].label,
        };
        let title = format!("{}, {mode}: multiples of {base}\n", self.quantity.title());
        let mut columns = vec![self.names(), self.best()];
        let limit = self.arms.iter().position(|arm| arm.side == Side::Limit);
        let limit = limit.filter(|&limit| self.rows.iter().any(|row| row.figures[limit].is_some()));
        for (arm, contestant) in self.arms.iter().enumerate() {
            if contestant.side == Side::Limit && limit.is_none() {
                continue;
            }
            columns.push(self.ratios(contestant, arm));
            if let (Side::Ours, Some(limit)) = (contestant.side, limit) {
                columns.push(self.to_limit(arm, limit));
            }
        }
        let mut text = paint(&title, BOLD, colour);
        for line in side_by_side(&columns, colour) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// The rows and then the means, as one column each.
    fn column(&self, heading: &str, show: impl Fn(&Standing) -> Option<String>) -> Vec<Entry> {
        // The mean of one row is that row.
        let means = if self.rows.len() > 1 { &self.means[..] } else { &[] };
        let lines = self.rows.iter().chain(means);
        let texts = lines.map(|line| plain(&show(line).unwrap_or_else(|| "-".to_owned())));
        std::iter::once(plain(heading)).chain(texts).collect()
    }

    fn names(&self) -> Vec<Entry> {
        self.column("row", |line| Some(line.name.clone()))
    }

    fn best(&self) -> Vec<Entry> {
        let heading = match self.quantity.base() {
            Base::BestPeer => "best peer",
            Base::Reference => "",
        };
        self.column(heading, |line| {
            let best = line.base?;
            let figure = units::short(line.figures[best]?, self.quantity.unit());
            Some(format!("{} {figure}", self.arms[best].label))
        })
    }

    fn ratios(&self, contestant: &Contestant, arm: usize) -> Vec<Entry> {
        let mut column =
            self.column(&contestant.label, |line| line.ratio(arm).map(units::ratio_number));
        if contestant.side == Side::Ours {
            for (entry, row) in column[1..].iter_mut().zip(&self.rows) {
                if row.ratio(arm).is_some_and(|ratio| ratio > LOST) {
                    entry.style = RED;
                }
            }
        }
        column
    }

    fn to_limit(&self, arm: usize, limit: usize) -> Vec<Entry> {
        self.column("/ limit", |line| line.to(arm, limit).map(units::ratio_number))
    }

    /// What the board amounts to, for each arm of ours.
    fn words(&self, mode: &str) -> String {
        let mut out = String::new();
        for against in &self.against_base {
            let (ours, base) = (&self.arms[against.ours].label, &self.arms[against.base].label);
            let whose = match self.quantity.base() {
                Base::BestPeer => format!("the best peer’s ({base}’s)"),
                Base::Reference => format!("{base}’s"),
            };
            let mut text = format!(
                "{ours}, {}, {mode}: geometric mean {} {whose}",
                self.quantity.title(),
                units::ratio_interval(against.ratio)
            );
            if let Some(limit) = against.limit {
                // Writing to a String cannot fail.
                let _ = write!(text, ", {} the limit’s", units::ratio(limit));
            }
            let _ = write!(text, "; {}.", self.lost(against.ours));
            out.push_str(&wrap(&text, WIDTH, ""));
        }
        out
    }

    /// Names the rows that arm `ours` loses.
    fn lost(&self, ours: usize) -> String {
        let lost = self.rows.iter().filter_map(|row| {
            let (base, ratio) = (&self.arms[row.base?].label, row.ratio(ours)?);
            (ratio > LOST).then(|| format!("{} {} ({base})", row.name, units::ratio(ratio)))
        });
        let lost: Vec<String> = lost.collect();
        match lost.is_empty() {
            true => format!("no row is above {LOST}×"),
            false => format!("rows above {LOST}×: {}", lost.join(", ")),
        }
    }
}
