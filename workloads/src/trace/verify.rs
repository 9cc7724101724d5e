//! Whether the actions of a process can be performed as they stand.
//!
//! A trace that a replay may trust names a slot only where a block is or is not,
//! never lets two threads race for one, and never has threads wait for each other
//! in a circle, whoever wrote it. The actions are performed in thought here: window
//! by window, and within a window each thread as far as it gets.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Read;
use std::ops::Range;

use super::untouched::LARGE;
use super::weaver::TOO_MUCH;
use super::{Action, Closing, Damage, MAX_EVENTS, Next, Part, Problem, Reader, Untouched};

/// What was seen of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Events.
    pub events: u64,
    /// Actions name smaller slots only.
    pub slots: u32,
    /// Threads.
    pub threads: u32,
    /// Windows.
    pub windows: u32,
    /// Blocks live at the end.
    pub live_blocks: u64,
    /// Their requested bytes.
    pub live_bytes: u64,
    /// Most requested bytes that were live at one moment of the check, which
    /// performs threads in another order than the program did.
    pub peak_live_bytes: u64,
    /// Blocks that were not touched all over, by thread and place.
    pub untouched: Vec<Untouched>,
    /// What the trace says of the process, if it came so far.
    pub closing: Option<Closing>,
}

/// A window that was checked.
#[derive(Debug)]
pub struct Window<'a> {
    /// Its number.
    pub number: u32,
    /// Its parts, at most one a thread.
    pub parts: &'a [Loaded],
    /// The actions of all parts.
    pub actions: &'a [Action],
    /// Nanoseconds before each action since the thread's previous one.
    pub times: &'a [u64],
}

/// A part, and where it is.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its frame's fields.
    pub part: Part,
    /// The byte of the file at which its bytes begin.
    pub at: u64,
    /// Its place among the actions of the window.
    pub range: Range<usize>,
    done: usize,
}

/// A slot, as the last action on it left it.
#[derive(Debug, Clone, Copy)]
struct Slot {
    size: u64,
    thread: u32,
    window: u32,
    full: bool,
    given: bool,
}

/// Never used: as if emptied in a window before all others.
const UNUSED: Slot =
    Slot { size: 0, thread: u32::MAX, window: u32::MAX, full: false, given: false };

#[derive(Debug, Clone, Copy, Default)]
struct Thread {
    /// The window of its latest part, and one more; 0 before its first.
    behind: u32,
    /// Large blocks that it has given.
    large: u64,
    ended: bool,
}

/// Checks all of `process` that comes in `reader`, telling `each` of every window
/// that is good; parts of other processes are passed over.
///
/// # Errors
/// What reading gives, and damage: actions that cannot be performed. The windows
/// told before are good.
pub fn check<R: Read>(
    reader: &mut Reader<R>,
    process: u32,
    each: &mut dyn FnMut(&Window<'_>),
) -> Result<Checked, Problem> {
    let mut checker = Checker::default();
    loop {
        let at = reader.at();
        match reader.next()? {
            Next::Part(part) if part.process == process => {
                checker.part(part, at, reader, each)?;
            }
            Next::Closing(closing) if closing.process == process => {
                checker.window(each)?;
                checker.checked.closing = Some(closing);
            }
            Next::Untouched(of, all) if of == process => {
                checker.window(each)?;
                checker.untouched(at, all)?;
            }
            Next::Part(_) | Next::Untouched(..) | Next::Closing(_) => {}
            Next::End => {
                checker.window(each)?;
                return Ok(checker.checked);
            }
        }
    }
}

#[derive(Default)]
struct Checker {
    checked: Checked,
    slots: Vec<Slot>,
    threads: Vec<Thread>,
    ended: u32,
    /// The window that is being read.
    number: u32,
    parts: Vec<Loaded>,
    actions: Vec<Action>,
    times: Vec<u64>,
}

impl Checker {
    fn part<R: Read>(
        &mut self,
        part: Part,
        at: u64,
        reader: &Reader<R>,
        each: &mut dyn FnMut(&Window<'_>),
    ) -> Result<(), Problem> {
        let damage = |what: &str| Damage { at, what: what.to_owned() };
        if self.checked.closing.is_some() || !self.checked.untouched.is_empty() {
            return Err(damage("a process goes on behind its closing").into());
        }
        if part.window != self.number {
            self.window(each)?;
            if part.window != self.number {
                return Err(damage("a window is missing, or comes twice").into());
            }
        }
        let known = self.threads.len();
        let thread = part.thread as usize;
        if thread == known {
            self.threads.push(Thread::default());
        } else if thread > known {
            return Err(damage("a thread's number is too large").into());
        }
        if part.ended > 0 && self.threads[thread].behind > 0 {
            return Err(damage("a thread begins twice").into());
        }
        if self.threads[thread].ended {
            return Err(damage("a thread goes on behind its end").into());
        }
        if self.threads[thread].behind > part.window {
            return Err(damage("a thread has two parts in a window").into());
        }
        self.threads[thread].behind = part.window.saturating_add(1);
        if self.actions.len() + part.events as usize > MAX_EVENTS as usize {
            return Err(damage("a window has too many events").into());
        }
        let from = self.actions.len();
        let (actions, times) = (&mut self.actions, &mut self.times);
        let mut large = 0;
        reader.actions(|action| {
            large += u64::from(action.gives_block() && action.size() >= LARGE);
            actions.push(action);
        })?;
        self.threads[thread].large += large;
        reader.times(|time| times.push(time))?;
        let range = from..self.actions.len();
        self.parts.push(Loaded { part, at: reader.payload_at(), range, done: 0 });
        Ok(())
    }

    /// Takes down which blocks were not touched all over.
    fn untouched(&mut self, at: u64, all: Vec<Untouched>) -> Result<(), Problem> {
        for one in all {
            let after = self
                .checked
                .untouched
                .last()
                .is_none_or(|last| (last.thread, last.place) < (one.thread, one.place));
            let thread = self.threads.get(one.thread as usize);
            if !after || thread.is_none_or(|thread| one.place >= thread.large) {
                let what = "it tells of a block that there is not".to_owned();
                return Err(Damage { at, what }.into());
            }
            self.checked.untouched.push(one);
        }
        Ok(())
    }

    /// Performs the window that has been read, if it has any part.
    fn window(&mut self, each: &mut dyn FnMut(&Window<'_>)) -> Result<(), Problem> {
        if self.parts.is_empty() {
            return Ok(());
        }
        let checked = &mut self.checked;
        checked.events += self.actions.len() as u64;
        checked.threads = self.threads.len() as u32;
        // An event takes one slot, and one more if its block passes to another thread.
        let most = (2 * checked.events).min(u64::from(u32::MAX));
        let largest = self.actions.iter().map(|action| action.slot().max(action.to())).max();
        let largest = largest.unwrap_or_default();
        if u64::from(largest) >= most {
            let damage = Damage { at: self.parts[0].at, what: "a slot is too large".to_owned() };
            return Err(damage.into());
        }
        checked.slots = checked.slots.max(largest + 1);
        self.slots.resize(checked.slots as usize, UNUSED);
        let mut parts = std::mem::take(&mut self.parts);
        self.perform_all(&mut parts)?;
        each(&Window {
            number: self.number,
            parts: &parts,
            actions: &self.actions,
            times: &self.times,
        });
        parts.clear();
        self.parts = parts;
        self.actions.clear();
        self.times.clear();
        self.number += 1;
        self.checked.windows = self.number;
        Ok(())
    }

    /// Performs all parts of a window, each as far as it gets, and again when what
    /// it waited for is there.
    fn perform_all(&mut self, parts: &mut [Loaded]) -> Result<(), Problem> {
        let mut ready: VecDeque<usize> = (0..parts.len()).collect();
        // By slot, and by the number of threads that must have ended.
        let mut for_block: HashMap<u32, usize> = HashMap::new();
        let mut for_ends: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        while let Some(at) = ready.pop_front() {
            let Loaded { part, at: byte, range, done } = &mut parts[at];
            let damage = |what: String| Damage { at: *byte, what };
            if part.ended > self.ended {
                for_ends.entry(part.ended).or_default().push(at);
                continue;
            }
            while let Some(&action) = self.actions[range.clone()].get(*done) {
                let told = |what: &str| format!("action {done} of this part ({action:?}): {what}");
                if !self.act(part.thread, action).map_err(|what| damage(told(what)))? {
                    if for_block.insert(action.slot(), at).is_some() {
                        return Err(damage(told("another thread waits for it too")).into());
                    }
                    break;
                }
                *done += 1;
                let waiting = action.given().then(|| for_block.remove(&action.to()));
                ready.extend(waiting.flatten());
            }
            if *done == range.len() && part.last {
                self.threads[part.thread as usize].ended = true;
                self.ended += 1;
                while let Some(first) = for_ends.first_entry() {
                    if *first.key() > self.ended {
                        break;
                    }
                    ready.extend(first.remove());
                }
            }
        }
        let stuck = for_block.into_values().chain(for_ends.into_values().flatten()).min();
        match stuck {
            None => Ok(()),
            Some(at) => {
                let what = "threads wait for each other in a circle".to_owned();
                Err(Damage { at: parts[at].at, what }.into())
            }
        }
    }

    /// Performs an action; `false`: it has to wait.
    fn act(&mut self, thread: u32, action: Action) -> Result<bool, &'static str> {
        let window = self.number;
        // What other threads did two windows ago is done.
        let settled =
            |slot: &Slot| slot.window == u32::MAX || slot.window.saturating_add(2) <= window;
        if action.takes_block() {
            let slot = &mut self.slots[action.slot() as usize];
            if action.taken() {
                if !slot.full {
                    return Ok(false);
                }
                if !slot.given || slot.thread == thread {
                    return Err("it takes a block that nobody gave");
                }
            } else if !slot.full {
                return Err("there is no block");
            } else if slot.given || slot.thread != thread && !settled(slot) {
                return Err("another thread has the block");
            }
            self.checked.live_blocks -= 1;
            self.checked.live_bytes -= slot.size;
            *slot = Slot { size: 0, thread, window, full: false, given: false };
        }
        if action.gives_block() {
            let slot = &mut self.slots[action.to() as usize];
            if slot.full {
                return Err("there is a block already");
            }
            let stays = action.kind() == super::Kind::Realloc && action.to() == action.slot();
            if !(settled(slot) || !action.given() && (stays || slot.thread == thread)) {
                return Err("another thread may still use the slot");
            }
            let (size, given) = (action.size(), action.given());
            *slot = Slot { size, thread, window, full: true, given };
            self.checked.live_blocks += 1;
            self.checked.live_bytes = self.checked.live_bytes.checked_add(size).ok_or(TOO_MUCH)?;
            self.checked.peak_live_bytes =
                self.checked.peak_live_bytes.max(self.checked.live_bytes);
        }
        Ok(true)
    }
}
