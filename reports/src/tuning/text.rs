//! The answer as a terminal shows it.

use std::fmt::Write;

use super::{Advice, Answer, named, objective, objective_ratio};
use crate::ratio_interval;
use crate::stats::Estimate;

/// The answer in words and in every spelling.
pub fn to_text(answer: &Answer) -> String {
    let mut out = String::new();
    let reference = named(&answer.reference);
    match answer.advice {
        Advice::Recommend => {
            put(&mut out, format_args!("Recommended for {}:\n", answer.workload));
            if let Some(first) = answer.spellings.first() {
                put(&mut out, format_args!("  {}\n", first.text));
            }
        }
        Advice::KeepDefault => {
            put(&mut out, format_args!("Keep the default ({reference}): {}.", answer.why));
        }
        Advice::Undecided => put(&mut out, format_args!("Undecided: {}.", answer.why)),
    }
    let (what, cost) = (objective(answer), answer.cost.name());
    for one in &answer.contenders {
        let memory = one
            .memory
            .map_or("not measured".to_owned(), |memory| ratio_interval(Estimate::exact(memory)));
        let first = match what == cost {
            true => String::new(),
            false => format!("{what} {}, ", ratio_interval(objective_ratio(answer, one.objective))),
        };
        put(
            &mut out,
            format_args!(
                "  {:<58} {}: {first}{cost} {}, memory {memory}",
                named(&one.cell),
                one.word.word(),
                ratio_interval(answer.cost.shown(one.cost)),
            ),
        );
    }
    if let Some(repeat) = answer.repeat {
        let what = "A/A: the default against itself";
        let ratio = ratio_interval(answer.cost.shown(repeat));
        put(&mut out, format_args!("  {what:<58} {cost} {ratio}"));
    }
    if answer.rounds > 0 {
        put(
            &mut out,
            format_args!(
                "Ratios to {reference} over {} fresh interleaved rounds; the intervals' 99 % is for \
                 all finalists and looks together.",
                answer.rounds
            ),
        );
    }
    for (i, fact) in answer.facts.iter().enumerate() {
        put(&mut out, format_args!("{}{fact}", if i == 0 { "\nWhy: " } else { "     " }));
    }
    if !answer.spellings.is_empty() {
        put(&mut out, format_args!("\nTo set it:"));
        for spelling in &answer.spellings {
            let text = spelling.text.replace('\n', "\n    ");
            put(&mut out, format_args!("  {}:\n    {text}", spelling.place));
        }
    }
    let tried = answer.tried;
    put(
        &mut out,
        format_args!(
            "\n{} configurations: {} counted, {} known to do what their neighbours do, {} timed \
             ({} of them though their counts spoke against them), {} confirmed.",
            tried.all,
            tried.counted,
            tried.inferred,
            tried.timed,
            tried.readmitted,
            answer.contenders.len()
        ),
    );
    for note in &answer.notes {
        put(&mut out, format_args!("Note: {note}"));
    }
    out
}

/// A line; writing into a string does not fail.
fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{line}");
}
