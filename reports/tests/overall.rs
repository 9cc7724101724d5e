//! Geometric means over workloads, and one engine against the best of its peers.

mod fixture;

use brkpoint_reports::record::{Cell, Exit, Line, Metric, Pass, Role, Sample};
use brkpoint_reports::stats::Interval;
use brkpoint_reports::{Overall, Quantity, Records, analyse, overall};
use fixture::{Noise, cell, lines, run, sample};

const ROUNDS: u32 = 12;

/// CPU seconds of an engine on each of two workloads.
struct Speed(&'static str, Role, [f64; 2]);

/// Both the reference and its repeat take 1 s everywhere.
fn usual() -> Vec<Speed> {
    vec![
        Speed("glibc", Role::Reference, [1.0, 1.0]),
        Speed("glibc", Role::Repeat, [1.0, 1.0]),
        Speed("brkpoint", Role::Candidate, [0.5, 0.9]),
        Speed("uneven", Role::Candidate, [0.25, 4.4]),
        Speed("good", Role::Candidate, [0.6, 0.6]),
    ]
}

/// Samples of all speeds, where round and workload slow all engines alike and
/// `noise` each by itself.
fn samples(speeds: &[Speed], noise: f64) -> (Vec<Cell>, Vec<Sample>) {
    let mut random = Noise::new(11);
    let (mut cells, mut samples) = (Vec::new(), Vec::new());
    for (w, workload) in ["short", "long"].into_iter().enumerate() {
        let weather: Vec<f64> = (0..ROUNDS).map(|_| random.factor(0.2)).collect();
        for Speed(engine, role, seconds) in speeds {
            let cell = cell(engine, workload, *role);
            for (round, weather) in (0..).zip(&weather) {
                let seconds = seconds[w] * [0.01, 3.0][w] * weather * random.factor(noise);
                let cpu = [
                    (Metric::WallS, 99.0),
                    (Metric::UserS, 0.75 * seconds),
                    (Metric::SysS, 0.25 * seconds),
                ];
                let rss = [(Metric::PeakRssBytes, 1e6 / seconds)];
                samples.push(sample(&cell, Pass::Time, round, &cpu));
                samples.push(sample(&cell, Pass::Memory, round, &rss));
            }
            cells.push(cell);
        }
    }
    (cells, samples)
}

fn summed(lines: Vec<Line>, quantity: Quantity) -> Overall {
    let records = Records::from_lines(lines);
    assert_eq!(records.problems, []);
    overall(&records, &analyse(&records), quantity)
}

fn of_usual(change: impl Fn(&mut Vec<Sample>)) -> Overall {
    let (cells, mut samples) = samples(&usual(), 0.0);
    change(&mut samples);
    summed(lines(run("r1", cells), samples), Quantity::CpuTime)
}

fn close(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() < 1e-9
}

#[test]
fn the_mean_weighs_workloads_alike_however_long_they_take() {
    let all = of_usual(|_| ());
    assert_eq!(all.workloads, ["short", "long"]);
    let means: Vec<f64> = all.standings[1..].iter().map(|s| s.mean.unwrap().value).collect();
    // The square roots of 1 x 1, 0.5 x 0.9, 0.25 x 4.4, 0.6 x 0.6.
    for (mean, expected) in means.iter().zip([1.0, 0.45f64.sqrt(), 1.1f64.sqrt(), 0.6]) {
        assert!(close(*mean, expected), "{means:?}");
    }
    let ratios: Vec<f64> =
        all.standings[3].ratios.iter().map(|ratio| ratio.unwrap().value).collect();
    assert!(close(ratios[0], 0.25) && close(ratios[1], 4.4), "{ratios:?}");
    assert_eq!(all.standings[0].mean, None, "the reference has no ratio to itself");
}

#[test]
fn weather_that_all_engines_share_does_not_widen_the_interval() {
    let all = of_usual(|_| ());
    let Interval { low, high } = all.standings[4].mean.unwrap().interval.unwrap();
    assert!(close(low, 0.6) && close(high, 0.6), "{low}, {high}");
}

#[test]
fn memory_is_summed_up_from_its_own_pass() {
    let (cells, samples) = samples(&usual(), 0.0);
    let all = summed(lines(run("r1", cells), samples), Quantity::PeakRss);
    assert!(close(all.standings[4].mean.unwrap().value, 1.0 / 0.6));
}

#[test]
fn the_best_peer_is_the_lowest_and_neither_ours_nor_the_repeat() {
    let all = of_usual(|_| ());
    let contests = all.contests("brkpoint");
    let [contest] = &contests[..] else { panic!("one engine is ours") };
    let peers: Vec<&str> = contest.duels.iter().map(|d| d.peer.arm.spelling.as_str()).collect();
    assert_eq!(peers, ["good", "glibc", "uneven"]);
    let best = contest.best().unwrap();
    assert!(close(best.ratio.value, 0.45f64.sqrt() / 0.6) && best.is_lost());
    // Without `good`, the reference is the best, and `uneven` after it.
    let (cells, samples) = samples(&usual()[..4], 0.0);
    let all = summed(lines(run("r1", cells), samples), Quantity::CpuTime);
    let contests = all.contests("brkpoint");
    let names = [contests[0].best(), contests[0].best_candidate()]
        .map(|duel| duel.unwrap().peer.arm.spelling.as_str());
    assert_eq!(names, ["glibc", "uneven"]);
}

#[test]
fn a_difference_within_the_noise_is_not_lost() {
    let mut speeds = usual();
    speeds[2].2 = [0.602, 0.6];
    let (cells, samples) = samples(&speeds, 0.05);
    let all = summed(lines(run("r1", cells), samples), Quantity::CpuTime);
    let contests = all.contests("brkpoint");
    let best = contests[0].best().unwrap();
    let interval = best.ratio.interval.unwrap();
    assert!(interval.low < 1.0 && 1.0 < interval.high && !best.is_lost(), "{interval:?}");
    assert!(all.to_text("brkpoint").contains("undecided"));
}

#[test]
fn an_engine_that_failed_somewhere_has_no_mean_and_is_no_peer() {
    let all = of_usual(|samples| {
        let mut of_good = samples.iter_mut().filter(|s| s.cell.engine == "good");
        of_good.next().unwrap().exit = Some(Exit::Signal(11));
    });
    let good = &all.standings[4];
    assert_eq!((good.mean, good.ratios[0]), (None, None));
    assert!(good.ratios[1].is_some(), "the other workload went well");
    let contests = all.contests("brkpoint");
    assert_eq!(contests[0].best().unwrap().peer.arm.spelling, "glibc");
    assert!(
        all.to_text("brkpoint")
            .lines()
            .any(|line| { line.starts_with("good ") && line.trim_end().ends_with('-') })
    );
}

#[test]
fn a_round_that_was_cut_off_is_left_out_of_the_mean() {
    let all = of_usual(|samples| {
        // The second workload of the last round was not reached, and of the round
        // before only the reference was; the first would bend the mean.
        samples.retain(|s| {
            s.cell.workload == "short"
                || s.round < ROUNDS - 2
                || (s.round == ROUNDS - 2 && s.cell.role == Role::Reference)
        });
    });
    assert!(close(all.standings[4].mean.unwrap().value, 0.6));
    assert!(close(all.standings[3].mean.unwrap().value, 1.1f64.sqrt()));
}

#[test]
fn too_few_rounds_give_a_value_without_interval_and_no_verdict() {
    let all = of_usual(|samples| samples.retain(|s| s.round < 7));
    let contests = all.contests("brkpoint");
    let best = contests[0].best().unwrap();
    assert!(close(best.ratio.value, 0.45f64.sqrt() / 0.6));
    assert!(best.ratio.interval.is_none() && !best.is_lost());
    assert!(all.to_text("brkpoint").contains("too few rounds"));
}

#[test]
fn nothing_measured_gives_an_empty_table() {
    let all = summed(Vec::new(), Quantity::CpuTime);
    assert!(all.standings.is_empty() && all.contests("brkpoint").is_empty());
}
