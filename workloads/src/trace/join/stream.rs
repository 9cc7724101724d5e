//! What one thread wrote, in the order of its stamps.

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::JoinError;
use crate::trace::raw::{self, Entry, SEGMENTS, Window};
use crate::trace::{Call, Kind, Taken};

/// Bytes that are read of a thread's file at a time.
const BLOCK: usize = 32 << 10;
const ENTRY: usize = size_of::<Entry>();
const WINDOW: usize = size_of::<Window>();
const FIRST: u64 = raw::FIRST as u64;
const SEGMENT: u64 = raw::SEGMENT as u64;
const RING_AT: u64 = raw::RING_AT as u64;

/// The first window of a thread's file, and the stamp of its first entry, if there
/// is any.
pub(super) fn first(path: &Path) -> io::Result<Option<(Window, u64)>> {
    let mut stream = Stream::new(path, u64::MAX);
    let file = File::open(path)?;
    let Some(window) = stream.window(&file)? else { return Ok(None) };
    stream.fill(&file)?;
    Ok(stream.records.first().map(|record| (window, record.stamp)))
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) stamp: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Call(Call),
    Resize { address: u64, resident: Option<u64> },
    Resized { address: u64, size: u64 },
}

/// A thread's file, read a block at a time. It is not kept open, since there may
/// be more of them than files can be.
#[derive(Debug)]
pub(super) struct Stream {
    path: PathBuf,
    stop: u64,
    /// The next byte, and where the window ends.
    offset: u64,
    window_end: u64,
    base: u64,
    /// The number of the latest window.
    number: u64,
    /// Whether the file's end has been reached, and the ring is what is left.
    in_ring: bool,
    records: Vec<Record>,
    at: usize,
    over: bool,
    /// Its number in the weaver.
    pub(super) thread: Option<u32>,
    /// What a realloc has begun with.
    pub(super) pending: Option<Taken>,
}

impl Stream {
    pub(super) fn new(path: &Path, stop: u64) -> Stream {
        Stream {
            path: path.to_owned(),
            stop,
            offset: 0,
            window_end: 0,
            base: 0,
            number: 0,
            in_ring: false,
            records: Vec::new(),
            at: 0,
            over: false,
            thread: None,
            pending: None,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Record>, JoinError> {
        while self.at == self.records.len() {
            if self.over {
                return Ok(None);
            }
            let filled = File::open(&self.path).and_then(|file| self.fill(&file));
            filled.map_err(|error| JoinError::Read(self.path.clone(), error))?;
        }
        let record = self.records[self.at];
        if record.stamp > self.stop {
            return Ok(None);
        }
        self.at += 1;
        Ok(Some(record))
    }

    /// Gives the latest record back.
    pub(super) fn back(&mut self) {
        self.at -= 1;
    }

    /// Nothing more is wanted of it.
    pub(super) fn close(&mut self) {
        self.records = Vec::new();
    }

    /// Goes on to the next window.
    fn window(&mut self, file: &File) -> io::Result<Option<Window>> {
        let next = self.number + 1;
        let ring = RING_AT..RING_AT + SEGMENTS as u64 * SEGMENT;
        if self.offset == ring.start {
            self.offset = ring.end;
        }
        if !self.in_ring {
            let at = self.offset;
            // One that was cut off is in the ring, whole.
            let whole =
                |window: &Window| file.metadata().is_ok_and(|file| file.len() >= at + window.bytes);
            match header(file, at)?.filter(|window| window.number == next).filter(whole) {
                Some(window) => return Ok(Some(self.enter(window))),
                None => self.in_ring = true,
            }
        }
        for at in ring.step_by(SEGMENT as usize) {
            if let Some(window) = header(file, at)?.filter(|window| window.number == next) {
                self.offset = at;
                return Ok(Some(self.enter(window)));
            }
        }
        Ok(None)
    }

    fn enter(&mut self, window: Window) -> Window {
        self.number = window.number;
        self.base = window.base;
        self.window_end = self.offset + window.bytes;
        self.offset += WINDOW as u64;
        window
    }

    /// Reads the next block's records, in the order of their stamps.
    fn fill(&mut self, file: &File) -> io::Result<()> {
        self.records.clear();
        self.at = 0;
        while self.records.is_empty() {
            if self.offset + ENTRY as u64 > self.window_end {
                self.offset = self.window_end;
                if self.window(file)?.is_none() {
                    self.over = true;
                    return Ok(());
                }
            }
            let mut bytes = [0; BLOCK];
            let len = (self.window_end - self.offset).min(BLOCK as u64) as usize;
            let got = read_at(file, &mut bytes[..len], self.offset)?;
            if got < ENTRY {
                self.over = true;
                return Ok(());
            }
            self.offset += self.decode(&bytes[..got]) as u64;
        }
        // But for signals they are in order already.
        self.records.sort_by_key(|record| record.stamp);
        Ok(())
    }

    /// Decodes entries; gives the bytes that it has done with.
    fn decode(&mut self, bytes: &[u8]) -> usize {
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let mut more = None;
        let mut done = 0;
        for entry in bytes.chunks_exact(ENTRY) {
            let entry = Entry { first: number(&entry[..8]), second: number(&entry[8..]) };
            let stamp = self.base + entry.stamp();
            let (address, mut size, mut align) = (entry.address(), entry.size(), None);
            done += ENTRY;
            if let Some((log2, upper)) = more.take() {
                (align, size) = (log2, size | upper);
            }
            let allocated = |kind| {
                What::Call(Call::Allocated { kind, address, size, align: align.unwrap_or(0) })
            };
            let what = match entry.kind() {
                raw::MALLOC if align.is_some() => allocated(Kind::Aligned),
                raw::MALLOC => allocated(Kind::Malloc),
                raw::CALLOC => allocated(Kind::Calloc),
                raw::FREE => What::Call(Call::Freed { address, resident: size.checked_sub(1) }),
                raw::RESIZE => What::Resize { address, resident: size.checked_sub(1) },
                raw::RESIZED => What::Resized { address, size },
                raw::REFUSED => What::Call(Call::Refused { size }),
                raw::MORE => {
                    let log2 = (entry.first >> 8) as u8;
                    more = Some((log2.checked_sub(1), entry.second << raw::SIZE_BITS));
                    continue;
                }
                _ => continue,
            };
            self.records.push(Record { stamp, what });
        }
        // What more is about comes with the next block.
        if more.is_some() && bytes.len() == BLOCK { done - ENTRY } else { done }
    }
}

/// The header of a window.
fn header(file: &File, at: u64) -> io::Result<Option<Window>> {
    let mut bytes = [0; WINDOW];
    if read_at(file, &mut bytes, at)? < WINDOW {
        return Ok(None);
    }
    // SAFETY: so many bytes are there, and any bytes are a Window.
    let window = unsafe { bytes.as_ptr().cast::<Window>().read_unaligned() };
    let sane = window.magic == raw::MAGIC && matches!(window.bytes, FIRST | SEGMENT);
    Ok(sane.then_some(window))
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A window with one entry: the address is 16 times its number.
    fn window(number: u64) -> Vec<u8> {
        let bytes = if number == 1 { FIRST } else { SEGMENT };
        let header = [raw::MAGIC, bytes, 0, 7, 7, number];
        let entry = Entry::new(raw::FREE, 16 * number, 0, number);
        let mut window: Vec<u8> = header
            .into_iter()
            .chain([entry.first, entry.second])
            .flat_map(u64::to_le_bytes)
            .collect();
        window.resize(bytes as usize, 0);
        window
    }

    fn read(parts: &[Vec<u8>]) -> Vec<u64> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&parts.concat()).expect("written");
        let mut stream = Stream::new(file.path(), u64::MAX);
        let mut numbers = Vec::new();
        while let Some(record) = stream.next().expect("readable") {
            let What::Call(Call::Freed { address, .. }) = record.what else { panic!("{record:?}") };
            numbers.push(address / 16);
        }
        numbers
    }

    #[test]
    fn windows_are_read_in_order_from_the_file_and_then_from_the_ring() {
        const { assert!(size_of::<Window>() == 6 * 8) };
        let empty = || vec![0; SEGMENT as usize];
        assert_eq!(read(&[window(1)]), [1]);
        assert_eq!(read(&[window(1), window(2)]), [1, 2]);
        // Nothing was copied yet.
        let begin = [window(1), window(2), window(3), window(4), empty()];
        assert_eq!(read(&begin), [1, 2, 3, 4]);
        // The third was copied, and its segment is empty; the fifth follows the fourth.
        let copied = [window(1), window(2), empty(), window(4), window(5), window(3)];
        assert_eq!(read(&copied), [1, 2, 3, 4, 5]);
        // Killed between the copy and the emptying.
        let both = [window(1), window(2), window(3), window(4), window(5), window(3)];
        assert_eq!(read(&both), [1, 2, 3, 4, 5]);
        // Killed while the fourth was copied: it is in the ring.
        let cut = window(4)[..1000].to_vec();
        let cut = [window(1), window(2), window(6), window(4), window(5), window(3), cut];
        assert_eq!(read(&cut), [1, 2, 3, 4, 5, 6]);
    }
}
