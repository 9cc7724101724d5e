//! Performs the actions of a recorded process through this process's malloc: one
//! thread for each of its threads, in order only where blocks pass between them.
//!
//! ```text
//! script  the trace, checked and laid out by a forked child, so that nothing of
//!         it is ever in the heap that is measured
//! compile what that child does
//! stage   the threads: when each begins, which window it may enter
//! player  the actions of one thread
//! slot    where blocks are while they live
//! touch   what is written to them
//! ```

mod clock;
mod compile;
mod futex;
mod player;
mod region;
mod script;
mod slot;
mod stage;
mod touch;

use std::io;
use std::path::Path;

use crate::synthetic::{Observer, Outcome};
use script::Script;
use stage::Stage;

/// What a replay writes to the blocks that it allocates: how much of them it
/// makes resident.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Touch {
    /// Nothing.
    None,
    /// The first word, and the first byte of each further OS page that the program had
    /// touched: of large blocks, as many as were resident when they went, or when the
    /// program ended; where nobody looked, all.
    #[default]
    Recorded,
    /// The first word, and the first byte of each further OS page.
    Pages,
    /// Everything.
    All,
}

impl Touch {
    /// All of them.
    pub const ALL: [Touch; 4] = [Touch::None, Touch::Recorded, Touch::Pages, Touch::All];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Touch::None => "none",
            Touch::Recorded => "recorded",
            Touch::Pages => "pages",
            Touch::All => "all",
        }
    }
}

/// How a trace is replayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Which of its processes, by its place; `None`: the one with most events.
    pub process: Option<u32>,
    /// What is written to blocks.
    pub touch: Touch,
    /// Each thread waits for the times at which its calls were recorded; else it
    /// goes as fast as it can.
    pub gaps: bool,
}

/// Why a trace cannot be replayed.
#[derive(Debug)]
pub enum ReplayError {
    /// The child that read it said why.
    Told(String),
    /// The system refused something.
    System(&'static str, io::Error),
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReplayError::Told(why) => f.write_str(why),
            ReplayError::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for ReplayError {}

/// A trace that is ready to be replayed, once.
#[derive(Debug)]
pub struct Prepared {
    stage: Stage,
}

impl Prepared {
    /// Checks the trace and maps all that its replay needs. To be called before
    /// this process has a second thread.
    ///
    /// # Errors
    /// A trace that cannot be read, is damaged, or has no such process; no memory.
    pub fn new(path: &Path, options: Options) -> Result<Prepared, ReplayError> {
        let script = Script::load(path, options)?;
        let stage = Stage::new(script, options)?;
        Ok(Prepared { stage })
    }

    /// The actions that are performed.
    pub fn operations(&self) -> u64 {
        self.stage.script().events()
    }

    /// Bytes of the replay's own memory, apart from the heap.
    pub fn table_bytes(&self) -> usize {
        self.stage.table_bytes()
    }

    /// Replays the trace. What was live at its end stays so.
    pub fn run(&mut self) -> Outcome {
        self.stage.run(None)
    }

    /// The same, while `observer` looks on.
    pub fn run_observed(&mut self, observer: &mut dyn Observer) -> Outcome {
        self.stage.run(Some(observer))
    }

    /// Requests that were granted when the trace was recorded, and not here.
    pub fn not_granted(&self) -> u64 {
        self.stage.not_granted()
    }

    /// Blocks, and their requested bytes, that are live now.
    pub fn live(&self) -> (u64, u64) {
        self.stage.live()
    }
}
