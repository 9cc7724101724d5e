//! The calls of a process in the order of their time, each with its block.

use std::collections::VecDeque;
use std::io::Read;

use super::verify::{self, Checked, Window};
use super::{Action, Kind, Problem, Reader};

/// What happened next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A call.
    Call {
        /// The thread that made it.
        thread: u32,
        /// Nanoseconds since the first event.
        at_ns: u64,
        /// What it was; its slots mean nothing here.
        action: Action,
        /// A number of the block that no other block of the process has; none of a
        /// refused request.
        block: u64,
    },
    /// A thread made its last call.
    End {
        /// Which.
        thread: u32,
    },
}

#[derive(Debug, Clone, Copy)]
struct Item {
    at_ns: u64,
    thread: u32,
    action: Action,
    last: bool,
}

/// Checks `process` and tells `each` of all its calls. Where two have one time and
/// one needs the other's block, that one comes first.
///
/// # Errors
/// As [`verify::check`]; what was told before is good.
pub fn each<R: Read>(
    reader: &mut Reader<R>,
    process: u32,
    each: &mut dyn FnMut(Event),
) -> Result<Checked, Problem> {
    let mut order = Order { slots: Vec::new(), clocks: Vec::new(), next: 1, each };
    verify::check(reader, process, &mut |window| order.window(window))
}

struct Order<'e> {
    /// The number of the block in each slot; 0: none.
    slots: Vec<u64>,
    /// The time of each thread's latest event.
    clocks: Vec<u64>,
    next: u64,
    each: &'e mut dyn FnMut(Event),
}

impl Order<'_> {
    fn window(&mut self, window: &Window<'_>) {
        let mut items = Vec::with_capacity(window.actions.len());
        for loaded in window.parts {
            let thread = loaded.part.thread;
            if self.clocks.len() <= thread as usize {
                self.clocks.resize(thread as usize + 1, 0);
            }
            let clock = &mut self.clocks[thread as usize];
            let range = loaded.range.clone();
            let count = range.len();
            let timed = window.actions[range.clone()].iter().zip(&window.times[range]);
            for (at, (&action, &time)) in timed.enumerate() {
                *clock = clock.saturating_add(time);
                let last = loaded.part.last && at + 1 == count;
                items.push(Item { at_ns: *clock, thread, action, last });
                let slots = action.slot().max(action.to()) as usize + 1;
                if self.slots.len() < slots {
                    self.slots.resize(slots, 0);
                }
            }
        }
        // Stable: a thread's calls stay in order.
        items.sort_by_key(|item| item.at_ns);
        let mut held: VecDeque<Item> = VecDeque::new();
        for item in items {
            let waits = held.iter().any(|other| other.thread == item.thread);
            if waits || !self.perform(item) {
                held.push_back(item);
                continue;
            }
            self.release(&mut held);
        }
        // `verify` found an order, so there is one.
        while !held.is_empty() {
            let before = held.len();
            self.release(&mut held);
            if held.len() == before {
                return;
            }
        }
    }

    /// Performs what was held up and can be performed now.
    fn release(&mut self, held: &mut VecDeque<Item>) {
        let mut at = 0;
        while at < held.len() {
            let item = held[at];
            let first = held.iter().position(|other| other.thread == item.thread) == Some(at);
            if first && self.perform(item) {
                held.remove(at);
                at = 0;
            } else {
                at += 1;
            }
        }
    }

    /// Performs a call, if its slots allow it.
    fn perform(&mut self, item: Item) -> bool {
        let Item { at_ns, thread, action, last } = item;
        let (from, to) = (action.slot() as usize, action.to() as usize);
        let resizes = action.kind() == Kind::Realloc;
        let possible = (!action.takes_block() || self.slots[from] != 0)
            && (!action.gives_block() || self.slots[to] == 0 || resizes && from == to);
        if !possible {
            return false;
        }
        let mut block = 0;
        if action.takes_block() {
            block = std::mem::take(&mut self.slots[from]);
        } else if action.gives_block() {
            block = self.next;
            self.next += 1;
        }
        if action.gives_block() {
            self.slots[to] = block;
        }
        (self.each)(Event::Call { thread, at_ns, action, block });
        if last {
            (self.each)(Event::End { thread });
        }
        true
    }
}
