//! A trace, checked and laid out for its replay.
//!
//! A forked child reads and checks it, and writes what a replay needs to a file
//! without a name: whatever memory that took went with the child. Up to
//! [`RESIDENT`] actions are laid out one by one; of more, only where each part is
//! in the trace, which is then read as the replay goes.
//!
//! ```text
//! file = Numbers, threads, parts (by thread), windows (parts in each), actions, times
//! ```

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::mem::size_of;
use std::os::fd::FromRawFd;
use std::path::Path;
use std::ptr;

use super::{Options, ReplayError};
use crate::trace::verify::{self, Window};
use crate::trace::{Action, Next, Reader};

/// Most actions that are laid out in memory: 256 MiB.
const RESIDENT: u64 = 16 << 20;

/// Behind the actions of a thread's part.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct PartAt {
    /// Place among the laid out actions, or byte in the trace.
    pub at: u64,
    pub window: u32,
    pub events: u32,
    /// Bytes in the trace.
    pub actions: u32,
    pub times: u32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct ThreadAt {
    /// Its parts.
    pub from: u64,
    pub to: u64,
    /// Threads that must have ended before it begins.
    pub ended: u32,
    pub first_window: u32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct Numbers {
    events: u64,
    parts: u64,
    threads: u64,
    windows: u64,
    slots: u64,
    /// Laid out actions, and times.
    actions: u64,
    times: u64,
    /// The largest part, in events and bytes.
    part_events: u64,
    part_bytes: u64,
    peak_live_bytes: u64,
}

/// A script, mapped.
#[derive(Debug)]
pub(super) struct Script {
    start: *const u8,
    bytes: usize,
    numbers: Numbers,
    trace: File,
}

// SAFETY: the mapping is only read, and stays as long as the script.
unsafe impl Send for Script {}
// SAFETY: as above.
unsafe impl Sync for Script {}

impl Script {
    pub(super) fn load(path: &Path, options: Options) -> Result<Script, ReplayError> {
        let system = |what| move |error| ReplayError::System(what, error);
        // SAFETY: a C string.
        let file = unsafe { libc::memfd_create(c"brkpoint script".as_ptr(), libc::MFD_CLOEXEC) };
        if file < 0 {
            return Err(system("memfd_create")(io::Error::last_os_error()));
        }
        // SAFETY: a new descriptor of our own.
        let mut file = unsafe { File::from_raw_fd(file) };
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            -1 => return Err(system("fork")(io::Error::last_os_error())),
            0 => {
                let status = match compile(path, options, &mut file) {
                    Ok(()) => 0,
                    Err(why) => {
                        // The parent reads it instead of a script.
                        let told = file
                            .set_len(0)
                            .and_then(|()| file.rewind())
                            .and_then(|()| file.write_all(why.as_bytes()));
                        2 - i32::from(told.is_ok())
                    }
                };
                // SAFETY: ends the child, and runs nothing of the parent's.
                unsafe { libc::_exit(status) }
            }
            child => {
                let mut status = 0;
                // SAFETY: fills the status.
                while unsafe { libc::waitpid(child, &mut status, 0) } < 0 {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(system("waitpid")(error));
                    }
                }
                if !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) > 1 {
                    return Err(ReplayError::Told("reading the trace failed".to_owned()));
                }
                if libc::WEXITSTATUS(status) == 1 {
                    let mut why = String::new();
                    file.rewind()
                        .and_then(|()| file.read_to_string(&mut why))
                        .map_err(system("reading"))?;
                    return Err(ReplayError::Told(why));
                }
            }
        }
        let trace = File::open(path).map_err(system("opening the trace"))?;
        Script::map(&file, trace).map_err(system("mapping the script"))
    }

    fn map(file: &File, trace: File) -> io::Result<Script> {
        use std::os::fd::AsRawFd;
        let bytes = file.metadata()?.len() as usize;
        if bytes < size_of::<Numbers>() {
            return Err(io::Error::other("it is too short"));
        }
        // SAFETY: a new mapping of a file that nobody else writes.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it begins with the numbers.
        let numbers = unsafe { start.cast::<Numbers>().read() };
        Ok(Script { start: start.cast(), bytes, numbers, trace })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn events(&self) -> u64 {
        self.numbers.events
    }

    pub(super) fn slots(&self) -> usize {
        self.numbers.slots as usize
    }

    /// The largest part's events and bytes, if parts are to be read from the
    /// trace.
    pub(super) fn reads(&self) -> Option<(usize, usize)> {
        let numbers = &self.numbers;
        let reads = numbers.actions == 0 && numbers.events > 0;
        reads.then_some((numbers.part_events as usize, numbers.part_bytes as usize))
    }

    pub(super) fn trace(&self) -> &File {
        &self.trace
    }

    /// `count` values that lie `at` so many bytes.
    fn table<T>(&self, at: usize, count: u64) -> &[T] {
        // SAFETY: the child laid them out there; all begin at multiples of eight.
        unsafe { std::slice::from_raw_parts(self.start.add(at).cast(), count as usize) }
    }

    pub(super) fn threads(&self) -> &[ThreadAt] {
        self.table(size_of::<Numbers>(), self.numbers.threads)
    }

    fn parts_at(&self) -> usize {
        size_of::<Numbers>() + self.numbers.threads as usize * size_of::<ThreadAt>()
    }

    pub(super) fn parts(&self, thread: usize) -> &[PartAt] {
        let ThreadAt { from, to, .. } = self.threads()[thread];
        &self.table(self.parts_at(), self.numbers.parts)[from as usize..to as usize]
    }

    fn windows_at(&self) -> usize {
        self.parts_at() + self.numbers.parts as usize * size_of::<PartAt>()
    }

    /// Parts in each window.
    pub(super) fn windows(&self) -> &[u64] {
        self.table(self.windows_at(), self.numbers.windows)
    }

    fn actions_at(&self) -> usize {
        self.windows_at() + self.numbers.windows as usize * size_of::<u64>()
    }

    /// The laid out actions of a part.
    pub(super) fn actions(&self, part: &PartAt) -> &[Action] {
        let all = self.table(self.actions_at(), self.numbers.actions);
        &all[part.at as usize..][..part.events as usize]
    }

    /// The nanoseconds before each of them; empty if gaps do not matter.
    pub(super) fn times(&self, part: &PartAt) -> &[u64] {
        if self.numbers.times == 0 {
            return &[];
        }
        let at = self.actions_at() + self.numbers.actions as usize * size_of::<Action>();
        &self.table(at, self.numbers.times)[part.at as usize..][..part.events as usize]
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // SAFETY: our own mapping.
        unsafe { libc::munmap(self.start.cast_mut().cast(), self.bytes) };
    }
}

/// The process with most events, and its events.
pub(super) fn largest(path: &Path) -> Result<(u32, u64), String> {
    let at = |problem| format!("{}: {problem}", path.display());
    let file = File::open(path).map_err(|error| at(error.to_string()))?;
    let mut reader = Reader::new(BufReader::with_capacity(1 << 20, file))
        .map_err(|problem| at(problem.to_string()))?;
    let mut events = vec![0_u64; reader.header().processes.len()];
    loop {
        match reader.next().map_err(|problem| at(problem.to_string()))? {
            Next::Part(part) => {
                let process = part.process as usize;
                let count = events.get_mut(process).ok_or_else(|| {
                    at(format!("a part is of process {process}, which the header does not have"))
                })?;
                *count += u64::from(part.events);
            }
            Next::Closing(_) => {}
            Next::End => break,
        }
    }
    let most = (0..).zip(events).max_by_key(|&(place, events)| (events, std::cmp::Reverse(place)));
    match most {
        Some((_, 0)) | None => Err(at("it holds no event: there is nothing to replay".to_owned())),
        Some(most) => Ok(most),
    }
}

fn compile(path: &Path, options: Options, out: &mut File) -> Result<(), String> {
    let at = |problem: String| format!("{}: {problem}", path.display());
    let process = match options.process {
        Some(process) => process,
        None => largest(path)?.0,
    };
    let file = File::open(path).map_err(|error| at(error.to_string()))?;
    let mut reader = Reader::new(BufReader::with_capacity(1 << 20, file))
        .map_err(|problem| at(problem.to_string()))?;
    if process as usize >= reader.header().processes.len() {
        let known = reader.header().processes.len();
        return Err(at(format!("there is no process {process}: there are {known}, from 0 on")));
    }
    let (mut parts, mut windows) = (Vec::new(), Vec::new());
    let (mut actions, mut times) = (Vec::<Action>::new(), Vec::<u64>::new());
    let (mut so_far, mut numbers) = (0, Numbers::default());
    let mut each = |window: &Window<'_>| {
        windows.push(window.parts.len() as u64);
        let resident = so_far + window.actions.len() as u64 <= RESIDENT;
        if resident {
            actions.extend_from_slice(window.actions);
            if options.gaps {
                times.extend_from_slice(window.times);
            }
        } else {
            (actions, times) = (Vec::new(), Vec::new());
        }
        for loaded in window.parts {
            let part = loaded.part;
            numbers.part_events = numbers.part_events.max(part.events.into());
            let bytes = u64::from(part.actions) + u64::from(part.times);
            numbers.part_bytes = numbers.part_bytes.max(bytes);
            parts.push((
                part.thread,
                part.ended,
                so_far + loaded.range.start as u64,
                PartAt {
                    at: loaded.at,
                    window: part.window,
                    events: part.events,
                    actions: part.actions,
                    times: part.times,
                },
            ));
        }
        so_far += window.actions.len() as u64;
    };
    let checked = verify::check(&mut reader, process, &mut each)
        .map_err(|problem| at(problem.to_string()))?;
    if checked.events == 0 {
        return Err(at(format!("process {process} has no event: there is nothing to replay")));
    }
    numbers.peak_live_bytes = checked.peak_live_bytes;
    fits(checked.peak_live_bytes).map_err(at)?;
    // Stable: a thread's parts stay in the order of their windows.
    parts.sort_by_key(|&(thread, ..)| thread);
    let mut threads: Vec<ThreadAt> = Vec::new();
    for (place, (thread, ended, laid_out, part)) in (0..).zip(&mut parts) {
        if *thread as usize == threads.len() {
            let first_window = part.window;
            threads.push(ThreadAt { from: place, to: place, ended: *ended, first_window });
        }
        threads[*thread as usize].to = place + 1;
        if !actions.is_empty() {
            part.at = *laid_out;
        }
    }
    let numbers = Numbers {
        events: checked.events,
        parts: parts.len() as u64,
        threads: threads.len() as u64,
        windows: windows.len() as u64,
        slots: checked.slots.into(),
        actions: actions.len() as u64,
        times: times.len() as u64,
        ..numbers
    };
    let mut out = BufWriter::new(out);
    let mut write = || -> io::Result<()> {
        out.write_all(bytes_of(&[numbers]))?;
        out.write_all(bytes_of(&threads))?;
        for (.., part) in &parts {
            out.write_all(bytes_of(&[*part]))?;
        }
        out.write_all(bytes_of(&windows))?;
        out.write_all(bytes_of(&actions))?;
        out.write_all(bytes_of(&times))?;
        out.flush()
    };
    write().map_err(|error| at(format!("no memory to lay it out: {error}")))
}

/// Refuses what this machine has no memory for.
fn fits(live_bytes: u64) -> Result<(), String> {
    // SAFETY: sysconf takes any name.
    let (pages, page) =
        unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    let memory = pages.max(0) as u64 * page.max(0) as u64;
    if memory > 0 && live_bytes > memory {
        return Err(format!(
            "up to {live_bytes} bytes are live in it, and this machine has {memory} bytes of memory"
        ));
    }
    Ok(())
}

/// The bytes of plain values without padding.
fn bytes_of<T: Copy>(values: &[T]) -> &[u8] {
    // SAFETY: the types used here are made of integers and have no padding.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}
