//! What one thread wrote, in the order of its stamps.

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::JoinError;
use crate::trace::packed::{self, Unpacker};
use crate::trace::raw::{self, ENTRIES, Entry, Window};
use crate::trace::{Call, Kind, Taken};

/// Entries that are read of a thread's file at a time.
const BLOCK: usize = 1024;
const ENTRY: usize = size_of::<Entry>();
const WINDOW: usize = size_of::<Window>();
const FIRST: u64 = raw::FIRST as u64;
const SEGMENT: u64 = raw::SEGMENT as u64;
const RING_AT: u64 = raw::RING_AT as u64;
const STAGE_AT: u64 = raw::STAGE_AT as u64;
const COPIES_AT: u64 = raw::COPIES_AT as u64;
/// Most bytes of a packed window.
const MOST: u64 = (WINDOW + ENTRIES * packed::MOST).next_multiple_of(raw::PACKED_ALIGN) as u64;

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

/// The parts of a file, in the order in which windows are in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The first two, and behind the stage what was copied.
    File,
    Stage,
    Ring,
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
    /// Where windows are looked for.
    part: Part,
    /// A packed window's entries, where they are, and how many are left of them.
    packed: Vec<u8>,
    packed_at: u64,
    unpacker: Unpacker,
    left: usize,
    /// More about the entry that follows: its alignment, and upper bits of its size.
    more: Option<(Option<u8>, u64)>,
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
            part: Part::File,
            packed: Vec::new(),
            packed_at: 0,
            unpacker: Unpacker::default(),
            left: 0,
            more: None,
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
        self.packed = Vec::new();
    }

    /// Goes on to the next window.
    fn window(&mut self, file: &File) -> io::Result<Option<Window>> {
        let next = self.number + 1;
        if self.part == Part::File {
            if self.offset == RING_AT {
                self.offset = COPIES_AT;
            }
            let at = self.offset;
            // One that was cut off is in the stage, whole.
            let whole =
                |window: &Window| file.metadata().is_ok_and(|file| file.len() >= at + window.bytes);
            match header(file, at)?.filter(|window| window.number == next).filter(whole) {
                Some(window) => return self.enter(file, window).map(Some),
                None => (self.part, self.offset) = (Part::Stage, STAGE_AT),
            }
        }
        while self.part == Part::Stage {
            let window = header(file, self.offset)?;
            match window.filter(|window| self.offset + window.bytes <= COPIES_AT) {
                Some(window) if window.number == next => return self.enter(file, window).map(Some),
                // It was copied too.
                Some(window) if window.number < next => self.offset += window.bytes,
                _ => self.part = Part::Ring,
            }
        }
        for at in (RING_AT..STAGE_AT).step_by(SEGMENT as usize) {
            if let Some(window) = header(file, at)?.filter(|window| window.number == next) {
                self.offset = at;
                return self.enter(file, window).map(Some);
            }
        }
        Ok(None)
    }

    fn enter(&mut self, file: &File, window: Window) -> io::Result<Window> {
        self.number = window.number;
        self.base = window.base;
        self.more = None;
        self.window_end = self.offset + window.bytes;
        self.offset += WINDOW as u64;
        if self.offset >= STAGE_AT {
            (self.packed_at, self.unpacker, self.left) =
                (self.offset, Unpacker::default(), ENTRIES);
            self.packed.resize((self.window_end - self.offset) as usize, 0);
            let got = read_at(file, &mut self.packed, self.offset)?;
            self.packed.truncate(got);
            self.offset = self.window_end;
        }
        Ok(window)
    }

    /// Reads the next block's records, in the order of their stamps.
    fn fill(&mut self, file: &File) -> io::Result<()> {
        self.records.clear();
        self.at = 0;
        while self.records.is_empty() {
            if self.left > 0 {
                self.unpack()?;
                continue;
            }
            if self.offset + ENTRY as u64 > self.window_end {
                self.offset = self.window_end;
                if self.window(file)?.is_none() {
                    self.over = true;
                    return Ok(());
                }
                continue;
            }
            let mut bytes = [0; BLOCK * ENTRY];
            let len = (self.window_end - self.offset).min(bytes.len() as u64) as usize;
            let got = read_at(file, &mut bytes[..len], self.offset)?;
            if got < ENTRY {
                self.over = true;
                return Ok(());
            }
            let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            for entry in bytes[..got].chunks_exact(ENTRY) {
                self.decode(Entry { first: number(&entry[..8]), second: number(&entry[8..]) });
                self.offset += ENTRY as u64;
            }
        }
        // But for signals they are in order already.
        self.records.sort_by_key(|record| record.stamp);
        Ok(())
    }

    /// Decodes a block of a packed window's entries.
    fn unpack(&mut self) -> io::Result<()> {
        for _ in 0..self.left.min(BLOCK) {
            let Some(entry) = self.unpacker.next(&self.packed) else { return Err(self.damage()) };
            self.decode(entry);
            self.left -= 1;
        }
        if self.left == 0 && self.unpacker.rest(&self.packed) >= raw::PACKED_ALIGN {
            return Err(self.damage());
        }
        Ok(())
    }

    fn damage(&self) -> io::Error {
        let (number, at) = (self.number, self.packed_at);
        let told = format!("window {number}, packed at byte {at}, is damaged");
        io::Error::new(io::ErrorKind::InvalidData, told)
    }

    fn decode(&mut self, entry: Entry) {
        let stamp = self.base.saturating_add(entry.stamp());
        let (address, mut size, mut align) = (entry.address(), entry.size(), None);
        if let Some((log2, upper)) = self.more.take() {
            (align, size) = (log2, size | upper);
        }
        let allocated =
            |kind| What::Call(Call::Allocated { kind, address, size, align: align.unwrap_or(0) });
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
                self.more = Some((log2.checked_sub(1), entry.second << raw::SIZE_BITS));
                return;
            }
            _ => return,
        };
        self.records.push(Record { stamp, what });
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
    let sane = match at {
        0 => window.bytes == FIRST,
        1..STAGE_AT => window.bytes == SEGMENT,
        STAGE_AT.. => (WINDOW as u64..=MOST).contains(&window.bytes),
    };
    Ok((window.magic == raw::MAGIC && sane).then_some(window))
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

    use proptest::prelude::*;

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

    /// The same, as it is copied.
    fn copy(number: u64) -> Vec<u8> {
        let mut entries = [Entry { first: 0, second: 0 }; ENTRIES];
        entries[0] = Entry::new(raw::FREE, 16 * number, 0, number);
        packed_window(number, &entries)
    }

    fn packed_window(number: u64, entries: &[Entry]) -> Vec<u8> {
        let mut packed = vec![0; packed::room(entries.len())];
        let len = packed::pack(entries, &mut packed);
        packed.truncate(len);
        packed.resize(len.next_multiple_of(raw::PACKED_ALIGN), 0);
        let header = [raw::MAGIC, (WINDOW + packed.len()) as u64, 0, 7, 7, number];
        header.into_iter().flat_map(u64::to_le_bytes).chain(packed).collect()
    }

    /// What is in the stage.
    fn stage(windows: &[u64]) -> Vec<u8> {
        let mut stage: Vec<u8> = windows.iter().copied().flat_map(copy).collect();
        stage.resize(raw::STAGE, 0);
        stage
    }

    fn try_read(bytes: &[u8]) -> Result<Vec<Record>, JoinError> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        let mut stream = Stream::new(file.path(), u64::MAX);
        std::iter::from_fn(|| stream.next().transpose()).collect()
    }

    fn read(parts: &[Vec<u8>]) -> Vec<u64> {
        let number = |record: Record| match record.what {
            What::Call(Call::Freed { address, .. }) => address / 16,
            _ => panic!("{record:?}"),
        };
        let records = try_read(&parts.concat()).expect("readable");
        records.into_iter().map(number).collect()
    }

    #[test]
    fn windows_are_read_in_order_from_the_file_the_stage_and_the_ring() {
        const { assert!(size_of::<Window>() == 6 * 8) };
        let empty = || vec![0; SEGMENT as usize];
        assert_eq!(read(&[window(1)]), [1]);
        assert_eq!(read(&[window(1), window(2)]), [1, 2]);
        // Nothing was packed yet.
        let begin = [window(1), window(2), window(3), window(4), empty()];
        assert_eq!(read(&begin), [1, 2, 3, 4]);
        let begin = [window(1), window(2), window(3), window(4), empty(), stage(&[])];
        assert_eq!(read(&begin), [1, 2, 3, 4]);
        // The third was packed, and its segment is empty; the fifth follows the fourth.
        let packed = [window(1), window(2), empty(), window(4), window(5), stage(&[3])];
        assert_eq!(read(&packed), [1, 2, 3, 4, 5]);
        // Killed between the packing and the emptying.
        let both = [window(1), window(2), window(3), window(4), window(5), stage(&[3])];
        assert_eq!(read(&both), [1, 2, 3, 4, 5]);
        let ring = [window(1), window(2), window(6), window(7), window(8)].concat();
        let all: Vec<u64> = (1..9).collect();
        // All packed ones were copied.
        assert_eq!(read(&[ring.clone(), stage(&[]), copy(3), copy(4), copy(5)]), all);
        assert_eq!(read(&[ring.clone(), stage(&[5]), copy(3), copy(4)]), all);
        // Killed between the copy and the emptying of the stage.
        assert_eq!(read(&[ring.clone(), stage(&[3, 4, 5]), copy(3), copy(4), copy(5)]), all);
        // Killed while they were copied: what was cut off is in the stage.
        let copies = [copy(3), copy(4), copy(5)].concat();
        let len = copy(3).len();
        for cut in 0..copies.len() {
            if cut % 997 == 0
                || [0, 1, WINDOW, WINDOW + 1].contains(&(cut % len))
                || cut + 1 == copies.len()
            {
                let cut = copies[..cut].to_vec();
                assert_eq!(read(&[ring.clone(), stage(&[3, 4, 5]), cut]), all);
            }
        }
    }

    /// Three windows, and a copy of the third with all kinds of entries.
    fn recording() -> (Vec<u8>, usize) {
        let mut entries: Vec<Entry> = (0..ENTRIES as u64)
            .map(|at| Entry::new(1 + at % 5, 16 * (at * at % 1000), at << (at % 24), 10 + at))
            .collect();
        entries[100] = Entry::more(Some(12), 0);
        // The last of a block, and more about the first of the next.
        entries[BLOCK - 1] = Entry::more(None, 3 << raw::SIZE_BITS);
        entries[BLOCK] = Entry::new(raw::MALLOC, 64, 5, 10 + BLOCK as u64);
        let begin = [window(1), window(2), vec![0; (COPIES_AT - RING_AT) as usize]].concat();
        let copy_at = begin.len();
        ([begin, packed_window(3, &entries)].concat(), copy_at)
    }

    #[test]
    fn what_was_copied_is_read_as_it_was_written() {
        let records = try_read(&recording().0).expect("readable");
        assert_eq!(records.len(), 2 + ENTRIES - 2);
        assert!(records.is_sorted_by_key(|record| record.stamp));
        let of = |stamp: usize| {
            let mut same = records.iter().filter(|record| record.stamp == stamp as u64);
            same.next_back().expect("it is there").what
        };
        let size = 3 << raw::SIZE_BITS | 5;
        let found = of(10 + BLOCK);
        assert!(
            matches!(found, What::Call(Call::Allocated { kind: Kind::Malloc, size: it, .. }) if it == size),
            "{found:?}"
        );
    }

    #[test]
    fn a_damaged_file_is_an_error_or_ends_early() {
        let (good, copy_at) = recording();
        // Cut off: nothing of the copy, and all before it.
        for len in (0..200).map(|at| good.len() - 1 - at * 37) {
            let records = try_read(&good[..len]).expect("readable");
            assert_eq!(records.len(), 2, "{len}");
        }
        // More and fewer entries than a window has, and a length that is none.
        for (at, value, wrong) in [(8, -8_i64, true), (8, 1, false), (8, i64::MAX, false)] {
            let mut bad = good.clone();
            let field = &mut bad[copy_at + at..copy_at + at + 8];
            let now = i64::from_le_bytes(field.try_into().expect("eight bytes"));
            field.copy_from_slice(&now.wrapping_add(value).to_le_bytes());
            assert_eq!(try_read(&bad).is_err(), wrong, "{value}");
        }
        let mut bad = good.clone();
        bad[copy_at + WINDOW] = 0xff;
        let told = try_read(&bad).expect_err("it is damaged").to_string();
        assert!(told.contains("window 3") && told.contains("damaged"), "{told}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_in_a_file_are_read_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
            headers: bool,
        ) {
            let (mut bytes, copy_at) = recording();
            for (at, value) in changes {
                let from = if headers { 0 } else { copy_at };
                let place = from + at.index(if headers { 64 } else { bytes.len() - from });
                bytes[place] = value;
            }
            if let Ok(records) = try_read(&bytes) {
                prop_assert!(records.len() <= 2 + ENTRIES);
            }
        }
    }
}
