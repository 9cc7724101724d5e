//! What a worker that performed steps told.

use std::collections::BTreeMap;

use crate::supervise::{Call, Counts, Syscalls};

/// What came of some steps.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Blocks in the order of their allocation.
    pub blocks: Vec<Block>,
    /// What each `read` told.
    pub readings: Vec<Reading>,
    /// Nanoseconds that each `touch` took.
    pub touches: Vec<u64>,
    /// The words 16 and 8 bytes left of a block, for each `peek`; `None`: they
    /// are not mapped.
    pub peeks: Vec<Option<[u64; 2]>>,
    /// What each `maps` told.
    pub maps: Vec<Vec<Mapping>>,
    /// What each `pages` told.
    pub pages: Vec<Vec<Stretch>>,
    /// Addresses of parts of the program.
    pub landmarks: BTreeMap<String, u64>,
    /// Memory calls by phase; `None` if they could not be watched, or were not.
    pub syscalls: Option<Syscalls>,
}

/// A block that a step allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its slot.
    pub slot: u32,
    /// Its first byte.
    pub start: u64,
    /// Bytes requested.
    pub size: u64,
    /// Bytes that may be used.
    pub usable: u64,
}

/// What `read` tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// The heap at the program break: its first byte, and that behind its last;
    /// both 0 if there is none.
    pub heap: (u64, u64),
    /// Minor faults of the process so far.
    pub faults: u64,
    /// Resident bytes.
    pub resident: u64,
}

impl Reading {
    /// The size of the heap in bytes.
    pub fn heap_bytes(&self) -> u64 {
        self.heap.1 - self.heap.0
    }

    /// Whether an address lies in the heap.
    pub fn in_heap(&self, address: u64) -> bool {
        (self.heap.0..self.heap.1).contains(&address)
    }
}

/// A line of `/proc/self/maps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The first byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
    /// `r-xp` and the like.
    pub access: String,
    /// The file, or a name in brackets; empty for anonymous memory.
    pub path: String,
}

/// OS pages side by side: those of the heap, or of a block elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The first byte.
    pub start: u64,
    /// Whether each of them is resident.
    pub resident: Vec<bool>,
}

impl Mapping {
    /// Whether an address lies in it.
    pub fn holds(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    fn parse(line: &str) -> Option<Mapping> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
        // access, offset, device, inode, and after spaces the path
        let mut fields = rest.splitn(5, ' ');
        let access = fields.next()?.to_owned();
        let path = fields.nth(3)?.trim().to_owned();
        Some(Mapping { start: hexadecimal(start)?, end: hexadecimal(end)?, access, path })
    }
}

impl Seen {
    /// Reads what a worker printed; the line that makes no sense, if there is one.
    pub(super) fn parse(text: &str) -> Result<Seen, String> {
        let (mut seen, mut maps, mut pages) = (Seen::default(), Vec::new(), Vec::new());
        for line in text.lines() {
            seen.take(line, &mut maps, &mut pages).ok_or_else(|| line.to_owned())?;
        }
        Ok(seen)
    }

    fn take(
        &mut self,
        line: &str,
        maps: &mut Vec<Mapping>,
        pages: &mut Vec<Stretch>,
    ) -> Option<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        match word {
            "block" => self.blocks.push(Block {
                slot: number(0)? as u32,
                start: number(1)?,
                size: number(2)?,
                usable: number(3)?,
            }),
            "read" => self.readings.push(Reading {
                heap: (number(0)?, number(1)?),
                faults: number(2)?,
                resident: number(3)?,
            }),
            "touch" => self.touches.push(number(1)?),
            "peek" => {
                let words = fields.get(1) != Some(&"unmapped");
                self.peeks.push(if words { Some([number(1)?, number(2)?]) } else { None });
            }
            "map" => maps.push(Mapping::parse(rest)?),
            "maps" => self.maps.push(std::mem::take(maps)),
            "pages" => {
                let resident = fields.get(1)?.bytes().map(|bit| bit == b'1').collect();
                pages.push(Stretch { start: number(0)?, resident });
            }
            "paged" => self.pages.push(std::mem::take(pages)),
            "landmark" => {
                self.landmarks.insert((*fields.first()?).to_owned(), number(1)?);
            }
            _ => return None,
        }
        Some(())
    }

    /// Memory calls between the `read` at `at`, from 0, and the next.
    pub fn counts(&self, at: usize) -> Option<Counts> {
        let syscalls = self.syscalls.as_ref()?;
        Some(syscalls.phases.get(&(at as u32 + 1)).copied().unwrap_or_default())
    }

    /// Calls of one kind between the `read` at `at` and the next.
    pub fn calls(&self, at: usize, call: Call) -> Option<u64> {
        self.counts(at).map(|counts| counts.calls(call))
    }

    /// By how many bytes resident memory fell between the `read` at `at` and the next.
    pub fn returned(&self, at: usize) -> u64 {
        self.readings[at].resident.saturating_sub(self.readings[at + 1].resident)
    }

    /// By how many bytes resident memory grew between the `read` at `at` and the next.
    pub fn grown(&self, at: usize) -> u64 {
        self.readings[at + 1].resident.saturating_sub(self.readings[at].resident)
    }

    /// Minor faults between the `read` at `at` and the next.
    pub fn faults(&self, at: usize) -> u64 {
        self.readings[at + 1].faults - self.readings[at].faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_tells_is_read() {
        let text = "read 0 0 7 4096\nblock 3 4096 1 24\nmap 1000-3000 r-xp 00000000 fe:00 12  /a b\n\
                    map 5000-6000 rw-p 00000000 00:00 0 \nmaps\npeek 3 0 33\npeek 3 unmapped\n\
                    pages 4096 101\npaged\ntouch 3 9\nlandmark code 4100\n";
        let seen = Seen::parse(text).expect("lines");
        assert_eq!(seen.readings[0].heap_bytes(), 0);
        assert_eq!(seen.blocks[0], Block { slot: 3, start: 4096, size: 1, usable: 24 });
        let [code, data] = &seen.maps[0][..] else { panic!("{seen:?}") };
        assert_eq!((code.access.as_str(), code.path.as_str()), ("r-xp", "/a b"));
        assert!(code.holds(0x2fff) && !code.holds(0x3000) && data.path.is_empty());
        assert_eq!(seen.peeks, [Some([0, 33]), None]);
        let stretch = Stretch { start: 4096, resident: vec![true, false, true] };
        assert_eq!(seen.pages, [[stretch]]);
        assert_eq!((seen.touches[0], seen.landmarks["code"]), (9, 4100));
        assert_eq!(seen.calls(0, Call::Brk), None);
        assert_eq!(Seen::parse("block 1\n").unwrap_err(), "block 1");
    }
}
