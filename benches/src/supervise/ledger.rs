//! What the stops of a tree add up to; the same for every tracer.
//!
//! It keeps nothing per process that a fork, an exec by another thread or a
//! reused process id could make wrong: the growth of a heap is read from the
//! process while it is stopped.

use std::collections::BTreeMap;

use brkpoint_worker::marker::{MEASURED, UNMARKED};

use super::calls::{Call, Event, Memory};
use super::heap_faults::HeapFaults;
use super::held::Held;
use super::image::{Image, Images, Library};
use super::inside::Inside;
use super::process;
use super::sys::Pid;

/// Calls and bytes of one phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    calls: [u64; Call::ALL.len()],
    bytes: [u64; Call::ALL.len()],
}

impl Counts {
    /// How often it was called, successfully or not.
    pub fn calls(&self, call: Call) -> u64 {
        self.calls[call as usize]
    }

    /// The bytes it was called with: the length that was asked for (of `mremap`
    /// the new one); of `brk` the OS pages, in bytes, by which it was to grow.
    pub fn bytes(&self, call: Call) -> u64 {
        self.bytes[call as usize]
    }

    fn add(&mut self, call: Call, bytes: u64) {
        self.calls[call as usize] += 1;
        self.bytes[call as usize] = self.bytes[call as usize].saturating_add(bytes);
    }
}

/// Counted calls by phase.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Syscalls {
    /// Phase 0 is what comes before any marker; a marker anywhere in the tree
    /// starts its phase for the whole tree.
    pub phases: BTreeMap<u32, Counts>,
    /// What they say that the tree held.
    pub held: Held,
    /// Most bytes that the measured phase had mapped, or its heap grown by, at one
    /// moment.
    pub peak_footprint: u64,
    /// Minor faults on the memory that the measured phase had from these calls, where
    /// that was asked for.
    pub heap_faults: Option<u64>,
}

impl Syscalls {
    /// All phases together.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for counts in self.phases.values() {
            for i in 0..Call::ALL.len() {
                total.calls[i] += counts.calls[i];
                total.bytes[i] = total.bytes[i].saturating_add(counts.bytes[i]);
            }
        }
        total
    }
}

/// Takes down the stops of one tree.
#[derive(Debug)]
pub(super) struct Ledger {
    phase: u32,
    /// Where threads say that they are in a call, what is called there is of the
    /// measured phase, and nothing else.
    inside: Option<Inside>,
    /// Where they are asked for.
    heap_faults: Option<HeapFaults>,
    /// Bytes mapped in the measured phase, and not unmapped.
    footprint: i64,
    syscalls: Syscalls,
    images: Images,
    peak_rss_bytes: u64,
    started: bool,
    /// Calls of `brk` whose growth could not be read.
    unread_breaks: u64,
    os_page: u64,
    /// Memory calls so far.
    calls: u64,
}

/// What is in a [`Ledger`] at the end.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) syscalls: Syscalls,
    pub(super) images: Vec<Image>,
    /// What is to be said of processes whose image was not seen.
    pub(super) unseen: Option<String>,
    pub(super) peak_rss_bytes: u64,
    pub(super) unread_breaks: u64,
}

impl Ledger {
    pub(super) fn new(
        main: Pid,
        library: Option<Library>,
        inside: Option<Inside>,
        heap_faults: bool,
    ) -> Ledger {
        let mut syscalls = Syscalls::default();
        syscalls.phases.insert(0, Counts::default());
        Ledger {
            phase: UNMARKED,
            inside,
            heap_faults: heap_faults.then(HeapFaults::default),
            footprint: 0,
            syscalls,
            images: Images::new(main, library),
            peak_rss_bytes: 0,
            started: false,
            unread_breaks: 0,
            os_page: super::sys::os_page(),
            calls: 0,
        }
    }

    /// `thread` is stopped at the entry of a watched call.
    pub(super) fn stopped(&mut self, thread: Pid, event: Event) {
        match event {
            Event::Memory(memory) => self.memory(thread, memory),
            Event::Marker(phase) => {
                if let Some(faults) = &mut self.heap_faults {
                    faults.phase(thread, phase == MEASURED);
                }
                self.phase = phase;
            }
            Event::Exec if !self.started => self.start(thread),
            Event::Exec => {
                if let Some(process) = self.leaving(thread) {
                    self.images.exec(process);
                }
            }
            Event::Exit => {
                self.leaving(thread);
            }
        }
    }

    fn memory(&mut self, thread: Pid, memory: Memory) {
        let Memory { call, length, block, .. } = memory;
        self.images.call(thread);
        self.calls += 1;
        if let Some(inside) = &self.inside {
            self.phase = if inside.has(thread) { MEASURED } else { UNMARKED };
        }
        if let Some(faults) = &mut self.heap_faults {
            faults.call(thread, &memory, self.phase == MEASURED);
        }
        let (bytes, change) = self.bytes(thread, &memory);
        if self.phase == MEASURED {
            self.footprint = self.footprint.saturating_add(change);
            let peak = &mut self.syscalls.peak_footprint;
            *peak = (*peak).max(u64::try_from(self.footprint).unwrap_or_default());
        }
        match call {
            Call::Mmap if block => self.syscalls.held.map(length),
            Call::Munmap => self.syscalls.held.unmap(length, self.calls),
            _ => {}
        }
        self.syscalls.phases.entry(self.phase).or_default().add(call, bytes);
    }

    /// The first exec is the launched program's own: what is there before it is
    /// a piece of the harness.
    pub(super) fn start(&mut self, main: Pid) {
        if !self.started {
            self.started = true;
            self.images.exec(main);
        }
    }

    /// A last look at a process that may be about to give up its memory; its id.
    /// (If only one of its threads ends, the look does no harm.)
    fn leaving(&mut self, thread: Pid) -> Option<Pid> {
        if let Some(faults) = &mut self.heap_faults {
            faults.look(thread);
        }
        let status = process::status(thread)?;
        self.peak_rss_bytes = self.peak_rss_bytes.max(status.peak_rss_bytes);
        self.images.look(thread, status.process);
        Some(status.process)
    }

    /// The bytes that a call is counted with, and those by which it changes what is
    /// mapped.
    fn bytes(&mut self, thread: Pid, memory: &Memory) -> (u64, i64) {
        let &Memory { call, length, old, .. } = memory;
        let pages = |bytes: u64| {
            let whole = bytes.checked_next_multiple_of(self.os_page);
            whole.and_then(|whole| i64::try_from(whole).ok()).unwrap_or_default()
        };
        match call {
            Call::Brk => {
                let change = self.growth(thread, length);
                (u64::try_from(change).unwrap_or_default(), change)
            }
            Call::Mmap => (length, pages(length)),
            Call::Munmap => (length, -pages(length)),
            Call::Mremap => (length, pages(length) - pages(old)),
            Call::Madvise | Call::Mprotect => (length, 0),
        }
    }

    /// Bytes by which `brk(wanted)` is to grow the heap, in whole OS pages; below
    /// zero, by which it shrinks.
    fn growth(&mut self, thread: Pid, wanted: u64) -> i64 {
        if wanted == 0 {
            return 0;
        }
        let Some((begin, end)) = process::heap(thread, wanted) else {
            self.unread_breaks += 1;
            return 0;
        };
        self.syscalls.held.heap(begin, end, wanted);
        let page = self.os_page;
        // A quotient by 4,096 or more fits.
        let pages = |address: u64| (address.saturating_add(page - 1) / page) as i64;
        (pages(wanted) - pages(end)).saturating_mul(page as i64)
    }

    /// A look at running processes, for the case that a signal ends them.
    pub(super) fn look_round(&mut self) {
        self.images.look_round();
    }

    pub(super) fn finish(mut self) -> Totals {
        self.syscalls.heap_faults = self.heap_faults.map(HeapFaults::finish);
        let (images, unseen) = self.images.finish();
        Totals {
            syscalls: self.syscalls,
            images,
            unseen,
            peak_rss_bytes: self.peak_rss_bytes,
            unread_breaks: self.unread_breaks,
        }
    }
}
