//! Calls with addresses, in the order of their time, become actions with slots.
//!
//! A process's events are divided into windows of [`WINDOW`] events in the order
//! of their time. A replay begins a thread's part of window `w` when all parts of
//! the windows up to `w - 2` are done, and else lets threads run freely. So only
//! blocks that pass between threads within two windows need a mark:
//!
//! ```text
//! given   the action leaves its block in a slot that was empty for two windows,
//!         a passage, where another thread waits for it
//! taken   the action waits for the block of its slot, and empties the slot
//! ```
//!
//! A slot that a thread empties is used again by that thread at once, by others
//! from three windows later on: a giver may be a window behind its taker. Thus no two threads ever race for a slot, and there
//! are hardly more slots than blocks live at one moment.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::io::{self, Write};

use super::large::{Large, Spread};
use super::{Action, Closing, Kind, Part, WINDOW, Writer};

/// One call, as it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A block was allocated.
    Allocated {
        /// By which function.
        kind: Kind,
        /// Where it lies.
        address: u64,
        /// Bytes requested.
        size: u64,
        /// Log2 of the alignment, of [`Kind::Aligned`].
        align: u8,
    },
    /// A block was freed.
    Freed {
        /// Where it lay.
        address: u64,
        /// Its whole OS pages that were resident, if somebody looked.
        resident: Option<u64>,
    },
    /// A request was not granted.
    Refused {
        /// Bytes requested.
        size: u64,
    },
}

pub(super) const TOO_MUCH: &str = "more is live than can be: sizes are wrong";

/// More empty slots than this are not kept by one thread.
const POOL: usize = 1024;

/// A live block.
#[derive(Debug, Clone, Copy)]
struct Live {
    slot: u32,
    size: u64,
    /// Where the action is that its slot has it from.
    thread: u32,
    window: u32,
    index: u32,
}

/// A block on its way from one place to another: between the begin and the end of
/// a `realloc`.
#[derive(Debug)]
pub struct Taken(Option<(u32, bool, u64)>);

#[derive(Debug, Default)]
struct Thread {
    current: Vec<(Action, u64)>,
    previous: Vec<(Action, u64)>,
    /// Slots that it emptied.
    pool: Vec<u32>,
    /// Its number, from its first action on.
    number: Option<u32>,
    /// Threads that had ended by then.
    ended: u32,
    begun: bool,
    gone: bool,
    /// The time of the last event written.
    last_ns: u64,
}

/// Makes actions of a process's calls, and writes them.
#[derive(Debug)]
pub struct Weaver<'w, W> {
    writer: &'w mut Writer<W>,
    blocks: HashMap<u64, Live, BuildHasherDefault<Spread>>,
    large: Large,
    threads: Vec<Thread>,
    /// Slots emptied, with the window in which they were.
    emptied: VecDeque<(u32, u32)>,
    window: u32,
    in_window: u32,
    /// Threads with events in the current and in the previous window.
    active: [Vec<u32>; 2],
    ended: u32,
    first_ns: Option<u64>,
    last_ns: u64,
    closing: Closing,
}

impl<'w, W: Write> Weaver<'w, W> {
    /// For the process at this place of the header.
    pub fn new(writer: &'w mut Writer<W>, process: u32) -> Weaver<'w, W> {
        Weaver {
            writer,
            blocks: HashMap::default(),
            large: Large::default(),
            threads: Vec::new(),
            emptied: VecDeque::new(),
            window: 0,
            in_window: 0,
            active: [Vec::new(), Vec::new()],
            ended: 0,
            first_ns: None,
            last_ns: 0,
            closing: Closing { process, ..Closing::default() },
        }
    }

    /// A thread that will make calls.
    pub fn thread(&mut self) -> u32 {
        self.threads.push(Thread::default());
        self.threads.len() as u32 - 1
    }

    /// A thread made its last call.
    pub fn thread_ended(&mut self, thread: u32) {
        let thread = &mut self.threads[thread as usize];
        thread.gone = true;
        self.ended += u32::from(thread.number.is_some());
        let pool = std::mem::take(&mut thread.pool);
        self.emptied.extend(pool.into_iter().map(|slot| (self.window, slot)));
    }

    /// A call of `thread`, at so many nanoseconds since the recording began.
    ///
    /// # Errors
    /// What writing gives.
    pub fn call(&mut self, thread: u32, at_ns: u64, call: Call) -> io::Result<()> {
        self.turn()?;
        match call {
            Call::Allocated { kind, address, size, align } => {
                self.allocated(thread, at_ns, kind, address, size, align)
            }
            Call::Freed { address, resident } => match self.take(thread, address, resident) {
                Taken(None) => Ok(()),
                Taken(Some((slot, taken, _))) => {
                    self.release(thread, slot, taken);
                    let action = Action::free(slot);
                    let action = if taken { action.with_taken() } else { action };
                    self.act(thread, at_ns, action);
                    Ok(())
                }
            },
            Call::Refused { size } => {
                self.act(thread, at_ns, Action::refused(size));
                Ok(())
            }
        }
    }

    fn allocated(
        &mut self,
        thread: u32,
        at_ns: u64,
        kind: Kind,
        address: u64,
        size: u64,
        align: u8,
    ) -> io::Result<()> {
        let slot = self.empty_slot(thread);
        let action = match kind {
            Kind::Calloc => Action::calloc(slot, size),
            Kind::Aligned => Action::aligned(slot, size, align),
            _ => Action::malloc(slot, size),
        };
        self.put(thread, address, slot, action.size())?;
        self.act(thread, at_ns, action);
        Ok(())
    }

    /// The block at `address` is being resized or freed: nobody has it from now
    /// on. Of its whole OS pages so many were resident, if somebody looked.
    pub fn take(&mut self, thread: u32, address: u64, resident: Option<u64>) -> Taken {
        let Some(live) = self.blocks.remove(&address) else {
            self.closing.foreign += 1;
            return Taken(None);
        };
        self.large.taken(address, live.size, resident);
        self.closing.live_blocks -= 1;
        self.closing.live_bytes -= live.size;
        if live.thread == thread {
            return Taken(Some((live.slot, false, live.size)));
        }
        self.closing.handed_over += 1;
        if live.window + 2 <= self.window {
            return Taken(Some((live.slot, false, live.size)));
        }
        let passage = self.passage();
        let giver = &mut self.threads[live.thread as usize];
        let part =
            if live.window == self.window { &mut giver.current } else { &mut giver.previous };
        let action = &mut part[live.index as usize].0;
        *action = action.moved(passage).with_given();
        self.release(live.thread, live.slot, false);
        Taken(Some((passage, true, live.size)))
    }

    /// A block that was [taken](Self::take) is live again, at `address`.
    ///
    /// # Errors
    /// What writing gives.
    pub fn resized(
        &mut self,
        thread: u32,
        at_ns: u64,
        taken: Taken,
        address: u64,
        size: u64,
    ) -> io::Result<()> {
        self.turn()?;
        let Taken(Some((slot, taken, _))) = taken else {
            return self.allocated(thread, at_ns, Kind::Malloc, address, size, 0);
        };
        let to = if taken { self.empty_slot(thread) } else { slot };
        let action = Action::realloc(slot, to, size);
        if taken {
            self.release(thread, slot, true);
        }
        self.put(thread, address, to, action.size())?;
        self.act(thread, at_ns, if taken { action.with_taken() } else { action });
        Ok(())
    }

    /// A block that was [taken](Self::take) for a `realloc` that never returned,
    /// or did so after the recording: the process ended in it, the block with it.
    pub fn forget(&mut self, taken: Taken) {
        if let Taken(Some((_, _, size))) = taken {
            self.closing.live_blocks += 1;
            // It was counted before, and more than can be is an error by then.
            self.closing.live_bytes = self.closing.live_bytes.saturating_add(size);
        }
    }

    /// At the end, of each live block that has any: how many whole OS pages are resident,
    /// if somebody looked.
    pub fn at_the_end(&mut self, resident: impl Fn(u64, u64) -> Option<u64>) {
        self.large.at_the_end(|address| self.blocks.get(&address).map(|it| it.size), resident);
    }

    /// A block is live. Its size is the one that the action has, which has a limit.
    fn put(&mut self, thread: u32, address: u64, slot: u32, size: u64) -> io::Result<()> {
        let index = self.threads[thread as usize].current.len() as u32;
        let window = self.window;
        let live = Live { slot, size, thread, window, index };
        self.large.put(address, size, thread);
        let closing = &mut self.closing;
        closing.live_blocks += 1;
        closing.live_bytes = (closing.live_bytes.checked_add(size))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, TOO_MUCH))?;
        if let Some(old) = self.blocks.insert(address, live) {
            closing.unfreed += 1;
            closing.live_blocks -= 1;
            closing.live_bytes -= old.size;
        }
        closing.peak_live_bytes = closing.peak_live_bytes.max(closing.live_bytes);
        closing.peak_live_blocks = closing.peak_live_blocks.max(closing.live_blocks);
        Ok(())
    }

    fn empty_slot(&mut self, thread: u32) -> u32 {
        match self.threads[thread as usize].pool.pop() {
            Some(slot) => slot,
            None => self.passage(),
        }
    }

    /// A slot that nobody uses in the windows in which it is needed.
    fn passage(&mut self) -> u32 {
        match self.emptied.front() {
            Some(&(window, slot)) if window + 3 <= self.window => {
                self.emptied.pop_front();
                slot
            }
            _ => {
                self.closing.slots += 1;
                self.closing.slots - 1
            }
        }
    }

    /// `thread` empties `slot`, which others may be using a little later if it
    /// is a passage.
    fn release(&mut self, thread: u32, slot: u32, passage: bool) {
        let pool = &mut self.threads[thread as usize].pool;
        if passage || pool.len() >= POOL {
            self.emptied.push_back((self.window, slot));
        } else {
            pool.push(slot);
        }
    }

    /// Before anything of a call is done: begins a window if it is time.
    fn turn(&mut self) -> io::Result<()> {
        if self.in_window == WINDOW { self.next_window() } else { Ok(()) }
    }

    fn act(&mut self, thread: u32, at_ns: u64, action: Action) {
        self.in_window += 1;
        self.closing.events += 1;
        self.first_ns.get_or_insert(at_ns);
        self.last_ns = self.last_ns.max(at_ns);
        let (threads, ended) = (&mut self.closing.threads, self.ended);
        let actor = &mut self.threads[thread as usize];
        if actor.number.is_none() {
            (actor.number, actor.ended) = (Some(*threads), ended);
            *threads += 1;
        }
        if actor.current.is_empty() {
            self.active[0].push(thread);
        }
        actor.current.push((action, at_ns));
    }

    fn next_window(&mut self) -> io::Result<()> {
        if self.window > 0 {
            self.write_previous()?;
        }
        for &thread in &self.active[0] {
            let thread = &mut self.threads[thread as usize];
            std::mem::swap(&mut thread.current, &mut thread.previous);
        }
        self.active.swap(0, 1);
        self.window += 1;
        self.in_window = 0;
        Ok(())
    }

    /// Writes the parts of the previous window: nothing changes them any more.
    fn write_previous(&mut self) -> io::Result<()> {
        let (mut actions, mut times) = (Vec::new(), Vec::new());
        let first_ns = self.first_ns.unwrap_or_default();
        let mut active = std::mem::take(&mut self.active[1]);
        for thread in active.drain(..) {
            let thread = &mut self.threads[thread as usize];
            actions.clear();
            times.clear();
            for (action, at_ns) in thread.previous.drain(..) {
                let at_ns = at_ns.saturating_sub(first_ns).max(thread.last_ns);
                actions.push(action);
                times.push(at_ns - thread.last_ns);
                thread.last_ns = at_ns;
            }
            let part = Part {
                process: self.closing.process,
                thread: thread.number.expect("it has acted"),
                window: self.window - 1,
                ended: if thread.begun { 0 } else { thread.ended },
                last: thread.gone && thread.current.is_empty(),
                ..Part::default()
            };
            thread.begun = true;
            self.writer.part(part, &actions, &times)?;
        }
        self.active[1] = active;
        Ok(())
    }

    /// Writes what is left, and what all came to.
    ///
    /// # Errors
    /// What writing gives.
    pub fn finish(mut self) -> io::Result<Closing> {
        self.next_window()?;
        self.write_previous()?;
        let number = |thread: u32| self.threads[thread as usize].number.unwrap_or_default();
        let untouched = std::mem::take(&mut self.large).finish(number);
        self.writer.untouched(self.closing.process, &untouched)?;
        self.closing.span_ns = self.last_ns - self.first_ns.unwrap_or(self.last_ns);
        self.writer.closing(&self.closing)?;
        Ok(self.closing)
    }
}
