//! How engines stand over several workloads, for a terminal.

use super::{Contest, Duel, Overall, Standing};
use crate::record::Role;
use crate::stats::{Estimate, Interval};
use crate::text::{plain, side_by_side};

impl Overall {
    /// A table of ratios to the reference, and then how each engine called `own`
    /// stands against each peer. In square brackets: 99 % intervals.
    pub fn to_text(&self, own: &str) -> String {
        let mut columns = vec![self.column("engine", |s| s.arm.label.clone())];
        for (index, name) in self.workloads.iter().enumerate() {
            columns.push(self.column(name, |standing| match standing.arm.role {
                Role::Reference => or_dash(standing.medians[index], |v| self.quantity.shown(v)),
                _ => or_dash(standing.ratios[index], |ratio| format!("{:.3}", ratio.value)),
            }));
        }
        columns.push(self.column("geometric mean", |standing| match standing.arm.role {
            Role::Reference => "1".to_owned(),
            _ => or_dash(standing.mean, estimate),
        }));
        let entries: Vec<Vec<_>> =
            columns.iter().map(|column| column.iter().map(|text| plain(text)).collect()).collect();
        let mut out = format!("{}, ratio to the reference\n", self.quantity.name());
        for line in side_by_side(&entries, false) {
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out.extend(self.contests(own).iter().map(told));
        out
    }

    fn column(&self, name: &str, text: impl Fn(&Standing) -> String) -> Vec<String> {
        std::iter::once(name.to_owned()).chain(self.standings.iter().map(text)).collect()
    }
}

fn told(contest: &Contest<'_>) -> String {
    let mut out = format!("{} to each, the best of them first:\n", contest.own.arm.label);
    for duel in &contest.duels {
        out += &format!("  {}  {}\n", estimate(duel.ratio), duel.peer.arm.label);
    }
    let best = [("the best", contest.best()), ("the best candidate", contest.best_candidate())];
    for (what, duel) in best.into_iter().filter_map(|(what, duel)| Some((what, duel?))) {
        out += &format!("to {what}, {}: {}\n", duel.peer.arm.label, word(duel));
    }
    out
}

fn word(duel: &Duel<'_>) -> &'static str {
    match duel.ratio.interval {
        None => "too few rounds for an interval",
        Some(_) if duel.is_lost() => "more, the interval lies wholly above 1",
        Some(Interval { high, .. }) if high < 1.0 => "less, the interval lies wholly below 1",
        Some(_) => "undecided, 1 lies within the interval",
    }
}

fn estimate(estimate: Estimate) -> String {
    match estimate.interval {
        Some(Interval { low, high }) => format!("{:.3} [{low:.3}, {high:.3}]", estimate.value),
        None => format!("{:.3} [?]", estimate.value),
    }
}

fn or_dash<T>(value: Option<T>, shown: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), shown)
}
