//! How allocators rank: figures that can be worked out by hand.

mod fixture;

use brkpoint_reports::Records;
use brkpoint_reports::ranking::{Contest, Kind, Quantity, Ranking, Row, rank};
use brkpoint_reports::record::{Cell, Exit, Metric, Pass, Role, Sample};
use fixture::{MIB, cell, lines, run, sample};

/// Seconds of CPU time by engine and row; `round` scales all alike.
const TIMES: [(&str, [f64; 2]); 5] = [
    ("glibc", [4.0, 1.0]),
    ("brkpoint", [1.0, 3.0]),
    ("mimalloc", [2.0, 2.0]),
    ("jemalloc", [8.0, 1.5]),
    ("limit", [0.5, 0.1]),
];

const ROUNDS: u32 = 8;

fn role(engine: &str) -> Role {
    if engine == "glibc" { Role::Reference } else { Role::Candidate }
}

fn rows() -> Vec<Row> {
    let row = |name: &str, kind, bounded| Row { name: name.to_owned(), kind, bounded };
    vec![
        row("pair", Kind::Timed, true),
        row("large", Kind::Large, false),
        row("idle", Kind::Idle, true),
    ]
}

fn timed(cell: &Cell, round: u32, seconds: f64) -> Sample {
    let noise = 1.0 + f64::from(round);
    let times = [(Metric::UserS, 0.75), (Metric::SysS, 0.25), (Metric::WallS, 2.0)];
    sample(cell, Pass::Time, round, &times.map(|(metric, part)| (metric, part * seconds * noise)))
}

fn remembered(cell: &Cell, round: u32, peak: f64, live: f64) -> Sample {
    let metrics = [
        (Metric::PeakRssBytes, (peak + 3.0) * MIB),
        (Metric::KeptRssBytes, (peak / 2.0 + 3.0) * MIB),
        (Metric::TableBytes, 3.0 * MIB),
        (Metric::PeakLiveBytes, live * MIB),
    ];
    sample(cell, Pass::Memory, round, &metrics)
}

fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for (engine, times) in TIMES {
        for (row, seconds) in ["pair", "large"].into_iter().zip(times) {
            let cell = cell(engine, row, role(engine));
            samples.extend((0..ROUNDS).map(|round| timed(&cell, round, seconds)));
            let live = if row == "pair" { 0.1 } else { 10.0 };
            samples.push(remembered(&cell, 0, seconds, live));
        }
        let faults = [(Metric::MinorFaults, 100.0 * times[1])];
        samples.push(sample(&cell(engine, "large", role(engine)), Pass::Counts, 0, &faults));
        samples.push(remembered(&cell(engine, "idle", role(engine)), 0, times[0], 1.0));
    }
    samples
}

fn ranked(samples: Vec<Sample>) -> Ranking {
    let cells = samples.iter().map(|sample| sample.cell.clone()).collect();
    let records = Records::from_lines(lines(run("r1", cells), samples));
    rank(&records, &Contest { ours: "brkpoint", limit: "limit", rows: &rows() })
}

fn near(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found / expected - 1.0).abs() < 1e-9)
}

#[test]
fn figures_are_multiples_of_each_row_s_best_peer() {
    let ranking = ranked(samples());
    let board = &ranking.boards[0];
    assert_eq!(board.quantity, Quantity::Cpu);
    let arm = |label: &str| board.arms.iter().position(|arm| arm.label == label).expect(label);
    let names: Vec<&str> = board.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["pair", "large"], "idle is not timed");
    let best: Vec<Option<usize>> = board.rows.iter().map(|row| row.base).collect();
    assert_eq!(
        best,
        [Some(arm("mimalloc")), Some(arm("glibc"))],
        "ours and the limit are no peers"
    );
    assert!(near(board.rows[0].ratio(arm("brkpoint")), 0.5));
    assert!(near(board.rows[1].ratio(arm("brkpoint")), 3.0));
    assert!(near(board.rows[0].to(arm("brkpoint"), arm("limit")), 2.0));
    assert_eq!(board.rows[1].figures[arm("limit")], None, "it does not bound that row");
}

#[test]
fn geometric_means_are_compared_round_by_round() {
    let ranking = ranked(samples());
    let board = &ranking.boards[0];
    let [against] = &board.against_base[..] else { panic!("one arm is ours: {board:?}") };
    // glibc and mimalloc are both 2 by geometric mean; ours is the root of 3.
    assert!(near(Some(against.ratio.value), 3f64.sqrt() / 2.0), "{against:?}");
    let interval = against.ratio.interval.expect("eight rounds");
    assert!(interval.high - interval.low < 1e-9, "rounds that are all slower differ by nothing");
    assert!(near(against.limit, 2.0), "over the one row that it bounds");
    assert!(board.means[0].figures.iter().filter(|figure| figure.is_some()).count() == 4);
}

#[test]
fn memory_is_without_the_workload_s_tables() {
    let ranking = ranked(samples());
    let board = |quantity| ranking.boards.iter().find(|b| b.quantity == quantity).expect("there");
    let peak = board(Quantity::Peak);
    assert!(near(peak.rows[0].figures[0], 4.0 * MIB));
    assert_eq!(peak.means.len(), 2);
    assert!(near(peak.means[1].figures[0], 1.0 * MIB), "only `large` holds a mebibyte");
    let kept = board(Quantity::Kept);
    assert_eq!(kept.rows.len(), 1);
    assert!(near(kept.rows[0].figures[0], 2.0 * MIB));
}

#[test]
fn faults_are_compared_with_the_reference() {
    let ranking = ranked(samples());
    let faults = ranking.boards.last().expect("boards");
    assert_eq!(faults.quantity, Quantity::Faults);
    assert_eq!(faults.rows[0].base, Some(0));
    assert!(near(Some(faults.against_base[0].ratio.value), 3.0));
}

#[test]
fn a_row_that_a_peer_did_not_finish_is_in_no_mean_and_named() {
    let mut samples = samples();
    let crash = |s: &&mut Sample| s.cell.engine == "jemalloc" && s.cell.workload == "large";
    samples.iter_mut().find(crash).expect("a sample").exit = Some(Exit::Signal(11));
    let ranking = ranked(samples);
    let board = &ranking.boards[0];
    assert_eq!(board.means[0].name, "mean of 1");
    assert!(near(Some(board.against_base[0].ratio.value), 0.5), "mimalloc is left on `pair`");
    let [failure] = &ranking.failures[..] else { panic!("{:?}", ranking.failures) };
    assert!(failure.contains("large under jemalloc") && failure.contains("signal 11"), "{failure}");
    assert!(ranking.to_text("linked", false).contains(failure.as_str()));
}

#[test]
fn the_text_names_the_rows_that_are_lost() {
    let text = ranked(samples()).to_text("linked", false);
    assert!(text.contains("CPU time, linked: multiples of the row’s best peer"), "{text}");
    assert!(text.contains("rows above 1.25×: large 3.00× (glibc)"), "{text}");
    assert!(text.contains("minor faults, linked: multiples of glibc"), "{text}");
    assert!(!text.contains('\u{1b}'));
    assert!(ranked(samples()).to_text("linked", true).contains('\u{1b}'));
    assert_eq!(ranked(Vec::new()).to_text("linked", false), "");
}
