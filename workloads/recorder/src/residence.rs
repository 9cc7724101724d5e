//! How many OS pages of large blocks are resident when they go: so many a replay is to
//! touch. At the end of a program it is noted of all its memory, for the blocks that
//! are live then.

use core::ffi::c_void;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU16, AtomicU64};

use crate::raw::AREA;
use crate::system::{self, Errno, OS_PAGE};
use crate::{image, real};

/// Smaller blocks are not looked at, in bytes: what is not touched of them is little.
const LARGE: usize = 8 << 10;
/// At the end no more OS pages than this are looked at: 64 GiB.
const MOST: usize = 16 << 20;
/// Larger blocks are not looked at when they go or are resized, in bytes: the call would
/// take long.
const LARGEST: usize = 4 << 30;
const LARGEST_RESIZED: usize = 4 << 20;
/// OS pages that are looked at by one call.
const BATCH: usize = 1024;

/// A bit for all addresses of the same remainder: set where there was a large block.
/// Few frees of others find one.
static SEEN: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// Where a block of up to so many bytes was resident all over, some that follow of about
/// its size are not looked at, and more each time that the next look finds the same: a
/// program that fills its buffers is not to wait for each look. The low byte is how many
/// are left, the high one how many there were at first.
const MOST_PASSED_OVER: usize = 64 << 10;
static PASSED_OVER: [AtomicU16; MOST_PASSED_OVER >> SIZE_BITS] =
    [const { AtomicU16::new(0) }; MOST_PASSED_OVER >> SIZE_BITS];
const PASS_OVER_FIRST: u16 = 7;
const PASS_OVER_MOST: u16 = 127;
/// log2 of the bytes within which sizes are about the same.
const SIZE_BITS: u32 = 8;

#[inline(always)]
fn hash(block: usize) -> usize {
    // Large blocks lie 16 bytes behind the begin of an OS page, or anywhere.
    (block >> 4 ^ block >> 12) & 4095
}

#[inline(always)]
fn seen(block: usize) -> (&'static AtomicU64, u64) {
    let hash = hash(block);
    (&SEEN[hash >> 6], 1 << (hash & 63))
}

/// A block was allocated.
#[inline(always)]
pub(crate) fn note(block: usize, size: usize) {
    if size >= LARGE {
        let (word, bit) = seen(block);
        word.fetch_or(bit, Relaxed);
    }
}

/// Of a block that is to go: its resident whole OS pages, and one more; 0: nobody
/// looked.
#[inline(always)]
pub(crate) fn of(block: *mut c_void) -> usize {
    let (word, bit) = seen(block.addr());
    if word.load(Relaxed) & bit == 0 { 0 } else { look_freed(block) }
}

/// The same of a block that is to have `size` bytes. Who grows it by a little, which may
/// be often, has filled it.
#[inline(always)]
pub(crate) fn of_resized(block: *mut c_void, size: usize) -> usize {
    let (word, bit) = seen(block.addr());
    if word.load(Relaxed) & bit == 0 { 0 } else { look_resized(block, size) }
}

#[cold]
#[inline(never)]
fn look_freed(block: *mut c_void) -> usize {
    look(block, real::usable_size(block))
}

#[cold]
#[inline(never)]
fn look_resized(block: *mut c_void, size: usize) -> usize {
    let usable = real::usable_size(block);
    let little = usable.abs_diff(size) < usable / 4;
    if little || usable > LARGEST_RESIZED { 0 } else { look(block, usable) }
}

fn look(block: *mut c_void, usable: usize) -> usize {
    if !(LARGE..=LARGEST).contains(&usable) {
        return 0;
    }
    let passed_over = PASSED_OVER.get((usable - 1) >> SIZE_BITS);
    let state = passed_over.map_or(0, |passed_over| passed_over.load(Relaxed));
    let pass_over = |state| {
        if let Some(passed_over) = passed_over {
            passed_over.store(state, Relaxed);
        }
    };
    if state & 0xff > 0 {
        pass_over(state - 1);
        return 0;
    }
    let from = block.addr().next_multiple_of(OS_PAGE);
    let to = (block.addr() + usable) / OS_PAGE * OS_PAGE;
    let mut resident = 0;
    if each(from, to, |_, there| resident += usize::from(there)).is_err() {
        return 0;
    }
    let is_all = resident == to.saturating_sub(from) / OS_PAGE;
    let next = (2 * (state >> 8) + 1).clamp(PASS_OVER_FIRST, PASS_OVER_MOST);
    pass_over(if is_all { next << 8 | next } else { 0 });
    resident + 1
}

/// Tells of each OS page from `from` to `to` whether it is resident.
fn each(from: usize, to: usize, mut tell: impl FnMut(usize, bool)) -> Result<(), Errno> {
    let mut there = [0; BATCH];
    let mut at = from;
    while at < to {
        let pages = ((to - at) / OS_PAGE).min(BATCH);
        system::mincore(at, &mut there[..pages])?;
        for &byte in &there[..pages] {
            tell(at, byte & 1 != 0);
            at += OS_PAGE;
        }
    }
    Ok(())
}

/// Writes the file of image `number`, if there has been any large block.
pub(crate) fn note_all(number: u32) -> Result<(), Errno> {
    if SEEN.iter().all(|word| word.load(Relaxed) == 0) {
        return Ok(());
    }
    let (mut text, mut buffer) = ([0; 10], [0; image::MOST]);
    let name = [image::decimal(number, &mut text), b".resident"];
    let path = image::path_in(&mut buffer, &name);
    let to = system::open(path, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC)?;
    let maps = system::open(c"/proc/self/maps", libc::O_RDONLY);
    let noted = maps.and_then(|maps| {
        let noted = note_areas(maps, &mut buffer, &mut Out { to, words: [0; 256], used: 0 });
        system::close(maps);
        noted
    });
    system::close(to);
    noted
}

/// What is to be written.
struct Out {
    to: usize,
    words: [u64; 256],
    used: usize,
}

impl Out {
    fn put(&mut self, from: u64, to: usize) -> Result<(), Errno> {
        if self.used + 2 > self.words.len() {
            self.flush()?;
        }
        self.words[self.used..self.used + 2].copy_from_slice(&[from, to as u64]);
        self.used += 2;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Errno> {
        let used = size_of::<u64>() * core::mem::take(&mut self.used);
        // SAFETY: the words that are used, as the bytes that they are.
        let bytes = unsafe { core::slice::from_raw_parts(self.words.as_ptr().cast(), used) };
        system::write(self.to, bytes)
    }
}

fn note_areas(maps: usize, text: &mut [u8; image::MOST], out: &mut Out) -> Result<(), Errno> {
    let (mut held, mut left) = (0, MOST);
    loop {
        let got = system::read(maps, &mut text[held..])?;
        if got == 0 {
            return out.flush();
        }
        held += got;
        let mut begin = 0;
        while let Some(len) = text[begin..held].iter().position(|&byte| byte == b'\n') {
            if let Some((from, to)) = own(&text[begin..begin + len]) {
                let pages = (to - from) / OS_PAGE;
                if pages > left {
                    return out.flush();
                }
                left -= pages;
                note_area(from, to, out)?;
            }
            begin += len + 1;
        }
        text.copy_within(begin..held, 0);
        held -= begin;
        if held == text.len() {
            // No line of ours is so long.
            held = 0;
        }
    }
}

fn note_area(from: usize, to: usize, out: &mut Out) -> Result<(), Errno> {
    out.put(from as u64 | AREA, to)?;
    let (mut run, mut wrong) = (None, Ok(()));
    each(from, to, |at, there| match (run, there) {
        (None, true) => run = Some(at),
        (Some(begin), false) => {
            run = None;
            if let Err(error) = out.put(begin as u64, at) {
                wrong = Err(error);
            }
        }
        _ => {}
    })?;
    wrong?;
    run.map_or(Ok(()), |begin| out.put(begin as u64, to))
}

/// The addresses of a line of `maps`, if it is of memory that is written and of no file.
fn own(line: &[u8]) -> Option<(usize, usize)> {
    let mut fields = line.split(|&byte| byte == b' ').filter(|field| !field.is_empty());
    let (range, access) = (fields.next()?, fields.next()?);
    let (inode, name) = (fields.nth(2)?, fields.next());
    let anonymous =
        inode == b"0" && name.is_none_or(|name| name == b"[heap]" || name.starts_with(b"[anon"));
    if access != b"rw-p" || !anonymous {
        return None;
    }
    let mut ends = range.split(|&byte| byte == b'-').map(|digits| {
        digits.iter().try_fold(0_usize, |number, &byte| {
            Some(number << 4 | (byte as char).to_digit(16)? as usize)
        })
    });
    Some((ends.next()??, ends.next()??))
}
