//! What is written to blocks: a pattern that differs from block to block, lest
//! an overlap goes unnoticed, and where.

use std::ops::Range;
use std::ptr::NonNull;

/// Bytes of a word of the pattern.
const WORD: usize = 8;
/// Large blocks carry a word of the pattern at each multiple of this.
const OS_PAGE: usize = 4096;
/// But no more words than this: a block may be larger than memory.
const WORDS_MOST: usize = 1 << 14;

/// A block's bytes and which of them carry the pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct Canvas {
    /// Tells the block from all others.
    pub serial: u64,
    /// The bytes there are.
    pub len: usize,
    /// The offset of the first OS page that begins in the block.
    phase: usize,
    /// Blocks of up to so many bytes carry the pattern everywhere.
    whole: usize,
}

impl Canvas {
    pub(super) fn new(start: NonNull<u8>, serial: u64, len: usize, whole: usize) -> Canvas {
        let phase = start.addr().get().wrapping_neg() % OS_PAGE;
        Canvas { serial, len, phase: phase.next_multiple_of(WORD), whole }
    }

    /// The offsets that carry the pattern: all of them, or for a large block
    /// its ends and a word on each OS page. All ranges begin at whole words.
    #[inline(always)]
    fn each<E>(&self, mut visit: impl FnMut(Range<usize>) -> Result<(), E>) -> Result<(), E> {
        if self.len <= self.whole {
            return visit(0..self.len);
        }
        let ends = (self.whole / 4).clamp(WORD, OS_PAGE).next_multiple_of(WORD);
        if self.len <= 3 * ends {
            return visit(0..self.len);
        }
        visit(0..ends)?;
        let tail = (self.len - ends) & !(WORD - 1);
        let step = (self.len / WORDS_MOST).next_multiple_of(OS_PAGE).max(OS_PAGE);
        let mut at = self.phase;
        while at < tail {
            if at >= ends {
                visit(at..(at + WORD).min(tail))?;
            }
            at += step;
        }
        visit(tail..self.len)
    }

    /// Writes the pattern.
    ///
    /// # Safety
    ///
    /// `start` is writable for the canvas's bytes.
    pub(super) unsafe fn paint(&self, start: NonNull<u8>) {
        let _ = self.each(|range| {
            let mut at = range.start;
            while at + WORD <= range.end {
                // SAFETY: within the canvas.
                unsafe { start.add(at).cast::<u64>().write_unaligned(self.word(at)) };
                at += WORD;
            }
            for (at, byte) in (at..range.end).zip(self.word(at).to_le_bytes()) {
                // SAFETY: within the canvas.
                unsafe { start.add(at).write(byte) };
            }
            Ok::<(), ()>(())
        });
    }

    /// The first byte of the first `kept` that is not as painted: its offset,
    /// its value, and what it should be.
    ///
    /// # Safety
    ///
    /// `start` is readable for the smaller of `kept` and the canvas's bytes.
    pub(super) unsafe fn damage(&self, start: NonNull<u8>, kept: usize) -> Option<(usize, u8, u8)> {
        self.each(|range| {
            let end = range.end.min(kept);
            let mut at = range.start;
            while at + WORD <= end {
                // SAFETY: within the canvas and what is kept.
                let word = unsafe { start.add(at).cast::<u64>().read_unaligned() };
                if word != self.word(at) {
                    break;
                }
                at += WORD;
            }
            while at < end {
                let expected = self.word(at & !(WORD - 1)).to_le_bytes()[at % WORD];
                // SAFETY: within the canvas and what is kept.
                let byte = unsafe { start.add(at).read() };
                if byte != expected {
                    return Err((at, byte, expected));
                }
                at += 1;
            }
            Ok(())
        })
        .err()
    }

    /// The first byte that carries the pattern and is not zero: its offset and
    /// value. As far as the first `len` bytes go; in small blocks and at both
    /// ends of others each byte is looked at.
    ///
    /// # Safety
    ///
    /// `start` is readable for the canvas's bytes.
    pub(super) unsafe fn dirt(&self, start: NonNull<u8>) -> Option<(usize, u8)> {
        let whole = Canvas { whole: self.whole.max(4 * OS_PAGE), ..*self };
        whole
            .each(|range| {
                // SAFETY: within the canvas.
                let bytes = unsafe {
                    std::slice::from_raw_parts(start.add(range.start).as_ptr(), range.len())
                };
                // In one sweep first, since that is fast.
                if bytes.iter().fold(0, |all, &byte| all | byte) == 0 {
                    return Ok(());
                }
                match bytes.iter().position(|&byte| byte != 0) {
                    Some(at) => Err((range.start + at, bytes[at])),
                    None => Ok(()),
                }
            })
            .err()
    }

    #[inline(always)]
    fn word(&self, offset: usize) -> u64 {
        let key = (self.serial + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        key ^ ((offset / WORD) as u64 + 1).wrapping_mul(0xD6E8_FEB8_6659_FD93)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(len: usize, whole: usize) -> (Vec<u8>, Canvas) {
        let mut bytes = vec![0_u8; len];
        let start = NonNull::new(bytes.as_mut_ptr()).unwrap();
        let canvas = Canvas::new(start, 7, len, whole);
        // SAFETY: the vector's bytes.
        unsafe { canvas.paint(start) };
        (bytes, canvas)
    }

    fn damage(bytes: &mut [u8], canvas: &Canvas, kept: usize) -> Option<usize> {
        // SAFETY: the slice's bytes.
        unsafe { canvas.damage(NonNull::new(bytes.as_mut_ptr()).unwrap(), kept) }.map(|(at, ..)| at)
    }

    #[test]
    fn every_byte_of_a_small_block_counts() {
        for len in [0, 1, 7, 8, 9, 40, 1000] {
            let (mut bytes, canvas) = painted(len, 1 << 14);
            assert_eq!(damage(&mut bytes, &canvas, len), None);
            for at in 0..len {
                bytes[at] ^= 0x10;
                assert_eq!(damage(&mut bytes, &canvas, len), Some(at));
                assert_eq!(damage(&mut bytes, &canvas, at), None, "beyond what is kept");
                bytes[at] ^= 0x10;
            }
        }
    }

    #[test]
    fn of_a_large_block_the_ends_and_each_os_page_count() {
        let (mut bytes, canvas) = painted(100_003, 128);
        assert_eq!(damage(&mut bytes, &canvas, usize::MAX), None);
        let pages = (bytes.as_ptr().addr().wrapping_neg() % OS_PAGE..100_003).step_by(OS_PAGE);
        for at in [0, 31, 100_002, 100_003 - 32].into_iter().chain(pages.map(|at| at + 7)) {
            if at < 100_003 {
                bytes[at] ^= 1;
                assert_eq!(damage(&mut bytes, &canvas, usize::MAX), Some(at));
                bytes[at] ^= 1;
            }
        }
    }

    #[test]
    fn patterns_of_two_blocks_differ_in_every_word() {
        let (_, one) = painted(64, 64);
        let two = Canvas { serial: 8, ..one };
        assert!((0..1 << 16).step_by(WORD).all(|at| one.word(at) != two.word(at)));
    }

    #[test]
    fn dirt_is_found_at_the_ends_of_large_blocks_and_everywhere_in_small_ones() {
        for (len, at) in [(1, 0), (16_000, 9_999), (1 << 20, 4095), (1 << 20, (1 << 20) - 1)] {
            let mut bytes = vec![0_u8; len];
            let start = NonNull::new(bytes.as_mut_ptr()).unwrap();
            let canvas = Canvas::new(start, 0, len, 64);
            // SAFETY: the vector's bytes.
            assert_eq!(unsafe { canvas.dirt(start) }, None);
            bytes[at] = 3;
            let start = NonNull::new(bytes.as_mut_ptr()).unwrap();
            // SAFETY: as above.
            assert_eq!(unsafe { canvas.dirt(start) }, Some((at, 3)));
        }
    }
}
