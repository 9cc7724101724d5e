//! Maps of the heap: which OS pages are live, kept or not resident, at the moments
//! that tell most of it.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr;

use brkpoint_reports::record::{Area, HeapMap, Moment, PageState, Source};
use brkpoint_workloads::mapped::Mapped;

use crate::identity::{self, Teller};
use crate::memory::os_page;

/// Runs of one map; a heap in more pieces has none.
const RUNS: usize = 1 << 16;
/// Bytes of `/proc/self/maps`; of a longer one there is no map.
const TEXT: usize = 8 << 20;

/// What an OS page is to a map; `None`: it is not the heap's.
pub(super) type StateOf<'s> = &'s dyn Fn(usize) -> Option<PageState>;

/// Blocks of caches that are told; of more, nothing is known.
const BLOCKS: usize = 1 << 18;

/// What the allocator's caches keep, if it tells.
#[derive(Debug)]
struct Cached {
    teller: Option<Teller>,
    /// Address and bytes.
    blocks: Mapped<(usize, usize)>,
    count: usize,
}

impl Cached {
    fn new() -> Cached {
        let (teller, mut blocks) = (identity::cached_teller(), Mapped::new());
        if teller.is_some() {
            blocks.resize(BLOCKS, (0, 0));
        }
        Cached { teller, blocks, count: 0 }
    }

    /// The blocks that caches keep now, by address.
    fn look(&mut self) -> Option<&[(usize, usize)]> {
        unsafe extern "C" fn each(context: *mut c_void, block: *mut c_void, bytes: usize) {
            // SAFETY: `look` hands itself over, and waits.
            let cached = unsafe { &mut *context.cast::<Cached>() };
            if let Some(place) = cached.blocks.get_mut(cached.count) {
                *place = (block.addr(), bytes);
            }
            cached.count += 1;
        }
        let teller = self.teller?;
        self.count = 0;
        // SAFETY: `each` only writes to memory that is there already.
        unsafe { teller(each, ptr::from_mut(self).cast()) };
        let blocks = self.blocks.get_mut(..self.count)?;
        blocks.sort_unstable();
        Some(blocks)
    }
}

/// Whether one of `blocks`, which ascend, lies on the OS page at `address`.
fn meets(blocks: &[(usize, usize)], address: usize) -> bool {
    let before = blocks.partition_point(|(start, _)| *start < address + os_page());
    before.checked_sub(1).is_some_and(|at| blocks[at].0 + blocks[at].1 > address)
}

/// Takes maps; its memory is its own, and resident before the first of them.
#[derive(Debug)]
pub(super) struct Mapper {
    text: Mapped<u8>,
    /// Resident runs: start and bytes.
    resident: Mapped<(usize, usize)>,
    cached: Cached,
    taken: [Taken; 3],
}

/// A map as it is kept until the end.
#[derive(Debug)]
struct Taken {
    moment: Moment,
    operations: u64,
    live: u64,
    runs: Mapped<(Source, PageState, u64)>,
    len: Option<usize>,
    /// Whether the allocator said what its caches keep.
    tells: bool,
}

impl Taken {
    fn new(moment: Moment) -> Taken {
        let mut runs = Mapped::new();
        runs.resize(RUNS, (Source::Break, PageState::Returned, 0));
        Taken { moment, operations: 0, live: 0, runs, len: None, tells: false }
    }
}

impl Mapper {
    pub(super) fn new() -> Mapper {
        let (mut text, mut resident) = (Mapped::new(), Mapped::new());
        text.resize(TEXT, 0);
        resident.resize(RUNS, (0, 0));
        let taken = [Moment::Fullest, Moment::Half, Moment::End].map(Taken::new);
        Mapper { text, resident, cached: Cached::new(), taken }
    }

    /// Which map is worth taking now, by its place.
    pub(super) fn due(&self, live: u64, last: bool) -> Option<usize> {
        let [fullest, half, _] = &self.taken;
        if last {
            Some(2)
        } else if live > fullest.live {
            Some(0)
        } else if half.len.is_none() && live > 0 && 2 * live <= fullest.live {
            Some(1)
        } else {
            None
        }
    }

    /// Takes the map at `place`. `runs` tells resident runs in ascending order, and
    /// `state_of` what a resident OS page is.
    pub(super) fn take(
        &mut self,
        place: usize,
        (operations, live): (u64, u64),
        runs: impl FnOnce(&mut dyn FnMut(usize, usize)) -> io::Result<()>,
        state_of: StateOf<'_>,
    ) -> io::Result<()> {
        if place == 0 {
            self.taken[1].len = None;
        }
        let mut count = 0;
        let resident = &mut self.resident;
        runs(&mut |start, bytes| {
            if let Some(run) = resident.get_mut(count) {
                *run = (start, bytes);
            }
            count += 1;
        })?;
        let cached = self.cached.look();
        let state_of = |address: usize| match state_of(address) {
            Some(PageState::Kept) if cached.is_some_and(|blocks| meets(blocks, address)) => {
                Some(PageState::Cached)
            }
            state => state,
        };
        let file = File::open("/proc/self/maps")?;
        let mut length = 0;
        while length < self.text.len() {
            match file.read_at(&mut self.text[length..], length as u64)? {
                0 => break,
                more => length += more,
            }
        }
        let taken = &mut self.taken[place];
        (taken.operations, taken.live, taken.len) = (operations, live, None);
        taken.tells = cached.is_some();
        if count > RUNS || length == TEXT {
            return Ok(());
        }
        let mut pen = Pen { runs: &mut taken.runs, len: 0, full: false };
        let mut file_end = 0;
        for line in self.text[..length].split(|&byte| byte == b'\n') {
            let Some(line) = Line::parse(line) else { continue };
            match line.source {
                // What follows a file's mapping are its zeroed variables.
                Some(source) if line.start != file_end => {
                    let pages = (line.start, line.end);
                    pen.area(pages, source, &self.resident[..count], &state_of);
                }
                _ => file_end = if line.of_file { line.end } else { file_end },
            }
        }
        taken.len = (!pen.full).then_some(pen.len);
        Ok(())
    }

    /// The maps that were taken.
    pub(super) fn finish(self) -> Vec<HeapMap> {
        let page = os_page() as u64;
        let map = |taken: &Taken| {
            let runs = &taken.runs[..taken.len?];
            let of = |source| {
                let own = runs.iter().filter(|run| run.0 == source);
                let own: Vec<(PageState, u64)> = own.map(|run| (run.1, run.2)).collect();
                Area::of(source, page, &own, taken.tells)
            };
            Some(HeapMap {
                moment: taken.moment,
                operations: taken.operations,
                live_bytes: taken.live,
                areas: [Source::Break, Source::Mappings].into_iter().filter_map(of).collect(),
            })
        };
        self.taken.iter().filter_map(map).collect()
    }
}

/// Writes runs until there is no more room.
struct Pen<'r> {
    runs: &'r mut [(Source, PageState, u64)],
    len: usize,
    full: bool,
}

impl Pen<'_> {
    fn put(&mut self, source: Source, state: PageState, pages: u64) {
        if pages == 0 {
            return;
        }
        if let Some(last) = self.len.checked_sub(1).map(|at| &mut self.runs[at])
            && (last.0, last.1) == (source, state)
        {
            last.2 += pages;
            return;
        }
        match self.runs.get_mut(self.len) {
            Some(run) => {
                *run = (source, state, pages);
                self.len += 1;
            }
            None => self.full = true,
        }
    }

    /// The OS pages of a mapping; nothing of one in which no page is the heap's.
    fn area(
        &mut self,
        (start, end): (usize, usize),
        source: Source,
        resident: &[(usize, usize)],
        state_of: StateOf<'_>,
    ) {
        let page = os_page();
        let before = (self.len, self.len.checked_sub(1).map(|at| self.runs[at]));
        let (mut at, mut own) = (start, false);
        let first = resident.partition_point(|(from, bytes)| from + bytes <= start);
        for &(from, bytes) in resident[first..].iter().take_while(|run| run.0 < end) {
            let (from, to) = (from.max(start), (from + bytes).min(end));
            self.put(source, PageState::Returned, ((from - at) / page) as u64);
            for address in (from..to).step_by(page) {
                if let Some(state) = state_of(address) {
                    self.put(source, state, 1);
                    own = true;
                }
            }
            at = to;
        }
        self.put(source, PageState::Returned, ((end - at) / page) as u64);
        if !own && source == Source::Mappings {
            self.len = before.0;
            if let Some(last) = before.1 {
                self.runs[self.len - 1] = last;
            }
        }
    }
}

/// A line of `maps`.
#[derive(Debug, PartialEq)]
struct Line {
    start: usize,
    end: usize,
    /// Whether a file is mapped there.
    of_file: bool,
    /// Where it comes from, if it may be the heap's.
    source: Option<Source>,
}

impl Line {
    fn parse(line: &[u8]) -> Option<Line> {
        let line = str::from_utf8(line).ok()?;
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let writable = fields.next()?.starts_with("rw");
        let path = fields.nth(3);
        let source = match path {
            Some("[heap]") => Some(Source::Break),
            None if writable => Some(Source::Mappings),
            // Some allocators give their mappings a name.
            Some(name) if writable && name.starts_with("[anon:") => Some(Source::Mappings),
            _ => None,
        };
        let hexadecimal = |text| usize::from_str_radix(text, 16).ok();
        let (start, end) = (hexadecimal(start)?, hexadecimal(end)?);
        Some(Line { start, end, of_file: path.is_some_and(|path| path.starts_with('/')), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps_that_may_be_the_heaps_are_told_from_others() {
        let source = |line: &str| Line::parse(line.as_bytes()).and_then(|line| line.source);
        let heap = "5000-6000 rw-p 00000000 00:00 0                          [heap]";
        assert_eq!(source(heap), Some(Source::Break));
        assert_eq!(source("7000-9000 rw-p 00000000 00:00 0 "), Some(Source::Mappings));
        for other in
            ["1-2 r--p 0 00:00 0", "1-2 rw-p 0 00:00 0 [stack]", "1-2 rw-p 0 fe:0 7 /l", ""]
        {
            assert_eq!(source(other), None, "{other}");
        }
        let file = Line { start: 1, end: 2, of_file: true, source: None };
        assert_eq!(Line::parse(b"1-2 rw-p 0 fe:0 7 /l"), Some(file));
    }

    #[test]
    fn a_map_has_what_is_the_heaps_and_nothing_else() {
        let page = os_page();
        let mut runs = vec![(Source::Break, PageState::Returned, 0); 16];
        let mut pen = Pen { runs: &mut runs, len: 0, full: false };
        let resident = [(0, 2 * page), (4 * page, page), (20 * page, 4 * page)];
        let state_of = |address: usize| match address / page {
            1 => Some(PageState::Live),
            4 => Some(PageState::Kept),
            _ => None,
        };
        pen.area((0, 8 * page), Source::Mappings, &resident, &state_of);
        // A mapping in which nothing is the heap's.
        pen.area((16 * page, 30 * page), Source::Mappings, &resident, &state_of);
        let (len, full) = (pen.len, pen.full);
        let expected = [
            (PageState::Live, 1),
            (PageState::Returned, 2),
            (PageState::Kept, 1),
            (PageState::Returned, 3),
        ];
        let told: Vec<_> = runs[..len].iter().map(|run| (run.1, run.2)).collect();
        assert_eq!((told.as_slice(), full), (&expected[..], false));
    }
}
