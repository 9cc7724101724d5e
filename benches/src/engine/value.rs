//! Values of knobs: what a person writes, and what an engine is given.

use std::ops::RangeInclusive;

use serde::Deserialize;

use super::catalog::{Knob, Sizes};

/// What a knob counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes; K, M, G and T mean powers of 1024.
    Bytes,
    /// A plain number.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// 0 or 1.
    Switch,
    /// One of the knob's words.
    Choice,
}

/// Suffixes and the powers of two they stand for.
const SUFFIXES: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

/// A value in its two spellings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// As records show it: one spelling for one value, `64K` for 65536.
    pub shown: String,
    /// As the engine gets it: digits only, since not all of them know suffixes.
    pub given: String,
}

impl Knob {
    /// Reads `text` as a value of this knob.
    pub(super) fn value(&self, text: &str) -> Option<Value> {
        if self.words.iter().any(|word| word == text) {
            return Some(Value { shown: text.to_owned(), given: text.to_owned() });
        }
        if let Some(sizes) = &self.sizes
            && let Some(list) = text.strip_prefix(&sizes.prefix)
        {
            return sizes.value(list);
        }
        let (number, accepted) = (self.number(text)?, self.accepted());
        accepted
            .contains(&number)
            .then(|| Value { shown: self.show(number), given: number.to_string() })
    }

    /// `text` as records show it; `None` if the knob does not take it.
    pub fn shows(&self, text: &str) -> Option<String> {
        self.value(text).map(|value| value.shown)
    }

    fn number(&self, text: &str) -> Option<u64> {
        match self.unit {
            Unit::Bytes => bytes(text),
            Unit::Count | Unit::Milliseconds | Unit::Switch => digits(text),
            Unit::Choice => None,
        }
    }

    fn show(&self, number: u64) -> String {
        match self.unit {
            Unit::Bytes => shown_bytes(number),
            _ => number.to_string(),
        }
    }

    /// The numbers that the engine takes.
    fn accepted(&self) -> RangeInclusive<u64> {
        match (self.unit, &self.accepts) {
            (Unit::Switch, _) => 0..=1,
            (_, Some([low, high])) => {
                self.number(low).unwrap_or(0)..=self.number(high).unwrap_or(u64::MAX)
            }
            (_, None) => 0..=i64::MAX as u64,
        }
    }

    /// What a value may be, in words.
    pub fn expected(&self) -> String {
        let number = match self.unit {
            Unit::Bytes => "a size in bytes (K, M, G and T stand for powers of 1024)",
            Unit::Count => "a number",
            Unit::Milliseconds => "milliseconds",
            Unit::Switch => return "0 or 1".to_owned(),
            Unit::Choice => "one of",
        };
        let mut expected = number.to_owned();
        if let Some([low, high]) = &self.accepts {
            expected.push_str(&format!(" from {low} to {high}"));
        }
        if !self.words.is_empty() {
            let before = if self.unit == Unit::Choice { " " } else { ", or " };
            expected.push_str(&format!("{before}{}", self.words.join(", ")));
        }
        if let Some(sizes) = &self.sizes {
            expected.push_str(&format!(", or {}", sizes.expected()));
        }
        expected
    }
}

impl Sizes {
    fn value(&self, list: &str) -> Option<Value> {
        let sizes: Vec<u64> = list.split('+').map(bytes).collect::<Option<_>>()?;
        let largest = bytes(&self.largest)?;
        let fits = |size: &u64| {
            (self.smallest..=largest).contains(size) && size.is_multiple_of(self.grain)
        };
        let taken = sizes.len() <= self.most
            && sizes.iter().all(fits)
            && sizes.is_sorted_by(|smaller, larger| smaller < larger);
        let text = |each: fn(u64) -> String| {
            let sizes: Vec<String> = sizes.iter().map(|&size| each(size)).collect();
            format!("{}{}", self.prefix, sizes.join("+"))
        };
        taken.then(|| Value { shown: text(shown_bytes), given: text(|size| size.to_string()) })
    }

    fn expected(&self) -> String {
        let Sizes { prefix, grain, most, largest, .. } = self;
        if *most == 1 {
            return format!("{prefix}SIZE (none above {largest})");
        }
        format!(
            "{prefix}SIZE+SIZE+... (up to {most} multiples of {grain} bytes in ascending order, \
             K, M, none above {largest})"
        )
    }
}

fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// Reads a size in bytes; K, M, G and T stand for powers of 1024.
pub fn bytes(text: &str) -> Option<u64> {
    let last = text.chars().last()?.to_ascii_uppercase();
    match SUFFIXES.iter().find(|(letter, _)| *letter == last) {
        Some((_, power)) => digits(&text[..text.len() - 1])?.checked_mul(1 << power),
        None => digits(text),
    }
}

fn shown_bytes(bytes: u64) -> String {
    let whole = |power: u32| bytes != 0 && bytes.trailing_zeros() >= power;
    match SUFFIXES.iter().find(|(_, power)| whole(*power)) {
        Some((letter, power)) => format!("{}{letter}", bytes >> power),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown_in_one_spelling() {
        for (text, number, shown) in [
            ("65536", 65_536, "64K"),
            ("64k", 65_536, "64K"),
            ("1024K", 1 << 20, "1M"),
            ("3G", 3 << 30, "3G"),
            ("1000", 1000, "1000"),
            ("0", 0, "0"),
        ] {
            assert_eq!(bytes(text), Some(number), "{text}");
            assert_eq!(shown_bytes(number), shown);
        }
        for text in [
            "",
            "K",
            "-1",
            "+1",
            "1.5M",
            "64KB",
            "0x10",
            "64 K",
            "99999999999999999999",
            "33554432T",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn lists_of_sizes_are_read_and_shown_in_one_spelling() {
        let of = |prefix: &str, grain, most, smallest| Sizes {
            prefix: prefix.into(),
            grain,
            most,
            smallest,
            largest: "1M".into(),
        };
        let sizes = of("list:", 16, 3, 16);
        let value = sizes.value("32+1024+1M").unwrap();
        assert_eq!((&*value.shown, &*value.given), ("list:32+1K+1M", "list:32+1024+1048576"));
        for list in ["", "+", "32+", "0", "24", "32+32", "64+32", "2M", "16+32+48+64", "32,64", "x"]
        {
            assert_eq!(sizes.value(list), None, "{list}");
        }
        let one = of("dynamic:", 1, 1, 0);
        assert_eq!(one.value("1024").unwrap().shown, "dynamic:1K");
        assert_eq!(one.value("0").unwrap().shown, "dynamic:0");
        assert_eq!((one.value("1K+2K"), one.value("2M")), (None, None));
        assert_eq!(one.expected(), "dynamic:SIZE (none above 1M)");
    }
}
