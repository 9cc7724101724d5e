//! A chapter as lines of JSON.

use serde_json::{Map, Value as Json, json};

use super::{Chapter, Value, Verdict};

/// One line for each claim.
pub(super) fn lines(chapter: &Chapter) -> String {
    let mut text = String::new();
    for claim in &chapter.claims {
        let (holds, why) = match &claim.verdict {
            Verdict::Holds => (Some(true), None),
            Verdict::Fails => (Some(false), None),
            Verdict::Unknown(why) => (None, Some(why)),
        };
        let values: Map<String, Json> =
            claim.values.iter().map(|(name, value)| ((*name).to_owned(), plain(value))).collect();
        let line = json!({
            "chapter": chapter.number,
            "engine": chapter.engine,
            "claim": claim.name,
            "holds": holds,
            "why_unknown": why,
            "values": values,
        });
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// A figure in its base unit: bytes, seconds, percent.
fn plain(value: &Value) -> Json {
    match value {
        Value::Count(count) => json!(count),
        Value::Bytes(bytes) => json!(bytes),
        Value::Address(address) => json!(format!("{address:#x}")),
        Value::Seconds(number) | Value::Ratio(number) | Value::Percent(number) => json!(number),
        Value::Name(name) => json!(name),
    }
}
