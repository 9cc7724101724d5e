//! Traces looked at: which calls are meant, what they come to, and a trace of them
//! alone.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::ops::Range;
use std::path::Path;

use brkpoint_allocator::SizeClasses;
use brkpoint_reports::profile::{Lifetime, ProcessLine, Profile, Scheme, SizeBin, Threshold};
use brkpoint_workloads::trace::ordered::{self, Event};
use brkpoint_workloads::trace::{
    Action, Call, Closing, Header, Kind, Next, Problem, Reader, Weaver, Writer,
};

/// Which calls of a process are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Events, counted from 0. A block that is allocated before is foreign to them.
    pub events: Range<u64>,
    /// Bytes requested when a block was allocated.
    pub sizes: Range<u64>,
}

impl Default for Filter {
    fn default() -> Filter {
        Filter { events: 0..u64::MAX, sizes: 0..u64::MAX }
    }
}

/// What there is in a trace.
#[derive(Debug)]
pub struct Contents {
    /// What it says of itself.
    pub header: Header,
    /// Of each process: what its frames say.
    pub processes: Vec<Closing>,
    /// Why it cannot be read to its end, if so.
    pub problem: Option<Problem>,
}

impl Contents {
    /// Looks through a trace.
    ///
    /// # Errors
    /// A file that cannot be read, or has no good header.
    pub fn of(path: &Path) -> Result<Contents, Problem> {
        let mut reader = open(path)?;
        let header = reader.header().clone();
        let mut processes: Vec<Closing> = (0..header.processes.len() as u32)
            .map(|process| Closing { process, ..Closing::default() })
            .collect();
        let problem = loop {
            match reader.next() {
                Ok(Next::Part(part)) => {
                    if let Some(seen) = processes.get_mut(part.process as usize) {
                        seen.events += u64::from(part.events);
                        seen.threads = seen.threads.max(part.thread.saturating_add(1));
                    }
                }
                Ok(Next::Closing(closing)) => {
                    if let Some(seen) = processes.get_mut(closing.process as usize) {
                        *seen = closing;
                    }
                }
                Ok(Next::Untouched(..)) => {}
                Ok(Next::End) => break None,
                Err(problem) => break Some(problem),
            }
        };
        Ok(Contents { header, processes, problem })
    }

    /// The process with most events.
    pub fn largest(&self) -> u32 {
        let most =
            self.processes.iter().max_by_key(|it| (it.events, std::cmp::Reverse(it.process)));
        most.map_or(0, |closing| closing.process)
    }
}

/// A trace, to be read from its beginning.
///
/// # Errors
/// A file that cannot be read, or has no good header.
pub fn open(path: &Path) -> Result<Reader<impl Read>, Problem> {
    let file = File::open(path).map_err(Problem::Io)?;
    Reader::new(BufReader::with_capacity(1 << 20, file))
}

/// Tells which events are meant, one by one.
struct Chosen<'f> {
    filter: &'f Filter,
    event: u64,
    /// Live blocks that are not.
    others: HashSet<u64>,
}

impl Chosen<'_> {
    fn takes(&mut self, action: Action, block: u64) -> bool {
        let event = self.event;
        self.event += 1;
        let fits = self.filter.sizes.contains(&action.size());
        match action.kind() {
            Kind::Free if self.others.remove(&block) => return false,
            Kind::Realloc if self.others.contains(&block) => return false,
            Kind::Free | Kind::Realloc => {}
            Kind::Refused if !fits => return false,
            _ if !fits => {
                self.others.insert(block);
                return false;
            }
            _ => {}
        }
        self.filter.events.contains(&event)
    }
}

/// Writes a trace of the chosen calls of `process` to `out`. What is wrong with the
/// trace is given beside it: what precedes that is in the new one.
///
/// # Errors
/// What writing gives.
pub fn cut<R: Read, W: Write>(
    mut reader: Reader<R>,
    process: u32,
    filter: &Filter,
    out: W,
) -> io::Result<(Closing, Option<Problem>)> {
    let mut header = reader.header().clone();
    header.processes = header.processes.get(process as usize).cloned().into_iter().collect();
    for kept in &mut header.processes {
        kept.forked_from = None;
    }
    header.maker = format!("brkpoint {} (cut)", crate::version::VERSION);
    let mut writer = Writer::new(out, &header)?;
    let mut weaver = Weaver::new(&mut writer, 0);
    let mut chosen = Chosen { filter, event: 0, others: HashSet::new() };
    let mut threads: HashMap<u32, u32> = HashMap::new();
    let mut failed = None;
    let mut each = |event| {
        let done = match event {
            Event::Call { thread, at_ns, action, block } if chosen.takes(action, block) => {
                let number = *threads.entry(thread).or_insert_with(|| weaver.thread());
                copy(&mut weaver, number, at_ns, action, block)
            }
            Event::Call { .. } => Ok(()),
            Event::End { thread } => {
                threads.get(&thread).into_iter().for_each(|&number| weaver.thread_ended(number));
                Ok(())
            }
        };
        if let Err(error) = done {
            failed.get_or_insert(error);
        }
    };
    let problem = ordered::each(&mut reader, process, &mut each).err();
    if let Some(error) = failed {
        return Err(error);
    }
    let closing = weaver.finish()?;
    writer.finish()?;
    Ok((closing, problem))
}

fn copy<W: Write>(
    weaver: &mut Weaver<'_, W>,
    thread: u32,
    at_ns: u64,
    action: Action,
    block: u64,
) -> io::Result<()> {
    // A block's number serves as its address.
    let (address, size) = (16 * block, action.size());
    let call = match action.kind() {
        Kind::Free => Call::Freed { address, resident: None },
        Kind::Refused => Call::Refused { size },
        Kind::Realloc => {
            let taken = weaver.take(thread, address, None);
            return weaver.resized(thread, at_ns, taken, address, size);
        }
        kind => Call::Allocated { kind, address, size, align: action.align() },
    };
    weaver.call(thread, at_ns, call)
}

/// Points of live bytes over time.
const POINTS: u64 = 200;
const KINDS: usize = Kind::ALL.len();

/// glibc's rule: eight bytes more, in multiples of 16, at least 32 (its malloc.c).
fn glibc(request: usize) -> usize {
    (request.saturating_add(8 + 15) & !15).max(32)
}

/// What a request is rounded up to.
type Rounding = fn(usize) -> usize;

fn schemes() -> [(&'static str, Rounding); 5] {
    [
        ("glibc's chunks", glibc),
        ("spacing16", |size| SizeClasses::Spacing16.round(size)),
        ("steps8", |size| SizeClasses::Steps8.round(size)),
        ("steps4", |size| SizeClasses::Steps4.round(size)),
        ("powers", |size| SizeClasses::Powers.round(size)),
    ]
}

/// A live block.
#[derive(Clone, Copy)]
struct Block {
    size: u64,
    born: u64,
    thread: u32,
}

/// What is live of some sizes.
#[derive(Clone, Copy, Default)]
struct Level {
    calls: u64,
    bytes: u64,
    blocks: u64,
    live: u64,
    peak_blocks: u64,
    peak_live: u64,
}

impl Level {
    fn add(&mut self, size: u64) {
        self.calls += 1;
        self.bytes += size;
        self.blocks += 1;
        self.live += size;
        self.peak_blocks = self.peak_blocks.max(self.blocks);
        self.peak_live = self.peak_live.max(self.live);
    }

    fn remove(&mut self, size: u64) {
        self.blocks -= 1;
        self.live -= size;
    }
}

/// The state of a profile in the making.
struct Making {
    blocks: HashMap<u64, Block>,
    calls: [u64; KINDS],
    events: u64,
    every: u64,
    all: Level,
    bins: [Level; 64],
    thresholds: [(u64, Level); 9],
    lives: [Lifetime; 9],
    sizes: HashMap<u64, u64>,
    rounded: [Level; 5],
    /// Live bytes in each scheme at the peak of all.
    at_peak: [u64; 5],
    blocks_at_peak: u64,
    handed_over: u64,
    points: Vec<(f64, u64, u64)>,
    last_ns: u64,
}

fn bin(size: u64) -> usize {
    // Powers of two from 16 on.
    (size.max(16).next_power_of_two().ilog2() as usize).min(63)
}

impl Making {
    fn new(events: u64) -> Making {
        let mut lives = [Lifetime::default(); 9];
        for (power, life) in (1..).zip(&mut lives) {
            life.below = Some(10_u64.pow(power));
        }
        lives[8].below = None;
        Making {
            blocks: HashMap::new(),
            calls: [0; KINDS],
            events: 0,
            every: events.div_ceil(POINTS).max(1),
            all: Level::default(),
            bins: [Level::default(); 64],
            thresholds: std::array::from_fn(|at| ((16 << 10) << at, Level::default())),
            lives,
            sizes: HashMap::new(),
            rounded: [Level::default(); 5],
            at_peak: [0; 5],
            blocks_at_peak: 0,
            handed_over: 0,
            points: Vec::new(),
            last_ns: 0,
        }
    }

    fn levels(&mut self, size: u64, change: fn(&mut Level, u64)) {
        change(&mut self.all, size);
        change(&mut self.bins[bin(size)], size);
        for (least, level) in &mut self.thresholds {
            if size >= *least {
                change(level, size);
            }
        }
        for (level, (_, round)) in self.rounded.iter_mut().zip(schemes()) {
            change(level, round(size as usize) as u64);
        }
    }

    fn call(&mut self, thread: u32, at_ns: u64, action: Action, block: u64) {
        self.calls[action.kind() as usize] += 1;
        self.events += 1;
        self.last_ns = at_ns;
        if action.takes_block()
            && let Some(old) = self.blocks.remove(&block)
        {
            self.handed_over += u64::from(old.thread != thread);
            self.levels(old.size, Level::remove);
            let age = self.events - old.born;
            let at = self.lives.iter().position(|life| life.below.is_some_and(|most| age < most));
            self.lived(at.unwrap_or(7), old.size);
        }
        if action.gives_block() {
            let size = action.size();
            let peak = self.all.peak_live;
            self.levels(size, Level::add);
            if self.all.peak_live > peak {
                self.at_peak = self.rounded.map(|level| level.live);
                self.blocks_at_peak = self.all.blocks;
            }
            *self.sizes.entry(size).or_default() += 1;
            self.blocks.insert(block, Block { size, born: self.events, thread });
        }
        if self.events.is_multiple_of(self.every) {
            self.points.push((at_ns as f64 / 1e9, self.events, self.all.live));
        }
    }

    fn lived(&mut self, at: usize, size: u64) {
        self.lives[at].blocks += 1;
        self.lives[at].bytes += size;
    }

    fn finish(mut self) -> Profile {
        let left: Vec<u64> = self.blocks.values().map(|block| block.size).collect();
        left.iter().for_each(|&size| self.lived(8, size));
        let mut hottest: Vec<(u64, u64)> = self.sizes.into_iter().collect();
        hottest.sort_by_key(|&(size, calls)| (std::cmp::Reverse(calls), size));
        hottest.truncate(12);
        let waste = |part: u64, whole: u64| 1.0 - part as f64 / whole.max(1) as f64;
        let all = self.all;
        let rounded = self.rounded.iter().zip(schemes()).zip(self.at_peak);
        let schemes = rounded.map(|((level, (name, _)), at_peak)| Scheme {
            name: name.to_owned(),
            peak_bytes: level.peak_live,
            waste: waste(all.bytes, level.bytes),
            waste_at_peak: waste(all.peak_live, at_peak),
        });
        let bins = self.bins.iter().enumerate().map(|(power, level)| SizeBin {
            most: 1 << power,
            calls: level.calls,
            bytes: level.bytes,
            peak_live_bytes: level.peak_live,
        });
        let calls = Kind::ALL.iter().zip(self.calls).filter(|(_, calls)| *calls > 0);
        Profile {
            calls: calls.map(|(kind, calls)| (kind.name().to_owned(), calls)).collect(),
            span_s: self.last_ns as f64 / 1e9,
            requested_bytes: all.bytes,
            peak_live_bytes: all.peak_live,
            peak_blocks: self.blocks_at_peak,
            left_blocks: left.len() as u64,
            left_bytes: left.iter().sum(),
            sizes: bins.filter(|bin| bin.calls > 0).collect(),
            lifetimes: self.lives.into(),
            hottest,
            thresholds: (self.thresholds.iter())
                .map(|(bytes, level)| Threshold {
                    bytes: *bytes,
                    calls: level.calls,
                    peak_blocks: level.peak_blocks,
                    peak_live_bytes: level.peak_live,
                })
                .collect(),
            handed_over: self.handed_over,
            schemes: schemes.collect(),
            live: self.points,
            ..Profile::default()
        }
    }
}

/// The figures of the chosen calls of `process`.
///
/// # Errors
/// A file that cannot be read, or has no good header; what is wrong behind that is
/// in the notes.
pub fn profile(path: &Path, process: u32, filter: &Filter) -> Result<Profile, Problem> {
    let contents = Contents::of(path)?;
    let mut reader = open(path)?;
    let own = contents.processes.get(process as usize).cloned().unwrap_or_default();
    let mut making = Making::new(own.events);
    let mut chosen = Chosen { filter, event: 0, others: HashSet::new() };
    let mut threads = HashSet::new();
    let mut each = |event| {
        if let Event::Call { thread, at_ns, action, block } = event
            && chosen.takes(action, block)
        {
            threads.insert(thread);
            making.call(thread, at_ns, action, block);
        }
    };
    let problem = ordered::each(&mut reader, process, &mut each).err().or(contents.problem);
    let header = contents.header;
    let mut notes: Vec<String> = Vec::new();
    notes
        .extend(header.limited.as_ref().map(|limit| format!("The recording ends early: {limit}.")));
    if header.lost > 0 {
        notes.push(format!("{} calls could not be written down.", header.lost));
    }
    if own.foreign > 0 {
        notes.push(format!(
            "{} calls about blocks from before the recording, or inherited over a fork, are left \
             out.",
            own.foreign
        ));
    }
    if own.unfreed > 0 {
        notes.push(format!("{} blocks went without a recorded free.", own.unfreed));
    }
    if *filter != Filter::default() {
        notes.push("Only a part of its calls is shown.".to_owned());
    }
    notes.extend(problem.map(|problem| format!("{problem}; what precedes that is shown.")));
    let line = |(closing, process): (&Closing, &brkpoint_workloads::trace::Process)| ProcessLine {
        pid: process.pid,
        program: process.program.clone(),
        forked_from: process.forked_from,
        events: closing.events,
        threads: closing.threads,
        peak_live_bytes: closing.peak_live_bytes,
        foreign: closing.foreign,
    };
    Ok(Profile {
        trace: path.display().to_string(),
        command: header.command.clone(),
        arguments: header
            .processes
            .get(process as usize)
            .map(|process| process.arguments.clone())
            .unwrap_or_default(),
        notes,
        processes: contents.processes.iter().zip(&header.processes).map(line).collect(),
        process,
        threads: threads.len() as u32,
        ..making.finish()
    })
}
