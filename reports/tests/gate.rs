//! The gate, on samples whose truth is known.

mod fixture;

use brkpoint_reports::gate::{Answer, BEYOND, Gate, Plant, batches, diff, gate};
use brkpoint_reports::record::{
    Cell, Exit, Gating, Line, Machine, Margins, Metric, Pass, Role, Run, Sample, Stage,
};
use brkpoint_reports::{Quantity, Records, Verdict, analyse};
use fixture::{Noise, cell, run, sample};
use proptest::prelude::*;

/// What two arms do, and how much their times vary.
#[derive(Debug, Clone, Copy)]
struct Truth {
    time: f64,
    rss: f64,
    faults: f64,
    noise: f64,
    repeat: f64,
    control: f64,
}

/// Nothing differs, the control is slower, and a quiet machine.
const SAME: Truth =
    Truth { time: 1.0, rss: 1.0, faults: 1000.0, noise: 0.02, repeat: 1.0, control: 1.2 };

const ROLES: [Role; 4] = [Role::Reference, Role::Repeat, Role::Candidate, Role::Control];

fn arms(workload: &str) -> [Cell; 4] {
    ROLES.map(|role| {
        let engine = if role == Role::Candidate { "lib@new" } else { "lib@base" };
        cell(engine, workload, role)
    })
}

fn gate_run(id: &str, stage: Stage, workload: &str) -> Run {
    let gate = Some(Gating { stage, margins: Margins::USUAL });
    Run { gate, ..run(id, arms(workload).to_vec()) }
}

/// One stage of a gate on one workload.
fn stage(stage: Stage, workload: &str, truth: Truth, rounds: u32, seed: u64) -> Vec<Line> {
    let mut noise = Noise::new(seed);
    let id = format!("{stage:?}");
    let mut samples = Vec::new();
    for round in 0..rounds {
        let machine = noise.factor(0.2);
        for cell in arms(workload) {
            let (time, rss, faults) = match cell.role {
                Role::Reference => (1.0, 1.0, 1000.0),
                Role::Repeat => (truth.repeat, 1.0, 1000.0),
                Role::Candidate => (truth.time, truth.rss, truth.faults),
                Role::Control => (truth.control, 1.0, 1020.0),
            };
            let time = 0.1 * machine * time * noise.factor(truth.noise);
            let rss = (1e7 * rss * noise.factor(0.005)).round();
            samples.push(sample(&cell, Pass::Counts, round, &counts(faults)));
            samples.push(sample(&cell, Pass::Memory, round, &[(Metric::PeakRssBytes, rss)]));
            samples.push(sample(
                &cell,
                Pass::Time,
                round,
                &[(Metric::WallS, time), (Metric::UserS, time * 0.75), (Metric::SysS, time * 0.25)],
            ));
        }
    }
    let samples = samples.into_iter().map(|s| Line::Sample(Sample { run: id.clone(), ..s }));
    std::iter::once(Line::Run(gate_run(&id, stage, workload))).chain(samples).collect()
}

fn counts(faults: f64) -> Vec<(Metric, f64)> {
    let mut counts = vec![(Metric::MinorFaults, faults)];
    counts.extend(Metric::MEMORY_CALLS.map(|call| (call, 20.0)));
    counts
}

fn judged(lines: Vec<Line>) -> Gate {
    gate(&Records::from_lines(lines)).expect("records of a gate")
}

fn verdict(gate: &Gate, quantity: Quantity) -> Verdict {
    let row = gate.rows.iter().find(|row| row.quantity == quantity);
    row.unwrap_or_else(|| panic!("no row of {quantity:?}: {gate:#?}")).verdict()
}

#[test]
fn nothing_differs_and_the_control_is_found() {
    let gate = judged(stage(Stage::Measure, "w", SAME, 24, 1));
    assert_eq!(gate.answer(), Answer::Passes, "{gate:#?}");
    assert!(gate.rows.iter().all(|row| row.verdict() == Verdict::Same));
    assert!(gate.open(Stage::Measure).is_empty() && gate.open(Stage::Confirm).is_empty());
    assert_eq!(gate.rows.len(), Quantity::ALL.len());
    assert!(gate.headline()[0].starts_with("Passes: of 5 rows"), "{:?}", gate.headline());
}

#[test]
fn a_regression_is_none_until_fresh_rounds_say_so() {
    let slow = Truth { time: 1.2, ..SAME };
    let measured = stage(Stage::Measure, "w", slow, 24, 2);
    let alone = judged(measured.clone());
    assert_eq!(verdict(&alone, Quantity::CpuTime), Verdict::Undecided);
    assert_eq!(alone.answer(), Answer::Open);
    let open = alone.open(Stage::Confirm);
    assert_eq!(open.into_iter().collect::<Vec<_>>(), [("w".to_owned(), Pass::Time)]);

    let with = |truth, seed| {
        let mut lines = measured.clone();
        lines.extend(stage(Stage::Confirm, "w", truth, 24, seed));
        judged(lines)
    };
    let confirmed = with(slow, 3);
    assert_eq!(verdict(&confirmed, Quantity::CpuTime), Verdict::Worse);
    assert_eq!(verdict(&confirmed, Quantity::PeakRss), Verdict::Same);
    assert_eq!(confirmed.answer(), Answer::Worse);
    let said = confirmed.headline().join("\n");
    assert!(
        said.contains("REGRESSION: CPU time") && said.contains("24 fresh pairs say 1."),
        "{said}"
    );

    // What fresh rounds deny is none; what they leave open is open.
    let denied = with(Truth { noise: 0.005, ..SAME }, 4);
    assert_eq!(verdict(&denied, Quantity::CpuTime), Verdict::Same);
    assert_eq!(denied.answer(), Answer::Passes);
    let open = with(Truth { noise: 0.3, ..SAME }, 5);
    assert_eq!(verdict(&open, Quantity::CpuTime), Verdict::Undecided);
    assert_eq!(open.answer(), Answer::Open);
}

#[test]
fn two_per_cent_more_faults_are_found_by_counting_three_processes() {
    let more = Truth { faults: 1020.0, ..SAME };
    let mut lines = stage(Stage::Measure, "w", more, 24, 6);
    lines.extend(stage(Stage::Confirm, "w", more, 3, 7));
    let gate = judged(lines);
    let worse: Vec<Quantity> = gate
        .rows
        .iter()
        .filter(|row| row.verdict() == Verdict::Worse)
        .map(|row| row.quantity)
        .collect();
    assert_eq!(worse, [Quantity::MinorFaults]);
    // One per cent is within the margin.
    let little = Truth { faults: 1010.0, ..SAME };
    let gate = judged(stage(Stage::Measure, "w", little, 24, 8));
    assert_eq!(verdict(&gate, Quantity::MinorFaults), Verdict::Same);
}

#[test]
fn less_is_an_improvement_and_needs_no_confirmation() {
    let gate = judged(stage(Stage::Measure, "w", Truth { rss: 0.9, ..SAME }, 24, 9));
    assert_eq!(verdict(&gate, Quantity::PeakRss), Verdict::Better);
    assert_eq!(gate.answer(), Answer::Passes);
}

#[test]
fn noise_leaves_it_open_and_the_control_says_why() {
    let gate = judged(stage(Stage::Measure, "w", Truth { noise: 0.5, ..SAME }, 12, 10));
    assert_eq!(gate.answer(), Answer::Open);
    assert!(gate.open(Stage::Measure).contains(&("w".to_owned(), Pass::Time)));
    assert!(
        gate.distrust.iter().any(|why| why.contains("positive control")),
        "{:?}",
        gate.distrust
    );
}

#[test]
fn a_base_that_differs_from_itself_takes_its_rows_back() {
    let truth = Truth { time: 1.3, repeat: 1.3, ..SAME };
    let mut lines = stage(Stage::Measure, "w", truth, 24, 11);
    lines.extend(stage(Stage::Confirm, "w", truth, 24, 12));
    let gate = judged(lines);
    assert_eq!(verdict(&gate, Quantity::CpuTime), Verdict::Undecided);
    assert_eq!(gate.answer(), Answer::Open);
    assert!(gate.distrust[0].contains("the base measured against itself reads 1.3"));
    // Exact counts are above that.
    assert_eq!(verdict(&gate, Quantity::MinorFaults), Verdict::Same);
}

#[test]
fn what_fails_is_worse_and_a_base_that_fails_decides_nothing() {
    let fail = |role: Role| {
        let mut lines = stage(Stage::Measure, "w", SAME, 24, 13);
        for line in &mut lines {
            if let Line::Sample(sample) = line
                && sample.cell.role == role
                && sample.round == 20
            {
                sample.exit = Some(Exit::Signal(11));
            }
        }
        judged(lines)
    };
    let gate = fail(Role::Candidate);
    assert_eq!(gate.answer(), Answer::Worse);
    assert_eq!(gate.failures, [("w".to_owned(), "killed by signal 11".to_owned())]);
    let gate = fail(Role::Reference);
    assert_eq!(gate.answer(), Answer::Open);
    assert!(gate.failures.is_empty());
    assert!(gate.distrust.iter().any(|why| why.contains("the base fails")), "{:?}", gate.distrust);
}

#[test]
fn another_output_than_the_bases_is_a_failure() {
    let mut lines = stage(Stage::Measure, "w", SAME, 24, 14);
    for line in &mut lines {
        if let Line::Sample(sample) = line {
            let candidate = sample.cell.role == Role::Candidate;
            sample.digest = Some(if candidate { "b" } else { "a" }.to_owned());
        }
    }
    let gate = judged(lines);
    assert_eq!(gate.answer(), Answer::Worse);
    assert!(gate.failures[0].1.contains("output differs"), "{:?}", gate.failures);
}

#[test]
fn batches_of_simulated_rounds_raise_no_alarm_and_find_what_is_planted() {
    let lines = stage(Stage::Measure, "w", Truth { noise: 0.05, ..SAME }, 200, 15);
    let found = batches(&Records::from_lines(lines), 5).expect("enough rounds");
    assert_eq!(found.rounds, 200);
    for (plant, tally) in &found.tallies {
        assert_eq!(tally.batches, 5);
        assert_eq!((tally.false_alarms, tally.false_improvements), (0, 0), "{plant:?}");
        match plant {
            Plant::Nothing => assert_eq!(tally.answers, [5, 0, 0]),
            // Too little to be found, and too much to pass.
            Plant::Time(BEYOND) => assert_eq!(tally.answers[0], 0),
            _ => assert_eq!(tally.found, 5, "{plant:?}"),
        }
    }
    let table = found.to_markdown();
    assert!(table.contains("| nothing (A/A) | 5 | - | 0 | 0 |"), "{table}");
    let short = stage(Stage::Measure, "w", SAME, 190, 16);
    assert_eq!(batches(&Records::from_lines(short), 5), None);
}

#[test]
fn records_of_no_gate_hold_none() {
    let cells = arms("w").to_vec();
    let samples = cells.iter().map(|cell| sample(cell, Pass::Counts, 0, &counts(10.0)));
    let lines = fixture::lines(run("r1", cells.clone()), samples);
    assert_eq!(gate(&Records::from_lines(lines)), None);
}

#[test]
fn the_page_of_a_gate_says_its_answer_first_and_escapes_what_it_quotes() {
    let mut lines =
        stage(Stage::Measure, fixture::HOSTILE_COMMAND, Truth { time: 1.3, ..SAME }, 24, 17);
    lines.extend(stage(
        Stage::Confirm,
        fixture::HOSTILE_COMMAND,
        Truth { time: 1.3, ..SAME },
        24,
        18,
    ));
    let report = analyse(&Records::from_lines(lines));
    assert!(report.verdict[0].starts_with("Worse: lib@new, compared with lib@base"));
    let page = report.to_html();
    assert!(page.contains("<section id=\"gate\">") && page.contains(">REGRESSION</td>"));
    assert!(!page.contains("<script>document"), "a command became a part of the page");
    assert!(page.contains("(A/A)") && page.contains("(control)"));
    let gate = report.gate.expect("a gate");
    let markdown = gate.to_markdown();
    assert!(markdown.starts_with("### brkpoint gate: REGRESSION\n"));
    assert!(!markdown.replace("\\<", "").contains('<'), "{markdown}");
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    let table: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
    assert!(table.iter().all(|line| columns(line) == columns(table[0])), "{markdown}");
    let json: serde_json::Value = serde_json::from_str(&gate.to_json()).expect("JSON");
    assert_eq!(json["answer"], "worse");
    let cpu = json["rows"].as_array().expect("rows").iter().find(|row| row["metric"] == "cpu_s");
    let cpu = cpu.expect("a row of CPU time");
    assert_eq!(cpu["verdict"], "regression");
    assert!(cpu["low"].as_f64() > Some(1.03) && cpu["confirmation"]["low"].as_f64() > Some(1.03));
}

#[test]
fn of_sixty_gates_that_compare_a_thing_with_itself_none_raises_an_alarm() {
    for seed in 0..60 {
        let truth = Truth { noise: 0.1, ..SAME };
        let all = stage(Stage::Measure, "w", truth, 96, 100 + seed);
        for look in [12, 24, 48, 96] {
            let seen = all.iter().filter(|line| match line {
                Line::Sample(sample) => sample.round < look,
                _ => true,
            });
            let gate = judged(seen.cloned().collect());
            assert_eq!(gate.alarms().count(), 0, "seed {seed}, look {look}: {gate:#?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What is judged depends neither on the unit nor on which side is called base.
    #[test]
    fn units_and_sides_do_not_matter(time in 0.5f64..2.0, noise in 0.0f64..0.1, seed in 0u64..1000) {
        let lines = stage(Stage::Measure, "w", Truth { time, noise, ..SAME }, 12, seed);
        let first = |lines: &[Line]| {
            let gate = judged(lines.to_vec());
            gate.rows.iter().find(|row| row.quantity == Quantity::CpuTime).expect("a row").first
        };
        let scaled: Vec<Line> = lines.iter().cloned().map(|mut line| {
            if let Line::Sample(sample) = &mut line {
                sample.metrics.values_mut().for_each(|value| *value *= 8.0);
            }
            line
        }).collect();
        prop_assert_eq!(first(&lines), first(&scaled));
        let swapped: Vec<Line> = lines.iter().cloned().map(|mut line| {
            if let Line::Sample(sample) = &mut line {
                sample.cell.role = match sample.cell.role {
                    Role::Reference => Role::Candidate,
                    Role::Candidate => Role::Reference,
                    role => role,
                };
            }
            line
        }).collect();
        let opposite = match first(&lines) {
            Verdict::Better => Verdict::Worse,
            Verdict::Worse => Verdict::Better,
            same => same,
        };
        // A pass needs to rule out a change for the worse only.
        let open = |v| matches!(v, Verdict::NotWorse | Verdict::Undecided);
        let swapped = first(&swapped);
        prop_assert!(swapped == opposite || (open(swapped) && open(opposite)));
    }
}

/// A record file of `compare`: one engine, measured in so many rounds.
fn file(engine: &str, time: f64, faults: f64, machine: Machine) -> Records {
    let arm = cell(engine, "w", Role::Reference);
    let mut noise = Noise::new(time.to_bits() ^ faults.to_bits());
    let mut samples = Vec::new();
    for round in 0..20 {
        let time = 0.1 * time * noise.factor(0.02);
        let times = [(Metric::WallS, time), (Metric::UserS, time), (Metric::SysS, 0.0)];
        samples.push(sample(&arm, Pass::Time, round, &times));
        samples.push(sample(&arm, Pass::Counts, round, &counts(faults)));
    }
    let run = Run { machine, ..run("r1", vec![arm]) };
    Records::from_lines(fixture::lines(run, samples))
}

#[test]
fn records_of_different_hours_are_compared_by_counts_and_never_by_times() {
    let here = fixture::machine();
    let old = file("lib", 1.0, 1000.0, here.clone());
    let compare = |time, faults| {
        let new = file("lib", time, faults, here.clone());
        diff(&old, &new, Margins::USUAL, false).expect("one machine")
    };
    let same = compare(1.0, 1000.0);
    assert_eq!(same.answer(), Answer::Passes, "{same:#?}");
    assert!(same.headline().iter().any(|text| text.contains("at different hours")));
    let slower = compare(2.0, 1000.0);
    assert_eq!(verdict(&slower, Quantity::CpuTime), Verdict::Undecided);
    assert_eq!(slower.answer(), Answer::Passes);
    let faults = compare(1.0, 1020.0);
    assert_eq!(verdict(&faults, Quantity::MinorFaults), Verdict::Worse);
    assert_eq!(faults.answer(), Answer::Worse);
}

#[test]
fn records_of_different_machines_are_refused_unless_it_is_asked_for() {
    let here = fixture::machine();
    let there =
        Machine { kernel: Some("Linux 5.10.0 x86_64".into()), load: Some(9.0), ..here.clone() };
    let (old, new) = (file("lib", 1.0, 1000.0, here), file("lib", 1.0, 1000.0, there));
    let error = diff(&old, &new, Margins::USUAL, false).expect_err("other machines").to_string();
    assert!(error.contains("kernel") && error.contains("5.10.0"), "{error}");
    assert!(!error.contains("load") && error.contains("--across-machines"), "{error}");
    let gate = diff(&old, &new, Margins::USUAL, true).expect("asked for");
    assert!(gate.notes.iter().any(|note| note.contains("kernel")), "{:?}", gate.notes);
}

#[test]
fn two_engines_alone_are_compared_and_several_need_something_in_common() {
    let here = fixture::machine();
    let old = file("lib@aaa", 1.0, 1000.0, here.clone());
    let new = file("lib@bbb", 1.0, 1000.0, here.clone());
    assert_eq!(diff(&old, &new, Margins::USUAL, false).expect("one each").rows.len(), 4);
    let mut several = new.clone();
    several.samples.extend(file("other", 1.0, 1000.0, here).samples);
    let error = diff(&old, &several, Margins::USUAL, false).expect_err("which?").to_string();
    assert!(error.contains("lib@aaa") && error.contains("other"), "{error}");
}
