//! `brkpoint explain`: what experiments showed, told in a language.
//!
//! - [`Chapter`], [`Claim`], [`Value`], [`Picture`]: the figures, without a word
//! - `texts`: the words, from `en.toml` and `zh.toml`, which have the same keys
//!   and the same placeholders
//! - `terminal`: a chapter as text; `json`: as lines of JSON
//! - [`Book`]: chapters that become a page (`html::book`)

mod json;
mod picture;
mod terminal;
pub(crate) mod texts;

use std::collections::BTreeMap;

use crate::record::Machine;

pub use picture::{Bar, Moment, Picture, Region, Stairs, Word};
pub use texts::Language;

/// The chapters that were tried, and where: a page of the textbook.
#[derive(Debug, Clone, PartialEq)]
pub struct Book {
    /// In the order of the textbook.
    pub chapters: Vec<Chapter>,
    /// Where they were tried.
    pub machine: Machine,
    /// When, RFC 3339, UTC.
    pub started: String,
    /// The command line that did it.
    pub command_line: Vec<String>,
}

/// A chapter of the textbook, with what this machine says to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Chapter {
    /// From 1 on.
    pub number: u8,
    /// The engine under which it ran, as `-e` spells it, with its version.
    pub engine: String,
    /// In the order of the text.
    pub claims: Vec<Claim>,
    /// By name.
    pub pictures: Vec<(&'static str, Picture)>,
    /// What the reader may try.
    pub tries: Vec<Try>,
}

/// A command that changes the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// Its name in the texts.
    pub name: &'static str,
    /// As a shell takes it.
    pub command: &'static str,
    /// The claims that then do not hold.
    pub breaks: &'static [&'static str],
}

/// A sentence of the textbook, and the proof.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Its name in the texts.
    pub name: &'static str,
    /// Whether it holds here.
    pub verdict: Verdict,
    /// What was counted, by the name of the placeholder.
    pub values: Values,
}

/// What was counted, by the name of the placeholder.
pub type Values = BTreeMap<&'static str, Value>;

/// Whether a claim holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As the textbook has it.
    Holds,
    /// Not on this machine, or not under this engine.
    Fails,
    /// It could not be counted; why, by its name in the texts.
    Unknown(&'static str),
}

impl Verdict {
    /// Of something that was counted.
    pub fn of(holds: bool) -> Verdict {
        if holds { Verdict::Holds } else { Verdict::Fails }
    }
}

/// A figure in a sentence.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number of things.
    Count(i64),
    /// A size, which is told exactly.
    Bytes(u64),
    /// A place in memory.
    Address(u64),
    /// A duration in seconds.
    Seconds(f64),
    /// How many times as much.
    Ratio(f64),
    /// A part of a whole, in percent.
    Percent(f64),
    /// A name: of an engine, a library, a setting.
    Name(String),
}

impl Chapter {
    /// The chapter in `language` for a terminal of `width` columns, in colours if
    /// `colour`.
    pub fn to_text(&self, language: Language, width: usize, colour: bool) -> String {
        terminal::chapter(self, language, width, colour)
    }

    /// One line of JSON for each claim; the same in every language.
    pub fn to_json_lines(&self) -> String {
        json::lines(self)
    }

    /// How many claims do not hold, and how many could not be told.
    pub fn failures(&self) -> (usize, usize) {
        let count =
            |of: fn(&Verdict) -> bool| self.claims.iter().filter(|c| of(&c.verdict)).count();
        (
            count(|verdict| *verdict == Verdict::Fails),
            count(|verdict| matches!(verdict, Verdict::Unknown(_))),
        )
    }
}
