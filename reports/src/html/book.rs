//! The textbook as a page.

use std::fmt::Write;

use super::parts::{Table, behind, put};
use super::{escape, frame};
use crate::explain::texts::{Texts, Words};
use crate::explain::{
    Bar, Book, Chapter, Claim, Language, Moment, Picture, Region, Stairs, Verdict, Word,
};
use crate::record::{PageState, Unit};
use crate::svg;
use crate::units;

/// Bytes of an OS page on this architecture.
const OS_PAGE: usize = 4096;
/// Requests of the staircase that shows single steps.
const NEAR: usize = 256;

impl Book {
    /// The textbook as one HTML file in `language`: no network, no script.
    pub fn to_html(&self, language: Language) -> String {
        let texts = language.texts();
        let mut out = String::new();
        let tag = if language == Language::Zh { "zh-Hans" } else { language.code() };
        frame::head(&mut out, tag, texts.word("title"), None);
        put!(
            out,
            "<header>\n<h1>{}</h1>\n<p class=\"facts\">{}</p>\n</header>",
            escape(texts.word("title")),
            escape(&self.facts().join(" · "))
        );
        summary(&mut out, self, texts);
        contents(&mut out, self, texts);
        for chapter in &self.chapters {
            self::chapter(&mut out, chapter, texts);
        }
        put!(
            out,
            "<section id=\"again\">\n<h2>{}</h2>\n<pre tabindex=\"0\"><code>{}</code></pre>\n</section>",
            escape(texts.word("again")),
            escape(&frame::shell(&self.command_line))
        );
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }

    fn facts(&self) -> Vec<String> {
        let engine = self.chapters.first().map(|chapter| chapter.engine.clone());
        let machine = [&self.machine.cpu, &self.machine.kernel, &self.machine.libc];
        let mut facts: Vec<String> = engine.into_iter().collect();
        facts.extend(machine.into_iter().flatten().cloned());
        facts.push(self.started.clone());
        facts
    }
}

/// Where a claim stands on the page.
fn anchor(chapter: &Chapter, claim: &Claim) -> String {
    format!("c{}-{}", chapter.number, claim.name)
}

/// How many claims hold, and which do not.
fn summary(out: &mut String, book: &Book, texts: &Texts) {
    let all = || book.chapters.iter().flat_map(|c| c.claims.iter().map(move |claim| (c, claim)));
    let count = |of: fn(&Verdict) -> bool| all().filter(|(_, claim)| of(&claim.verdict)).count();
    let engine = book.chapters.first().map_or("", |chapter| &chapter.engine);
    let sentence = texts
        .word("summary")
        .replace("{holding}", &count(|verdict| *verdict == Verdict::Holds).to_string())
        .replace("{claims}", &all().count().to_string())
        .replace("{engine}", engine);
    put!(out, "<section id=\"verdict\">\n<p class=\"first\">{}</p>", escape(&sentence));
    put!(out, "<p>{}</p>", escape(texts.word("how")));
    for (word, of) in [
        ("failing", (|verdict| *verdict == Verdict::Fails) as fn(&Verdict) -> bool),
        ("untold", |verdict| matches!(verdict, Verdict::Unknown(_))),
    ] {
        if count(of) == 0 {
            continue;
        }
        put!(out, "<p>{}</p>\n<ul>", escape(texts.word(word)));
        for (chapter, claim) in all().filter(|(_, claim)| of(&claim.verdict)) {
            let sentence = &texts.chapter(chapter.number).claim(claim.name).claim;
            put!(
                out,
                "<li><a href=\"#{}\">{}</a></li>",
                anchor(chapter, claim),
                escape(&texts.fill(sentence, &claim.values))
            );
        }
        put!(out, "</ul>");
    }
    put!(out, "</section>");
}

fn contents(out: &mut String, book: &Book, texts: &Texts) {
    put!(out, "<nav class=\"contents\" aria-label=\"{}\">\n<ol>", escape(texts.word("contents")));
    for chapter in &book.chapters {
        let holding = chapter.claims.iter().filter(|c| c.verdict == Verdict::Holds).count();
        put!(
            out,
            "<li value=\"{0}\"><a href=\"#chapter-{0}\">{1}</a> <span class=\"tally\">{2}/{3} ✓</span></li>",
            chapter.number,
            escape(&texts.chapter(chapter.number).title),
            holding,
            chapter.claims.len()
        );
    }
    put!(out, "</ol>\n</nav>");
}

fn chapter(out: &mut String, chapter: &Chapter, texts: &Texts) {
    let words = texts.chapter(chapter.number);
    put!(
        out,
        "<section id=\"chapter-{0}\" class=\"chapter\">\n<h2>{0}. {1}</h2>\n<p>{2}</p>",
        chapter.number,
        escape(&words.title),
        escape(&words.about)
    );
    put!(out, "<div class=\"claims\">");
    for claim in &chapter.claims {
        self::claim(out, chapter, claim, texts, words);
    }
    put!(out, "</div>");
    for (name, picture) in &chapter.pictures {
        let about = words.picture(name).trim_end_matches([':', '：']);
        put!(out, "<h3>{}</h3>", escape(about));
        self::picture(out, about, picture, texts, words);
    }
    if !chapter.tries.is_empty() {
        put!(out, "<div class=\"tries\">\n<h3>{}</h3>", escape(texts.word("try")));
        for one in &chapter.tries {
            put!(
                out,
                "<pre tabindex=\"0\"><code>{}</code></pre>\n<p>{}</p>",
                escape(one.command),
                escape(words.attempt(one.name))
            );
        }
        put!(out, "</div>");
    }
    put!(out, "</section>");
}

fn claim(out: &mut String, chapter: &Chapter, claim: &Claim, texts: &Texts, words: &Words) {
    let sentences = words.claim(claim.name);
    let (class, mark, verdict) = match &claim.verdict {
        Verdict::Holds => ("holds", "✓", texts.word("holds").to_owned()),
        Verdict::Fails => ("fails", "✗", texts.word("fails").to_owned()),
        Verdict::Unknown(why) => {
            ("unknown", "?", format!("{} {}", texts.word("unknown"), texts.word(why)))
        }
    };
    let fill = |text: &str| escape(&texts.fill(text, &claim.values));
    put!(
        out,
        "<article class=\"claim {class}\" id=\"{}\">\n<h3>{}</h3>\n\
         <p class=\"stands\"><span aria-hidden=\"true\">{mark}</span> {}</p>\n\
         <dl>\n<dt>{}</dt><dd>{}</dd>\n<dt>{}</dt><dd class=\"found\">{}</dd>\n</dl>\n</article>",
        anchor(chapter, claim),
        fill(&sentences.claim),
        escape(&verdict),
        escape(texts.word("done")),
        fill(&sentences.experiment),
        escape(texts.word("counted")),
        fill(&sentences.found)
    );
}

fn picture(out: &mut String, about: &str, picture: &Picture, texts: &Texts, words: &Words) {
    match picture {
        Picture::Space(regions) => space(out, about, regions, texts, words),
        Picture::Bars { unit, bars } => self::bars(out, about, *unit, bars, texts, words),
        Picture::Stairs(all) => stairs(out, all, texts),
        Picture::Heap(moments) => heap(out, moments, texts, words),
        Picture::Words(all) => self::words(out, about, all, texts, words),
    }
}

fn columns(texts: &Texts, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| texts.word(name).to_owned()).collect()
}

/// A figure with its table.
fn figure(out: &mut String, caption: &str, svg: &str, table: &Table<'_>, texts: &Texts) {
    put!(out, "<figure>");
    if !caption.is_empty() {
        put!(out, "<figcaption title=\"{0}\">{0}</figcaption>", escape(caption));
    }
    put!(out, "{svg}{}</figure>", behind(texts.word("table"), table));
}

fn space(out: &mut String, about: &str, regions: &[Region], texts: &Texts, words: &Words) {
    let (mut bands, mut rows) = (Vec::new(), Vec::new());
    let mut above = None;
    for region in regions.iter().rev() {
        let gap = above.map_or(0, |above: u64| above.saturating_sub(region.end));
        let size = |bytes: u64| units::human(bytes as f64, Unit::Bytes);
        if gap > 0 {
            let name = texts.word("unused").to_owned();
            bands.push(svg::Band { start: None, name, size: size(gap) });
        }
        let name = words.label(region.name).to_owned();
        rows.push(vec![
            name.clone(),
            format!("{:#x}", region.start),
            format!("{:#x}", region.end),
            region.access.clone(),
            size(region.mapped),
        ]);
        bands.push(svg::Band { start: Some(region.start), name, size: size(region.mapped) });
        above = Some(region.start);
    }
    let table = Table {
        label: about,
        class: "words",
        columns: columns(texts, &["part", "from", "to", "access", "mapped"]),
        rows,
    };
    put!(out, "<div class=\"panels\">");
    figure(out, "", &svg::space(&bands, about), &table, texts);
    put!(out, "</div>");
}

fn bars(out: &mut String, about: &str, unit: Unit, bars: &[Bar], texts: &Texts, words: &Words) {
    let label = |bar: &Bar| words.bar(&bar.engine, bar.name);
    let rows: Vec<(String, f64)> = bars.iter().map(|bar| (label(bar), bar.value)).collect();
    let cells = rows.iter().map(|(name, value)| vec![name.clone(), units::human(*value, unit)]);
    let table = Table {
        label: about,
        class: "",
        columns: columns(texts, &["part", "figure"]),
        rows: cells.collect(),
    };
    put!(out, "<div class=\"panels\">");
    figure(out, "", &svg::levels(&rows, unit, about), &table, texts);
    put!(out, "</div>");
}

/// For each engine the whole staircase, and its first steps.
fn stairs(out: &mut String, all: &[Stairs], texts: &Texts) {
    let names = svg::StairNames { asked: texts.word("asked"), usable: texts.word("usable") };
    put!(out, "<p class=\"about\">{}</p>\n<div class=\"panels\">", escape(texts.word("stairs")));
    for one in all {
        let told = texts
            .word("steps")
            .replace("{steps}", &one.steps().to_string())
            .replace("{waste}", &format!("{:.1} %", one.waste() * 100.0));
        let about = format!("{}: {told}", one.engine);
        put!(
            out,
            "<figure>\n<figcaption title=\"{0}\">{0}</figcaption>\n<p class=\"note\">{1}</p>",
            escape(&one.engine),
            escape(&told)
        );
        let near = &one.usable[..NEAR.min(one.usable.len())];
        put!(
            out,
            "{}{}",
            svg::stairs(near, &names, &about),
            svg::stairs(&one.usable, &names, &about)
        );
        // Each step: the least request that it serves, and what it gives.
        let mut rows = Vec::new();
        let mut asked = 1;
        for run in one.usable.chunk_by(|a, b| a == b) {
            rows.push(vec![format!("{asked}–{}", asked + run.len() - 1), run[0].to_string()]);
            asked += run.len();
        }
        let table = Table {
            label: &about,
            class: "",
            columns: columns(texts, &["asked-bytes", "usable-bytes"]),
            rows,
        };
        put!(out, "{}</figure>", behind(texts.word("table"), &table));
    }
    put!(out, "</div>");
}

fn heap(out: &mut String, moments: &[Moment], texts: &Texts, words: &Words) {
    put!(out, "<ul class=\"legend\">");
    // What caches keep is not asked for here.
    for (_, class) in svg::SHADES.iter().filter(|shade| shade.0 != PageState::Cached) {
        put!(out, "<li><span class=\"shade {class}\"></span>{}</li>", escape(texts.word(class)));
    }
    put!(out, "</ul>\n<div class=\"panels\">");
    for moment in moments {
        let caption = format!("{}, {}", moment.engine, words.label(moment.name));
        put!(out, "<figure>\n<figcaption title=\"{0}\">{0}</figcaption>", escape(&caption));
        let mut rows = Vec::new();
        for (name, places) in [("brk", &moment.heap), ("mmap", &moment.mappings)] {
            if places.is_empty() {
                continue;
            }
            let runs: Vec<(PageState, usize)> =
                places.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
            let size = |of: &dyn Fn(&&PageState) -> bool| {
                let pages = places.iter().filter(of).count();
                units::human((pages * OS_PAGE) as f64, Unit::Bytes)
            };
            let resident = size(&|place| **place != PageState::Returned);
            let told =
                format!("{name}: {}, {resident} {}", size(&|_| true), texts.word("resident"));
            put!(
                out,
                "<p class=\"note\">{}</p>{}",
                escape(&told),
                svg::pages(&runs, svg::ROWS, &told)
            );
            rows.push(vec![
                name.to_owned(),
                size(&|place| **place == PageState::Live),
                size(&|place| **place == PageState::Kept),
                size(&|place| **place == PageState::Returned),
            ]);
        }
        let table = Table {
            label: &caption,
            class: "",
            columns: columns(texts, &["part", "live", "kept", "returned"]),
            rows,
        };
        put!(out, "{}</figure>", behind(texts.word("table"), &table));
    }
    put!(out, "</div>");
}

/// Words left of blocks: a table is the picture.
fn words(out: &mut String, about: &str, all: &[Word], texts: &Texts, words: &Words) {
    let rows = all.iter().map(|one| {
        let size = one.size.map(|size| format!(" {}", texts.bytes(size)));
        vec![
            format!("{}, {}", one.engine, words.label(one.block)),
            format!("p − {}", one.before),
            format!("{:#018x}", one.word),
            format!("{}{}", words.label(one.meaning), size.unwrap_or_default()),
        ]
    });
    let table = Table {
        label: about,
        class: "words memory",
        columns: columns(texts, &["block", "where", "word", "meaning"]),
        rows: rows.collect(),
    };
    out.push_str(&table.html());
}
