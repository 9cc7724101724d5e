//! Each invariant is broken on purpose, and `check` says which.

use std::ptr::NonNull;

use super::*;
use crate::config::{Bytes, Config, Metadata, Placement, Preset, Purge};
use crate::os::{Discard, Simulated};

/// A heap with something of everything, and blocks to be found in it: free
/// chunks that do not touch, a unit with free blocks, a mapping, and a top.
struct Full {
    heap: Heap<Simulated>,
    /// Live, each with a header; the second and the fourth of their like are free.
    large: Vec<NonNull<u8>>,
    /// In a unit.
    small: Vec<NonNull<u8>>,
}

impl Full {
    fn new(placement: Placement) -> Full {
        let config = Config {
            placement,
            metadata: Metadata::OutOfBand,
            slab_max: Bytes(512),
            purge: Purge::DontNeed,
            ..Preset::Hybrid.config(&Config::DEFAULT)
        };
        let mut heap = Heap::new(config, Simulated::new(64 << 20));
        let mut blocks = |size: usize, count: usize| -> Vec<NonNull<u8>> {
            (0..count).map(|_| heap.allocate(size, 16).unwrap().start).collect()
        };
        let small = blocks(64, 80);
        blocks(1 << 20, 2);
        let mut large = blocks(60_000, 7);
        for at in [3, 1] {
            // SAFETY: used by nobody.
            unsafe { heap.free(large.remove(at)) }.unwrap();
        }
        heap.check().unwrap();
        let stats = heap.stats();
        assert!(stats.free_blocks >= 2 && stats.mapped_blocks == 2 && stats.top > 0, "{stats}");
        Full { heap, large, small }
    }

    /// The header of one of the large blocks, and its size.
    fn chunk(&self, at: usize) -> (Chunk, usize) {
        // SAFETY: a live block with a header.
        unsafe {
            let chunk = Chunk::of_block(self.large[at]);
            (chunk, chunk.get().unwrap().0)
        }
    }

    /// The first free chunk, and its size.
    fn free(&self) -> (Chunk, usize) {
        let (chunk, size) = self.chunk(0);
        // SAFETY: it comes right of the first block.
        unsafe {
            let free = chunk.offset(size);
            (free, free.get().unwrap().0)
        }
    }

    fn unit(&self) -> &'static mut Unit {
        let last = *self.small.last().unwrap();
        // SAFETY: the record stays as long as the heap, which is longer than each use.
        unsafe { &mut *self.heap.units.unit_of(last).expect("in a unit").0.as_ptr() }
    }

    fn mapping(&self) -> &'static mut Mapping {
        // SAFETY: as above.
        unsafe { &mut *self.heap.mappings.unwrap().as_ptr() }
    }

    /// Marks a large block's chunk.
    fn mark(&mut self, at: usize, size: impl FnOnce(usize) -> usize, state: State) {
        let (chunk, was) = self.chunk(at);
        // SAFETY: a header of the heap.
        unsafe { chunk.set(size(was), state) };
    }
}

#[track_caller]
fn noticed(placement: Placement, break_it: impl FnOnce(&mut Full)) -> &'static str {
    let mut full = Full::new(placement);
    break_it(&mut full);
    let Err(broken) = full.heap.check() else { panic!("nothing is noticed") };
    broken.what
}

/// What is noticed of a heap with bins.
#[track_caller]
fn says(what: &str, break_it: impl FnOnce(&mut Full)) {
    assert_eq!(noticed(Placement::Good, break_it), what);
}

#[test]
fn each_counter_is_compared_with_what_is_there() {
    macro_rules! each {
        ($($counter:ident)*) => {$(
            says(concat!(stringify!($counter), " is not what the walk found"), |full| {
                full.heap.counters.$counter += 1;
            });
        )*};
    }
    each!(
        live_blocks live_bytes small_blocks small_bytes unit_room reserved_bytes free_bytes
        break_bytes region_bytes segments fence_bytes mapped_blocks mapped_bytes mapped_live
    );
    says("a free chunk is in no bin", |full| {
        let (chunk, size) = full.free();
        // SAFETY: a free chunk, in its bin.
        unsafe { full.heap.free.remove(chunk, size) };
    });
    says("free_blocks is not what the walk found", |full| full.heap.counters.free_blocks -= 1);
    says("the classes have other units than the walk found", |full| full.heap.units.note_unit(1));
}

#[test]
fn each_header_is_where_and_what_it_must_be() {
    says("a header's seal is broken", |full| {
        // SAFETY: the header's second word, which nobody should write to.
        unsafe { full.large[2].sub(8).write(0) };
    });
    says("a boundary tag is not the left chunk's size", |full| {
        let (chunk, _) = full.chunk(2);
        // SAFETY: a header of the heap.
        unsafe { chunk.set_previous(4096) };
    });
    says("a chunk leaves its segment", |full| full.mark(2, |_| 1 << 30, State::Live));
    says("a boundary tag is not the left chunk's size", |full| {
        full.mark(2, |size| 2 * size, State::Live);
    });
    says("a chunk is too small, or the last", |full| full.mark(2, |_| HEADER, State::Live));
    says("two free chunks touch", |full| full.mark(1, |size| size, State::Free));
    says("a second top", |full| full.mark(3, |size| size, State::Top));
    says("a fence does not end its segment", |full| full.mark(2, |size| size, State::Fence));
    says("a mapped block within a segment", |full| full.mark(2, |size| size, State::Mapped));
    says("a unit is not in the map", |full| full.mark(2, |size| size, State::Unit));
    says("live_blocks is not what the walk found", |full| {
        full.mark(2, |size| size, State::Inner);
    });
}

#[test]
fn the_top_ends_its_segment_and_is_clean() {
    says("the top does not end its segment", |full| full.heap.top_size -= 16);
    says("the top's header is not clean", |full| {
        full.heap.clean_from = full.heap.top.unwrap().address() + HEADER - 1;
    });
    // A word of each OS page is read, not its first.
    for offset in [0, 8, 4096 + 8] {
        says("memory promised to be zero is not", |full| {
            let top = full.heap.top.unwrap();
            let mut at = full.heap.clean_from.next_multiple_of(8);
            if offset > 0 {
                at = at.next_multiple_of(4096) + offset;
            }
            assert!(at < top.address() + full.heap.top_size);
            // SAFETY: within the top.
            unsafe { top.start().add(at - top.address()).cast::<usize>().write(1) };
        });
    }
}

#[test]
fn each_units_record_is_that_of_its_blocks() {
    says("the map has another class for a unit", |full| full.unit().class += 1);
    says("a unit has a wrong number of blocks", |full| full.unit().blocks -= 1);
    says("a unit's bits are not its free blocks", |full| full.unit().used += 1);
    says("a unit's bits are not its free blocks", |full| full.unit().used = 0);
    says("a unit is in a wrong tier", |full| full.unit().tier = 0);
    says("a unit has a wrong floor", |full| full.unit().floor += 1);
    says("a unit with free blocks is in no list", |full| {
        let (class, tier) = (full.unit().class, full.unit().tier);
        full.heap.units.tiers[usize::from(class)][usize::from(tier)] = None;
    });
}

#[test]
fn lists_are_whole_and_links_are_mutual() {
    says("a link is not mutual", |full| {
        let (chunk, _) = full.free();
        // SAFETY: a free chunk of the heap.
        unsafe {
            let (next, previous) = chunk.links();
            chunk.set_links(next, previous.is_none().then_some(chunk));
        }
    });
    says("a chunk is in a bin not its own", |full| {
        let (chunk, size) = full.free();
        // SAFETY: a free chunk of the heap, which is put where it does not belong.
        unsafe {
            full.heap.free.remove(chunk, size);
            full.heap.free.insert(chunk, 64);
        }
    });
    says("a bin's bit does not match it, or a bin is a cycle", |full| {
        let (_, size) = full.free();
        let FreeChunks::Bins(bins) = &mut full.heap.free else { unreachable!("bins are good") };
        bins.forget(size);
    });
    says("the list of mappings is a cycle", |full| {
        let mapping = full.mapping();
        mapping.next = Some(NonNull::from(&mut *mapping));
    });
    says("a mapped block's header is not its own", |full| {
        // SAFETY: the record of a mapped block, whose header is right of it.
        unsafe {
            let chunk = Mapping::chunk(NonNull::from(full.mapping()));
            chunk.set(chunk.get().unwrap().0 + 16, State::Mapped);
        }
    });
    let what = noticed(Placement::Best, |full| {
        let (chunk, size) = full.free();
        // SAFETY: a free chunk, in the tree.
        unsafe { full.heap.free.remove(chunk, size) };
    });
    assert_eq!(what, "a free chunk is not in the tree");
}

/// Gives back the first OS page that begins within a block, if that has not happened.
fn give_back(full: &mut Full, inside: NonNull<u8>) {
    let from = inside.addr().get().next_multiple_of(4096);
    // SAFETY: simulated memory; who uses it is to be noticed.
    unsafe { full.heap.returned.discard(&mut full.heap.source, from..from + 4096, Discard::Now) };
}

#[test]
fn os_pages_that_went_back_are_unused_and_zero() {
    let ready = |full: &mut Full| {
        full.heap.purge(0, 4096);
        assert!(full.heap.returned.bytes() > 0);
        full.heap.check().unwrap();
    };
    says("an OS page that is in use counts as returned", |full| {
        ready(full);
        give_back(full, full.large[2]);
    });
    says("an OS page that went back is not zero", |full| {
        ready(full);
        let (free, _) = full.free();
        // SAFETY: behind the links of a free chunk of many OS pages, of each of
        // which the first word is read.
        unsafe {
            let behind = free.start().add(CHUNK_LEAST);
            give_back(full, behind);
            behind.add(behind.as_ptr().align_offset(4096)).write(1);
        }
    });
    says("a unit does not know what went back of it", |full| {
        ready(full);
        let last = *full.small.last().unwrap();
        // SAFETY: still within the unit, where all blocks are free.
        let beyond = unsafe { last.add(4096) };
        give_back(full, beyond);
        full.unit().has_returned = false;
    });
}
