//! A chapter as text for a terminal.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::texts::{Texts, Words};
use super::{Chapter, Language, Moment, Picture, Region, Stairs, Verdict, Word};
use crate::record::{PageState, Unit};
use crate::text::{BOLD, GREEN, RED, paint, wrap};
use crate::units;

/// Columns to the left of what belongs to a claim.
const INDENT: &str = "  ";
/// Bytes of an OS page on this architecture.
const OS_PAGE: usize = 4096;
/// Columns of the longest bar.
const BAR: usize = 40;

pub(super) fn chapter(chapter: &Chapter, language: Language, width: usize, colour: bool) -> String {
    let texts = language.texts();
    let words = texts.chapter(chapter.number);
    let width = width.clamp(40, 100);
    let mut out = String::new();
    let title = format!("{}. {}", chapter.number, words.title);
    let _ = writeln!(out, "{}", paint(&title, BOLD, colour));
    out.push_str(&wrap(&words.about, width, ""));
    for claim in &chapter.claims {
        let sentences = words.claim(claim.name);
        out.push('\n');
        let claimed = texts.fill(&sentences.claim, &claim.values);
        painted(&mut out, &wrap(&claimed, width, ""), BOLD, colour);
        let inner = width - INDENT.len();
        let experiment = texts.fill(&sentences.experiment, &claim.values);
        out.push_str(&wrap(&experiment, inner, INDENT));
        out.push_str(&wrap(&texts.fill(&sentences.found, &claim.values), inner, INDENT));
        let (mark, verdict, style) = match &claim.verdict {
            Verdict::Holds => ("✓", texts.word("holds").to_owned(), GREEN),
            Verdict::Fails => ("✗", texts.word("fails").to_owned(), RED),
            Verdict::Unknown(why) => {
                ("?", format!("{} {}", texts.word("unknown"), texts.word(why)), BOLD)
            }
        };
        painted(&mut out, &wrap(&format!("{mark} {verdict}"), inner, INDENT), style, colour);
    }
    for (name, picture) in &chapter.pictures {
        out.push('\n');
        out.push_str(&wrap(words.picture(name), width, ""));
        self::picture(&mut out, picture, texts, words, width);
    }
    if !chapter.tries.is_empty() {
        let _ = writeln!(out, "\n{}", paint(texts.word("try"), BOLD, colour));
        for one in &chapter.tries {
            let _ = writeln!(out, "{INDENT}{}", one.command);
            out.push_str(&wrap(words.attempt(one.name), width - 4, "    "));
        }
    }
    out
}

/// Lines, each in a style.
fn painted(out: &mut String, lines: &str, style: &'static str, colour: bool) {
    for line in lines.lines() {
        let _ = writeln!(out, "{}", paint(line, style, colour));
    }
}

fn picture(out: &mut String, picture: &Picture, texts: &Texts, words: &Words, width: usize) {
    match picture {
        Picture::Space(regions) => space(out, regions, texts, words),
        Picture::Bars { unit, bars } => {
            let label = |bar: &super::Bar| words.bar(&bar.engine, bar.name);
            let rows: Vec<(String, f64)> = bars.iter().map(|bar| (label(bar), bar.value)).collect();
            self::bars(out, &rows, *unit, width);
        }
        Picture::Stairs(all) => stairs(out, all, texts),
        Picture::Heap(moments) => {
            moments.iter().for_each(|moment| self::moment(out, moment, texts, words, width));
            let _ = writeln!(out, "{INDENT}{}", texts.word("heap-legend"));
        }
        Picture::Words(all) => self::words(out, all, texts, words),
    }
}

/// Highest address first, as the textbook draws it.
fn space(out: &mut String, regions: &[Region], texts: &Texts, words: &Words) {
    let names = regions.iter().map(|region| words.label(region.name).width()).max().unwrap_or(0);
    let mut above = None;
    for region in regions.iter().rev() {
        let gap = above.map_or(0, |above: u64| above.saturating_sub(region.end));
        if gap > 0 {
            let size = units::human(gap as f64, Unit::Bytes);
            let _ = writeln!(out, "{INDENT}{:>14}  ⋮ {size} {}", "", texts.word("unused"));
        }
        let name = words.label(region.name);
        let pad = " ".repeat(names - name.width());
        let size = units::human(region.mapped as f64, Unit::Bytes);
        let start = format!("{:#x}", region.start);
        let _ = writeln!(out, "{INDENT}{start:>14}  {} {name}{pad}  {size}", region.access);
        above = Some(region.start);
    }
}

fn bars(out: &mut String, rows: &[(String, f64)], unit: Unit, width: usize) {
    let names = rows.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    let most = rows.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let room = width.saturating_sub(names + 18).clamp(8, BAR);
    for (name, value) in rows {
        let pad = " ".repeat(names - name.width());
        let eighths =
            if most > 0.0 { (value / most * room as f64 * 8.0).round() as usize } else { 0 };
        // What is not nothing shows.
        let eighths = if *value > 0.0 { eighths.max(1) } else { 0 };
        let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
        let bar = format!("{}{rest}", "█".repeat(eighths / 8));
        let _ = writeln!(out, "{INDENT}{name}{pad}  {bar} {}", units::human(*value, unit));
    }
}

/// One line an engine: usable sizes of some requests, steps and waste.
fn stairs(out: &mut String, all: &[Stairs], texts: &Texts) {
    const SHOWN: [usize; 10] = [1, 17, 25, 33, 65, 100, 129, 513, 1025, 4000];
    let heading = texts.word("request");
    let names = all.iter().map(|one| one.engine.width()).max().unwrap_or(0).max(heading.width());
    let _ = write!(out, "{INDENT}{heading}{}", " ".repeat(names - heading.width()));
    for size in SHOWN {
        let _ = write!(out, "{size:>6}");
    }
    let _ = writeln!(out, "  {}", texts.word("steps-and-waste"));
    for one in all {
        let pad = " ".repeat(names - one.engine.width());
        let _ = write!(out, "{INDENT}{}{pad}", one.engine);
        for size in SHOWN {
            let usable = one.usable.get(size - 1).copied().unwrap_or_default();
            let _ = write!(out, "{usable:>6}");
        }
        let _ = writeln!(out, "  {:>5}  {:.1} %", one.steps(), one.waste() * 100.0);
    }
}

/// The heap, and mappings if there are any.
fn moment(out: &mut String, moment: &Moment, texts: &Texts, words: &Words, width: usize) {
    let _ = writeln!(out, "{INDENT}{}, {}", moment.engine, words.label(moment.name));
    for (name, places) in [("brk", &moment.heap), ("mmap", &moment.mappings)] {
        if places.is_empty() {
            continue;
        }
        let resident = places.iter().filter(|place| **place != PageState::Returned).count();
        let size = |pages: usize| units::human((pages * OS_PAGE) as f64, Unit::Bytes);
        let _ = writeln!(
            out,
            "{INDENT}{name}: {}, {} {}",
            size(places.len()),
            size(resident),
            texts.word("resident")
        );
        pages(out, places, width);
    }
}

/// One line a word: where it lies, what it is, and what it means.
fn words(out: &mut String, all: &[Word], texts: &Texts, words: &Words) {
    for one in all {
        let size = one.size.map(|size| format!(" {}", texts.bytes(size)));
        let _ = writeln!(
            out,
            "{INDENT}{}, {}\n{INDENT}  p - {:<2}  {:#018x}  {}{}",
            one.engine,
            words.label(one.block),
            one.before,
            one.word,
            words.label(one.meaning),
            size.unwrap_or_default()
        );
    }
}

/// Lines of OS pages, several a character where there are many.
fn pages(out: &mut String, places: &[PageState], width: usize) {
    let columns = width.saturating_sub(INDENT.len()).clamp(16, 64);
    let each = places.len().div_ceil(columns * 8).max(1);
    let cells: Vec<char> = places.chunks(each).map(densest).collect();
    for line in cells.chunks(columns) {
        let _ = writeln!(out, "{INDENT}{}", line.iter().collect::<String>());
    }
}

/// A live page shows wherever there is one: it is what pins the others.
fn densest(pages: &[PageState]) -> char {
    if pages.contains(&PageState::Live) {
        '█'
    } else if pages.contains(&PageState::Kept) {
        '▒'
    } else {
        '·'
    }
}
