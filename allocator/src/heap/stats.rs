//! The accounts: what the heap holds, and for what.

use core::fmt;
use core::ptr::NonNull;

use super::chunk::{Chunk, State};
use super::segment::{self, Kind};
use super::{HEADER, Heap};
use crate::os::{Calls, PageSource};

/// What is counted as it happens.
pub(super) struct Counters {
    /// Blocks in chunks, and the bytes of their chunks.
    pub(super) live_blocks: usize,
    pub(super) live_bytes: usize,
    /// Blocks in units, and their bytes; the bytes of all blocks of the units.
    pub(super) small_blocks: usize,
    pub(super) small_bytes: usize,
    pub(super) unit_room: usize,
    /// Chunks of the heap's own: units and records.
    pub(super) reserved_bytes: usize,
    /// The map of the units.
    pub(super) table_bytes: usize,
    /// Free chunks but for the top, and their bytes.
    pub(super) free_blocks: usize,
    pub(super) free_bytes: usize,
    /// Bytes of the segments of either kind.
    pub(super) break_bytes: usize,
    pub(super) region_bytes: usize,
    pub(super) segments: usize,
    pub(super) fence_bytes: usize,
    /// Blocks with mappings of their own; bytes of the mappings, of the blocks.
    pub(super) mapped_blocks: usize,
    pub(super) mapped_bytes: usize,
    pub(super) mapped_live: usize,
}

impl Counters {
    pub(super) const NONE: Counters = Counters {
        live_blocks: 0,
        live_bytes: 0,
        small_blocks: 0,
        small_bytes: 0,
        unit_room: 0,
        reserved_bytes: 0,
        table_bytes: 0,
        free_blocks: 0,
        free_bytes: 0,
        break_bytes: 0,
        region_bytes: 0,
        segments: 0,
        fence_bytes: 0,
        mapped_blocks: 0,
        mapped_bytes: 0,
        mapped_live: 0,
    };

    pub(super) fn bytes_of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Break => &mut self.break_bytes,
            Kind::Region => &mut self.region_bytes,
        }
    }
}

/// A heap's accounts at one moment, in bytes unless said otherwise.
///
/// ```text
/// break_bytes + region_bytes + mapped_bytes + table_bytes
///         ==  live + cached + mapped_live + free + top + returned + metadata
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Usable bytes of live blocks in the segments.
    pub live: usize,
    /// How many those are.
    pub live_blocks: usize,
    /// Blocks that the program has freed and that are kept to be handed out
    /// again at once: in threads' caches, and in transit between them.
    pub cached: usize,
    /// How many those are.
    pub cached_blocks: usize,
    /// Usable bytes of live blocks with mappings of their own.
    pub mapped_live: usize,
    /// How many those are.
    pub mapped_blocks: usize,
    /// Free chunks and free blocks of units, but for the top and for `returned`.
    pub free: usize,
    /// How many free chunks those are.
    pub free_blocks: usize,
    /// The free space at the break, but for `returned`.
    pub top: usize,
    /// OS pages in free chunks, in units and in the top that went back to the
    /// OS while their address space stayed.
    pub returned: usize,
    /// Headers of live blocks, records, fences, what is left over in units,
    /// room for alignment in mappings, and the tables.
    pub metadata: usize,
    /// Obtained from the break and not returned.
    pub break_bytes: usize,
    /// Obtained as mapped regions in place of the break, and not returned.
    pub region_bytes: usize,
    /// Obtained as mappings of single blocks, and not returned.
    pub mapped_bytes: usize,
    /// Address space of the map of units, touched only as far as it is used.
    pub table_bytes: usize,
    /// The mmap threshold in force; `usize::MAX` if off.
    pub mmap_threshold: usize,
    /// The trim threshold in force.
    pub trim_threshold: usize,
    /// System calls so far.
    pub calls: Calls,
}

impl Stats {
    /// What was obtained from the OS and not returned.
    pub fn footprint(&self) -> usize {
        self.break_bytes + self.region_bytes + self.mapped_bytes + self.table_bytes
    }

    /// What became of it, which is as much.
    pub fn parts(&self) -> usize {
        self.live
            + self.cached
            + self.mapped_live
            + self.free
            + self.top
            + self.returned
            + self.metadata
    }
}

/// One `name=value` line for each account.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in [
            ("footprint", self.footprint()),
            ("break", self.break_bytes),
            ("regions", self.region_bytes),
            ("mapped", self.mapped_bytes),
            ("tables", self.table_bytes),
            ("live", self.live),
            ("live_blocks", self.live_blocks),
            ("cached", self.cached),
            ("cached_blocks", self.cached_blocks),
            ("mapped_live", self.mapped_live),
            ("mapped_blocks", self.mapped_blocks),
            ("free", self.free),
            ("free_blocks", self.free_blocks),
            ("top", self.top),
            ("returned", self.returned),
            ("metadata", self.metadata),
        ] {
            writeln!(f, "{name}={value}")?;
        }
        Ok(())
    }
}

impl<S: PageSource> Heap<S> {
    /// Counts a block as cached that is counted as live.
    ///
    /// # Safety
    ///
    /// Null, or a block of this heap that a cache may have.
    pub(crate) unsafe fn count_cached(&self, stats: &mut Stats, block: *mut u8) {
        // SAFETY: by contract.
        let Some((size, is_mapped)) = (unsafe { self.cached_size(block) }) else { return };
        let (live, blocks) = match is_mapped {
            true => (&mut stats.mapped_live, &mut stats.mapped_blocks),
            false => (&mut stats.live, &mut stats.live_blocks),
        };
        // A block that just leaves its cache may be seen twice.
        if *blocks > 0 && *live >= size {
            *live -= size;
            *blocks -= 1;
            stats.cached += size;
            stats.cached_blocks += 1;
        }
    }

    /// The usable bytes of a block that a cache may have, and whether it has a mapping
    /// of its own; `None` if there is no block.
    ///
    /// # Safety
    ///
    /// As [`Heap::count_cached`].
    pub(crate) unsafe fn cached_size(&self, block: *mut u8) -> Option<(usize, bool)> {
        let block = NonNull::new(block)?;
        let class = self.units.class_of(block);
        if class > 0 {
            return Some((self.classes.size(class), false));
        }
        // SAFETY: in no unit, hence a block with a header; chunks that are
        // cached change only in whether they are.
        let (size, state) = unsafe { Chunk::of_block(block).get() }?;
        Some((size - HEADER, state == State::Mapped))
    }

    /// The accounts as they are now.
    pub fn stats(&self) -> Stats {
        let counters = &self.counters;
        let headers = counters.live_blocks * HEADER;
        let free = counters.free_bytes + (counters.unit_room - counters.small_bytes);
        let returned = self.returned.bytes();
        let in_top = self
            .top
            .map_or(0, |top| self.returned.bytes_in(top.address()..top.address() + self.top_size));
        Stats {
            live: counters.live_bytes - headers + counters.small_bytes,
            live_blocks: counters.live_blocks + counters.small_blocks,
            cached: 0,
            cached_blocks: 0,
            mapped_live: counters.mapped_live,
            mapped_blocks: counters.mapped_blocks,
            free: free - (returned - in_top),
            free_blocks: counters.free_blocks,
            top: self.top_size - in_top,
            returned,
            metadata: headers
                + counters.segments * segment::RECORD
                + counters.fence_bytes
                + (counters.mapped_bytes - counters.mapped_live)
                + (counters.reserved_bytes - counters.unit_room)
                + counters.table_bytes,
            break_bytes: counters.break_bytes,
            region_bytes: counters.region_bytes,
            mapped_bytes: counters.mapped_bytes,
            table_bytes: counters.table_bytes,
            mmap_threshold: self.thresholds.mmap.unwrap_or(usize::MAX),
            trim_threshold: self.thresholds.trim,
            calls: self.source.calls(),
        }
    }
}
