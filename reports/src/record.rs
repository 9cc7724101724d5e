//! Records: what was asked, on which machine, and every sample or its error.
//!
//! A record file is JSON lines. A [`Line::Run`] says once what was asked and on
//! which machine; each measured process then appends one [`Line::Sample`] that
//! names its run. A tuning ends with a [`Line::Answer`]. Files are merged by concatenation, and a file cut off in the
//! middle keeps all its whole lines.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::heap_map::{Area, HeapMap, Moment, PageState, Source};
use crate::tuning::Answer;

/// Version of the record format; a reader refuses lines of a newer one.
pub const SCHEMA: u32 = 1;

/// The workload of a positive control that runs beside what is compared, and on none
/// of its workloads. No command is labelled so.
pub const CONTROL: &str = "(positive control)";

/// One line of a record file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// What was asked, and where.
    Run(Run),
    /// One measured process.
    Sample(Sample),
    /// What was concluded from runs of a tuning.
    Answer(Box<Answer>),
}

/// What was asked, and on which machine; samples refer to it by `id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Unique among all runs.
    pub id: String,
    /// Version of brkpoint, with the commit where known.
    pub brkpoint: String,
    /// Start, RFC 3339, UTC.
    pub started: String,
    /// The command line of brkpoint that made this run.
    pub command_line: Vec<String>,
    /// Where it ran.
    pub machine: Machine,
    /// The cells that were planned, in the order of the command line.
    pub cells: Vec<Cell>,
    /// What the workloads do, in a line each, as far as it is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub about: BTreeMap<String, String>,
    /// What it is of a gate, if it is a part of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gating>,
}

/// What a run is of a gate, and by which margins it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gating {
    /// Its part.
    pub stage: Stage,
    /// The margins.
    pub margins: Margins,
}

/// The parts of a gate, each a run of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// All that is to be compared.
    Measure,
    /// What seemed to have become worse, once more in fresh rounds.
    Confirm,
}

/// The smallest relative differences worth acting on, as shares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Margins {
    /// In times.
    pub time: f64,
    /// In resident bytes.
    pub memory: f64,
    /// In counts.
    pub counts: f64,
}

/// The machine, as far as it can influence a figure. `None`: could not be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// CPU model name.
    pub cpu: Option<String>,
    /// CPUs this process may run on.
    pub cpus: Option<u32>,
    /// RAM in bytes.
    pub memory_bytes: Option<u64>,
    /// Kernel name, release and machine, as `uname -srm` prints them.
    pub kernel: Option<String>,
    /// Name and version of the C library.
    pub libc: Option<String>,
    /// Distribution (`PRETTY_NAME` of os-release).
    pub os: Option<String>,
    /// Transparent huge pages: `always`, `madvise` or `never`.
    pub thp: Option<String>,
    /// CPU frequency governor.
    pub governor: Option<String>,
    /// `kernel.randomize_va_space`.
    pub aslr: Option<String>,
    /// Memory limit of the cgroup in bytes.
    pub cgroup_memory_bytes: Option<u64>,
    /// CPU limit of the cgroup, in CPUs.
    pub cgroup_cpus: Option<f64>,
    /// Load average over a minute when the run began.
    pub load: Option<f64>,
    /// Name of the hypervisor, where there is one.
    pub hypervisor: Option<String>,
}

/// Engine x settings x workload: the unit that is measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// Name of the engine in `engines.toml`.
    pub engine: String,
    /// Version as the engine itself, or the file it came from, tells it.
    pub version: String,
    /// Knobs that differ from the engine's defaults, by name.
    pub settings: BTreeMap<String, String>,
    /// Name of a workload, or the command as a person would type it.
    pub workload: String,
    /// What the cell is for in its run.
    pub role: Role,
}

/// What a cell is for in its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Others are compared with it.
    Reference,
    /// The reference once more (A/A): what it differs by is noise.
    Repeat,
    /// Any other.
    Candidate,
    /// The reference with a burden that is known beforehand (the positive control):
    /// what does not find it finds nothing.
    Control,
}

/// The instrument of a pass; one a pass, so that none disturbs another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Wall, user and system time; nothing else watches.
    Time,
    /// System calls, bytes and faults; not timed; address randomisation off.
    Counts,
    /// RSS at the exit of each process, and over time.
    Memory,
    /// Each call of the allocator between two readings of the time-stamp counter;
    /// only of our workloads.
    Latency,
    /// What lies on which resident OS page, at operation counts; only of our
    /// workloads.
    Layout,
}

impl Pass {
    /// All passes.
    pub const ALL: [Pass; 5] =
        [Pass::Time, Pass::Counts, Pass::Memory, Pass::Latency, Pass::Layout];

    /// Those that any program can be measured in.
    pub const OF_COMMANDS: [Pass; 3] = [Pass::Time, Pass::Counts, Pass::Memory];

    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Pass::Time => "time",
            Pass::Counts => "counts",
            Pass::Memory => "memory",
            Pass::Latency => "latency",
            Pass::Layout => "layout",
        }
    }
}

/// One measured process (with all its descendants).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// [`Run::id`].
    pub run: String,
    /// The cell that was measured.
    pub cell: Cell,
    /// The instrument.
    pub pass: Pass,
    /// Round, from 0; samples of one round and pass are pairs.
    pub round: u32,
    /// Seconds since the run began.
    pub at_s: f64,
    /// How the process ended; `None` if it could not be started.
    pub exit: Option<Exit>,
    /// Why this sample cannot be used. Figures beside an error are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The figures.
    pub metrics: BTreeMap<Metric, f64>,
    /// RSS (and live bytes, where known) over the process's life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Series>,
    /// The heap's OS pages at some moments, for workloads that know their blocks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heap: Vec<HeapMap>,
    /// How full the heap's OS pages are, over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occupancy: Option<Occupancy>,
    /// Digest of what the workload computed or the command printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Programs of the tree that ran without the engine, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_covered: Vec<String>,
    /// Anything else a reader should know about this sample.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was killed when its time was up.
    TimedOut,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal(signal) => write!(f, "killed by signal {signal}"),
            Exit::TimedOut => f.write_str("timed out"),
        }
    }
}

/// What the x axis of a [`Series`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Operations of the workload.
    Operations,
    /// Seconds since the process began.
    Seconds,
}

/// Memory over the life of a process tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What `x` counts.
    pub axis: Axis,
    /// Ascending.
    pub x: Vec<f64>,
    /// Resident bytes (summed over the processes of the tree).
    pub rss_bytes: Vec<u64>,
    /// Live bytes, for workloads that know them; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub live_bytes: Vec<u64>,
}

impl Series {
    /// Whether every point has all its values and `x` ascends.
    pub fn is_usable(&self) -> bool {
        let n = self.x.len();
        n > 0
            && self.rss_bytes.len() == n
            && (self.live_bytes.is_empty() || self.live_bytes.len() == n)
            && self.x.iter().all(|x| x.is_finite() && *x >= 0.0)
            && self.x.is_sorted()
    }
}

/// Resident OS pages of a heap by the share of each that live bytes take up: means
/// over the moments at which something was live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Occupancy {
    /// Pages without a live byte, then up to 10 %, up to 20 %, and so on to 100 %.
    pub pages: [f64; Occupancy::BINS],
}

impl Occupancy {
    /// One for empty pages, and one for each tenth.
    pub const BINS: usize = 11;

    /// Whether every count is one.
    pub fn is_usable(&self) -> bool {
        self.pages.iter().all(|pages| pages.is_finite() && *pages >= 0.0)
    }
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $unit:ident, $pass:ident;)*) => {
        /// A measured quantity. Less is better for every one of them but
        /// [`PrintedRate`](Metric::PrintedRate).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Metric { $($(#[$doc])* $name,)* }

        impl Metric {
            /// All metrics, in the order in which tables show them.
            pub const ALL: &[Metric] = &[$(Metric::$name,)*];

            /// The name in records and on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Metric::$name => $text,)* }
            }

            /// The unit of its values.
            pub const fn unit(self) -> Unit {
                match self { $(Metric::$name => Unit::$unit,)* }
            }

            /// The pass that measures it.
            pub const fn pass(self) -> Pass {
                match self { $(Metric::$name => Pass::$pass,)* }
            }
        }
    };
}

metrics! {
    /// Elapsed time.
    WallS = "wall_s", Seconds, Time;
    /// A number that the program or its load generator printed, less of which is better.
    PrintedCost = "printed_cost", Count, Time;
    /// The same, more of which is better.
    PrintedRate = "printed_rate", Count, Time;
    /// Time on a CPU in user mode, summed over the tree.
    UserS = "user_s", Seconds, Time;
    /// Time on a CPU in the kernel, summed over the tree.
    SysS = "sys_s", Seconds, Time;
    /// Faults served without I/O, summed over the tree.
    MinorFaults = "minor_faults", Count, Counts;
    /// Faults that waited for I/O, summed over the tree.
    MajorFaults = "major_faults", Count, Counts;
    /// Calls of `brk`, successful or not.
    SyscallsBrk = "syscalls_brk", Count, Counts;
    /// Calls of `mmap`.
    SyscallsMmap = "syscalls_mmap", Count, Counts;
    /// Calls of `munmap`.
    SyscallsMunmap = "syscalls_munmap", Count, Counts;
    /// Calls of `mremap`.
    SyscallsMremap = "syscalls_mremap", Count, Counts;
    /// Calls of `madvise`.
    SyscallsMadvise = "syscalls_madvise", Count, Counts;
    /// Calls of `mprotect`.
    SyscallsMprotect = "syscalls_mprotect", Count, Counts;
    /// Bytes by which `brk` asked to grow the heap (shrinking not subtracted).
    BytesBrk = "bytes_brk", Bytes, Counts;
    /// Bytes asked of `mmap`.
    BytesMmap = "bytes_mmap", Bytes, Counts;
    /// Bytes given to `munmap`.
    BytesMunmap = "bytes_munmap", Bytes, Counts;
    /// New lengths asked of `mremap`, in bytes.
    BytesMremap = "bytes_mremap", Bytes, Counts;
    /// Bytes named in `madvise`.
    BytesMadvise = "bytes_madvise", Bytes, Counts;
    /// Bytes named in `mprotect`.
    BytesMprotect = "bytes_mprotect", Bytes, Counts;
    /// Peak resident bytes: the largest `VmHWM` of any one process of the tree.
    PeakRssBytes = "peak_rss_bytes", Bytes, Memory;
    /// Resident bytes of a driven workload's process before its first operation.
    BaselineRssBytes = "baseline_rss_bytes", Bytes, Memory;
    /// Most live bytes at one moment, where the workload knows them.
    PeakLiveBytes = "peak_live_bytes", Bytes, Memory;
    /// Resident bytes of a driven workload's process when it has freed everything.
    KeptRssBytes = "kept_rss_bytes", Bytes, Memory;
    /// Bytes of a driven workload's own tables: a part of all its RSS.
    TableBytes = "table_bytes", Bytes, Memory;
    /// Most resident bytes (less the baseline) over most live bytes.
    BlowUp = "blow_up", Ratio, Memory;
    /// The same of their means over the operations.
    MeanBlowUp = "mean_blow_up", Ratio, Memory;
    /// Half of the allocations took no longer. Of all latencies: the call alone,
    /// less the clock's own cost.
    AllocP50S = "alloc_p50_s", Seconds, Latency;
    /// 99 % of the allocations took no longer.
    AllocP99S = "alloc_p99_s", Seconds, Latency;
    /// 99.9 % of the allocations took no longer.
    AllocP999S = "alloc_p999_s", Seconds, Latency;
    /// The longest allocation, with whatever interrupted it.
    AllocMaxS = "alloc_max_s", Seconds, Latency;
    /// Half of the frees took no longer.
    FreeP50S = "free_p50_s", Seconds, Latency;
    /// 99 % of the frees took no longer.
    FreeP99S = "free_p99_s", Seconds, Latency;
    /// 99.9 % of the frees took no longer.
    FreeP999S = "free_p999_s", Seconds, Latency;
    /// The longest free, with whatever interrupted it.
    FreeMaxS = "free_max_s", Seconds, Latency;
    /// What the clock adds to a call, which has been subtracted.
    ClockS = "clock_s", Seconds, Latency;
    /// 1 - requested / usable bytes, over all moments at which something was live.
    InternalFragmentation = "internal_fragmentation", Share, Layout;
    /// 1 - usable live bytes on resident OS pages / bytes of the heap's resident OS
    /// pages, over the same moments.
    ExternalFragmentation = "external_fragmentation", Share, Layout;
    /// Resident OS pages of the heap with live bytes on less than 10 % of each, in
    /// bytes: the mean over the same moments.
    StrandedBytes = "stranded_bytes", Bytes, Layout;
    /// Resident OS pages of the heap, in bytes: the mean over the same moments.
    HeapBytes = "heap_bytes", Bytes, Layout;
    /// The same when everything is free.
    KeptHeapBytes = "kept_heap_bytes", Bytes, Layout;
}

impl Metric {
    /// Calls by which a process takes memory from the OS and gives it back, by kind.
    pub const MEMORY_CALLS: [Metric; 6] = [
        Metric::SyscallsBrk,
        Metric::SyscallsMmap,
        Metric::SyscallsMunmap,
        Metric::SyscallsMremap,
        Metric::SyscallsMadvise,
        Metric::SyscallsMprotect,
    ];

    /// Whether more of it is better.
    pub const fn more_is_better(self) -> bool {
        matches!(self, Metric::PrintedRate)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A plain count.
    Count,
    /// So many times something.
    Ratio,
    /// A part of a whole, 0 to 1.
    Share,
}

impl Cell {
    /// [`spelling`](Self::spelling); the repeat of the reference ends in ` (A/A)`,
    /// the positive control in ` (control)`.
    pub fn arm(&self) -> String {
        let mut arm = self.spelling();
        arm.push_str(match self.role {
            Role::Repeat => " (A/A)",
            Role::Control => " (control)",
            Role::Reference | Role::Candidate => "",
        });
        arm
    }

    /// Engine and settings as the command line spells them, e.g.
    /// `brkpoint:preset=brk-only`.
    pub fn spelling(&self) -> String {
        let mut arm = self.engine.clone();
        for (i, (knob, value)) in self.settings.iter().enumerate() {
            arm.push(if i == 0 { ':' } else { ',' });
            arm.push_str(knob);
            arm.push('=');
            arm.push_str(value);
        }
        arm
    }
}
