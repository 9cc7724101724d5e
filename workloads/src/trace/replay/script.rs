//! A trace, checked and laid out for its replay.
//!
//! A forked child reads and checks it, and writes what a replay needs to a file
//! without a name: whatever memory that took went with the child. Up to
//! [`MOST_WORDS`](compile::MOST_WORDS) of actions are laid out one by one; of more, only
//! where each part is in the trace, which is then read as the replay goes.
//!
//! ```text
//! file = Numbers, actions, times, threads, parts (by thread), windows (parts in each),
//!        untouched (by thread)
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::mem::size_of;
use std::os::fd::FromRawFd;
use std::path::Path;
use std::ptr;

use super::{Options, ReplayError, compile};
use crate::forked::{self, End};

/// Behind the actions of a thread's part.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct PartAt {
    /// Place among the words of laid out actions, or byte in the trace.
    pub at: u64,
    /// Place among the times, if these are laid out.
    pub times_at: u64,
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
    /// Its blocks that were not touched all over.
    pub untouched: u64,
    pub untouched_to: u64,
    /// Threads that must have ended before it begins.
    pub ended: u32,
    pub first_window: u32,
}

/// A block that was not touched all over.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct UntouchedAt {
    /// Its place among its thread's large blocks.
    pub place: u64,
    /// Its last OS pages.
    pub pages: u64,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Numbers {
    pub(super) events: u64,
    pub(super) parts: u64,
    pub(super) threads: u64,
    pub(super) windows: u64,
    pub(super) slots: u64,
    pub(super) untouched: u64,
    /// Words of actions that are laid out, and times.
    pub(super) words: u64,
    pub(super) times: u64,
    /// The largest part, in events and bytes.
    pub(super) part_events: u64,
    pub(super) part_bytes: u64,
    pub(super) peak_live_bytes: u64,
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
            // However long the trace is.
            0 => forked::end(None, || match compile::compile(path, options, &mut file) {
                Ok(()) => 0,
                Err(why) => {
                    // The parent reads it instead of a script.
                    let told = file
                        .set_len(0)
                        .and_then(|()| file.rewind())
                        .and_then(|()| file.write_all(why.as_bytes()));
                    2 - i32::from(told.is_ok())
                }
            }),
            child => {
                let why = match forked::wait(child).map_err(system("waitpid"))? {
                    End::Exited(0) => None,
                    End::Exited(1) => {
                        let mut why = String::new();
                        file.rewind()
                            .and_then(|()| file.read_to_string(&mut why))
                            .map_err(system("reading"))?;
                        Some(why)
                    }
                    _ => Some("reading the trace failed".to_owned()),
                };
                if let Some(why) = why {
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
        let reads = numbers.words == 0 && numbers.events > 0;
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

    /// The words of a part's actions, and what follows them.
    pub(super) fn words(&self, part: &PartAt) -> &[u64] {
        &self.table(size_of::<Numbers>(), self.numbers.words)[part.at as usize..]
    }

    fn times_at(&self) -> usize {
        size_of::<Numbers>() + self.numbers.words as usize * size_of::<u64>()
    }

    /// The nanoseconds before each action of a part; empty if gaps do not matter.
    pub(super) fn times(&self, part: &PartAt) -> &[u64] {
        if self.numbers.times == 0 {
            return &[];
        }
        let all = self.table(self.times_at(), self.numbers.times);
        &all[part.times_at as usize..][..part.events as usize]
    }

    fn threads_at(&self) -> usize {
        self.times_at() + self.numbers.times as usize * size_of::<u64>()
    }

    pub(super) fn threads(&self) -> &[ThreadAt] {
        self.table(self.threads_at(), self.numbers.threads)
    }

    fn parts_at(&self) -> usize {
        self.threads_at() + self.numbers.threads as usize * size_of::<ThreadAt>()
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

    /// Of a thread's blocks those that were not touched all over; empty if that does not
    /// matter.
    pub(super) fn untouched(&self, thread: usize) -> &[UntouchedAt] {
        let ThreadAt { untouched, untouched_to, .. } = self.threads()[thread];
        let at = self.windows_at() + self.numbers.windows as usize * size_of::<u64>();
        let all = self.table(at, self.numbers.untouched);
        &all[untouched as usize..untouched_to as usize]
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // SAFETY: our own mapping.
        unsafe { libc::munmap(self.start.cast_mut().cast(), self.bytes) };
    }
}
