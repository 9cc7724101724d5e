//! OS pages inside the heap that went back to the OS while their address space
//! stayed.
//!
//! ```text
//! bit of an OS page is set  =>  it lies in a free chunk behind the chunk's links, in free
//!                               blocks of a unit, or in the top; nothing was written to it since
//! pages                     ==  how many bits are set
//! all_zero                  =>  each of them reads as zero
//! ```
//!
//! One bit for each OS page that the heap may ever hold, in a table that is
//! mapped when the first goes back: until then nothing here costs anything.

use core::ops::Range as Span;
use core::ptr::NonNull;

use crate::os::{Discard, PageSource, Range};

const BITS: usize = u64::BITS as usize;

struct Table {
    /// The address that the first bit stands for, a multiple of the OS page.
    base: usize,
    /// How many bits there are.
    len: usize,
    words: NonNull<u64>,
}

pub(super) struct Returned {
    table: Option<Table>,
    /// log2 of the OS page's bytes.
    page_bits: u32,
    pages: usize,
    all_zero: bool,
}

impl Returned {
    pub(super) const NONE: Returned =
        Returned { table: None, page_bits: 0, pages: 0, all_zero: true };

    /// How many bytes went back.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.pages << self.page_bits
    }

    /// Whether there is a table.
    pub(super) fn is_ready(&self) -> bool {
        self.table.is_some()
    }

    /// The bytes of the table for `len` bytes of the heap.
    pub(super) const fn table_bytes(page: usize, len: usize) -> usize {
        (len / page).div_ceil(BITS) * size_of::<u64>()
    }

    /// From now on OS pages of the `len` bytes from `base` on may go back.
    ///
    /// # Safety
    ///
    /// `table` is [`Returned::table_bytes`] long, zero, nobody else's, and
    /// stays; `base` is a multiple of `page`.
    pub(super) unsafe fn begin(
        &mut self,
        table: NonNull<u8>,
        page: usize,
        base: usize,
        len: usize,
    ) {
        self.page_bits = page.ilog2();
        self.table = Some(Table { base, len: len / page, words: table.cast() });
    }

    /// The bits of the OS pages that `span` touches, or those that lie in it
    /// as a whole.
    fn bits(&self, span: &Span<usize>, whole: bool) -> Option<(&Table, Span<usize>)> {
        let table = self.table.as_ref()?;
        let page = 1 << self.page_bits;
        let (down, up) = if whole { (page - 1, 0) } else { (0, page - 1) };
        let from = span.start.saturating_sub(table.base).saturating_add(down) >> self.page_bits;
        let to = span.end.saturating_sub(table.base).saturating_add(up) >> self.page_bits;
        let to = to.min(table.len);
        (from < to).then_some((table, from..to))
    }

    /// Gives back the whole OS pages of `span` that have not gone back yet;
    /// gives how many bytes those are.
    ///
    /// # Safety
    ///
    /// Nothing in `span`, which is the heap's, is used.
    pub(super) unsafe fn discard<S: PageSource>(
        &mut self,
        source: &mut S,
        span: Span<usize>,
        how: Discard,
    ) -> usize {
        let Some((table, bits)) = self.bits(&span, true) else { return 0 };
        let count = bits.len() - table.count(&bits);
        if count == 0 {
            return 0;
        }
        let address = table.base + (bits.start << self.page_bits);
        let Some(start) = NonNull::new(core::ptr::with_exposed_provenance_mut(address)) else {
            return 0;
        };
        let range = Range { start, len: bits.len() << self.page_bits };
        // SAFETY: whole OS pages of `span`.
        if !unsafe { source.discard(range, how) } {
            return 0;
        }
        table.each_word(&bits, |word, mask| *word |= mask);
        self.pages += count;
        self.all_zero &= how == Discard::Now;
        count << self.page_bits
    }

    /// Something in `span` will be written to, or the heap gives it up: gives
    /// how many bytes of it had gone back.
    #[inline]
    pub(super) fn forget(&mut self, span: Span<usize>) -> usize {
        if self.pages == 0 { 0 } else { self.forget_some(span) }
    }

    #[cold]
    fn forget_some(&mut self, span: Span<usize>) -> usize {
        let Some((table, bits)) = self.bits(&span, false) else { return 0 };
        let mut count = 0;
        table.each_word(&bits, |word, mask| {
            count += (*word & mask).count_ones() as usize;
            *word &= !mask;
        });
        self.pages -= count;
        count << self.page_bits
    }

    /// How many of the OS pages that `span` touches went back, in bytes.
    pub(super) fn bytes_in(&self, span: Span<usize>) -> usize {
        self.bits(&span, false).map_or(0, |(table, bits)| table.count(&bits) << self.page_bits)
    }

    /// The longest part of `span` that reads as zero because it went back.
    #[inline]
    pub(super) fn zeros(&self, span: Span<usize>) -> Span<usize> {
        if self.pages == 0 || !self.all_zero { 0..0 } else { self.longest_run(span) }
    }

    #[cold]
    fn longest_run(&self, span: Span<usize>) -> Span<usize> {
        let Some((table, bits)) = self.bits(&span, false) else { return 0..0 };
        let (mut best, mut at) = (0..0, bits.start);
        while at < bits.end {
            let from = table.seek(at..bits.end, true);
            at = table.seek(from..bits.end, false);
            if at - from > best.len() {
                best = from..at;
            }
        }
        if best.is_empty() {
            return 0..0;
        }
        let address = |bit: usize| table.base + (bit << self.page_bits);
        address(best.start).max(span.start)..address(best.end).min(span.end)
    }

    /// How many bytes of the whole OS pages of `span` went back; for `check`,
    /// which also wants them to read as zero where that is promised: `Err` is
    /// the address where one does not.
    ///
    /// # Safety
    ///
    /// `span` is the heap's.
    pub(super) unsafe fn verify(&self, span: Span<usize>) -> Result<usize, usize> {
        /// So many of a span's OS pages are read: reading may make them resident.
        const READ_MOST: usize = 64;
        let Some((table, bits)) = self.bits(&span, true) else { return Ok(0) };
        let count = table.count(&bits);
        let zeros = if self.all_zero && count > 0 { bits.clone() } else { 0..0 };
        for bit in zeros.filter(|&bit| table.seek(bit..bit + 1, true) == bit).take(READ_MOST) {
            let address = table.base + (bit << self.page_bits);
            // SAFETY: the first word of an OS page in `span`.
            let word = unsafe { core::ptr::with_exposed_provenance::<u64>(address).read() };
            if word != 0 {
                return Err(address);
            }
        }
        Ok(count << self.page_bits)
    }
}

impl Table {
    /// Calls `each` with every word that has some of `bits`, and which.
    fn each_word(&self, bits: &Span<usize>, mut each: impl FnMut(&mut u64, u64)) {
        for index in bits.start / BITS..bits.end.div_ceil(BITS) {
            let from = bits.start.saturating_sub(index * BITS);
            let to = (bits.end - index * BITS).min(BITS);
            let mask = (u64::MAX >> (BITS - (to - from))) << from;
            // SAFETY: `bits.end <= len`, and the table has a bit for each;
            // it is only touched here, by who has the heap.
            each(unsafe { self.words.add(index).as_mut() }, mask);
        }
    }

    fn count(&self, bits: &Span<usize>) -> usize {
        let mut count = 0;
        self.each_word(bits, |word, mask| count += (*word & mask).count_ones() as usize);
        count
    }

    /// The first of `bits` that is set, or that is not; their end if none is.
    fn seek(&self, bits: Span<usize>, set: bool) -> usize {
        let mut at = bits.start;
        while at < bits.end {
            // SAFETY: as in `each_word`.
            let word = unsafe { self.words.add(at / BITS).read() };
            let wanted = if set { word } else { !word } >> (at % BITS);
            if wanted != 0 {
                return bits.end.min(at + wanted.trailing_zeros() as usize);
            }
            at = (at / BITS + 1) * BITS;
        }
        bits.end
    }
}
