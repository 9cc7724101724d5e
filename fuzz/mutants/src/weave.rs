//! All mutants of a file in one text, each behind a condition, so that they are
//! compiled once and chosen as the program starts.

use std::fmt::Write;
use std::ops::Range;

use crate::find::{Change, Mutant};

/// A text with mutants woven in.
#[derive(Debug, Default)]
pub struct Woven {
    /// The text.
    pub text: String,
    /// Where in it each mutant is.
    pub places: Vec<Placed>,
}

/// Where a mutant is in the text.
#[derive(Debug)]
pub struct Placed {
    /// Its number.
    pub number: u32,
    /// What is there only for it.
    pub own: Range<usize>,
    /// That, and what is there without it.
    pub whole: Range<usize>,
}

/// Weaves numbered mutants of a file into its text.
pub fn weave(text: &str, mutants: &[(u32, &Mutant)]) -> Woven {
    let mut sorted: Vec<_> = mutants.to_vec();
    // What comes first, and of what begins together, what is outside.
    sorted.sort_by_key(|(number, mutant)| {
        let Range { start, end } = mutant.range;
        (start, start != end, std::cmp::Reverse(end), *number)
    });
    let mut woven = Woven::default();
    emit(text, 0..text.len(), &sorted, &mut woven);
    woven
}

/// The condition under which a mutant is active.
fn condition((number, mutant): (u32, &Mutant)) -> String {
    if mutant.is_const {
        format!("crate::mutant::BUILT == {number}")
    } else {
        format!("crate::mutant::on({number})")
    }
}

fn emit(text: &str, range: Range<usize>, mut mutants: &[(u32, &Mutant)], woven: &mut Woven) {
    let mut at = range.start;
    while let Some(&(number, mutant)) = mutants.first() {
        let here = &mutant.range;
        woven.text.push_str(&text[at..here.start]);
        let same = mutants.iter().take_while(|(_, other)| other.range == *here).count();
        let inside = mutants[same..].iter().take_while(|(_, other)| other.range.end <= here.end);
        let inside = if here.is_empty() { 0 } else { inside.count() };
        let (alternatives, rest) = mutants.split_at(same);
        let (children, rest) = rest.split_at(inside);
        let begin = woven.text.len();
        match &mutant.change {
            Change::Expression(_) => {
                woven.text.push('(');
                for &alternative in alternatives {
                    let Change::Expression(with) = &alternative.1.change else { continue };
                    woven
                        .add(alternative, |condition| format!("if {condition} {{ {with} }} else "));
                }
                woven.text.push_str("{ ");
                emit(text, here.clone(), children, woven);
                woven.text.push_str(" })");
            }
            Change::Leave => {
                let condition = condition((number, mutant));
                // Writing to a String cannot fail.
                let _ = write!(woven.text, "if !({condition}) {{ ");
                emit(text, here.clone(), children, woven);
                woven.text.push_str(" }");
                let all = begin..woven.text.len();
                woven.places.push(Placed { number, own: begin..begin, whole: all });
            }
            Change::Enter(_) => {
                for &alternative in alternatives {
                    let Change::Enter(statement) = &alternative.1.change else { continue };
                    woven
                        .add(alternative, |condition| format!(" if {condition} {{ {statement} }}"));
                }
            }
            Change::Pass => {
                woven.add((number, mutant), |condition| format!(" if !({condition})"));
            }
        }
        let all = begin..woven.text.len();
        for (number, _) in alternatives {
            for place in woven.places.iter_mut().filter(|place| place.number == *number) {
                place.whole = all.clone();
            }
        }
        at = here.end;
        mutants = rest;
    }
    woven.text.push_str(&text[at..range.end]);
}

impl Woven {
    fn add(&mut self, mutant: (u32, &Mutant), written: impl FnOnce(String) -> String) {
        let begin = self.text.len();
        self.text.push_str(&written(condition(mutant)));
        let own = begin..self.text.len();
        self.places.push(Placed { number: mutant.0, own: own.clone(), whole: own });
    }

    /// The mutants that an error at these places of the text is about: those in
    /// whose own text one of them lies, or else the innermost that are there.
    pub fn blamed(&self, places: &[Range<usize>]) -> Vec<u32> {
        let lies = |inner: &Range<usize>, outer: &Range<usize>| {
            outer.start <= inner.start && inner.end <= outer.end
        };
        let own = |place: &&Placed| places.iter().any(|at| lies(at, &place.own));
        let numbers: Vec<u32> = self.places.iter().filter(own).map(|place| place.number).collect();
        if !numbers.is_empty() {
            return numbers;
        }
        let about =
            self.places.iter().filter(|place| places.iter().any(|at| lies(at, &place.whole)));
        let Some(size) = about.clone().map(|place| place.whole.len()).min() else {
            return Vec::new();
        };
        about.filter(|place| place.whole.len() == size).map(|place| place.number).collect()
    }
}

/// The change as lines, those that go and those that come.
pub fn diff(text: &str, mutant: &Mutant) -> String {
    let Range { start, end } = mutant.range;
    let from = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let to = text[end..].find('\n').map_or(text.len(), |at| end + at);
    let put = match &mutant.change {
        Change::Expression(with) => with.clone(),
        Change::Leave => String::new(),
        Change::Enter(statement) => format!(" {statement}"),
        Change::Pass => " if false".to_owned(),
    };
    let new = format!("{}{put}{}", &text[from..start], &text[end..to]);
    let mut lines = String::new();
    for (sign, side) in [('-', &text[from..to]), ('+', &new[..])] {
        for line in side.lines() {
            let _ = writeln!(lines, "{sign} {line}");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::find;

    const TEXT: &str = "fn f(a: u8, b: u8) -> bool { a + 1 < b && a != 3 }\n";

    fn all(text: &str) -> (Vec<Mutant>, Woven) {
        let mutants = find("f.rs", text).unwrap();
        let numbered: Vec<_> = (1..).zip(&mutants).collect();
        let woven = weave(text, &numbered);
        (mutants, woven)
    }

    #[test]
    fn every_mutant_is_in_the_text_once_and_the_original_too() {
        let (mutants, woven) = all(TEXT);
        let whats: Vec<&str> = mutants.iter().map(|mutant| &mutant.what[..]).collect();
        assert_eq!(
            whats,
            [
                "return true at once",
                "return false at once",
                "replace && by ||",
                "replace < by <=",
                "replace < by ==",
                "replace < by >",
                "replace + by -",
                "replace + by *",
                "replace != by ==",
            ]
        );
        for number in 1..=mutants.len() {
            let condition = format!("crate::mutant::on({number})");
            assert_eq!(woven.text.matches(&condition).count(), 1, "{}", woven.text);
        }
        syn::parse_file(&woven.text).unwrap();
        let (_, none) = (0, weave(TEXT, &[]));
        assert_eq!(none.text, TEXT);
    }

    #[test]
    fn an_error_is_blamed_on_whose_text_it_is_in() {
        let (_, woven) = all(TEXT);
        let blamed = |at: Range<usize>| woven.blamed(std::slice::from_ref(&at));
        let at = woven.text.find("(a) + (1)").or(woven.text.find("(a + 1) <= (b)")).unwrap();
        assert_eq!(blamed(at..at + 3), [4]);
        let original = woven.text.rfind("a != 3").unwrap();
        assert_eq!(blamed(original..original + 6), [9]);
        assert_eq!(blamed(0..2), [0_u32; 0]);
    }

    #[test]
    fn tests_macros_and_constants_are_told_apart() {
        let text = "const N: usize = 1 + 2;\nunsafe fn g() { assert!(1 < 2); h(); }\n\
                    #[cfg(test)]\nmod tests { fn t() -> bool { 1 < 2 } }\n";
        let (mutants, woven) = all(text);
        let seen: Vec<_> =
            mutants.iter().map(|m| (&m.what[..], m.is_const, m.is_unsafe, m.line)).collect();
        assert_eq!(
            seen,
            [
                ("replace + by -", true, false, 1),
                ("replace + by *", true, false, 1),
                ("return () at once", false, true, 2),
                ("leave out the call", false, true, 2),
            ]
        );
        assert!(woven.text.contains("(if crate::mutant::BUILT == 1 { (1) - (2) } else "));
        assert!(woven.text.contains("if !(crate::mutant::on(4)) { h(); }"), "{}", woven.text);
        assert!(diff(text, &mutants[3]).contains("+ unsafe fn g() { assert!(1 < 2);  }"));
        assert!(!crate::find::untested(text).unwrap().contains("mod tests"));
    }
}
