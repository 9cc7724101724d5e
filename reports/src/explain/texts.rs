//! The words of the textbook, apart from what they tell.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::{Value, Values};
use crate::record::Unit;
use crate::units;

/// A language of the textbook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese, in simplified characters.
    Zh,
}

impl Language {
    /// All there are.
    pub const ALL: [Language; 2] = [Language::En, Language::Zh];

    /// Its code: `en`, `zh`.
    pub fn code(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::Zh => "zh",
        }
    }

    pub(crate) fn texts(self) -> &'static Texts {
        static EN: OnceLock<Texts> = OnceLock::new();
        static ZH: OnceLock<Texts> = OnceLock::new();
        let (cell, source) = match self {
            Language::En => (&EN, include_str!("en.toml")),
            Language::Zh => (&ZH, include_str!("zh.toml")),
        };
        cell.get_or_init(|| {
            toml::from_str(source).unwrap_or_else(|why| panic!("{}.toml: {why}", self.code()))
        })
    }
}

/// All words of a language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Texts {
    words: BTreeMap<String, String>,
    chapter: BTreeMap<String, Words>,
}

/// The words of a chapter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    pub title: String,
    pub about: String,
    claims: BTreeMap<String, Sentences>,
    #[serde(default)]
    pictures: BTreeMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    tries: BTreeMap<String, String>,
}

/// The sentences of a claim.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sentences {
    /// What the textbook says.
    pub claim: String,
    /// What was done.
    pub experiment: String,
    /// What came of it, with a placeholder for each figure.
    pub found: String,
}

impl Texts {
    /// A common word.
    pub(crate) fn word(&self, name: &str) -> &str {
        found(&self.words, name)
    }

    pub(crate) fn chapter(&self, number: u8) -> &Words {
        &self.chapter[&number.to_string()]
    }

    /// `text` with its placeholders filled.
    pub(crate) fn fill(&self, text: &str, values: &Values) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').unwrap_or((after, ""));
            out.push_str(before);
            match values.get(name) {
                Some(value) => out.push_str(&self.value(value)),
                None => out.push('?'),
            }
            rest = behind;
        }
        out + rest
    }

    fn value(&self, value: &Value) -> String {
        match value {
            Value::Count(count) => number(*count),
            Value::Bytes(bytes) => self.bytes(*bytes),
            Value::Address(address) => format!("{address:#x}"),
            Value::Seconds(seconds) if *seconds < 1e-6 => format!("{:.1} ns", seconds * 1e9),
            Value::Seconds(seconds) => units::human(*seconds, Unit::Seconds),
            Value::Ratio(ratio) => units::ratio(*ratio),
            Value::Percent(percent) if *percent < 0.1 => format!("{percent:.1e} %"),
            Value::Percent(percent) => format!("{percent:.1} %"),
            Value::Name(name) => name.clone(),
        }
    }

    /// Exactly: in binary units only where they come out even.
    pub(crate) fn bytes(&self, bytes: u64) -> String {
        let even = |power: u32| bytes > 0 && bytes.is_multiple_of(1 << power);
        let binary = |power: u32, unit| format!("{} {unit}", number((bytes >> power) as i64));
        match bytes {
            1 => self.word("byte").to_owned(),
            _ if even(40) => binary(40, "TiB"),
            _ if even(30) => binary(30, "GiB"),
            _ if even(20) => binary(20, "MiB"),
            _ if even(10) => binary(10, "KiB"),
            _ => self.word("bytes").replace("{n}", &number(bytes as i64)),
        }
    }
}

impl Words {
    pub(crate) fn claim(&self, name: &str) -> &Sentences {
        &self.claims[name]
    }

    pub(crate) fn picture(&self, name: &str) -> &str {
        found(&self.pictures, name)
    }

    pub(crate) fn label(&self, name: &str) -> &str {
        found(&self.labels, name)
    }

    /// The name of a bar: of an engine, of what it is, or of both.
    pub(crate) fn bar(&self, engine: &str, name: &str) -> String {
        match (engine, name) {
            (engine, "") => engine.to_owned(),
            ("", name) => self.label(name).to_owned(),
            (engine, name) => format!("{engine}, {}", self.label(name)),
        }
    }

    pub(crate) fn attempt(&self, name: &str) -> &str {
        found(&self.tries, name)
    }
}

fn found<'t>(table: &'t BTreeMap<String, String>, name: &str) -> &'t str {
    table.get(name).unwrap_or_else(|| panic!("the texts have no {name:?}"))
}

fn number(count: i64) -> String {
    let sign = if count < 0 { "−" } else { "" };
    format!("{sign}{}", units::human(count.unsigned_abs() as f64, Unit::Count))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Every sentence of a language by its path.
    fn sentences(language: Language) -> BTreeMap<String, String> {
        fn walk(path: &str, value: &toml::Value, all: &mut BTreeMap<String, String>) {
            match value {
                toml::Value::Table(table) => {
                    table
                        .iter()
                        .for_each(|(key, value)| walk(&format!("{path}.{key}"), value, all));
                }
                toml::Value::String(text) => {
                    all.insert(path.to_owned(), text.clone());
                }
                other => panic!("{path} is no text: {other}"),
            }
        }
        let source = match language {
            Language::En => include_str!("en.toml"),
            Language::Zh => include_str!("zh.toml"),
        };
        let mut all = BTreeMap::new();
        walk("", &toml::from_str(source).expect("TOML"), &mut all);
        language.texts();
        all
    }

    fn placeholders(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).map(|part| part.split_once('}').expect("closed").0).collect()
    }

    #[test]
    fn both_languages_have_every_sentence_and_the_same_placeholders() {
        let (en, zh) = (sentences(Language::En), sentences(Language::Zh));
        assert_eq!(en.keys().collect::<Vec<_>>(), zh.keys().collect::<Vec<_>>());
        for (path, english) in &en {
            let chinese = &zh[path];
            assert_eq!(placeholders(english), placeholders(chinese), "{path}");
            assert!(!english.trim().is_empty() && !chinese.trim().is_empty(), "{path}");
            assert!(!english.chars().any(is_han), "{path} is not English");
            // What is left as it is are names of the field's: `malloc`, `[heap]`.
            let translated = chinese.chars().any(is_han) || english == chinese;
            assert!(translated, "{path} is not Chinese: {chinese}");
        }
    }

    fn is_han(c: char) -> bool {
        ('\u{4e00}'..='\u{9fff}').contains(&c)
    }

    #[test]
    fn figures_are_told_exactly() {
        let texts = Language::En.texts();
        for (value, told) in [
            (Value::Bytes(135_168), "132 KiB"),
            (Value::Bytes(131_049), "131,049 bytes"),
            (Value::Bytes(0), "0 bytes"),
            (Value::Bytes(1), "1 byte"),
            (Value::Bytes(1 << 47), "128 TiB"),
            (Value::Count(-3), "−3"),
            (Value::Address(0x1000), "0x1000"),
            (Value::Percent(12.34), "12.3 %"),
        ] {
            assert_eq!(texts.value(&value), told);
        }
        let values = Values::from([("n", Value::Count(1234))]);
        assert_eq!(texts.fill("{n} of {m}, {n}", &values), "1,234 of ?, 1,234");
    }
}
