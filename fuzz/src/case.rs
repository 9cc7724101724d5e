//! A heap's settings and a program, out of a fuzzer's bytes.

use std::fmt;

use arbitrary::{Arbitrary, Unstructured};
use brkpoint_allocator::{Config, Heap, MmapThreshold, Stats};
use brkpoint_workloads::op::arbitrary::Bytes;
use brkpoint_workloads::op::draw::{Bits, Events};
use brkpoint_workloads::op::{ALIGN_MOST, Event, Op, Shape, text};
use brkpoint_workloads::shadow::{Outcome, Promise, Rules, Shadow, Violation};

use crate::arena::Arena;
use crate::subject::{Staged, Subjected};
use crate::{rate, settings};

/// Requests that must be granted as long as no more bytes are in use: the arena
/// has room for that, however they are scattered.
const GRANTED: usize = 4 << 20;

/// A block that can be had when all is freed, whatever happened before.
const LARGE: usize = 300 << 10;

/// A program for a heap.
#[derive(Clone, PartialEq, Eq)]
pub struct Case {
    /// The heap's settings at first.
    pub config: Config,
    /// What is done to it.
    pub program: Vec<Op>,
}

/// Which events a case of the target `heap` has.
pub const HEAP: Events = Events {
    trim: true,
    set: true,
    threads: 0,
    fork: false,
    wait: true,
    fail: false,
    move_break: true,
};

impl Case {
    /// Draws a case with these events.
    ///
    /// # Errors
    ///
    /// None; the type is what `arbitrary` wants.
    pub fn draw(bytes: &mut Unstructured<'_>, events: Events) -> arbitrary::Result<Case> {
        let mut bits = Bytes(bytes);
        let config = settings::draw(&mut bits);
        // Small blocks are what programs have; larger ones take their time.
        let largest = 1 << (8 + bits.below(12).saturating_sub(bits.below(6)));
        let threshold = match config.mmap_threshold {
            MmapThreshold::Off => 128 << 10,
            MmapThreshold::Fixed(size) | MmapThreshold::Dynamic(size) => size,
        };
        let edges = [threshold, config.slab_max.0, 32 << 10].map(|edge| edge.min(1 << 20));
        let align_most = ALIGN_MOST;
        let shape =
            Shape { slots: 48, largest, align_most, edges: &edges, impossible: true, events };
        let program = shape.program(bytes)?;
        Ok(Case { config, program })
    }

    /// Runs it; everything is verified as the rules say and at the end.
    ///
    /// # Errors
    ///
    /// The promise that was broken.
    pub fn run(&self, rules: Rules) -> Result<(), Violation> {
        self.run_failing(rules, u64::MAX).map(drop)
    }

    /// As [`Case::run`], with the `nth` request to the page source failing;
    /// gives how many there were.
    ///
    /// # Errors
    ///
    /// The promise that was broken.
    pub fn run_failing(&self, rules: Rules, nth: u64) -> Result<u64, Violation> {
        let (mut subject, mut shadow) = self.perform(Arena::new(), rules, nth)?;
        let requests = subject.heap.source().requests();
        ensure_recovered(&mut subject, &shadow)?;
        subject.heap.source_mut().verify();
        shadow.inspect(&mut subject)?;
        Ok(requests)
    }

    /// As [`Case::run`], on another page source.
    ///
    /// # Errors
    ///
    /// The promise that was broken.
    pub fn run_over(&self, source: impl Staged, rules: Rules) -> Result<(), Violation> {
        let (mut subject, mut shadow) = self.perform(source, rules, u64::MAX)?;
        ensure_recovered(&mut subject, &shadow)?;
        shadow.inspect(&mut subject)
    }

    /// Performs the program, and frees all.
    fn perform<S: Staged>(
        &self,
        source: S,
        rules: Rules,
        nth: u64,
    ) -> Result<(Subjected<S>, Shadow), Violation> {
        let mut subject = Subjected::new(Heap::new(self.config, source));
        rate::count(self.program.len());
        let fails = |op: &Op| matches!(op, Op::Event(Event::Fail { .. }));
        let mut granted = GRANTED;
        if nth != u64::MAX {
            subject.is_disturbed = true;
            subject.heap.source_mut().stage_failure(nth, 1);
        }
        if nth != u64::MAX || self.program.iter().any(fails) {
            granted = 0;
        }
        let mut shadow = Shadow::with(Rules { granted, ..rules });
        shadow.reserve(48);
        for &op in &self.program {
            shadow.perform(&mut subject, op)?;
        }
        shadow.verify()?;
        shadow.inspect(&mut subject)?;
        subject.heap.source_mut().stage_failure(0, 0);
        shadow.free_all(&mut subject)?;
        Ok((subject, shadow))
    }

    /// Runs it, and gives each operation's outcome, and after each of them what
    /// the heap holds.
    ///
    /// # Errors
    ///
    /// The promise that was broken.
    pub fn trace(&self) -> Result<(Vec<Outcome>, Vec<Stats>), Violation> {
        rate::count(self.program.len());
        let mut subject = Subjected::new(Heap::new(self.config, Arena::new()));
        let mut shadow = Shadow::with(Rules { verify_every: 0, inspect_every: 0, ..Rules::FAST });
        let (mut outcomes, mut accounts) = (Vec::new(), Vec::new());
        for &op in &self.program {
            outcomes.push(shadow.perform(&mut subject, op)?);
            accounts.push(subject.heap.stats());
        }
        shadow.free_all(&mut subject)?;
        Ok((outcomes, accounts))
    }

    /// As the lines of a test, with its settings, its program and, in the end, this.
    pub fn test(&self, run: &str) -> String {
        let shown = self.config.to_string();
        let default = Config::DEFAULT.to_string();
        let settings: Vec<&str> = shown
            .lines()
            .zip(default.lines())
            .filter(|(line, default)| line != default && !line.ends_with("=custom"))
            .map(|(line, _)| line)
            .collect();
        let mut test = "#[test]\nfn found_by_fuzzing() {\n".to_owned();
        test += &format!(
            "    let config = settings::parse(\n        \"{}\",\n    );\n",
            settings.join(" ")
        );
        for line in text::rust(&self.program).lines() {
            test += &format!("    {line}\n");
        }
        test + &format!("    {run}\n}}\n")
    }
}

/// With all freed, a large block can be had, and goes back.
fn ensure_recovered<S: Staged>(
    subject: &mut Subjected<S>,
    shadow: &Shadow,
) -> Result<(), Violation> {
    let heap = &mut subject.heap;
    let recovered = match heap.allocate(LARGE, 16) {
        // SAFETY: just allocated, and used by nobody.
        Some(large) => unsafe { heap.free(large.start) }.map_err(|misuse| misuse.to_string()),
        None => Err("with all freed, no large block is granted".to_owned()),
    };
    heap.trim(0);
    let at = shadow.performed();
    recovered.map_err(|what| Violation { at, block: 0, promise: Promise::Returned, what })
}

/// With the events of the target `heap`.
impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Case> {
        Case::draw(bytes, HEAP)
    }
}

/// As the lines of a test in `allocator/tests`.
impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self.test("run(Heap::new(config, Simulated::new(64 << 20)), program).unwrap();"),
        )
    }
}
