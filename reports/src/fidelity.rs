//! How a replay compares with the program that was recorded.

use serde::{Deserialize, Serialize};

use crate::record::Unit;
use crate::units::human;

/// A recorded program beside its replay, under one engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// The trace.
    pub trace: String,
    /// The command that was run again.
    pub command: Vec<String>,
    /// The engine with its settings.
    pub engine: String,
    /// What was compared.
    pub rows: Vec<Row>,
    /// What else a reader should know.
    pub notes: Vec<String>,
}

/// One quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// Of the program.
    pub recorded: f64,
    /// Of its replay.
    pub replayed: f64,
    /// How far the replay may be off, as a share of the program's; `None`: it is
    /// only shown.
    pub bound: Option<f64>,
}

impl Row {
    /// By which share of the program's the replay is off; `None` where that is
    /// nothing and the replay's is not.
    pub fn off(&self) -> Option<f64> {
        let off = self.replayed - self.recorded;
        match self.recorded {
            0.0 => (off == 0.0).then_some(0.0),
            recorded => Some(off / recorded),
        }
    }

    /// Whether it is within its bound; `None`: it has none.
    pub fn holds(&self) -> Option<bool> {
        self.bound.map(|bound| self.off().is_some_and(|off| off.abs() <= bound))
    }
}

impl Fidelity {
    /// Whether every row is within its bound.
    pub fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.holds() != Some(false))
    }
}

/// For a terminal.
pub fn to_text(fidelity: &Fidelity) -> String {
    let verdict = match fidelity.holds() {
        true => "The replay does to the allocator what the program did, within the bounds below.",
        false => "The replay differs from the program: see the rows marked so.",
    };
    let mut text = format!(
        "{}, under {}\n{verdict}\n\n  {:<28}  {:>12}  {:>12}  {:>9}  {}\n",
        fidelity.command.join(" "),
        fidelity.engine,
        "",
        "recorded",
        "replayed",
        "off",
        "bound"
    );
    for row in &fidelity.rows {
        let off = row.off().map_or("?".to_owned(), |off| format!("{:+.1} %", 100.0 * off));
        let bound = match (row.bound, row.holds()) {
            (Some(bound), Some(false)) => format!("{:.0} %  DIFFERS", 100.0 * bound),
            (Some(bound), _) => format!("{:.0} %", 100.0 * bound),
            (None, _) => "-".to_owned(),
        };
        text += &format!(
            "  {:<28}  {:>12}  {:>12}  {off:>9}  {bound}\n",
            row.name,
            human(row.recorded, row.unit),
            human(row.replayed, row.unit)
        );
    }
    text += "\nA replay cannot show what the program's own work does to caches, nor how it touches \
             its blocks: it writes to each once, when it is allocated.\n";
    for note in &fidelity.notes {
        text += &format!("{note}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(recorded: f64, replayed: f64, bound: Option<f64>) -> Row {
        Row { name: "brk".into(), unit: Unit::Count, recorded, replayed, bound }
    }

    #[test]
    fn a_row_holds_within_its_bound() {
        assert_eq!(row(100.0, 103.0, Some(0.03)).holds(), Some(true));
        assert_eq!(row(100.0, 96.0, Some(0.03)).holds(), Some(false));
        assert_eq!(row(0.0, 0.0, Some(0.0)).holds(), Some(true));
        assert_eq!(row(0.0, 1.0, Some(0.5)).holds(), Some(false));
        assert_eq!(row(1.0, 9.0, None).holds(), None);
    }

    #[test]
    fn what_differs_is_marked() {
        let mut fidelity = Fidelity {
            trace: "x".into(),
            command: vec!["true".into()],
            engine: "glibc".into(),
            rows: vec![row(100.0, 100.0, Some(0.03))],
            notes: Vec::new(),
        };
        assert!(fidelity.holds() && !to_text(&fidelity).contains("DIFFERS"));
        fidelity.rows.push(row(100.0, 200.0, Some(0.03)));
        assert!(!fidelity.holds() && to_text(&fidelity).contains("+100.0 %  3 %  DIFFERS"));
    }
}
