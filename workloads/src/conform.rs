//! The conformance run: does an allocator keep what it promises?
//!
//! A run has chapters, each a kind of program. For a `GlobalAlloc` it takes
//! three lines:
//!
//! ```
//! # use std::alloc::System as MyAllocator;
//! use brkpoint_workloads::{conform, shadow::Global};
//! let summary = conform::check(|| Global(MyAllocator), 1).unwrap_or_else(|broken| panic!("{broken}"));
//! println!("{summary}");
//! ```

use std::fmt;

use crate::crew::Crew;
use crate::op::draw::Events;
use crate::op::{Generator, Op, Shape, text};
use crate::shadow::{Complaint, Promise, Rules, Shadow, Subject, Violation};
use crate::shrink::{Effort, shrink};

const EFFORT: Effort = Effort::trials(2_000);

/// A kind of program.
#[derive(Clone, Copy, Debug)]
pub struct Chapter {
    /// Its name, a word.
    pub name: &'static str,
    /// What it tries, for people.
    pub about: &'static str,
    /// What its programs are made of.
    pub shape: Shape<'static>,
    /// How many operations one has.
    pub operations: usize,
    /// How it is judged.
    pub rules: Rules,
    /// How often a program is performed in one process; its footprint must not
    /// grow from the third time on.
    pub rounds: u32,
}

const QUIET: Events = Events::NONE;

/// Where allocators change from one way to another: `M_MMAP_THRESHOLD`, its
/// dynamic maximum, and the usual bounds of classes and caches.
const EDGES: &[usize] =
    &[8, 16, 64, 128, 256, 512, 1024, 1032, 2048, 8192, 16_384, 32_768, 65_536, 131_072, 1 << 20];

const SHAPE: Shape<'static> = Shape { largest: 4096, edges: EDGES, ..Shape::PLAIN };

/// Requests are granted as long as no more is in use.
const GRANTED: usize = 256 << 20;

const RULES: Rules = Rules { granted: GRANTED, ..Rules::THOROUGH };

const CHAPTER: Chapter =
    Chapter { name: "", about: "", shape: SHAPE, operations: 4000, rules: RULES, rounds: 1 };

/// Every chapter, in the order of the run.
pub const CHAPTERS: &[Chapter] = &[
    Chapter {
        name: "small",
        about: "blocks of up to 4 KiB: classes and their edges, alignments, reuse",
        operations: 8000,
        ..CHAPTER
    },
    Chapter {
        name: "large",
        about: "blocks of up to 4 MiB: OS pages, thresholds, mappings",
        shape: Shape { slots: 24, largest: 4 << 20, ..SHAPE },
        operations: 1500,
        ..CHAPTER
    },
    Chapter {
        name: "aligned",
        about: "alignments of up to 4 MiB",
        shape: Shape { slots: 24, largest: 100_000, align_most: 4 << 20, ..SHAPE },
        operations: 2000,
        ..CHAPTER
    },
    Chapter {
        name: "exhaustive",
        about: "every byte of every block verified after every operation",
        shape: Shape { slots: 16, largest: 2000, ..SHAPE },
        operations: 1500,
        rules: Rules { granted: GRANTED, ..Rules::EXHAUSTIVE },
        ..CHAPTER
    },
    Chapter {
        name: "impossible",
        about: "requests that nobody can grant, and products that overflow, amid ordinary ones",
        shape: Shape { largest: 100_000, impossible: true, ..SHAPE },
        operations: 4000,
        ..CHAPTER
    },
    Chapter {
        name: "events",
        about: "trims, changed settings, and a break that somebody else moves",
        shape: Shape {
            largest: 300_000,
            events: Events { trim: true, set: true, move_break: true, ..QUIET },
            ..SHAPE
        },
        operations: 2000,
        ..CHAPTER
    },
    Chapter {
        name: "threads",
        about: "blocks freed and resized by other threads, and by threads that outlive theirs",
        shape: Shape {
            largest: 40_000,
            events: Events { trim: true, threads: 6, ..QUIET },
            ..SHAPE
        },
        operations: 3000,
        ..CHAPTER
    },
    Chapter {
        name: "fork",
        about: "children that go on with their parent's blocks",
        shape: Shape {
            largest: 40_000,
            events: Events { fork: true, threads: 3, ..QUIET },
            ..SHAPE
        },
        operations: 400,
        ..CHAPTER
    },
    Chapter {
        name: "exhaustion",
        about: "the kernel refuses memory now and then",
        shape: Shape { largest: 8 << 20, events: Events { fail: true, ..QUIET }, ..SHAPE },
        operations: 2000,
        rules: Rules { granted: 0, ..RULES },
        ..CHAPTER
    },
    Chapter {
        name: "rounds",
        about: "the same program over and over: the footprint must not grow",
        shape: Shape { largest: 60_000, ..SHAPE },
        operations: 1500,
        rules: Rules { verify_every: 0, whole: 64, ..RULES },
        rounds: 24,
    },
];

impl Chapter {
    /// The chapter of that name.
    pub fn named(name: &str) -> Option<&'static Chapter> {
        CHAPTERS.iter().find(|chapter| chapter.name == name)
    }

    /// Its program for a seed.
    pub fn program(&self, seed: u64) -> Vec<Op> {
        Generator::shaped(seed, self.shape).take(self.operations).collect()
    }

    /// Performs a program of the chapter.
    ///
    /// # Errors
    ///
    /// The promise that was broken.
    pub fn run<S: Subject + Send>(&self, program: &[Op], subject: S) -> Result<Tally, Violation> {
        let mut shadow = Shadow::with(self.rules);
        shadow.reserve(self.shape.slots);
        let mut subject = Crew::new(subject, self.shape.events.threads);
        let mut third = None;
        for round in 1..=self.rounds {
            for &op in program {
                shadow.perform(&mut subject, op)?;
            }
            shadow.verify()?;
            shadow.free_all(&mut subject)?;
            let watched = self.rules.watch.has(Promise::Bounded);
            let Some(footprint) = subject.footprint().filter(|_| watched) else { continue };
            match (round, third) {
                (3, _) => third = Some(footprint),
                // Room for what is not the allocator's, and for its caches.
                (_, Some(third)) if footprint > third + third / 4 + (4 << 20) => {
                    return Err(shadow.broken(Complaint::new(
                        Promise::Bounded,
                        format!(
                            "footprint {footprint} after round {round}, {third} after the third"
                        ),
                    )));
                }
                _ => {}
            }
        }
        Ok(Tally { performed: shadow.performed(), refused: shadow.refused() })
    }
}

/// How much was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Operations performed.
    pub performed: u64,
    /// How many of them the allocator refused.
    pub refused: u64,
}

impl Tally {
    /// This and more.
    #[must_use]
    pub fn plus(self, more: Tally) -> Tally {
        Tally { performed: self.performed + more.performed, refused: self.refused + more.refused }
    }
}

/// What was tried, and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The chapters' names, and how much was tried in each.
    pub chapters: Vec<(&'static str, Tally)>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, Tally { performed, refused }) in &self.chapters {
            writeln!(f, "{name:<11} {performed:>9} operations, {refused} refused")?;
        }
        Ok(())
    }
}

/// A broken promise, and the shortest program found that breaks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The chapter's name.
    pub chapter: &'static str,
    /// The seed of the program that failed first.
    pub seed: u64,
    /// What was broken, by the shortest program.
    pub violation: Violation,
    /// That program.
    pub program: Vec<Op>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { chapter, seed, violation, program } = self;
        writeln!(f, "chapter {chapter}, seed {seed}: {violation}")?;
        writeln!(f, "{}", violation.promise.text().trim())?;
        write!(f, "\n{}\n{}", text::words(program), text::rust(program))
    }
}

impl std::error::Error for Failure {}

/// Runs every chapter with `seeds` programs on allocators that `make` gives.
///
/// # Errors
///
/// The first promise that is broken.
pub fn check<S: Subject + Send>(
    mut make: impl FnMut() -> S,
    seeds: u64,
) -> Result<Summary, Box<Failure>> {
    let mut summary = Summary { chapters: Vec::new() };
    for chapter in CHAPTERS {
        let mut tally = Tally::default();
        for seed in 0..seeds {
            let program = chapter.program(seed);
            let violation = match chapter.run(&program, make()) {
                Ok(more) => {
                    tally = tally.plus(more);
                    continue;
                }
                Err(violation) => violation,
            };
            let mut last = violation.clone();
            let program = shrink(&program, EFFORT, |smaller| match chapter.run(smaller, make()) {
                Err(other) if other.promise == violation.promise => {
                    last = other;
                    true
                }
                _ => false,
            });
            let name = chapter.name;
            return Err(Box::new(Failure { chapter: name, seed, violation: last, program }));
        }
        summary.chapters.push((chapter.name, tally));
    }
    Ok(summary)
}
