//! Records in, rows and words out.

mod fixture;

use brkpoint_reports::record::{CONTROL, Cell, Exit, Line, Metric, Pass, Role, Sample};
use brkpoint_reports::{Records, Report, Row, Verdict, analyse};
use fixture::{cell, lines, rounds, run, sample, timed};
use unicode_width::UnicodeWidthStr;

const REFERENCE: Role = Role::Reference;

fn report(cells: &[Cell], samples: impl IntoIterator<Item = Sample>) -> Report {
    analyse(&Records::from_lines(lines(run("r1", cells.to_vec()), samples)))
}

fn row<'r>(rows: &'r [Row], engine: &str, role: Role, metric: Metric) -> &'r Row {
    rows.iter()
        .find(|r| r.engine == engine && r.role == role && r.metric == metric)
        .unwrap_or_else(|| panic!("no row of {engine} for {metric}"))
}

/// glibc, its repeat, and `x` at `factor` times its wall time, over `n` rounds.
fn race(factor: f64, n: u32) -> Report {
    let (a, aa, x) = trio();
    let base = rounds(n, 1);
    let wobble = rounds(n, 2);
    let scaled = |f: f64, share: f64| -> Vec<f64> {
        base.iter().zip(&wobble).map(|(b, w)| f * b * w.powf(share)).collect()
    };
    let samples =
        [timed(&a, &base), timed(&aa, &scaled(1.0, 0.1)), timed(&x, &scaled(factor, 0.1))];
    report(&[a, aa, x], samples.concat())
}

fn trio() -> (Cell, Cell, Cell) {
    (
        cell("glibc", "churn", REFERENCE),
        cell("glibc", "churn", Role::Repeat),
        cell("x:preset=brk-only,trim=eager", "churn", Role::Candidate),
    )
}

#[test]
fn a_row_has_every_promised_field_and_null_where_there_is_no_figure() {
    let text = race(0.5, 7).to_json_lines();
    let row: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(row["engine"], "x");
    assert_eq!(row["settings"], "preset=brk-only,trim=eager");
    assert_eq!(
        (&row["workload"], &row["metric"], &row["unit"]),
        (&"churn".into(), &"wall_s".into(), &"seconds".into())
    );
    assert_eq!((&row["n"], &row["role"]), (&7.into(), &"candidate".into()));
    assert!(row["median"].is_f64() && row["ratio"].is_f64());
    for field in ["low", "high", "error", "ratio_low", "ratio_high"] {
        assert!(row.as_object().unwrap().contains_key(field), "{field} is missing");
        assert!(row[field].is_null(), "{field}: seven samples give no interval");
    }
    assert_eq!(row["verdict"], "undecided");
}

#[test]
fn pairs_decide_what_medians_alone_could_not() {
    // Rounds differ by 5 %, engines by 6 %: only the pairing shows it.
    let rows = race(0.94, 24).rows();
    let x = row(&rows, "x", Role::Candidate, Metric::WallS);
    assert_eq!(x.verdict, Some(Verdict::Better));
    assert!(
        x.ratio_low.unwrap() < 0.94 && 0.94 < x.ratio_high.unwrap() && x.ratio_high.unwrap() < 0.97
    );
    let glibc = row(&rows, "glibc", REFERENCE, Metric::WallS);
    assert!(x.high.unwrap() > glibc.low.unwrap(), "the medians' intervals overlap");
    assert_eq!((glibc.ratio, glibc.verdict), (None, None));
    assert_eq!(row(&rows, "glibc", Role::Repeat, Metric::WallS).verdict, Some(Verdict::Same));
    assert_eq!(race(1.3, 24).rows().last().unwrap().verdict, Some(Verdict::Worse));
    assert_eq!(race(1.0, 24).rows().last().unwrap().verdict, Some(Verdict::Same));
}

#[test]
fn one_bad_sample_spoils_its_cell_and_never_makes_it_fast() {
    let (a, _, x) = trio();
    type Spoil = fn(&mut Sample);
    let spoil: [(&str, Spoil); 5] = [
        ("the library did not load", |s| s.error = Some("the library did not load".into())),
        ("killed by signal 11", |s| s.exit = Some(Exit::Signal(11))),
        ("timed out", |s| s.exit = Some(Exit::TimedOut)),
        ("could not be started", |s| s.exit = None),
        ("exit status 1, where glibc has exit status 0", |s| s.exit = Some(Exit::Code(1))),
    ];
    for (what, spoil) in spoil {
        let mut samples = [timed(&a, &[1.0; 12]), timed(&x, &[0.001; 12])].concat();
        spoil(&mut samples[12 + 5]);
        let report = report(&[a.clone(), x.clone()], samples);
        let rows = report.rows();
        let x = row(&rows, "x", Role::Candidate, Metric::WallS);
        assert_eq!(x.error.as_deref(), Some(&*format!("{what} (1 of 12 samples)")));
        assert_eq!((x.median, x.ratio, x.verdict, x.n), (None, None, None, 11));
        assert!(!report.verdict.join(" ").contains("fastest"), "{:?}", report.verdict);
        assert!(report.to_text(80, false).contains(what));
        assert!(report.to_html().contains(what));
    }
}

#[test]
fn a_reference_that_fails_is_no_standard() {
    let (a, _, x) = trio();
    let mut samples = [timed(&a, &[1.0; 12]), timed(&x, &[0.5; 12])].concat();
    samples[3].exit = Some(Exit::Signal(6));
    let rows = report(&[a, x], samples).rows();
    let x = row(&rows, "x", Role::Candidate, Metric::WallS);
    assert_eq!((x.median, x.ratio, x.verdict), (Some(0.5), None, None));
    assert!(row(&rows, "glibc", REFERENCE, Metric::WallS).error.is_some());
}

#[test]
fn a_failing_command_that_fails_alike_everywhere_is_compared() {
    let (a, _, x) = trio();
    let mut samples = [timed(&a, &[1.0; 12]), timed(&x, &[0.5; 12])].concat();
    samples.iter_mut().for_each(|s| s.exit = Some(Exit::Code(3)));
    let rows = report(&[a, x], samples).rows();
    assert!(rows.iter().all(|row| row.error.is_none()));
}

#[test]
fn another_output_than_the_references_is_an_error() {
    let (a, _, x) = trio();
    let mut samples = [timed(&a, &[1.0; 12]), timed(&x, &[0.5; 12])].concat();
    samples.iter_mut().for_each(|s| s.digest = Some("right".into()));
    samples.last_mut().unwrap().digest = Some("wrong".into());
    let rows = report(&[a, x], samples).rows();
    let error = row(&rows, "x", Role::Candidate, Metric::WallS).error.as_deref();
    assert_eq!(error, Some("its output differs from that under glibc (1 of 12 samples)"));
}

#[test]
fn an_output_that_varies_under_the_reference_is_noted_and_not_compared() {
    let (a, aa, x) = trio();
    let mut samples = [timed(&a, &[1.0; 4]), timed(&aa, &[1.0; 4]), timed(&x, &[0.5; 4])].concat();
    for (i, s) in samples.iter_mut().enumerate() {
        s.digest = Some(format!("output {i}"));
    }
    let report = report(&[a, aa, x], samples);
    assert!(report.rows().iter().all(|row| row.error.is_none()));
    let note =
        "churn: the output varies from run to run under glibc itself, so it is not compared.";
    assert_eq!(report.notes, [note]);
}

#[test]
fn a_planned_cell_without_samples_is_an_error_row() {
    let (a, _, x) = trio();
    let rows = report(&[a.clone(), x], timed(&a, &[1.0; 3])).rows();
    let x = row(&rows, "x", Role::Candidate, Metric::WallS);
    assert_eq!((x.error.as_deref(), x.n), (Some("not measured: the run ended before its turn"), 0));
}

#[test]
fn equal_counts_are_exact_and_equal_times_are_not() {
    let (a, _, x) = trio();
    let both = |cell: &Cell, calls: f64| {
        let counted = |round| sample(cell, Pass::Counts, round, &[(Metric::SyscallsMmap, calls)]);
        [counted(0), counted(1)].to_vec()
    };
    let samples =
        [both(&a, 100.0), both(&x, 102.0), timed(&a, &[1.0, 1.0]), timed(&x, &[1.1, 1.1])].concat();
    let rows = report(&[a, x], samples).rows();
    let calls = row(&rows, "x", Role::Candidate, Metric::SyscallsMmap);
    assert_eq!((calls.low, calls.high), (Some(102.0), Some(102.0)));
    assert_eq!((calls.ratio_low, calls.ratio_high), (Some(1.02), Some(1.02)));
    assert_eq!(calls.verdict, Some(Verdict::Worse));
    let wall = row(&rows, "x", Role::Candidate, Metric::WallS);
    assert_eq!((wall.low, wall.ratio_low, wall.verdict), (None, None, Some(Verdict::Undecided)));
}

#[test]
fn a_zero_under_the_reference_gives_a_verdict_and_no_ratio() {
    let (a, _, x) = trio();
    for (own, verdict) in [(0.0, Verdict::Same), (5.0, Verdict::Worse)] {
        let counted = |cell, value| {
            [0, 1].map(|round| sample(cell, Pass::Counts, round, &[(Metric::SyscallsBrk, value)]))
        };
        let rows =
            report(&[a.clone(), x.clone()], [counted(&a, 0.0), counted(&x, own)].concat()).rows();
        let x = row(&rows, "x", Role::Candidate, Metric::SyscallsBrk);
        assert_eq!((x.ratio, x.verdict), (None, Some(verdict)));
    }
}

#[test]
fn runs_of_one_machine_are_compared_without_pairs_and_others_are_not() {
    let (a, _, x) = trio();
    let mut samples = [timed(&a, &rounds(12, 1)), timed(&x, &rounds(12, 2))].concat();
    samples[12..].iter_mut().for_each(|s| {
        s.run = "r2".into();
        s.metrics.values_mut().for_each(|v| *v *= 0.5);
    });
    let mut second = run("r2", vec![x.clone()]);
    let mut all = lines(run("r1", vec![a]), samples);
    all.push(Line::Run(second.clone()));
    let rows = analyse(&Records::from_lines(all.clone())).rows();
    let compared = row(&rows, "x", Role::Candidate, Metric::WallS);
    assert_eq!(compared.verdict, Some(Verdict::Better));
    all.pop();
    second.machine.cpu = Some("Another CPU".into());
    all.push(Line::Run(second));
    let report = analyse(&Records::from_lines(all));
    let rows = report.rows();
    let compared = row(&rows, "x", Role::Candidate, Metric::WallS);
    assert_eq!((compared.ratio, compared.verdict), (None, None));
    assert!(report.notes[0].contains("different machines"));
}

#[test]
fn the_verdict_names_the_fastest_only_if_the_interval_says_so() {
    let faster = race(0.7, 24).verdict;
    assert!(faster[0].starts_with("x:preset=brk-only,trim=eager is fastest: 0.7"), "{faster:?}");
    let same = race(1.0, 24).verdict;
    assert!(same[0].starts_with("No engine is faster than glibc: x:"), "{same:?}");
    assert!(same[0].contains("within 3 % of its time"), "{same:?}");
    let slower = race(1.5, 24).verdict;
    assert!(slower[0].ends_with("is slower."), "{slower:?}");
    let few = race(0.7, 5).verdict;
    assert!(few[0].starts_with("Nothing is decided in time"), "{few:?}");
    assert!(few[0].contains("rounds: 5; an interval takes 8"), "{few:?}");
    assert!(few.iter().any(|s| s.contains("too few rounds to tell noise")), "{few:?}");
    assert!(
        faster.iter().any(|s| s.contains("a difference in time below 3 % means nothing")),
        "{faster:?}"
    );
}

/// Arms with the same time in every round but for `share` of its noise, and a
/// steady memory; `n` rounds.
fn field(n: u32, arms: &[(&str, f64, f64, f64)]) -> Report {
    let (base, mut cells, mut samples) = (rounds(n, 1), Vec::new(), Vec::new());
    for (i, (spelling, time, memory, share)) in arms.iter().enumerate() {
        let role = if i == 0 { REFERENCE } else { Role::Candidate };
        let cell = cell(spelling, "churn", role);
        let noise = rounds(n, 50 + i as u64);
        let own = |factor: f64| -> Vec<f64> {
            base.iter().zip(&noise).map(|(b, w)| factor * b * w.powf(*share)).collect()
        };
        samples.extend(timed(&cell, &own(*time)));
        for (round, bytes) in (0..).zip(own(*memory)) {
            let metrics = [(Metric::PeakRssBytes, 1e6 * bytes)];
            samples.push(sample(&cell, Pass::Memory, round, &metrics));
        }
        cells.push(cell);
    }
    report(&cells, samples)
}

#[test]
fn whoever_is_not_shown_to_be_slower_than_the_fastest_is_named_beside_it() {
    let close =
        field(24, &[("glibc", 1.0, 1.0, 0.0), ("a", 0.92, 0.92, 0.2), ("b", 0.95, 0.95, 0.6)]);
    let rows = close.rows();
    for metric in [Metric::WallS, Metric::PeakRssBytes] {
        let (a, b) =
            (row(&rows, "a", Role::Candidate, metric), row(&rows, "b", Role::Candidate, metric));
        assert_eq!((a.verdict, b.verdict), (Some(Verdict::Better), Some(Verdict::Undecided)));
        assert!(b.ratio_low < a.ratio_high, "the intervals overlap");
    }
    let said = &close.verdict;
    assert!(
        said[0].starts_with("The fastest is one of a and b, too close to tell apart: 0.9"),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("Least memory at its peak is needed by one of a and b, too"),
        "{said:?}"
    );
    let clear =
        field(24, &[("glibc", 1.0, 1.0, 0.0), ("a", 0.7, 0.7, 0.2), ("b", 0.95, 0.95, 0.6)]);
    assert!(clear.verdict[0].starts_with("a is fastest"), "{:?}", clear.verdict);
    assert!(clear.verdict[1].starts_with("a needs least memory"), "{:?}", clear.verdict);
}

#[test]
fn nothing_is_said_that_the_records_cannot_show() {
    let alone = field(24, &[("glibc", 1.0, 1.0, 0.0)]).verdict;
    assert_eq!(alone, ["Only glibc was measured: there is nothing to compare it with."]);
    // Interrupted before any candidate had its turn.
    let (a, _, x) = trio();
    let mut samples = timed(&a, &rounds(24, 1));
    samples.push(sample(&a, Pass::Memory, 0, &[(Metric::PeakRssBytes, 1e6)]));
    let early = report(&[a, x], samples).verdict.join(" ");
    assert!(!early.contains("beaten") && !early.contains("worth having"), "{early}");
    let few = field(5, &[("glibc", 1.0, 1.0, 0.0), ("a", 0.5, 0.5, 0.1)]).verdict;
    assert_eq!(
        few[1], "Nothing is decided in peak memory (rounds: 5; an interval takes 8).",
        "{few:?}"
    );
    let two = field(24, &[("glibc", 1.0, 1.0, 0.0), ("a", 0.5, 2.0, 0.1)]).verdict.join(" ");
    assert!(two.contains("No engine with all its figures is shown to be beaten"), "{two}");
    assert!(!two.contains("every other engine"), "{two}");
}

#[test]
fn settings_that_share_a_long_beginning_are_told_apart_everywhere() {
    let spelling = |trim: &str| format!("glibc:mmap_threshold=1M,trim_threshold={trim}");
    let mut cells = vec![
        cell(&spelling("8M"), "churn", REFERENCE),
        cell(&spelling("8M"), "churn", Role::Repeat),
    ];
    cells.extend(["16M", "4M"].map(|trim| cell(&spelling(trim), "churn", Role::Candidate)));
    let report = report(&cells, cells.iter().flat_map(|c| timed(c, &[1.0; 3])));
    let text = report.to_text(60, false);
    for label in ["trim_threshold=8M ", "(A/A) ", "trim_threshold=16M ", "trim_threshold=4M "] {
        let rows = text.lines().filter(|l| l.starts_with("glibc") && l.contains(label));
        assert!(rows.count() >= 1, "{label}: {text}");
    }
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let legend = "* glibc trim_threshold=16M stands for glibc:mmap_threshold=1M,trim_threshold=16M";
    assert!(flat.contains(legend), "{text}");
    assert!(report.to_html().contains(&format!("-e {}", spelling("16M"))));
    // Nothing to explain where names are whole.
    assert!(!race(1.0, 3).to_text(80, false).contains("stands for"));
}

#[test]
fn noise_on_one_workload_says_nothing_about_the_others() {
    let (mut cells, mut samples) = (Vec::new(), Vec::new());
    for (workload, share) in [("steady", 0.1), ("calm", 0.1), ("wild", 3.0)] {
        let base = rounds(24, 1);
        let noise = rounds(24, 2);
        let again: Vec<f64> = base.iter().zip(&noise).map(|(b, n)| b * n.powf(share)).collect();
        for (role, seconds) in [(REFERENCE, base), (Role::Repeat, again)] {
            let cell = cell("glibc", workload, role);
            samples.extend(timed(&cell, &seconds));
            cells.push(cell);
        }
    }
    let verdict = report(&cells, samples).verdict;
    let said = verdict.iter().find(|s| s.contains("A/A")).unwrap();
    assert!(said.contains("at its widest, on wild: a difference in time below"), "{said}");
    assert!(said.contains("% means nothing there"), "{said}");
    assert!(said.ends_with("the median of this limit over 3 workloads is 3 %."), "{said}");
}

#[test]
fn captions_say_what_was_counted_over() {
    let page = |workloads: &[bool]| {
        let (mut cells, mut samples) = (Vec::new(), Vec::new());
        for (i, driven) in workloads.iter().enumerate() {
            let cell = cell("glibc", &format!("w{i}"), REFERENCE);
            samples.push(sample(&cell, Pass::Counts, 0, &[(Metric::MinorFaults, 5.0)]));
            if *driven {
                samples.push(sample(&cell, Pass::Memory, 0, &[(Metric::BaselineRssBytes, 1e6)]));
            }
            cells.push(cell);
        }
        report(&cells, samples).to_html()
    };
    let (tree, region) = ("over the whole process tree", "over the measured operations of");
    for (workloads, says) in
        [(&[true][..], [false, true]), (&[false], [true, false]), (&[true, false], [true, true])]
    {
        let page = page(workloads);
        assert_eq!([page.contains(tree), page.contains(region)], says, "{workloads:?}");
    }
}

#[test]
fn a_reference_that_differs_from_itself_is_said_first() {
    let (a, aa, x) = trio();
    let base = rounds(24, 1);
    let off: Vec<f64> = base.iter().map(|b| b * 1.2).collect();
    let samples = [timed(&a, &base), timed(&aa, &off), timed(&x, &base)].concat();
    let verdict = report(&[a, aa, x], samples).verdict;
    assert!(verdict[0].starts_with("This run cannot be trusted: on churn"), "{verdict:?}");
    assert!(verdict[0].contains("1.20×"), "{verdict:?}");
}

#[test]
fn settings_of_one_engine_are_told_apart_by_their_calls() {
    let a = cell("glibc", "churn", REFERENCE);
    let presets = ["mmap-only", "hybrid"]
        .map(|p| cell(&format!("brkpoint:preset={p}"), "churn", Role::Candidate));
    let counted = |cell: &Cell, calls: f64| {
        [0, 1].map(|round| sample(cell, Pass::Counts, round, &[(Metric::SyscallsMmap, calls)]))
    };
    let samples =
        [counted(&a, 30.0), counted(&presets[0], 40_012.0), counted(&presets[1], 25.0)].concat();
    let mut cells = vec![a];
    cells.extend(presets);
    let verdict = report(&cells, samples).verdict.join(" ");
    let told =
        "On churn, brkpoint mmap-only makes 40,012 mmap calls where brkpoint hybrid makes 25.";
    assert!(verdict.contains(told), "{verdict}");
}

#[test]
fn nothing_measured_is_said_in_every_output() {
    let empty = analyse(&Records::default());
    assert_eq!(empty.verdict, ["Nothing was measured: the records hold no samples."]);
    assert!(empty.to_text(80, false).contains("Nothing was measured"));
    assert!(empty.to_html().contains("Nothing was measured"));
    assert_eq!(empty.to_json_lines(), "");
    let (a, _, x) = trio();
    let planned = report(&[a, x], []);
    assert_eq!(
        planned.verdict,
        ["Nothing was measured: none of 2 cells has figures; their errors are listed below."]
    );
    assert_eq!(planned.rows().len(), 2);
}

#[test]
fn programs_that_were_not_covered_are_noted_with_the_engines_concerned() {
    let (a, _, x) = trio();
    let mut samples = [timed(&a, &[1.0; 2]), timed(&x, &[1.0; 2])].concat();
    samples[2].not_covered = vec!["/bin/static: statically linked".into()];
    samples[3].not_covered = samples[2].not_covered.clone();
    let notes = report(&[a, x], samples).notes;
    let note = "churn: not covered: /bin/static: statically linked (x:preset=brk-only,trim=eager)";
    assert_eq!(notes.iter().filter(|n| *n == note).count(), 1, "{notes:?}");
}

#[test]
fn a_terminal_gets_no_line_wider_than_it_is() {
    let report = analyse(&Records::from_lines(fixture::rich()));
    for width in [60, 80, 100, 160] {
        let text = report.to_text(width, false);
        for line in text.lines() {
            assert!(line.width() <= width, "{} columns of {width}: {line}", line.width());
        }
        assert!(!text.contains('\u{1b}'), "escape sequences without colour");
    }
    // Colours change nothing but themselves.
    let mut coloured = report.to_text(100, true);
    for code in ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m"] {
        coloured = coloured.replace(code, "");
    }
    assert_eq!(coloured, report.to_text(100, false));
}

#[test]
fn wide_letters_keep_the_columns_straight() {
    let cells = ["割り当て", "glibc"]
        .map(|name| cell(name, "仕事", if name == "glibc" { REFERENCE } else { Role::Candidate }));
    let samples = [timed(&cells[0], &[1.0; 3]), timed(&cells[1], &[1.0; 3])].concat();
    let text = report(&cells, samples).to_text(80, false);
    let ends: Vec<usize> = text
        .lines()
        .filter(|l| l.starts_with("割") || l.starts_with("glibc "))
        .map(|line| line.split(" s ").next().unwrap().width())
        .collect();
    assert_eq!(ends.len(), 2, "{text}");
    assert_eq!(ends[0], ends[1], "{text}");
}

#[test]
fn the_page_escapes_everything_and_runs_nothing_but_its_own_script() {
    let html = analyse(&Records::from_lines(fixture::rich())).to_html();
    let (before, script) = html.split_once("<script>").expect("the page's own script");
    let (_, after) = script.split_once("</script>").expect("its end");
    let html = [before, after].concat();
    for hostile in ["<script", "<img", "onerror=alert(1)>\"", "\u{202e}", "\u{1b}", "NaN", "inf "] {
        assert!(!html.contains(hostile), "{hostile:?} is in the page");
    }
    assert!(html.contains("&lt;script&gt;document.title=&#39;broken&#39;&lt;/script&gt;"));
    assert!(html.contains("brkpoint compare -- python3 -c &#39;print"), "the command that made it");
    assert!(html.contains("brkpoint report records -o report.html"), "how to make it again");
}

#[test]
fn the_page_says_what_a_workload_does_where_a_run_knows() {
    let page = |workload| {
        let cell = cell("glibc", workload, REFERENCE);
        report(std::slice::from_ref(&cell), timed(&cell, &rounds(8, 1))).to_html()
    };
    assert!(page("pairs").contains("It does: one block &lt;at a time&gt;."));
    assert!(!page("others").contains("It does"));
}

#[test]
fn the_best_of_a_row_is_that_of_the_ratios_shown() {
    let (a, x, y) = (
        cell("glibc", "churn", REFERENCE),
        cell("x", "churn", Role::Candidate),
        cell("y", "churn", Role::Candidate),
    );
    // x has the lower median, y the lower ratio.
    let samples =
        [timed(&a, &[10.0; 5]), timed(&x, &[5.0, 5.0, 6.0, 20.0, 20.0]), timed(&y, &[7.0; 5])];
    let page = report(&[a, x, y], samples.concat()).to_html();
    assert!(page.contains("<b>0.70× ?</b>"), "{page}");
    assert!(!page.contains("<b>0.60×"), "{page}");
}

#[test]
fn the_same_records_give_the_same_page() {
    let page = || analyse(&Records::from_lines(fixture::rich())).to_html();
    assert_eq!(page(), page());
}

#[test]
fn one_engine_and_twenty_are_drawn() {
    for count in [1, 20] {
        let cells: Vec<Cell> = (0..count)
            .map(|i| {
                let role = if i == 0 { REFERENCE } else { Role::Candidate };
                cell(&format!("engine-{i}"), "churn", role)
            })
            .collect();
        let samples = cells.iter().zip(1..).flat_map(|(cell, i)| {
            let mut samples = timed(cell, &[f64::from(i); 3]);
            samples.push(sample(cell, Pass::Memory, 0, &[(Metric::PeakRssBytes, 1e6)]));
            samples.push(sample(
                cell,
                Pass::Counts,
                0,
                &[(Metric::SyscallsMmap, 0.0), (Metric::MinorFaults, 0.0)],
            ));
            samples
        });
        let html = report(&cells, samples).to_html();
        let plots = if count == 1 { 4 } else { 5 };
        assert_eq!(html.matches("class=\"plot\"").count(), plots, "{count} engines");
        assert!(!html.contains("#B70C"), "a stand-in colour was left");
    }
}

#[test]
fn the_page_of_a_full_suite_is_small() {
    // Of as many workloads as make it pack what it holds of each; there are more.
    const SOME: usize = 30;
    const ALL: usize = 63;
    let names: Vec<String> = (0..SOME).map(|i| format!("workload-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let page = analyse(&Records::from_lines(fixture::rich_over(&names))).to_html();
    assert!(page.len() / SOME * ALL < 3_000_000, "{} bytes", page.len());
}

/// A race with a positive control that takes `burden` times as long as it should alone.
fn controlled(burden: f64, n: u32) -> Report {
    let (a, aa, x) = trio();
    let of_control = |role| cell("glibc", CONTROL, role);
    let (base, burdened) = (of_control(REFERENCE), of_control(Role::Control));
    let times = rounds(n, 3);
    let spent = |cell: &Cell, factor: f64| -> Vec<Sample> {
        let used = |s: f64| [(Metric::UserS, s * 0.9), (Metric::SysS, s * 0.1)];
        let timed = (0..).zip(&times);
        timed.map(|(round, s)| sample(cell, Pass::Time, round, &used(s * factor))).collect()
    };
    let faults = |cell: &Cell, count: f64| -> Vec<Sample> {
        (0..2).map(|i| sample(cell, Pass::Counts, i, &[(Metric::MinorFaults, count)])).collect()
    };
    let samples = [
        timed(&a, &times),
        timed(&aa, &times),
        timed(&x, &times),
        spent(&base, 1.0),
        spent(&burdened, burden),
        faults(&base, 300.0),
        faults(&burdened, 306.0),
    ];
    report(&[a, aa, x, base, burdened], samples.concat())
}

#[test]
fn a_positive_control_is_no_part_of_what_is_compared_and_missing_it_is_said_first() {
    let found = controlled(1.2, 8);
    assert!(found.controls.iter().all(|control| control.verdict == Verdict::Worse), "{found:#?}");
    assert_eq!((found.controls.len(), found.workloads.len(), found.arms.len()), (2, 1, 3));
    assert!(!found.verdict.join(" ").contains("control"), "{:?}", found.verdict);
    let page = found.to_html();
    assert!(
        page.contains("Positive control, planted on purpose:") && page.contains("found, reads")
    );
    assert!(!found.to_json_lines().contains(CONTROL));

    let missed = controlled(1.01, 8);
    let first = &missed.verdict[0];
    assert!(first.starts_with("This run cannot be trusted: the positive control, 20 %"), "{first}");
    assert!(missed.to_html().contains("not found, reads"));
    // Of too few rounds nothing can be found, and nothing is said to be.
    let few = controlled(1.2, 5);
    assert!(!few.verdict[0].contains("trusted") && few.to_html().contains("too few rounds"));
    assert!(race(1.0, 8).controls.is_empty());
}
