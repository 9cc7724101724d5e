//! How allocators rank over the rows of a benchmark.
//!
//! - [`Contest`]: which engines are ours, which is the limit, what the rows are
//! - [`rank`]: records -> [`Ranking`], a [`Board`] for each [`Quantity`]
//! - `grid`: samples by arm, row and round; `text`: the tables of a terminal
//!
//! A row's figure is the median of its rounds. What is neither ours nor the limit
//! is a peer; the best peer of a row is the one with the lowest figure there, and
//! what the others are measured by (but for faults: there it is the reference). The
//! geometric mean goes over the rows that every arm finished (but for the limit,
//! which is compared over those that it bounds), and its ratio to the best peer's is the
//! Hodges-Lehmann estimate over the rounds, each of which has its own two means.

mod grid;
mod text;

use crate::analysis::{self, Report};
use crate::read::Records;
use crate::record::{Metric, Pass, Role, Sample, Unit};
use crate::stats::{CONFIDENCE, Estimate, geometric_mean, paired_ratio};
use grid::Grid;

/// A row whose live bytes reach so much tells of the heap; in others the process's
/// own memory does.
pub const HOLDS: f64 = 1_048_576.0;

/// What takes part in a benchmark.
#[derive(Debug, Clone, Copy)]
pub struct Contest<'a> {
    /// The engine that is to be judged, under whatever settings.
    pub ours: &'a str,
    /// The engine that no allocator can beat.
    pub limit: &'a str,
    /// The rows, in the order of the tables.
    pub rows: &'a [Row],
}

/// A row: a workload, and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Name of the workload.
    pub name: String,
    /// What is asked of it.
    pub kind: Kind,
    /// Whether the limit bounds its time.
    pub bounded: bool,
}

/// What is asked of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Time and peak memory.
    Timed,
    /// The same, and minor faults: large blocks.
    Large,
    /// The memory that is kept.
    Idle,
}

/// The index of the reference among the arms.
const REFERENCE: usize = 0;

/// What figures are multiples of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    BestPeer,
    Reference,
}

/// What a board compares. Less is better for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Time on a CPU, of all threads, in user mode and in the kernel.
    Cpu,
    /// Elapsed time.
    Wall,
    /// Peak resident memory, less the workload's own tables.
    Peak,
    /// Resident memory when all is freed, less the workload's own tables.
    Kept,
    /// Minor faults.
    Faults,
}

/// All boards of a benchmark.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// One for each quantity of which there is a figure.
    pub boards: Vec<Board>,
    /// What failed, or was not measured.
    pub failures: Vec<String>,
}

/// The figures of one quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Board {
    /// What is compared.
    pub quantity: Quantity,
    /// The arms, in the order of the columns; the reference first.
    pub arms: Vec<Contestant>,
    /// The rows.
    pub rows: Vec<Standing>,
    /// Geometric means of all rows, then of a part of them.
    pub means: Vec<Standing>,
    /// Each arm of ours against the best peer by geometric mean of all rows, or
    /// against the reference.
    pub against_base: Vec<Against>,
}

/// An arm of a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contestant {
    /// Its short name.
    pub label: String,
    /// What it is in the contest.
    pub side: Side,
}

/// On which side an arm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// To be judged.
    Ours,
    /// Others that people use.
    Peer,
    /// The reference once more (A/A).
    Repeat,
    /// What none can beat.
    Limit,
}

/// A row of a board, or a mean of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Name of the workload, or what the mean goes over.
    pub name: String,
    /// The arm whose figure the others' are multiples of.
    pub base: Option<usize>,
    /// The figure of each arm, in the quantity's unit; none where it failed.
    pub figures: Vec<Option<f64>>,
}

impl Standing {
    fn new(name: String, base: Base, arms: &[Contestant], figures: Vec<Option<f64>>) -> Standing {
        let peers = arms.iter().enumerate().filter(|(_, arm)| arm.side == Side::Peer);
        let known = peers.filter_map(|(arm, _)| Some((arm, figures[arm]?)));
        let base = match base {
            Base::BestPeer => known.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(arm, _)| arm),
            Base::Reference => figures.get(REFERENCE).and_then(|figure| figure.map(|_| REFERENCE)),
        };
        Standing { name, base, figures }
    }

    /// The figure of `arm` as a multiple of the base's.
    pub fn ratio(&self, arm: usize) -> Option<f64> {
        self.to(arm, self.base?)
    }

    /// The figure of `arm` as a multiple of that of `other`.
    pub fn to(&self, arm: usize, other: usize) -> Option<f64> {
        Some(self.figures[arm]? / self.figures[other]?)
    }
}

/// An arm of ours against a peer.
#[derive(Debug, Clone, PartialEq)]
pub struct Against {
    /// Index of the arm.
    pub ours: usize,
    /// Index of the peer with the lowest geometric mean, or of the reference.
    pub base: usize,
    /// Ratio of the geometric means, with its 99 % interval.
    pub ratio: Estimate,
    /// Ratio to the limit over the rows that it finished.
    pub limit: Option<f64>,
}

impl Quantity {
    /// All of them, in the order of the tables.
    pub const ALL: [Quantity; 5] =
        [Quantity::Cpu, Quantity::Wall, Quantity::Peak, Quantity::Kept, Quantity::Faults];

    /// What it is, as a heading says it.
    pub const fn title(self) -> &'static str {
        match self {
            Quantity::Cpu => "CPU time",
            Quantity::Wall => "elapsed time",
            Quantity::Peak => "peak RSS",
            Quantity::Kept => "RSS kept when all is freed",
            Quantity::Faults => "minor faults",
        }
    }

    /// The unit of its figures.
    pub const fn unit(self) -> Unit {
        match self {
            Quantity::Cpu | Quantity::Wall => Unit::Seconds,
            Quantity::Peak | Quantity::Kept => Unit::Bytes,
            Quantity::Faults => Unit::Count,
        }
    }

    /// What its figures are compared with: peers that never fault because they
    /// never return anything would be no measure.
    const fn base(self) -> Base {
        match self {
            Quantity::Faults => Base::Reference,
            _ => Base::BestPeer,
        }
    }

    /// The pass that measures it.
    const fn pass(self) -> Pass {
        match self {
            Quantity::Cpu | Quantity::Wall => Pass::Time,
            Quantity::Peak | Quantity::Kept => Pass::Memory,
            Quantity::Faults => Pass::Counts,
        }
    }

    /// Its value in a sample.
    fn of(self, sample: &Sample) -> Option<f64> {
        let get = |metric: Metric| sample.metrics.get(&metric).copied();
        let own = |metric: Metric| Some(get(metric)? - get(Metric::TableBytes)?);
        match self {
            Quantity::Cpu => Some(get(Metric::UserS)? + get(Metric::SysS)?),
            Quantity::Wall => get(Metric::WallS),
            Quantity::Peak => own(Metric::PeakRssBytes),
            Quantity::Kept => own(Metric::KeptRssBytes),
            Quantity::Faults => get(Metric::MinorFaults),
        }
    }

    /// Whether it is asked of such a row.
    fn is_asked(self, kind: Kind) -> bool {
        match self {
            Quantity::Cpu | Quantity::Wall | Quantity::Peak => kind != Kind::Idle,
            Quantity::Kept => kind == Kind::Idle,
            Quantity::Faults => kind == Kind::Large,
        }
    }
}

/// Ranks what the records hold.
pub fn rank(records: &Records, contest: &Contest<'_>) -> Ranking {
    let report = analysis::group(records);
    let arms = contestants(&report, contest);
    let boards = Quantity::ALL.map(|quantity| {
        let rows = contest.rows.iter().filter(|row| quantity.is_asked(row.kind));
        let rows: Vec<&Row> = rows.collect();
        let counts = |arm: usize, row: &Row| {
            arms[arm].side != Side::Limit || row.bounded && quantity.unit() == Unit::Seconds
        };
        board(quantity, &arms, &Grid::new(records, &report, &rows, quantity, counts))
    });
    Ranking {
        boards: boards.into_iter().filter(|board| !board.rows.is_empty()).collect(),
        failures: failures(&report),
    }
}

fn contestants(report: &Report, contest: &Contest<'_>) -> Vec<Contestant> {
    let side = |engine: &str, role| match role {
        Role::Repeat => Side::Repeat,
        _ if engine == contest.ours => Side::Ours,
        _ if engine == contest.limit => Side::Limit,
        _ => Side::Peer,
    };
    let contestant = |arm: &analysis::Arm| {
        let side = side(&arm.engine, arm.role);
        let label = if side == Side::Repeat { "A/A" } else { &arm.label };
        Contestant { label: label.to_owned(), side }
    };
    report.arms.iter().map(contestant).collect()
}

fn failures(report: &Report) -> Vec<String> {
    let mut failures = Vec::new();
    for workload in &report.workloads {
        for cell in &workload.cells {
            if let Some(error) = &cell.error {
                let label = &report.arms[cell.arm].label;
                failures.push(format!("{} under {label}: {error}", workload.name));
            }
        }
    }
    failures
}

fn board(quantity: Quantity, arms: &[Contestant], grid: &Grid<'_>) -> Board {
    let all = || 0..arms.len();
    let measured = |row: &usize| all().any(|arm| grid.figure(arm, *row).is_some());
    let rows: Vec<usize> = grid.rows().filter(measured).collect();
    // The limit is no allocator: it may fail without spoiling the others' means.
    let finished = |row: &usize| {
        all().all(|arm| arms[arm].side == Side::Limit || grid.figure(arm, *row).is_some())
    };
    let common: Vec<usize> = rows.iter().copied().filter(finished).collect();
    let name = match common.len() == rows.len() {
        true => "geometric mean".to_owned(),
        false => format!("mean of {}", common.len()),
    };
    let base = quantity.base();
    let mut means = vec![mean(name, base, arms, grid, &common)];
    if quantity == Quantity::Peak && rows.len() > 1 {
        let holding: Vec<usize> =
            common.iter().copied().filter(|&row| grid.live(row) >= HOLDS).collect();
        means.push(mean(format!("{} hold 1 MiB", holding.len()), base, arms, grid, &holding));
    }
    let standing = |row: usize| {
        let figures = all().map(|arm| grid.figure(arm, row)).collect();
        Standing::new(grid.name(row).to_owned(), base, arms, figures)
    };
    Board {
        quantity,
        arms: arms.to_vec(),
        against_base: against_base(arms, grid, &common, means[0].base),
        rows: rows.into_iter().map(standing).collect(),
        means,
    }
}

fn mean(
    name: String,
    base: Base,
    arms: &[Contestant],
    grid: &Grid<'_>,
    rows: &[usize],
) -> Standing {
    let of = |arm: usize| {
        let figures: Option<Vec<f64>> = rows.iter().map(|&row| grid.figure(arm, row)).collect();
        geometric_mean(&figures?)
    };
    Standing::new(name, base, arms, (0..arms.len()).map(of).collect())
}

fn against_base(
    arms: &[Contestant],
    grid: &Grid<'_>,
    rows: &[usize],
    base: Option<usize>,
) -> Vec<Against> {
    let Some(base) = base else { return Vec::new() };
    let limit = arms.iter().position(|arm| arm.side == Side::Limit);
    let ours = arms.iter().enumerate().filter(|(_, arm)| arm.side == Side::Ours);
    let against = ours.filter_map(|(ours, _)| {
        let pairs = grid.paired_means(ours, base, rows);
        let ratio = paired_ratio(&pairs, CONFIDENCE)?;
        Some(Against { ours, base, ratio, limit: to_limit(grid, ours, limit, rows) })
    });
    against.collect()
}

fn to_limit(grid: &Grid<'_>, ours: usize, limit: Option<usize>, rows: &[usize]) -> Option<f64> {
    let limit = limit?;
    let both = rows.iter().filter_map(|&row| {
        let (ours, limit) = (grid.figure(ours, row)?, grid.figure(limit, row)?);
        Some(ours / limit)
    });
    geometric_mean(&both.collect::<Vec<_>>())
}
