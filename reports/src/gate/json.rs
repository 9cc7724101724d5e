//! A gate for programs: one JSON object.

use serde_json::{Value, json};

use super::{Answer, Gate, Row};
use crate::judge::Verdict;
use crate::stats::Estimate;

impl Answer {
    /// The word in `--json`.
    pub const fn word(self) -> &'static str {
        match self {
            Answer::Passes => "passes",
            Answer::Worse => "worse",
            Answer::Open => "undecided",
        }
    }
}

impl Gate {
    /// The gate as one JSON object. `low` and `high` are the interval of the ratio: at
    /// the confidence that rules a change for the worse out for rows of which that is
    /// said, else at that which finds one; what does not exist is `null`.
    pub fn to_json(&self) -> String {
        let rows = |rows: &[Row]| -> Vec<Value> { rows.iter().map(row).collect() };
        // These are not measured again: what they read is what they are.
        let read = |rows: &[Row]| -> Vec<Value> {
            let one = |one: &Row| {
                let mut value = row(one);
                value["verdict"] = value["first"].clone();
                value
            };
            rows.iter().map(one).collect()
        };
        let failures = self.failures.iter();
        let failures = failures.map(|(workload, why)| json!({"workload": workload, "error": why}));
        json!({
            "answer": self.answer().word(),
            "base": self.base,
            "new": self.new,
            "trusted": self.distrust.is_empty(),
            "distrust": self.distrust,
            "rows": rows(&self.rows),
            "repeats": read(&self.repeats),
            "controls": read(&self.controls),
            "failures": failures.collect::<Vec<_>>(),
            "notes": self.notes,
            "margins": self.margins,
            "confidence": {"found": self.levels.found, "ruled_out": self.levels.ruled_out},
            "interleaved": self.interleaved,
            "equal": self.equal,
        })
        .to_string()
    }
}

fn row(row: &Row) -> Value {
    let again = row.again.map(|again| {
        let mut value = ratio(again.ratio);
        value["pairs"] = json!(again.pairs);
        value["verdict"] = json!(word(again.verdict));
        value
    });
    let mut value = ratio(row.ratio);
    value["workload"] = json!(row.workload);
    value["metric"] = json!(row.quantity);
    value["unit"] = json!(row.quantity.unit());
    value["base"] = json!(row.base);
    value["new"] = json!(row.new);
    value["pairs"] = json!(row.pairs);
    value["exact"] = json!(row.exact);
    value["verdict"] = json!(word(row.verdict()));
    value["first"] = json!(word(row.first));
    value["confirmation"] = json!(again);
    value["why_not"] = json!(row.why_not);
    value
}

fn ratio(ratio: Option<Estimate>) -> Value {
    let interval = ratio.and_then(|ratio| ratio.interval);
    json!({
        "ratio": ratio.map(|ratio| ratio.value),
        "low": interval.map(|interval| interval.low),
        "high": interval.map(|interval| interval.high),
    })
}

fn word(verdict: Verdict) -> String {
    verdict.change().to_lowercase().replace(' ', "_")
}
