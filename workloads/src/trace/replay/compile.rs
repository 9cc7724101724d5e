//! Checks a trace and lays it out: what the child does for [`script`](super::script).

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::mem::size_of;
use std::path::Path;

use super::script::{Numbers, PartAt, ThreadAt, UntouchedAt};
use super::{Options, Touch};
use crate::trace::verify::{self, Window};
use crate::trace::{Action, Next, Reader};

/// Most words of actions that are laid out in memory: 1 GiB, some 125 million actions. With
/// times, most of these: 128 MiB.
pub(super) const MOST_WORDS: u64 = 128 << 20;
const MOST_TIMES: u64 = 16 << 20;

/// The process with most events, and its events.
fn largest(path: &Path) -> Result<(u32, u64), String> {
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
            Next::Untouched(..) | Next::Closing(_) => {}
            Next::End => break,
        }
    }
    let most = (0..).zip(events).max_by_key(|&(place, events)| (events, std::cmp::Reverse(place)));
    match most {
        Some((_, 0)) | None => Err(at("it holds no event: there is nothing to replay".to_owned())),
        Some(most) => Ok(most),
    }
}

/// A part, and where it begins in the trace.
struct Part {
    thread: u32,
    ended: u32,
    in_trace: u64,
    at: PartAt,
}

/// Actions, which are laid out as they come, until they are too many.
struct LaidOut<'f> {
    out: BufWriter<&'f mut File>,
    packed: Vec<u64>,
    /// So many words were written; `None`: they were too many, or there was no memory.
    words: Option<u64>,
    times: Option<Vec<u64>>,
}

impl LaidOut<'_> {
    /// Lays a part out; gives its places among words and times.
    fn part(&mut self, actions: &[Action], times: &[u64]) -> (u64, u64) {
        let Some(words) = self.words else { return (0, 0) };
        self.packed.clear();
        actions.iter().for_each(|action| action.pack(&mut self.packed));
        let more = words + self.packed.len() as u64;
        let mut written = || self.out.write_all(bytes_of(&self.packed)).is_ok();
        self.words = (more <= MOST_WORDS).then_some(more).filter(|_| written());
        let mut before = 0;
        if let Some(laid_out) = &mut self.times {
            before = laid_out.len() as u64;
            if before + times.len() as u64 > MOST_TIMES {
                (self.words, self.times) = (None, None);
            } else {
                laid_out.extend_from_slice(times);
            }
        }
        (words, before)
    }
}

pub(super) fn compile(path: &Path, options: Options, out: &mut File) -> Result<(), String> {
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
    let (mut parts, mut windows) = (Vec::<Part>::new(), Vec::new());
    let mut numbers = Numbers::default();
    let mut laid_out = LaidOut {
        out: BufWriter::with_capacity(1 << 20, out),
        packed: Vec::new(),
        words: Some(0),
        times: options.gaps.then(Vec::new),
    };
    let no_memory = |error: io::Error| at(format!("no memory to lay it out: {error}"));
    // They come last, in the first place.
    laid_out.out.write_all(bytes_of(&[numbers])).map_err(no_memory)?;
    let mut each = |window: &Window<'_>| {
        windows.push(window.parts.len() as u64);
        for loaded in window.parts {
            let (part, range) = (loaded.part, loaded.range.clone());
            let (at, times_at) =
                laid_out.part(&window.actions[range.clone()], &window.times[range]);
            numbers.part_events = numbers.part_events.max(part.events.into());
            let bytes = u64::from(part.actions) + u64::from(part.times);
            numbers.part_bytes = numbers.part_bytes.max(bytes);
            let at = PartAt {
                at,
                times_at,
                window: part.window,
                events: part.events,
                actions: part.actions,
                times: part.times,
            };
            let in_trace = loaded.at;
            parts.push(Part { thread: part.thread, ended: part.ended, in_trace, at });
        }
    };
    let checked = verify::check(&mut reader, process, &mut each)
        .map_err(|problem| at(problem.to_string()))?;
    if checked.events == 0 {
        return Err(at(format!("process {process} has no event: there is nothing to replay")));
    }
    numbers.peak_live_bytes = checked.peak_live_bytes;
    fits(checked.peak_live_bytes).map_err(at)?;
    // Stable: a thread's parts stay in the order of their windows.
    parts.sort_by_key(|part| part.thread);
    let mut threads: Vec<ThreadAt> = Vec::new();
    for (place, part) in (0..).zip(&mut parts) {
        let thread = part.thread as usize;
        if thread == threads.len() {
            threads.push(ThreadAt {
                from: place,
                to: place,
                untouched: 0,
                untouched_to: 0,
                ended: part.ended,
                first_window: part.at.window,
            });
        }
        threads[thread].to = place + 1;
        if laid_out.words.is_none() {
            part.at.at = part.in_trace;
        }
    }
    let untouched = match options.touch {
        Touch::Recorded => checked.untouched,
        _ => Vec::new(),
    };
    for (thread, at) in threads.iter_mut().zip(0..) {
        thread.untouched = untouched.partition_point(|one| one.thread < at) as u64;
        thread.untouched_to = untouched.partition_point(|one| one.thread <= at) as u64;
    }
    let numbers = Numbers {
        events: checked.events,
        parts: parts.len() as u64,
        threads: threads.len() as u64,
        windows: windows.len() as u64,
        slots: checked.slots.into(),
        untouched: untouched.len() as u64,
        words: laid_out.words.unwrap_or_default(),
        times: laid_out.times.as_ref().map_or(0, |times| times.len() as u64),
        ..numbers
    };
    let mut write = || -> io::Result<()> {
        let LaidOut { out, words, times, .. } = &mut laid_out;
        if words.is_none() {
            // What did not fit goes, if it is not on its way yet, too.
            let _ = out.flush();
            let end = size_of::<Numbers>() as u64;
            out.get_mut().set_len(end)?;
            out.seek(SeekFrom::Start(end))?;
        }
        out.write_all(bytes_of(times.as_deref().unwrap_or_default()))?;
        out.write_all(bytes_of(&threads))?;
        for part in &parts {
            out.write_all(bytes_of(&[part.at]))?;
        }
        out.write_all(bytes_of(&windows))?;
        for one in &untouched {
            let at = UntouchedAt { place: one.place, pages: one.pages };
            out.write_all(bytes_of(&[at]))?;
        }
        out.rewind()?;
        out.write_all(bytes_of(&[numbers]))?;
        out.flush()
    };
    write().map_err(no_memory)
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
