//! The free chunks in two-level segregated bins, for good fit: nearly the best,
//! in a bounded number of steps.
//!
//! A row spans a doubling of sizes and has 16 bins of equal width; the first
//! row has one bin for each multiple of 16 below 256 bytes. One bit per row
//! and one per bin say where chunks are, so that a fit is found in a few
//! instructions however many there are.
//!
//! ```text
//! rows bit r set        <=>  columns[r] != 0
//! columns[r] bit c set  <=>  heads[r][c] is some
//! chunk in heads[r][c]  <=>  its state is Free and place(its size) == (r, c)
//! ```

use super::chunk::{CHUNK_LEAST, Chunk, HEADER, State};
use super::misuse::corrupt;

/// log2 of the first size beyond the first row.
const FIRST_ROW_BITS: u32 = 8;
const COLUMN_BITS: u32 = 4;
const COLUMNS: usize = 1 << COLUMN_BITS;
/// Enough for chunks of less than 2^48 bytes.
const ROWS: usize = 48 - FIRST_ROW_BITS as usize + 1;

/// How many chunks of a bin that only may fit are looked at before the next
/// bin, all of whose chunks fit, is taken.
const GLANCE: usize = 4;

/// The bins; see the module's text.
pub(super) struct Bins {
    rows: u64,
    columns: [u16; ROWS],
    heads: [[Option<Chunk>; COLUMNS]; ROWS],
}

/// Row and column of the bin that holds chunks of `size` bytes.
pub(super) const fn place(size: usize) -> (usize, usize) {
    debug_assert!(size >= CHUNK_LEAST);
    if size < 1 << FIRST_ROW_BITS {
        return (0, size >> (FIRST_ROW_BITS - COLUMN_BITS));
    }
    let bits = size.ilog2();
    let column = (size >> (bits - COLUMN_BITS)) & (COLUMNS - 1);
    ((bits - FIRST_ROW_BITS) as usize + 1, column)
}

/// The bin after this one.
const fn after((row, column): (usize, usize)) -> (usize, usize) {
    if column + 1 < COLUMNS { (row, column + 1) } else { (row + 1, 0) }
}

/// How many bytes a chunk whose block would be at `at` must give up on its
/// left to have it at a multiple of `align`; they make a chunk, if any.
pub(super) fn lead(at: usize, align: usize) -> usize {
    match at.next_multiple_of(align) - at {
        lead if lead > 0 && lead < CHUNK_LEAST => lead + align,
        lead => lead,
    }
}

/// A chunk out of a bin, and its size.
pub(super) type Sized = (Chunk, usize);

impl Bins {
    /// No chunk at all.
    pub(super) const EMPTY: Bins =
        Bins { rows: 0, columns: [0; ROWS], heads: [[None; COLUMNS]; ROWS] };

    /// Puts a chunk in.
    ///
    /// # Safety
    ///
    /// A chunk of the heap in state `Free`, `size` bytes long, in no bin.
    pub(super) unsafe fn insert(&mut self, chunk: Chunk, size: usize) {
        let (row, column) = place(size);
        let head = self.heads[row][column].replace(chunk);
        // SAFETY: `chunk` is free by contract, and `head` because it is in a bin.
        unsafe {
            chunk.set_links(head, None);
            if let Some(head) = head {
                let (next, _) = head.links();
                head.set_links(next, Some(chunk));
            }
        }
        self.rows |= 1 << row;
        self.columns[row] |= 1 << column;
    }

    /// Takes a chunk out.
    ///
    /// # Safety
    ///
    /// A chunk in these bins, `size` bytes long.
    pub(super) unsafe fn remove(&mut self, chunk: Chunk, size: usize) {
        let (row, column) = place(size);
        // SAFETY: chunks in bins are free, and so are those they link to,
        // unless somebody wrote to freed memory: each link must be mutual.
        unsafe {
            let (next, previous) = chunk.links();
            if let Some(next) = next {
                let (after, back) = links_of_free(next, chunk);
                if back != Some(chunk) {
                    corrupt(chunk, "a freed block was written to");
                }
                next.set_links(after, previous);
            }
            match previous {
                Some(previous) => {
                    let (forth, before) = links_of_free(previous, chunk);
                    if forth != Some(chunk) {
                        corrupt(chunk, "a freed block was written to");
                    }
                    previous.set_links(next, before);
                }
                None if self.heads[row][column] == Some(chunk) => {
                    self.heads[row][column] = next;
                    if next.is_none() {
                        self.clear(row, column);
                    }
                }
                None => corrupt(chunk, "a freed block was written to"),
            }
        }
    }

    fn clear(&mut self, row: usize, column: usize) {
        self.columns[row] &= !(1 << column);
        if self.columns[row] == 0 {
            self.rows &= !(1 << row);
        }
    }

    /// Takes out a chunk of at least `size` bytes, of nearly the best fit.
    pub(super) fn take(&mut self, size: usize) -> Option<Sized> {
        let (row, column) = place(size);
        let found =
            self.fitting(row, column, size, GLANCE).or_else(|| self.first_beyond(row, column))?;
        // SAFETY: just found in the bins.
        unsafe { self.remove(found.0, found.1) };
        Some(found)
    }

    /// As `take`, but looks at every chunk that may fit: the last resort when
    /// the OS refuses more.
    pub(super) fn take_any(&mut self, size: usize) -> Option<Sized> {
        let (row, column) = place(size);
        let found = self.fitting(row, column, size, usize::MAX)?;
        // SAFETY: just found in the bins.
        unsafe { self.remove(found.0, found.1) };
        Some(found)
    }

    /// A chunk of at least `size` among the first `glance` of one bin.
    fn fitting(&self, row: usize, column: usize, size: usize, glance: usize) -> Option<Sized> {
        let mut next = self.heads[row][column];
        for _ in 0..glance {
            let chunk = next?;
            let has = size_of_free(chunk);
            if has >= size {
                return Some((chunk, has));
            }
            // SAFETY: in a bin, hence free.
            (next, _) = unsafe { chunk.links() };
        }
        None
    }

    /// Takes out a chunk in which a block of `size - HEADER` bytes at a
    /// multiple of `align` fits.
    pub(super) fn take_aligned(&mut self, size: usize, align: usize) -> Option<Sized> {
        // Whatever is in this bin or beyond it fits.
        let sure = place(size + align + CHUNK_LEAST);
        let mut bin = self.occupied(place(size));
        while let Some((row, column)) = bin
            && (row, column) <= sure
        {
            let mut next = self.heads[row][column];
            for _ in 0..GLANCE {
                let Some(chunk) = next else { break };
                let has = size_of_free(chunk);
                if lead(chunk.address() + HEADER, align) + size <= has {
                    // SAFETY: just found in the bins.
                    unsafe { self.remove(chunk, has) };
                    return Some((chunk, has));
                }
                // SAFETY: in a bin, hence free.
                (next, _) = unsafe { chunk.links() };
            }
            bin = self.occupied(after((row, column)));
        }
        self.take(size + align + CHUNK_LEAST)
    }

    /// The first chunk of the first bin beyond (row, column).
    fn first_beyond(&self, row: usize, column: usize) -> Option<Sized> {
        let (row, column) = self.occupied(after((row, column)))?;
        let chunk = self.heads[row][column]?;
        Some((chunk, size_of_free(chunk)))
    }

    /// The first bin at or beyond (row, column) that holds a chunk.
    fn occupied(&self, (row, column): (usize, usize)) -> Option<(usize, usize)> {
        let here = self.columns.get(row)? >> column << column;
        if here != 0 {
            return Some((row, here.trailing_zeros() as usize));
        }
        let rows = self.rows & (u64::MAX << row << 1);
        if rows == 0 {
            return None;
        }
        let row = rows.trailing_zeros() as usize;
        Some((row, self.columns[row].trailing_zeros() as usize))
    }

    /// A chunk of the bin of the largest sizes.
    pub(super) fn largest(&self) -> Option<Sized> {
        self.first_below(ROWS, 0)
    }

    /// The chunk that comes after `chunk` when bins are walked from the
    /// largest sizes down.
    ///
    /// # Safety
    ///
    /// A chunk in these bins, `size` bytes long.
    pub(super) unsafe fn next_smaller(&self, chunk: Chunk, size: usize) -> Option<Sized> {
        // SAFETY: by contract.
        let (next, _) = unsafe { chunk.links() };
        let (row, column) = place(size);
        next.map(|chunk| (chunk, size_of_free(chunk))).or_else(|| self.first_below(row, column))
    }

    /// The first chunk of the last bin below (row, column).
    fn first_below(&self, row: usize, column: usize) -> Option<Sized> {
        let here = self.columns.get(row).map_or(0, |columns| columns & ((1 << column) - 1));
        let (row, columns) = match here {
            0 => {
                let row = (self.rows & ((1 << row) - 1)).checked_ilog2()? as usize;
                (row, self.columns[row])
            }
            _ => (row, here),
        };
        let chunk = self.heads[row][columns.ilog2() as usize]?;
        Some((chunk, size_of_free(chunk)))
    }

    /// Loses the chunks of a size, but not the bits that say there are some.
    #[cfg(test)]
    pub(super) fn forget(&mut self, size: usize) {
        let (row, column) = place(size);
        assert!(self.heads[row][column].take().is_some(), "there is none");
    }

    /// Calls `each` with every chunk and the bin it is in; `false` from it
    /// ends the walk, and so does a bit that does not match its bin.
    pub(super) fn walk(
        &self,
        mut each: impl FnMut(Chunk, Option<Chunk>, (usize, usize)) -> bool,
    ) -> bool {
        for row in 0..ROWS {
            if (self.rows >> row & 1 == 1) != (self.columns[row] != 0) {
                return false;
            }
            for column in 0..COLUMNS {
                let mut next = self.heads[row][column];
                if (self.columns[row] >> column & 1 == 1) != next.is_some() {
                    return false;
                }
                let mut previous = None;
                while let Some(chunk) = next {
                    if !each(chunk, previous, (row, column)) {
                        return false;
                    }
                    previous = next;
                    // SAFETY: in a bin, hence free.
                    (next, _) = unsafe { chunk.links() };
                }
            }
        }
        true
    }
}

/// The size of a chunk that must be free.
pub(super) fn size_of_free(chunk: Chunk) -> usize {
    // SAFETY: chunks in bins are in the heap.
    match unsafe { chunk.get() } {
        Some((size, State::Free)) => size,
        _ => corrupt(chunk, "a freed block's header was overwritten"),
    }
}

/// The links of `chunk`, which `from` links to.
///
/// # Safety
///
/// As [`Chunk::links`], but for a stray link, which is caught where its
/// target is readable.
unsafe fn links_of_free(chunk: Chunk, from: Chunk) -> (Option<Chunk>, Option<Chunk>) {
    if !chunk.address().is_multiple_of(crate::size_class::GRAIN) {
        corrupt(from, "a freed block was written to");
    }
    // SAFETY: by contract.
    unsafe { chunk.links() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_ordered_by_size_and_the_last_size_has_one() {
        let mut last = place(CHUNK_LEAST);
        let sizes = (48..1 << 16).step_by(16).chain((16..47).map(|bits| 1 << bits));
        for size in sizes {
            let this = place(size);
            assert!(this >= last, "{size}");
            last = this;
        }
        let (row, column) = place((1 << 48) - 16);
        assert!(row == ROWS - 1 && column == COLUMNS - 1);
    }
}
