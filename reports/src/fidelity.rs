//! How a replay compares with the program that was recorded.

use serde::{Deserialize, Serialize};

use crate::html::{escape, frame};
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

impl Row {
    /// As a person reads it: what, recorded, replayed, off by, bound.
    fn cells(&self) -> [String; 5] {
        let off = self.off().map_or("?".to_owned(), |off| format!("{:+.1} %", 100.0 * off));
        let bound = match (self.bound, self.holds()) {
            (Some(bound), Some(false)) => format!("{:.0} %  DIFFERS", 100.0 * bound),
            (Some(bound), _) => format!("{:.0} %", 100.0 * bound),
            (None, _) => "-".to_owned(),
        };
        let [recorded, replayed] = [self.recorded, self.replayed].map(|it| human(it, self.unit));
        [self.name.clone(), recorded, replayed, off, bound]
    }
}

impl Fidelity {
    fn verdict(&self) -> &'static str {
        match self.holds() {
            true => {
                "The replay does to the allocator what the program did, within the bounds below."
            }
            false => "The replay differs from the program: see the rows marked so.",
        }
    }
}

const CANNOT: &str = "A replay cannot show what the program's own work does to caches, nor when \
                      it touches its blocks: it writes to each once, when it is allocated.";

/// For a terminal.
pub fn to_text(fidelity: &Fidelity) -> String {
    let mut text = format!(
        "{}, under {}\n{}\n\n  {:<28}  {:>12}  {:>12}  {:>9}  {}\n",
        fidelity.command.join(" "),
        fidelity.engine,
        fidelity.verdict(),
        "",
        "recorded",
        "replayed",
        "off",
        "bound"
    );
    for [name, recorded, replayed, off, bound] in fidelity.rows.iter().map(Row::cells) {
        text += &format!("  {name:<28}  {recorded:>12}  {replayed:>12}  {off:>9}  {bound}\n");
    }
    text += &format!("\n{CANNOT}\n");
    for note in &fidelity.notes {
        text += &format!("{note}\n");
    }
    text
}

/// One HTML file, a section for each: no network, no script.
pub fn to_html(all: &[Fidelity]) -> String {
    let mut out = String::new();
    frame::head(&mut out, "en", "brkpoint: a program and its replay", None);
    out += "<header>\n<h1>A recorded program and its replay</h1>\n</header>\n";
    for fidelity in all {
        out += &format!(
            "<section>\n<h2>{}, under {}</h2>\n<p class=\"first\">{}</p>\n\
             <div class=\"scroll\"><table>\n<thead><tr><th></th><th>recorded</th><th>replayed</th>\
             <th>off</th><th>bound</th></tr></thead>\n<tbody>\n",
            escape(&fidelity.command.join(" ")),
            escape(&fidelity.engine),
            fidelity.verdict(),
        );
        for row in &fidelity.rows {
            let cells = row.cells().map(|cell| format!("<td>{}</td>", escape(&cell)));
            out += &format!("<tr>{}</tr>\n", cells.concat());
        }
        out += "</tbody></table></div>\n";
        for note in fidelity.notes.iter().map(String::as_str).chain([CANNOT]) {
            out += &format!("<p>{}</p>\n", escape(note));
        }
        out += "</section>\n";
    }
    out + "</main>\n</body>\n</html>\n"
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
        let page = to_html(&[fidelity]);
        assert!(page.contains("<td>+100.0 %</td><td>3 %  DIFFERS</td>"), "{page}");
    }
}
