//! The answer as a page: verdict first, then the evidence.

use std::fmt::Write;

use super::plots::{self, Plot};
use super::points::points;
use super::{Advice, Answer, named, objective, objective_ratio};
use crate::html::parts::put;
use crate::html::{escape, frame};
use crate::judge::Verdict;
use crate::read::Records;
use crate::stats::Estimate;
use crate::units;

/// One HTML file: no network, no script.
pub fn to_html(answer: &Answer, records: &Records) -> String {
    let points = points(answer, records);
    let runs: Vec<_> = records
        .runs
        .iter()
        .filter(|run| run.id == answer.search || Some(&run.id) == answer.confirmation.as_ref())
        .collect();
    let mut out = String::new();
    frame::head(&mut out, "en", "brkpoint: settings for a program", None);
    let mut facts = vec![format!("{} configurations", answer.tried.all)];
    facts.extend(runs.first().and_then(|run| run.machine.cpu.clone()));
    facts.extend(runs.first().map(|run| run.started.clone()));
    put!(
        out,
        "<header>\n<h1>Settings for {}</h1>\n<p class=\"facts\">{}</p>\n</header>",
        escape(&answer.workload),
        escape(&facts.join(" · "))
    );
    verdict(&mut out, answer);
    settings(&mut out, answer);
    confirmed(&mut out, answer);
    section(
        &mut out,
        ("front", "Time against peak memory"),
        "Each point is a configuration that was timed; lower left is better, and nothing measured \
         lies below and left of the stepped line (the Pareto front). Grey points were timed in few \
         rounds, to search; only the larger ones, measured in rounds of their own, decide.",
        plots::front(answer, &points).into_iter().collect(),
    );
    section(
        &mut out,
        ("sweep", "Each knob"),
        "The larger points set this knob alone, the others set more with it; the line joins the \
         best of each value. Where few were timed, minor faults stand for time.",
        plots::sweeps(answer, &points),
    );
    section(
        &mut out,
        ("joint", "The two strongest knobs together"),
        "The shade is minor faults, lighter is fewer; the number is the ratio to the default, where \
         it was timed. No other knob is set.",
        plots::joint(answer, &points).into_iter().collect(),
    );
    frame::list(&mut out, "notes", "Notes", &answer.notes);
    frame::machines(&mut out, runs.iter().map(|run| &run.machine));
    put!(out, "<section id=\"method\">\n<h2>How this page was made</h2>");
    put!(
        out,
        "<p>Each configuration is counted in one process; those that counts speak against are left \
         out, but for a few spread over the grid. The rest is timed in interleaved rounds, the worse \
         half out after each. The last three are measured again beside the default and the default \
         once more, each sample a process of its own, in an order drawn anew for each round; only \
         these rounds decide. The 99 % of the intervals is for all finalists and looks together.</p>"
    );
    frame::commands(&mut out, runs.iter().copied().take(1), &records.sources);
    out.push_str("</section>\n</main>\n</body>\n</html>\n");
    out
}

fn verdict(out: &mut String, answer: &Answer) {
    let first = match answer.advice {
        Advice::Recommend => {
            let cell = answer.recommended.as_ref();
            format!("Run it with {}.", cell.map_or(String::new(), named))
        }
        Advice::KeepDefault => {
            format!("Keep the default ({}): {}.", named(&answer.reference), answer.why)
        }
        Advice::Undecided => format!("Undecided: {}.", answer.why),
    };
    put!(
        out,
        "<section id=\"verdict\">\n<h2>Verdict</h2>\n<p class=\"first\">{}</p>",
        escape(&first)
    );
    let won = answer.contenders.iter().find(|one| Some(&one.cell) == answer.recommended.as_ref());
    if let Some(won) = won {
        let what = objective(answer);
        let ratio = units::ratio_interval(objective_ratio(answer, won.objective));
        let memory = won.memory.map_or(String::new(), |memory| {
            format!(", at {} its peak memory", units::ratio(memory))
        });
        let text = format!("It has {ratio} the default’s {what}{memory}.");
        put!(out, "<p>{}</p>", escape(&text));
    }
    if let Some(first) = answer.facts.first() {
        put!(out, "<p>Why: {}</p>", escape(first));
    }
    if answer.facts.len() > 1 {
        put!(out, "<ul>");
        for fact in &answer.facts[1..] {
            put!(out, "<li>{}</li>", escape(fact));
        }
        put!(out, "</ul>");
    }
    put!(out, "</section>");
}

fn settings(out: &mut String, answer: &Answer) {
    if answer.spellings.is_empty() {
        return;
    }
    put!(out, "<section id=\"settings\">\n<h2>To set it</h2>\n<dl>");
    for spelling in &answer.spellings {
        put!(
            out,
            "<div><dt>{}</dt><dd><pre tabindex=\"0\"><code>{}</code></pre></dd></div>",
            escape(&spelling.place),
            escape(&spelling.text)
        );
    }
    put!(out, "</dl>\n</section>");
}

fn confirmed(out: &mut String, answer: &Answer) {
    if answer.contenders.is_empty() {
        return;
    }
    let (what, cost) = (objective(answer), answer.cost.name());
    put!(
        out,
        "<section id=\"tables\">\n<h2>Measured again</h2>\n<p class=\"about\">Ratios to the default over \
         {} fresh interleaved rounds, with their intervals.</p>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Finalists\">\n<table>\n\
         <thead><tr><th scope=\"col\">configuration</th>",
        answer.rounds
    );
    if what != cost {
        put!(out, "<th scope=\"col\">{}</th>", escape(&what));
    }
    put!(
        out,
        "<th scope=\"col\">{cost}</th><th scope=\"col\">peak memory</th></tr></thead>\n<tbody>"
    );
    let ratio = |ratio: Estimate| escape(&units::ratio_interval(ratio));
    for one in &answer.contenders {
        let class = Verdict::word(one.word);
        put!(out, "<tr><th scope=\"row\">{}</th>", escape(&named(&one.cell)));
        let cost = ratio(answer.cost.shown(one.cost));
        let judged = ratio(objective_ratio(answer, one.objective));
        put!(out, "<td><span class=\"ratio {class}\">{judged}</span></td>");
        if what != answer.cost.name() {
            put!(out, "<td>{cost}</td>");
        }
        let memory = one.memory.map_or("–".to_owned(), units::ratio);
        put!(out, "<td>{memory}</td></tr>");
    }
    if let Some(repeat) = answer.repeat {
        put!(out, "<tr><th scope=\"row\">the default once more (A/A)</th>");
        if what != cost {
            put!(out, "<td>–</td>");
        }
        put!(out, "<td>{}</td><td>–</td></tr>", ratio(answer.cost.shown(repeat)));
    }
    put!(out, "</tbody>\n</table>\n</div>\n</section>");
}

fn section(out: &mut String, (id, title): (&str, &str), about: &str, plots: Vec<Plot>) {
    if plots.is_empty() {
        return;
    }
    put!(
        out,
        "<section id=\"{id}\">\n<h2>{title}</h2>\n<p class=\"about\">{about}</p>\n<div class=\"panels\">"
    );
    for plot in plots {
        let name = escape(&plot.caption);
        put!(
            out,
            "<figure>\n<figcaption title=\"{name}\">{name}</figcaption>\n{}</figure>",
            plot.svg
        );
    }
    put!(out, "</div>\n</section>");
}
