//! Which OS pages of this process are resident and of no file.
//!
//! By `PAGEMAP_SCAN` (the kernel's Documentation/admin-guide/mm/pagemap.rst; since
//! 6.7), which tells ranges and passes over what was never touched, or else from
//! `/proc/self/pagemap`, page by page of each mapping.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use brkpoint_workloads::mapped::Mapped;

use crate::memory::os_page;

/// Ranges that one call of the scan tells.
const RANGES: usize = 16 << 10;

/// Programs' addresses end below.
const END: u64 = 0x7fff_ffff_f000;

/// `struct pm_scan_arg` of `linux/fs.h`.
#[repr(C)]
#[derive(Default)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region` of the same.
#[repr(C)]
#[derive(Clone, Copy)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// `PAGEMAP_SCAN`: `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::c_ulong =
    3 << 30 | (size_of::<ScanArguments>() as libc::c_ulong) << 16 | 0x66 << 8 | 16;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
/// The kernel's one page of zeros, which is in no RSS.
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// In an entry of pagemap: of a file, or shared; present.
const ENTRY_FILE: u64 = 1 << 61;
const ENTRY_PRESENT: u64 = 1 << 63;
/// Entries read at a time.
const ENTRIES: usize = 512;

/// Looks at this process's pages. Its memory is its own, and resident before it
/// looks for the first time.
#[derive(Debug)]
pub(super) struct Residence {
    pagemap: File,
    by_scan: bool,
    regions: Mapped<Region>,
    maps: Mapped<u8>,
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}-{:x}", self.start, self.end)
    }
}

impl Residence {
    pub(super) fn open() -> io::Result<Residence> {
        let mut residence = Residence {
            pagemap: File::open("/proc/self/pagemap")?,
            by_scan: true,
            regions: Mapped::new(),
            maps: Mapped::new(),
        };
        residence.regions.resize(RANGES, Region { start: 0, end: 0, categories: 0 });
        residence.by_scan = residence.scan(|_, _| ()).is_ok();
        if !residence.by_scan {
            residence.maps.resize(1 << 20, 0);
            residence.read(|_, _| ())?;
        }
        Ok(residence)
    }

    /// What a reader should know about the instrument.
    pub(super) fn note(&self) -> Option<String> {
        let note = "resident pages were read one by one: this kernel has no PAGEMAP_SCAN";
        (!self.by_scan).then(|| note.to_owned())
    }

    /// Tells `each` the first address and the length in bytes of every run of
    /// resident pages, in ascending order.
    pub(super) fn runs(&mut self, each: impl FnMut(usize, usize)) -> io::Result<()> {
        if self.by_scan { self.scan(each) } else { self.read(each) }
    }

    fn scan(&mut self, mut each: impl FnMut(usize, usize)) -> io::Result<()> {
        let mut arguments = ScanArguments {
            size: size_of::<ScanArguments>() as u64,
            end: END,
            vec: self.regions.as_mut_ptr().expose_provenance() as u64,
            vec_len: self.regions.len() as u64,
            category_inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
            category_mask: PAGE_IS_FILE | PAGE_IS_PFNZERO | PAGE_IS_PRESENT,
            return_mask: PAGE_IS_PRESENT,
            ..ScanArguments::default()
        };
        while arguments.start < END {
            // SAFETY: the structure is the kernel's, and the vector has room for
            // as many regions as it says.
            let found =
                unsafe { libc::ioctl(self.pagemap.as_raw_fd(), PAGEMAP_SCAN, &mut arguments) };
            let found = usize::try_from(found).map_err(|_| io::Error::last_os_error())?;
            for region in self.regions.iter().take(found) {
                each(region.start as usize, (region.end - region.start) as usize);
            }
            if arguments.walk_end <= arguments.start {
                return Err(io::Error::other("the scan does not get on"));
            }
            arguments.start = arguments.walk_end;
        }
        Ok(())
    }

    fn read(&mut self, mut each: impl FnMut(usize, usize)) -> io::Result<()> {
        let page = os_page();
        let length = read_whole("/proc/self/maps", &mut self.maps)?;
        for line in self.maps[..length].split(|&byte| byte == b'\n') {
            let Some((start, end)) = range(line) else { continue };
            if start as u64 >= END {
                continue;
            }
            let mut run = (start, 0);
            for first in (start / page..end / page).step_by(ENTRIES) {
                let mut entries = [0; 8 * ENTRIES];
                let count = (end / page - first).min(ENTRIES);
                self.pagemap.read_exact_at(&mut entries[..8 * count], 8 * first as u64)?;
                for (at, entry) in entries[..8 * count].chunks_exact(8).enumerate() {
                    let entry = u64::from_ne_bytes(std::array::from_fn(|byte| entry[byte]));
                    let here = (first + at) * page;
                    if entry & ENTRY_PRESENT != 0 && entry & ENTRY_FILE == 0 {
                        if run.0 + run.1 != here {
                            tell(run, &mut each);
                            run = (here, 0);
                        }
                        run.1 += page;
                    }
                }
            }
            tell(run, &mut each);
        }
        Ok(())
    }
}

fn tell((start, bytes): (usize, usize), each: &mut impl FnMut(usize, usize)) {
    if bytes > 0 {
        each(start, bytes);
    }
}

/// Reads all of a file of `/proc` into memory that is there already.
fn read_whole(path: &str, into: &mut Mapped<u8>) -> io::Result<usize> {
    let file = File::open(path)?;
    let mut length = 0;
    loop {
        match file.read_at(&mut into[length..], length as u64)? {
            0 if length < into.len() => return Ok(length),
            0 => return Err(io::Error::other(format!("{path} is longer than {length} bytes"))),
            more => length += more,
        }
    }
}

/// The addresses that a line of `maps` begins with.
fn range(line: &[u8]) -> Option<(usize, usize)> {
    let line = str::from_utf8(line.split(|&byte| byte == b' ').next()?).ok()?;
    let (start, end) = line.split_once('-')?;
    let hexadecimal = |text| usize::from_str_radix(text, 16).ok();
    Some((hexadecimal(start)?, hexadecimal(end)?))
}

/// Whether the kernel tells ranges; for tests.
#[cfg(test)]
fn both() -> (Residence, Residence) {
    let by_scan = Residence::open().expect("opens");
    let mut by_page = Residence::open().expect("opens");
    by_page.by_scan = false;
    by_page.maps.resize(1 << 20, 0);
    (by_scan, by_page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_pages_are_seen_and_no_others_either_way() {
        let page = os_page();
        let (mut by_scan, mut by_page) = both();
        // SAFETY: a fresh anonymous mapping.
        let start = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(std::ptr::null_mut(), 64 * page, access, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            libc::madvise(start, 64 * page, libc::MADV_NOHUGEPAGE);
            start.cast::<u8>()
        };
        let touched = [3, 4, 5, 9, 63];
        for at in touched {
            // SAFETY: in the mapping.
            unsafe { start.add(at * page).write_volatile(1) };
        }
        // SAFETY: as above: read only, which makes the page of zeros present.
        unsafe { start.add(20 * page).read_volatile() };
        let mut seen = [[false; 64]; 2];
        for (residence, seen) in [&mut by_scan, &mut by_page].into_iter().zip(&mut seen) {
            let within = |address: usize| Some(address.checked_sub(start.addr())? / page);
            residence
                .runs(|first, bytes| {
                    for address in (first..first + bytes).step_by(page) {
                        if let Some(at) = within(address).filter(|at| *at < 64) {
                            seen[at] = true;
                        }
                    }
                })
                .expect("runs");
        }
        let expected: [bool; 64] = std::array::from_fn(|at| touched.contains(&at));
        if by_scan.by_scan {
            assert_eq!(seen[0], expected);
        }
        // Entries of pagemap do not tell the page of zeros from others.
        seen[1][20] = false;
        assert_eq!(seen[1], expected);
        // SAFETY: the mapping made above.
        unsafe { libc::munmap(start.cast(), 64 * page) };
    }
}
