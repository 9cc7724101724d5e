//! The worker: a process that is measured or asked about itself. It is the program
//! `brkpoint`, under whichever allocator is preloaded, or a program of its own
//! into which one allocator is linked (`benches/peers`).
//!
//! - `worker run NAME --pass time|counts|memory|latency|layout --seed S --scale X
//!   [--threads N]` runs a workload and prints an [`Answer`] as one JSON line
//! - `worker replay FILE --pass time|counts|memory --process N --touch none|recorded|pages|all
//!   --gaps on|off` does so for a trace, ahead of `main`, before anything has been
//!   allocated
//! - `worker calls PAIRS --pass P` does so for pairs of malloc and free alone, beyond
//!   which all is a workload's driver
//! - `worker touch PAGES --pass P` does so for a run of fresh OS pages: the
//!   control whose faults are known beforehand
//! - `worker probe [SYMBOL]...` prints an [`Identity`]: which objects answer for
//!   the malloc family, and the versions those symbols tell
//! - `worker check CHAPTER` performs a program of the conformance run, which is
//!   on standard input, and prints a [`Judgement`]
//! - `worker steps` performs the steps on standard input ahead of `main`, before
//!   anything has been allocated, and tells what came of them, a line each
//!
//! It shuns the command-line parser and allocates next to nothing before the
//! measured region, so that the region meets a heap as fresh as can be.

mod answer;
mod check;
mod heap_map;
mod identity;
mod layout;
pub mod marker;
mod memory;
mod region;
mod replay;
mod residence;
mod steps;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use brkpoint_reports::record::Pass;
use brkpoint_workloads::synthetic::{self, Amount, Latencies, Ledger, Observer, Outcome};
use brkpoint_workloads::trace::replay::Options as Replaying;
use serde::Serialize;

use answer::Instrument;
pub use answer::{Answer, Compared, Latency, Layout};
pub use check::Judgement;
pub use identity::{Accounts, Identity, Inside, Linked, VersionSymbol};
use layout::Surveyor;
use memory::Sampler;
pub use replay::replay_ahead_of_main;

/// The first argument that makes this program a worker.
pub const VERB: &str = "worker";
/// What follows it to make calls and nothing else.
const CALLS: &str = "calls";

/// The arguments of this program that make it run workload `name` under the
/// instrument of `pass`.
pub fn run_arguments(
    name: &str,
    pass: Pass,
    seed: u64,
    amount: impl Into<Amount>,
) -> Vec<OsString> {
    let Amount { scale, threads } = amount.into();
    let words = [VERB, "run", name, "--pass", pass.name(), "--seed"].map(OsString::from);
    let mut arguments = Vec::from(words);
    arguments.extend([seed.to_string(), "--scale".into(), scale.to_string()].map(OsString::from));
    if let Some(threads) = threads {
        arguments.extend(["--threads".into(), threads.to_string().into()]);
    }
    arguments
}

/// The arguments of this program that make it call the allocator, in so many pairs,
/// and do nothing else.
pub fn calls_arguments(pairs: u64) -> Vec<OsString> {
    let words = [VERB, CALLS, &pairs.to_string(), "--pass", Pass::Time.name()];
    words.map(OsString::from).into()
}

/// The arguments of this program that make it replay a trace under the instrument
/// of `pass`.
pub fn replay_arguments(trace: &Path, pass: Pass, options: Replaying) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [VERB, replay::REPLAY].map(OsString::from).into();
    arguments.push(trace.into());
    let gaps = if options.gaps { "on" } else { "off" };
    let words = ["--pass", pass.name(), "--touch", options.touch.name(), "--gaps", gaps];
    arguments.extend(words.map(OsString::from));
    if let Some(process) = options.process {
        arguments.extend(["--process".into(), process.to_string().into()]);
    }
    arguments
}

/// What a process does beyond its workload, within the measured region: how the
/// positive control of a gate is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burden {
    /// CPU time, as a share of the workload's.
    pub time: f64,
    /// Minor faults, as a share of the workload's.
    pub faults: f64,
    /// But so many at the least.
    pub least_faults: u64,
}

impl Burden {
    /// None. A process with it differs in nothing else from one with a burden: as many
    /// arguments of the same lengths, since these lie on the heap and on the stack.
    pub const NONE: Burden = Burden { time: 0.0, faults: 0.0, least_faults: 0 };

    /// The arguments that follow [`run_arguments`].
    pub fn arguments(&self) -> Vec<OsString> {
        let Burden { time, faults, least_faults } = self;
        vec!["--burden".into(), format!("{time:.3},{faults:.3},{least_faults:03}").into()]
    }

    fn parse(text: &str) -> Result<Burden, String> {
        let mut parts = text.split(',');
        let mut next = || parts.next().ok_or(format!("{text:?} is no burden"));
        Ok(Burden {
            time: number(next()?)?,
            faults: number(next()?)?,
            least_faults: number(next()?)?,
        })
    }
}

/// The arguments of this program that make it tell its [`Identity`].
pub fn probe_arguments<'s>(symbols: impl IntoIterator<Item = &'s str>) -> Vec<OsString> {
    let words = [VERB, "probe"].into_iter().chain(symbols);
    words.map(OsString::from).collect()
}

/// The whole of a program into which the allocator `name` is linked as Rust's
/// global allocator: a worker and nothing else.
pub fn linked_main(name: &'static str, version: impl FnOnce() -> String) -> ExitCode {
    linked(name, version, None)
}

/// The same, of an allocator that can tell something of itself.
pub fn linked_main_telling(
    name: &'static str,
    version: impl FnOnce() -> String,
    inside: Inside,
) -> ExitCode {
    linked(name, version, Some(inside))
}

fn linked(
    name: &'static str,
    version: impl FnOnce() -> String,
    inside: Option<Inside>,
) -> ExitCode {
    identity::set_linked(Linked { name: name.to_owned(), version: version() }, inside);
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != VERB) {
        eprintln!("this is a part of brkpoint: it measures {name}, linked into it");
        return ExitCode::from(2);
    }
    main(arguments)
}

/// The arguments of this program that make it perform a program of `chapter`.
pub fn check_arguments(chapter: &str) -> Vec<OsString> {
    [VERB, "check", chapter].map(OsString::from).into()
}

/// The arguments of this program that make it perform the steps on its standard
/// input: the module `steps` says which there are and what is told.
pub fn steps_arguments() -> Vec<OsString> {
    [VERB, steps::STEPS].map(OsString::from).into()
}

/// Runs the worker with the arguments that follow [`VERB`]. Exit status 2: they
/// make no sense, or the instrument does not work here; stderr says which.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("brkpoint worker: {why}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(arguments: impl Iterator<Item = OsString>) -> Result<(), String> {
    let mut words = arguments
        .map(|word| word.into_string().map_err(|word| format!("{} is not UTF-8", word.display())));
    let mut word = |what: &str| words.next().unwrap_or_else(|| Err(format!("{what} is missing")));
    match word("run, replay, touch, calls, probe or check")?.as_str() {
        "check" => check::print(&check::run(&word("a chapter")?)?),
        CALLS => {
            let pairs = number(&word("the number of pairs")?)?;
            print(&measure(Options::parse(words)?.pass, &mut Calls { pairs })?)
        }
        "probe" => print(&Identity::of_this_process(&words.collect::<Result<Vec<_>, _>>()?)),
        "touch" => {
            let pages = number(&word("the number of pages")?)?;
            let options = Options::parse(words)?;
            print(&measure(options.pass, &mut Touch { pages })?)
        }
        "run" => {
            let name = word("a workload")?;
            let workload = synthetic::find(&name).ok_or(format!("no workload {name:?}"))?;
            let options = Options::parse(words)?;
            let mut prepared = workload
                .prepare(options.seed, options.amount)
                .map_err(|error| format!("{name}: {error}"))?;
            match options.burden {
                Some(burden) => print(&measure(options.pass, &mut Burdened { prepared, burden })?),
                None => print(&measure(options.pass, &mut prepared)?),
            }
        }
        replay::REPLAY => Err(match identity::linked() {
            Some(Linked { name, .. }) => {
                format!("a trace is replayed by malloc, and {name} is linked as Rust's heap")
            }
            None => "a trace is replayed ahead of main".to_owned(),
        }),
        other => Err(format!("{other:?} is none of run, replay, touch, calls, probe, check")),
    }
}

/// What follows the workload's name.
struct Options {
    pass: Pass,
    seed: u64,
    amount: Amount,
    burden: Option<Burden>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = Result<String, String>>) -> Result<Options, String> {
        let mut options =
            Options { pass: Pass::Time, seed: 1, amount: Amount::from(1.0), burden: None };
        while let Some(option) = words.next().transpose()? {
            let value = words.next().unwrap_or(Err(format!("{option} lacks its value")))?;
            match option.as_str() {
                "--pass" => options.pass = pass_named(&value)?,
                "--seed" => options.seed = number(&value)?,
                "--scale" => options.amount.scale = number(&value)?,
                "--threads" => options.amount.threads = Some(number(&value)?),
                "--burden" => options.burden = Some(Burden::parse(&value)?),
                _ => return Err(format!("unknown option {option:?}")),
            }
        }
        Ok(options)
    }
}

fn number<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

fn pass_named(name: &str) -> Result<Pass, String> {
    let found = Pass::ALL.into_iter().find(|pass| pass.name() == name);
    found.ok_or_else(|| format!("{name:?} is none of time, counts, memory, latency, layout"))
}

/// What a region can hold.
trait Work {
    fn operations(&self) -> u64;
    fn table_bytes(&self) -> usize;
    fn run(&mut self) -> Outcome;
    fn run_observed(&mut self, observer: &mut dyn Observer) -> Outcome;

    /// Without blocks that a ledger could hold, unless it says otherwise.
    fn run_entered(&mut self, _: &Ledger, observer: &mut dyn Observer) -> Outcome {
        self.run_observed(observer)
    }

    /// Without calls that could be timed, unless it says otherwise.
    fn run_clocked(&mut self, _: &Latencies) -> Outcome {
        self.run()
    }
}

impl Work for synthetic::Prepared {
    fn operations(&self) -> u64 {
        self.operations()
    }

    fn table_bytes(&self) -> usize {
        self.table_bytes()
    }

    fn run(&mut self) -> Outcome {
        self.run()
    }

    fn run_observed(&mut self, observer: &mut dyn Observer) -> Outcome {
        self.run_observed(observer)
    }

    fn run_entered(&mut self, ledger: &Ledger, observer: &mut dyn Observer) -> Outcome {
        self.run_entered(ledger, observer)
    }

    fn run_clocked(&mut self, latencies: &Latencies) -> Outcome {
        self.run_clocked(latencies)
    }
}

/// A workload, and then its burden.
struct Burdened {
    prepared: synthetic::Prepared,
    burden: Burden,
}

impl Burdened {
    fn bear(&self, used: &region::Usage) {
        let faults = (used.minor_faults as f64 * self.burden.faults).ceil() as u64;
        let faults = faults.max(self.burden.least_faults);
        if faults > 0 {
            memory::touch_fresh_pages(faults as usize, |_| ());
        }
        region::spend((used.user_s + used.sys_s) * self.burden.time);
    }
}

impl Work for Burdened {
    fn operations(&self) -> u64 {
        self.prepared.operations()
    }

    fn table_bytes(&self) -> usize {
        self.prepared.table_bytes()
    }

    fn run(&mut self) -> Outcome {
        let (outcome, used) = region::measure(|| self.prepared.run());
        self.bear(&used);
        outcome
    }

    fn run_observed(&mut self, observer: &mut dyn Observer) -> Outcome {
        self.prepared.run_observed(observer)
    }
}

/// Pairs of malloc and free, and nothing else.
struct Calls {
    pairs: u64,
}

impl Work for Calls {
    fn operations(&self) -> u64 {
        2 * self.pairs
    }

    fn table_bytes(&self) -> usize {
        0
    }

    fn run(&mut self) -> Outcome {
        synthetic::calls_alone(self.pairs);
        Outcome { digest: 0, operations: self.operations() }
    }

    /// What it does at a time is not watched.
    fn run_observed(&mut self, observer: &mut dyn Observer) -> Outcome {
        let outcome = self.run();
        observer.after(outcome.operations, 0);
        outcome
    }
}

/// Fresh OS pages, each touched once: as many faults as pages.
struct Touch {
    pages: usize,
}

impl Work for Touch {
    fn operations(&self) -> u64 {
        self.pages as u64
    }

    fn table_bytes(&self) -> usize {
        0
    }

    fn run(&mut self) -> Outcome {
        touched(memory::touch_fresh_pages(self.pages, |_| ()))
    }

    fn run_observed(&mut self, observer: &mut dyn Observer) -> Outcome {
        touched(memory::touch_fresh_pages(self.pages, |touched| {
            observer.after(touched as u64, (touched * memory::os_page()) as u64);
        }))
    }
}

fn touched(pages: usize) -> Outcome {
    Outcome { digest: pages as u64, operations: pages as u64 }
}

/// Runs `work` as the measured region, with the instrument of `pass` and no other.
fn measure(pass: Pass, work: &mut impl Work) -> Result<Answer, String> {
    let (outcome, usage, seen) = match pass {
        Pass::Time => {
            let (outcome, usage) = region::measure(|| work.run());
            (outcome, usage, Instrument::None)
        }
        Pass::Counts => {
            // Code and stack of instrument and control are resident before it counts.
            region::measure(|| Touch { pages: 1 }.run());
            marker::mark(marker::MEASURED);
            let (outcome, usage) = region::measure(|| work.run());
            marker::mark(marker::AFTER);
            (outcome, usage, Instrument::None)
        }
        Pass::Memory => {
            let mut sampler = Sampler::new(work.operations())?;
            let (outcome, usage) = region::measure(|| work.run_observed(&mut sampler));
            (outcome, usage, Instrument::Memory(sampler.finish()?))
        }
        Pass::Latency => {
            static LATENCIES: Latencies = Latencies::new();
            let clock = LATENCIES.calibrate();
            let (outcome, usage) = region::measure(|| work.run_clocked(&LATENCIES));
            (outcome, usage, Instrument::Latency(&LATENCIES, clock))
        }
        Pass::Layout => {
            let ledger = Ledger::new(identity::usable_size())
                .map_err(|error| format!("cannot map the ledger: {error}"))?;
            let mut surveyor = Surveyor::new(&ledger, work.operations())?;
            let (outcome, usage) = region::measure(|| work.run_entered(&ledger, &mut surveyor));
            (outcome, usage, Instrument::Layout(surveyor.finish()?))
        }
    };
    Ok(Answer::new(outcome, usage, work.table_bytes(), seen))
}

/// One JSON line on stdout.
fn print(answer: &impl Serialize) -> Result<(), String> {
    let mut line = serde_json::to_vec(answer).map_err(|error| error.to_string())?;
    line.push(b'\n');
    std::io::stdout().write_all(&line).map_err(|error| format!("stdout: {error}"))
}

#[cfg(test)]
mod tests {
    use brkpoint_reports::record::{Area, HeapMap, Moment};

    use super::*;

    #[test]
    fn maps_of_the_heap_agree_with_the_figures_of_the_same_looks() {
        let mut prepared = synthetic::find("straddle").unwrap().prepare(7, 0.05).unwrap();
        let layout = measure(Pass::Layout, &mut prepared).unwrap().layout.unwrap();
        let [fullest, .., end] = &layout.heap[..] else { panic!("{:?}", layout.heap) };
        assert_eq!((fullest.moment, end.moment), (Moment::Fullest, Moment::End));
        let sum = |map: &HeapMap, of: fn(&Area) -> u64| map.areas.iter().map(of).sum::<u64>();
        let live = sum(fullest, |area| area.live_bytes);
        assert!(fullest.live_bytes > 1 << 20 && live >= fullest.live_bytes, "{fullest:?}");
        assert!(live < 2 * fullest.live_bytes, "{fullest:?}");
        assert_eq!((end.live_bytes, sum(end, |area| area.live_bytes)), (0, 0));
        // Variables of the program itself are no part of a map; and other tests run
        // in this process.
        let (kept, all) = (sum(end, |area| area.kept_bytes), layout.kept_heap_bytes);
        assert!(kept.abs_diff(all) <= 1 << 20, "{kept} of {all}");
        for area in layout.heap.iter().flat_map(|map| &map.areas) {
            let squares: usize = area.runs().expect("runs").iter().map(|run| run.1).sum();
            let bytes = area.live_bytes + area.kept_bytes + area.returned_bytes;
            assert_eq!(area.cached_bytes, None, "the C library's allocator does not tell");
            let pages = (bytes / 4096).div_ceil(area.pages_a_square.into());
            assert!(squares as u64 <= pages, "{area:?}");
        }
    }
}
