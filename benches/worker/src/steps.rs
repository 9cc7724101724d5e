//! Steps on this process's allocator, performed before anything else uses it.
//!
//! They run ahead of `main`, since Rust's runtime allocates: under glibc it asks
//! `pthread_getattr_np` for the stack, which reads `/proc/self/maps` through a
//! `FILE`, and then there is a heap already. Here nothing is allocated but by
//! the steps: what is kept lies in mappings made before the first of them, with
//! every OS page touched, so that it adds no system call and no fault either.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::{self, Write};
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use brkpoint_workloads::mapped::Mapped;
use brkpoint_workloads::op::{Event, Op, lines};

use crate::{VERB, marker, memory};

/// The second argument that makes this program perform steps.
pub const STEPS: &str = "steps";

/// What a line of the program asks for.
#[derive(Clone, Copy)]
enum Step {
    /// `alloc`, `free`, `trim`: as [`lines`] has them; alignment is malloc's own.
    Op(Op),
    /// `touch SLOT`: a byte is written to each OS page of the block.
    Touch(u32),
    /// `peek SLOT`: the 16 bytes left of the block are told.
    Peek(u32),
    /// `read`: heap, faults and resident memory (no file's) are told; the next phase
    /// begins.
    Read,
    /// `maps`: all mappings are told.
    Maps,
    /// `pages`: which OS pages of the heap and of blocks elsewhere are resident.
    Pages,
    /// `landmarks`: where this program's own parts lie.
    Landmarks,
}

impl Step {
    /// Reads a line; `None` if it is none.
    fn parse(line: &str) -> Option<Option<Step>> {
        let mut words = line.split_whitespace();
        let slot = |word: Option<&str>| word?.parse().ok();
        let step = match (words.next(), words.next()) {
            (Some("touch"), word) => Step::Touch(slot(word)?),
            (Some("peek"), word) => Step::Peek(slot(word)?),
            (Some("read"), None) => Step::Read,
            (Some("maps"), None) => Step::Maps,
            (Some("pages"), None) => Step::Pages,
            (Some("landmarks"), None) => Step::Landmarks,
            _ => return lines::parse(line).map(|op| op.map(Step::Op)),
        };
        Some(Some(step))
    }

    fn slot(self) -> Option<u32> {
        match self {
            Step::Op(Op::Alloc { slot, .. } | Op::Free { slot })
            | Step::Touch(slot)
            | Step::Peek(slot) => Some(slot),
            _ => None,
        }
    }

    /// Most bytes that are told of it.
    fn told(self) -> usize {
        match self {
            Step::Maps | Step::Pages => 256 << 10,
            Step::Landmarks => 512,
            _ => 128,
        }
    }
}

/// Runs ahead of `main`, with the arguments that glibc gives to constructors.
#[used]
#[unsafe(link_section = ".init_array")]
static FIRST: extern "C" fn(c_int, *const *const c_char, *const c_void) = first;

extern "C" fn first(count: c_int, arguments: *const *const c_char, _: *const c_void) {
    // SAFETY: glibc passes main's own arguments (its manual, "Initialization and
    // Termination"): `count` C strings.
    let word = |at: usize| unsafe { CStr::from_ptr(*arguments.add(at)) }.to_bytes();
    if count != 3 || word(1) != VERB.as_bytes() || word(2) != STEPS.as_bytes() {
        return;
    }
    let status = match Bench::new().and_then(Bench::run) {
        Ok(()) => 0,
        Err(why) => {
            write_all(2, b"brkpoint worker: ");
            write_all(2, why.as_bytes());
            write_all(2, b"\n");
            2
        }
    };
    // SAFETY: ends the process; nothing of Rust's runtime has begun.
    unsafe { libc::_exit(status) }
}

/// A block that a step allocated.
#[derive(Clone, Copy)]
struct Block {
    start: *mut u8,
    size: usize,
}

const NONE: Block = Block { start: ptr::null_mut(), size: 0 };

/// The steps, and what is kept for them.
struct Bench {
    steps: Mapped<Step>,
    blocks: Mapped<Block>,
    told: Told,
    /// For what is read from `/proc`.
    scratch: Mapped<u8>,
    phase: u32,
}

/// What is to be printed at the end.
struct Told {
    text: Mapped<u8>,
    len: usize,
}

impl Write for Told {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.len + part.len();
        let place = self.text.get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(part.as_bytes());
        self.len = end;
        Ok(())
    }
}

const FULL: &str = "more is to be told than there is room for";
const PROC: &str = "cannot read /proc/self";

impl Bench {
    /// Reads the steps from standard input.
    fn new() -> Result<Bench, &'static str> {
        let mut text = Mapped::new();
        text.resize(64 << 10, 0);
        let mut len = 0;
        loop {
            match read(0, &mut text[len..]) {
                Some(0) => break,
                Some(more) => len += more,
                None => return Err("standard input cannot be read"),
            }
            if len == text.len() {
                text.resize(2 * len, 0);
            }
        }
        let text = str::from_utf8(&text[..len]).map_err(|_| "the steps are not UTF-8")?;
        // As much as the rehearsal below tells.
        let (mut steps, mut blocks, mut told) = (Mapped::new(), Mapped::new(), 512 << 10);
        for line in text.lines() {
            let Some(step) = Step::parse(line).ok_or("a line is no step")? else { continue };
            let slots = step.slot().map_or(0, |slot| slot as usize + 1);
            if slots > 1 << 20 {
                return Err("slots are numbers below 2^20");
            }
            blocks.resize(slots.max(blocks.len()), NONE);
            told += step.told();
            steps.push(step);
        }
        let mut bench = Bench {
            steps,
            blocks,
            told: Told { text: Mapped::new(), len: 0 },
            scratch: Mapped::new(),
            phase: marker::UNMARKED,
        };
        bench.told.text.resize(told, 0);
        bench.scratch.resize(1 << 20, 0);
        // A rehearsal: code that runs for the first time is faulted in here.
        bench.landmarks()?;
        bench.read()?;
        bench.maps()?;
        bench.told.len = 0;
        bench.phase = marker::UNMARKED;
        marker::mark(bench.phase);
        Ok(bench)
    }

    fn run(mut self) -> Result<(), &'static str> {
        for at in 0..self.steps.len() {
            match self.steps[at] {
                Step::Op(Op::Alloc { slot, size, .. }) => self.alloc(slot as usize, size)?,
                Step::Op(Op::Free { slot }) => {
                    let block = mem::replace(&mut self.blocks[slot as usize], NONE);
                    // SAFETY: null, or malloc's and freed once: the slot is emptied.
                    unsafe { libc::free(block.start.cast()) };
                }
                Step::Op(Op::Event(Event::Trim { keep })) => {
                    // SAFETY: it may be called at any time.
                    unsafe { libc::malloc_trim(keep) };
                }
                Step::Op(_) => return Err("an operation is none of alloc, free, trim"),
                Step::Touch(slot) => self.touch(slot as usize)?,
                Step::Peek(slot) => self.peek(slot as usize)?,
                Step::Read => self.read()?,
                Step::Maps => self.maps()?,
                Step::Pages => self.pages()?,
                Step::Landmarks => self.landmarks()?,
            }
        }
        write_all(1, &self.told.text[..self.told.len]);
        Ok(())
    }

    fn tell(&mut self, line: fmt::Arguments<'_>) -> Result<(), &'static str> {
        self.told.write_fmt(line).map_err(|_| FULL)
    }

    fn alloc(&mut self, slot: usize, size: usize) -> Result<(), &'static str> {
        // SAFETY: any size may be asked for.
        let start = unsafe { libc::malloc(size) };
        if start.is_null() {
            return Err("malloc gives no memory");
        }
        // SAFETY: a live block of this process's malloc.
        let usable = unsafe { libc::malloc_usable_size(start) };
        self.blocks[slot] = Block { start: start.cast(), size };
        self.tell(format_args!("block {slot} {} {size} {usable}\n", start.addr()))
    }

    fn touch(&mut self, slot: usize) -> Result<(), &'static str> {
        let block = self.blocks[slot];
        let (page, start) = (memory::os_page(), now_ns());
        let first = page - block.start.addr() % page;
        for at in [0].into_iter().chain((first..block.size).step_by(page)) {
            if at < block.size {
                // SAFETY: within the live block; an empty slot has size 0.
                unsafe { block.start.add(at).write_volatile(1) };
            }
        }
        let took = now_ns() - start;
        self.tell(format_args!("touch {slot} {took}\n"))
    }

    fn peek(&mut self, slot: usize) -> Result<(), &'static str> {
        let from = self.blocks[slot].start.addr().checked_sub(16).ok_or("an empty slot")?;
        let mut bytes = [0; 16];
        // Through the kernel: what is not mapped is an error there, and no fault.
        let seen = read_at(c"/proc/self/mem", from as i64, &mut bytes) == Some(bytes.len());
        let [previous, own] =
            [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i])));
        match seen {
            true => self.tell(format_args!("peek {slot} {previous} {own}\n")),
            false => self.tell(format_args!("peek {slot} unmapped\n")),
        }
    }

    fn read(&mut self) -> Result<(), &'static str> {
        let len = self.proc(c"/proc/self/statm")?;
        // What is a file's does not count: the kernel maps code around each fault.
        let mut pages = text(&self.scratch[..len]).split(' ').skip(1).map(str::parse::<usize>);
        let (Some(Ok(all)), Some(Ok(of_files))) = (pages.next(), pages.next()) else {
            return Err(PROC);
        };
        let resident = all.saturating_sub(of_files) * memory::os_page();
        let (start, end) = self.heap()?.unwrap_or_default();
        let faults = minor_faults();
        self.tell(format_args!("read {start} {end} {faults} {resident}\n"))?;
        self.phase += 1;
        marker::mark(self.phase);
        Ok(())
    }

    /// First address of the heap and that behind it, as the kernel has it.
    fn heap(&mut self) -> Result<Option<(usize, usize)>, &'static str> {
        let len = self.proc(c"/proc/self/maps")?;
        let line = text(&self.scratch[..len]).lines().find(|line| line.ends_with("[heap]"));
        Ok(line.and_then(range))
    }

    fn maps(&mut self) -> Result<(), &'static str> {
        let len = self.proc(c"/proc/self/maps")?;
        for line in text(&self.scratch[..len]).lines() {
            writeln!(self.told, "map {line}").map_err(|_| FULL)?;
        }
        writeln!(self.told, "maps").map_err(|_| FULL)
    }

    fn pages(&mut self) -> Result<(), &'static str> {
        let heap = self.heap()?;
        if let Some((start, end)) = heap {
            self.residence(start, end)?;
        }
        for at in 0..self.blocks.len() {
            let Block { start, size } = self.blocks[at];
            let start = start.addr();
            if start != 0 && !heap.is_some_and(|(from, to)| (from..to).contains(&start)) {
                self.residence(start, start + size)?;
            }
        }
        self.tell(format_args!("paged\n"))
    }

    /// Tells of each OS page of a range whether it is resident, as 0 or 1 (the
    /// kernel's Documentation/admin-guide/mm/pagemap.rst: bit 63).
    fn residence(&mut self, start: usize, end: usize) -> Result<(), &'static str> {
        let page = memory::os_page();
        let (from, count) = (start / page, end.div_ceil(page) - start / page);
        self.tell(format_args!("pages {} ", from * page))?;
        for first in (0..count).step_by(512) {
            let mut entries = [0; 4096];
            let wanted = (count - first).min(512) * 8;
            let at = (from + first) as i64 * 8;
            if read_at(c"/proc/self/pagemap", at, &mut entries[..wanted]) != Some(wanted) {
                return Err("cannot read /proc/self/pagemap");
            }
            for entry in entries[..wanted].chunks_exact(8) {
                self.tell(format_args!("{}", entry[7] >> 7))?;
            }
        }
        self.tell(format_args!("\n"))
    }

    fn landmarks(&mut self) -> Result<(), &'static str> {
        static INITIALISED: AtomicU64 = AtomicU64::new(1);
        static ZERO: AtomicU64 = AtomicU64::new(0);
        let local = INITIALISED.fetch_add(1, Relaxed) + ZERO.fetch_add(1, Relaxed);
        let library: unsafe extern "C" fn() -> *const c_char = libc::gnu_get_libc_version;
        for (name, address) in [
            ("code", first as *const () as usize),
            ("constant", FULL.as_ptr().addr()),
            ("data", ptr::from_ref(&INITIALISED).addr()),
            ("bss", ptr::from_ref(&ZERO).addr()),
            ("library", library as *const () as usize),
            ("stack", ptr::from_ref(&local).addr()),
        ] {
            self.tell(format_args!("landmark {name} {address}\n"))?;
        }
        Ok(())
    }

    /// All of a file of `/proc` into the scratch; its length.
    fn proc(&mut self, path: &CStr) -> Result<usize, &'static str> {
        let len = read_at(path, 0, &mut self.scratch).ok_or(PROC)?;
        if len == self.scratch.len() { Err(FULL) } else { Ok(len) }
    }
}

/// What `/proc` says, which is ASCII but for names of files.
fn text(bytes: &[u8]) -> &str {
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// The addresses that a line of `maps` begins with.
fn range(line: &str) -> Option<(usize, usize)> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let hexadecimal = |text| usize::from_str_radix(text, 16).ok();
    Some((hexadecimal(start)?, hexadecimal(end)?))
}

fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it fills the timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn minor_faults() -> i64 {
    // SAFETY: rusage is made of integers, for which zero is a value; getrusage
    // fills it and cannot fail for RUSAGE_SELF.
    unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage.ru_minflt
    }
}

/// Reads from `offset` on until the buffer is full or the file ends; `None` if
/// it cannot be read.
fn read_at(path: &CStr, offset: i64, buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: a C string; the file is closed below and shared with nobody.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return None;
    }
    // SAFETY: an open file.
    let mut len =
        (offset == 0 || unsafe { libc::lseek64(file, offset, libc::SEEK_SET) } >= 0).then_some(0);
    while let Some(has) = len.filter(|&has| has < buffer.len()) {
        match read(file, &mut buffer[has..]) {
            Some(0) => break,
            more => len = more.map(|more| has + more),
        }
    }
    // SAFETY: opened above.
    unsafe { libc::close(file) };
    len
}

fn read(file: c_int, buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: the buffer is writable for its length.
    let count = unsafe { libc::read(file, buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(count).ok()
}

/// Nothing can be done about what cannot be written: the harness misses it.
fn write_all(file: c_int, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the bytes are readable for their length.
        let count = unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
        let Ok(count @ 1..) = usize::try_from(count) else { return };
        bytes = &bytes[count..];
    }
}
