//! Operations out of random bits.
//!
//! One drawing serves a seeded generator and a fuzzer's bytes alike. It favours
//! what allocators get wrong: sizes next to powers of two, to size classes, to
//! OS pages and to thresholds, sizes that are multiples of their alignment, and
//! requests that nobody can grant.

use super::{Event, Op};

/// Where bits come from.
pub trait Bits {
    /// A number of `bits` random bits, at most 64. A source of bytes gives
    /// whole bytes, and zero when it has no more.
    fn bits(&mut self, bits: u32) -> u64;

    /// A number below `bound`, which is not 0; its slight bias does not matter
    /// here. Uses no more bits than `bound` needs.
    fn below(&mut self, bound: usize) -> usize {
        let most = bound as u64 - 1;
        let bits = (u64::BITS - most.leading_zeros()).div_ceil(8) * 8;
        // A byte more than needed evens the remainder out, but for small ones.
        (self.bits(bits.max(8)) % bound as u64) as usize
    }

    /// Whether something happens that has `chances` of 256.
    fn happens(&mut self, chances: u8) -> bool {
        (self.bits(8) as u8) < chances
    }
}

/// What programs are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// Slots are below this number, at least 1.
    pub slots: u32,
    /// The largest request that an allocator is expected to grant, in bytes.
    pub largest: usize,
    /// The largest alignment in bytes, a power of two.
    pub align_most: usize,
    /// Sizes to try the neighbourhood of, such as thresholds, in bytes.
    pub edges: &'a [usize],
    /// Whether impossible requests are made, too.
    pub impossible: bool,
    /// Which events happen.
    pub events: Events,
}

impl Shape<'_> {
    /// What any allocator grants: blocks of up to 64 KiB, aligned to no more
    /// than an OS page, and no event.
    pub const PLAIN: Shape<'static> = Shape {
        slots: 64,
        largest: 64 << 10,
        align_most: 4096,
        edges: &[],
        impossible: false,
        events: Events::NONE,
    };
}

/// Which events happen. Each is drawn as often as any other that does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// [`Event::Trim`].
    pub trim: bool,
    /// [`Event::Set`].
    pub set: bool,
    /// [`Event::Thread`] and [`Event::End`], over so many threads; 0 for none.
    pub threads: u32,
    /// [`Event::Fork`].
    pub fork: bool,
    /// [`Event::Wait`].
    pub wait: bool,
    /// [`Event::Fail`].
    pub fail: bool,
    /// [`Event::MoveBreak`].
    pub move_break: bool,
}

/// The largest alignment that a [`Generator`](super::Generator) draws unless
/// told otherwise, in bytes.
pub const ALIGN_MOST: usize = 64 << 10;

/// Requests of more bytes than any allocator can grant: `PTRDIFF_MAX` is where
/// C says no, and the address space of a process ends at 2^47.
const IMPOSSIBLE: [usize; 8] = [
    isize::MAX as usize,
    isize::MAX as usize + 1,
    isize::MAX as usize - 4095,
    usize::MAX,
    usize::MAX - 15,
    usize::MAX - 4095,
    usize::MAX / 2 + 4096,
    1 << 62,
];

/// The size in bytes from which on a request is impossible: a user's half of
/// the address space has no more on x86-64.
pub const IMPOSSIBLE_FROM: usize = 1 << 47;

impl Events {
    /// None of them.
    pub const NONE: Events = Events {
        trim: false,
        set: false,
        threads: 0,
        fork: false,
        wait: false,
        fail: false,
        move_break: false,
    };
}

impl Op {
    /// Draws an operation.
    pub fn draw(bits: &mut (impl Bits + ?Sized), shape: &Shape<'_>) -> Op {
        let kind = bits.bits(8);
        if kind >= 250
            && let Some(event) = Event::draw(bits, &shape.events)
        {
            return Op::Event(event);
        }
        let slot = bits.below(shape.slots as usize) as u32;
        match kind {
            0..112 => {
                let align = draw_align(bits, shape.align_most);
                let size = draw_size(bits, shape, align);
                Op::Alloc { slot, size, align, zeroed: kind.is_multiple_of(4) }
            }
            112..120 => draw_calloc(bits, shape, slot),
            120..168 => Op::Realloc { slot, size: draw_size(bits, shape, 16) },
            168..174 => Op::Usable { slot },
            _ => Op::Free { slot },
        }
    }
}

fn draw_align(bits: &mut (impl Bits + ?Sized), most: usize) -> usize {
    match bits.bits(8) {
        drawn @ 0..32 => 1 << (drawn as u32 % (most.ilog2() + 1)),
        32..64 => 8.min(most),
        _ => 16.min(most),
    }
}

fn draw_size(bits: &mut (impl Bits + ?Sized), shape: &Shape<'_>, align: usize) -> usize {
    let doublings = shape.largest.ilog2() as usize + 1;
    let size = match bits.bits(8) {
        drawn @ 0..32 => {
            // A multiple of the alignment, most often a small one.
            let most = (1_usize << (drawn as usize % doublings)) / align;
            align * (1 + bits.below(most.max(1)))
        }
        drawn @ 32..64 => {
            let power = 1_usize << (drawn as usize % doublings);
            (power + 32).saturating_sub(bits.below(65))
        }
        drawn @ 64..80 if !shape.edges.is_empty() => {
            let edge = shape.edges[drawn as usize % shape.edges.len()];
            (edge + 24).saturating_sub(bits.below(49))
        }
        drawn @ 80..88 => {
            // Whole OS pages, and a few bytes more or less.
            let pages = bits.below(shape.largest / 4096 + 1);
            (pages * 4096 + 4).saturating_sub(drawn as usize % 8)
        }
        drawn @ 88..90 if shape.impossible => {
            let size = IMPOSSIBLE[bits.below(IMPOSSIBLE.len())];
            return size - drawn as usize % 2;
        }
        drawn @ 90..160 => drawn as usize * 3 - 270,
        drawn => {
            let power = 1_usize << (drawn as usize % doublings);
            power + bits.below(power)
        }
    };
    size.min(shape.largest)
}

fn draw_calloc(bits: &mut (impl Bits + ?Sized), shape: &Shape<'_>, slot: u32) -> Op {
    let drawn = bits.bits(8) as usize;
    if drawn < 32 && shape.impossible {
        // A product that overflows, often to a small number.
        let size = 1_usize << (1 + drawn % 32);
        let count = usize::MAX / size + 1 + bits.below(17);
        return if drawn.is_multiple_of(2) {
            Op::Calloc { slot, count, size }
        } else {
            Op::Calloc { slot, count: size, size: count }
        };
    }
    let size = 1 + drawn % 64;
    let count = draw_size(bits, &Shape { impossible: false, ..*shape }, size);
    Op::Calloc { slot, count: (count / size).max(usize::from(count > 0)), size }
}

impl Event {
    /// Draws an event; `None` if there is to be none.
    fn draw(bits: &mut (impl Bits + ?Sized), events: &Events) -> Option<Event> {
        let Events { trim, set, threads, fork, wait, fail, move_break } = *events;
        let threads_of = usize::try_from(threads).unwrap_or(usize::MAX);
        let possible = [trim, set, threads > 1, threads > 1, fork, wait, fail, move_break];
        let count = possible.iter().filter(|&&possible| possible).count();
        if count == 0 {
            return None;
        }
        let drawn = bits.below(count);
        let (kind, _) =
            possible.iter().enumerate().filter(|(_, possible)| **possible).nth(drawn)?;
        Some(match kind {
            0 => Event::Trim { keep: if bits.happens(128) { 0 } else { bits.below(1 << 18) } },
            1 => Event::Set { knob: bits.bits(8) as u32, value: bits.bits(16) as usize },
            2 => Event::Thread { thread: bits.below(threads_of) as u32 },
            3 => Event::End { thread: bits.below(threads_of) as u32 },
            4 => Event::Fork,
            5 => Event::Wait { milliseconds: 1 << bits.below(12) },
            6 => Event::Fail {
                after: bits.below(8) as u32,
                // Now and then until further notice.
                count: if bits.happens(32) { u32::MAX } else { 1 + bits.below(6) as u32 },
            },
            _ => Event::MoveBreak { bytes: 1 + bits.below(8192) as u32 },
        })
    }
}
