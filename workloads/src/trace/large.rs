//! Which live blocks are large enough that a program may leave OS pages of them
//! untouched, and of which it did.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::untouched::{LARGE, OS_PAGE, Untouched, whole_pages};

/// The large blocks of a process.
#[derive(Debug, Default)]
pub(super) struct Large {
    /// By address: the thread whose action a live one comes of, and its place among those
    /// of the thread.
    live: HashMap<u64, (u32, u64), BuildHasherDefault<Spread>>,
    /// How many there have been of each thread.
    given: Vec<u64>,
    untouched: Vec<Untouched>,
}

impl Large {
    /// A block comes of an action.
    pub(super) fn put(&mut self, address: u64, size: u64, thread: u32) {
        if size >= LARGE {
            let at = thread as usize;
            self.given.resize(self.given.len().max(at + 1), 0);
            self.live.insert(address, (thread, self.given[at]));
            self.given[at] += 1;
        }
    }

    /// A block goes; so many of its whole OS pages were resident, if somebody looked.
    pub(super) fn taken(&mut self, address: u64, size: u64, resident: Option<u64>) {
        if size >= LARGE
            && let Some(from) = self.live.remove(&address)
        {
            self.add(address, size, from, resident);
        }
    }

    /// The process ends. `size` tells of an address how large the live block there is.
    pub(super) fn at_the_end(
        &mut self,
        size: impl Fn(u64) -> Option<u64>,
        resident: impl Fn(u64, u64) -> Option<u64>,
    ) {
        for (address, from) in std::mem::take(&mut self.live) {
            if let Some(size) = size(address) {
                self.add(address, size, from, resident(address, size));
            }
        }
    }

    fn add(&mut self, address: u64, size: u64, from: (u32, u64), resident: Option<u64>) {
        let whole = whole_pages(address, size);
        let pages = (whole.end - whole.start) / OS_PAGE;
        let pages = pages.saturating_sub(resident.unwrap_or(pages));
        if pages > 0 {
            let (thread, place) = from;
            self.untouched.push(Untouched { thread, place, pages });
        }
    }

    /// Those with untouched OS pages, in order; `number` tells which number a thread has
    /// got.
    pub(super) fn finish(mut self, number: impl Fn(u32) -> u32) -> Vec<Untouched> {
        for one in &mut self.untouched {
            one.thread = number(one.thread);
        }
        self.untouched.sort_unstable();
        self.untouched
    }
}

/// Spreads addresses, which end in zeros, over a table.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}
