//! Makes one trace of what the recorder left in its directory.
//!
//! A process's threads are merged by their stamps, in memory that grows with its
//! live blocks and with the threads that are alive at one moment.

mod noted;
mod resident;
mod stream;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs;
use std::io::{self, Write};
use std::mem::size_of;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use super::raw::{self, Control};
use super::{Closing, Header, Limit, Process, Weaver, Writer};
use noted::noted;
use resident::Resident;
use stream::{Stream, What, first};

/// Why a recording cannot be joined. It stays as it is.
#[derive(Debug)]
pub enum JoinError {
    /// A file of it cannot be read.
    Read(PathBuf, io::Error),
    /// The directory holds no recording, or a newer recorder's.
    Foreign(PathBuf),
    /// The trace cannot be written.
    Write(io::Error),
}

impl std::fmt::Display for JoinError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            JoinError::Read(path, error) => write!(f, "{}: {error}", path.display()),
            JoinError::Foreign(path) => write!(
                f,
                "{}: this is no recording, or another version's of brkpoint",
                path.display()
            ),
            JoinError::Write(error) => write!(f, "the trace cannot be written: {error}"),
        }
    }
}

impl std::error::Error for JoinError {}

/// A recording in its directory.
#[derive(Debug)]
pub struct Recording {
    images: Vec<Image>,
    stop: u64,
    /// Stamp of the begin, and nanoseconds a stamp.
    begin: u64,
    ns_a_stamp: f64,
    /// Why it ends early, if so.
    pub limited: Option<Limit>,
    /// Calls that could not be written down.
    pub lost: u64,
    /// Seconds since 1970 at its begin.
    pub began_s: u64,
}

/// A program in a process.
#[derive(Debug, Default)]
struct Image {
    process: Process,
    /// Its threads' files, with the stamp of each one's first entry.
    threads: Vec<(u64, PathBuf)>,
    /// What was resident at its end, if it ended in good order.
    resident: Option<PathBuf>,
}

impl Recording {
    /// Looks at what is in `directory`. `now`, a stamp and nanoseconds of
    /// CLOCK_MONOTONIC, tells how fast stamps are where the recording's end does
    /// not.
    ///
    /// # Errors
    /// Files that cannot be read, and what is no recording.
    pub fn open(directory: &Path, now: (u64, u64)) -> Result<Recording, JoinError> {
        let path = directory.join("control");
        let bytes = fs::read(&path).map_err(|error| JoinError::Read(path.clone(), error))?;
        if bytes.len() < size_of::<Control>() {
            return Err(JoinError::Foreign(path));
        }
        // SAFETY: so many bytes are there, and any bytes are a Control.
        let control = unsafe { bytes.as_ptr().cast::<Control>().read_unaligned() };
        if control.magic.load(Relaxed) != raw::MAGIC
            || control.version.load(Relaxed) != raw::VERSION
        {
            return Err(JoinError::Foreign(path));
        }
        let (begin, begin_ns) = (control.begin.stamp.load(Relaxed), control.begin.ns.load(Relaxed));
        let end = match (control.end.stamp.load(Relaxed), control.end.ns.load(Relaxed)) {
            (0, _) => now,
            end => end,
        };
        let stamps = end.0.saturating_sub(begin).max(1) as f64;
        let ns_a_stamp = end.1.saturating_sub(begin_ns).max(1) as f64 / stamps;
        let mut recording = Recording {
            images: Vec::new(),
            stop: control.stop.load(Relaxed),
            begin,
            // What a counter can be; a recording of another boot tells nothing.
            ns_a_stamp: if (0.05..20.0).contains(&ns_a_stamp) { ns_a_stamp } else { 1.0 },
            limited: limit(&control),
            lost: control.lost.load(Relaxed),
            began_s: control.began_s.load(Relaxed),
        };
        recording.images = recording.find(directory)?;
        Ok(recording)
    }

    fn find(&self, directory: &Path) -> Result<Vec<Image>, JoinError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |error| JoinError::Read(path, error)
        };
        let mut images: BTreeMap<u32, Image> = BTreeMap::new();
        let mut parents: BTreeMap<u32, u32> = BTreeMap::new();
        for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
            let path = entry.map_err(unreadable(directory))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if let Some(number) = name.strip_suffix(".image").and_then(|text| text.parse().ok()) {
                let bytes = fs::read(&path).map_err(unreadable(&path))?;
                noted(&bytes, &mut images.entry(number).or_default().process);
            } else if let Some(number) =
                name.strip_suffix(".resident").and_then(|text| text.parse().ok())
            {
                images.entry(number).or_default().resident = Some(path);
            } else if let Some((number, _)) =
                name.strip_suffix(".events").and_then(|text| text.split_once('-'))
            {
                let Ok(number) = number.parse() else { continue };
                let image = images.entry(number).or_default();
                let Some((window, first)) = first(&path).map_err(unreadable(&path))? else {
                    continue;
                };
                image.process.pid = window.process;
                if window.parent > 0 && window.parent - 1 < number {
                    parents.insert(number, window.parent - 1);
                }
                if first <= self.stop {
                    image.threads.push((first, path));
                }
            }
        }
        let places: BTreeMap<u32, u32> = images.keys().copied().zip(0..).collect();
        for (number, parent) in parents {
            let Some(from) = images.get(&parent).map(|image| image.process.clone()) else {
                continue;
            };
            if let Some(image) = images.get_mut(&number) {
                let pid = image.process.pid;
                let forked_from = places.get(&parent).copied();
                image.process = Process { pid, forked_from, ..from };
            }
        }
        let mut images: Vec<Image> = images.into_values().collect();
        for image in &mut images {
            image.threads.sort();
            let first = image.threads.first().map_or(self.begin, |&(first, _)| first);
            image.process.started_s = self.ns(first) / 1_000_000_000;
        }
        Ok(images)
    }

    fn ns(&self, stamp: u64) -> u64 {
        (stamp.saturating_sub(self.begin) as f64 * self.ns_a_stamp) as u64
    }

    /// The processes, as a header has them.
    pub fn processes(&self) -> Vec<Process> {
        self.images.iter().map(|image| image.process.clone()).collect()
    }

    /// Writes the trace; `header` gets what only the recording knows.
    ///
    /// # Errors
    /// A file that cannot be read, or written.
    pub fn join<W: Write>(&self, out: W, header: Header) -> Result<(W, Vec<Closing>), JoinError> {
        let header = Header {
            limited: self.limited.clone(),
            lost: self.lost,
            processes: self.processes(),
            ..header
        };
        let mut writer = Writer::new(out, &header).map_err(JoinError::Write)?;
        let mut closings = Vec::with_capacity(self.images.len());
        for (number, image) in (0..).zip(&self.images) {
            closings.push(self.weave(image, Weaver::new(&mut writer, number))?);
        }
        let (out, _) = writer.finish().map_err(JoinError::Write)?;
        Ok((out, closings))
    }

    fn weave<W: Write>(
        &self,
        image: &Image,
        mut weaver: Weaver<'_, W>,
    ) -> Result<Closing, JoinError> {
        let mut streams: Vec<Stream> =
            image.threads.iter().map(|(_, path)| Stream::new(path, self.stop)).collect();
        let mut due: BinaryHeap<Reverse<(u64, usize)>> =
            image.threads.iter().map(|&(first, _)| first).zip(0..).map(Reverse).collect();
        while let Some(Reverse((_, at))) = due.pop() {
            let stream = &mut streams[at];
            let thread = *stream.thread.get_or_insert_with(|| weaver.thread());
            let until = due.peek().map_or(u64::MAX, |Reverse((stamp, _))| *stamp);
            let next = loop {
                let Some(record) = stream.next()? else { break None };
                if record.stamp > until {
                    stream.back();
                    break Some(record.stamp);
                }
                let at_ns = self.ns(record.stamp);
                let done = match record.what {
                    What::Call(call) => weaver.call(thread, at_ns, call),
                    What::Resize { address, resident } => {
                        let taken = weaver.take(thread, address, resident);
                        stream.pending.replace(taken).into_iter().for_each(|it| weaver.forget(it));
                        Ok(())
                    }
                    What::Resized { address, size } => match stream.pending.take() {
                        Some(taken) => weaver.resized(thread, at_ns, taken, address, size),
                        None => Ok(()),
                    },
                };
                done.map_err(JoinError::Write)?;
            };
            match next {
                Some(stamp) => due.push(Reverse((stamp, at))),
                None => {
                    stream.pending.take().into_iter().for_each(|it| weaver.forget(it));
                    stream.close();
                    weaver.thread_ended(thread);
                }
            }
        }
        if let Some(path) = &image.resident {
            let resident = Resident::read(path);
            let resident = resident.map_err(|error| JoinError::Read(path.clone(), error))?;
            weaver.at_the_end(|address, size| resident.pages(address, size));
        }
        weaver.finish().map_err(JoinError::Write)
    }
}

fn limit(control: &Control) -> Option<Limit> {
    match control.reason.load(Relaxed) {
        0 => None,
        raw::STOPPED_BY_BYTES => Some(Limit::Bytes(control.max_bytes.load(Relaxed))),
        raw::STOPPED_BY_TIME => Some(Limit::Seconds(control.seconds.load(Relaxed).into())),
        _ => {
            let at = match control.error_at.load(Relaxed) {
                raw::AT_IMAGE => "noting a program",
                raw::AT_FILE => "making or growing a thread's file",
                _ => "mapping a file",
            };
            let error = io::Error::from_raw_os_error(control.error.load(Relaxed) as i32);
            Some(Limit::Failure(format!("{at}: {error}")))
        }
    }
}
