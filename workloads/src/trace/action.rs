//! One call of the malloc family, with slots in the place of addresses.

/// Which function was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// `malloc`.
    Malloc = 0,
    /// `calloc`: the size is the product.
    Calloc = 1,
    /// `memalign`, `aligned_alloc`, `posix_memalign` and their like.
    Aligned = 2,
    /// `realloc` of a block.
    Realloc = 3,
    /// `free` of a block.
    Free = 4,
    /// A request that was not granted: nothing is in a slot.
    Refused = 5,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 6] =
        [Kind::Malloc, Kind::Calloc, Kind::Aligned, Kind::Realloc, Kind::Free, Kind::Refused];

    /// The name of the function, or what became of it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Malloc => "malloc",
            Kind::Calloc => "calloc",
            Kind::Aligned => "aligned",
            Kind::Realloc => "realloc",
            Kind::Free => "free",
            Kind::Refused => "refused",
        }
    }
}

/// One call, in 16 bytes.
///
/// ```text
/// call = size (48 bits) | kind (4) | given (1) | taken (1) | log2 of the alignment (6)
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Action {
    call: u64,
    slot: u32,
    to: u32,
}

const SIZE_BITS: u32 = 48;
const KIND: u32 = SIZE_BITS;
const GIVEN: u64 = 1 << 52;
const TAKEN: u64 = 1 << 53;
const ALIGN: u32 = 54;
/// The largest size that takes one word in memory.
const NARROW: u64 = (1 << 24) - 1;

/// The largest size that an action can have: no machine has so much.
pub const MAX_SIZE: u64 = (1 << SIZE_BITS) - 1;
/// The largest log2 of an alignment.
pub const MAX_ALIGN: u8 = 47;

impl Action {
    const fn new(kind: Kind, size: u64, slot: u32, to: u32) -> Action {
        let size = if size > MAX_SIZE { MAX_SIZE } else { size };
        Action { call: size | (kind as u64) << KIND, slot, to }
    }

    /// A block of `size` bytes into an empty slot.
    pub const fn malloc(slot: u32, size: u64) -> Action {
        Action::new(Kind::Malloc, size, slot, slot)
    }

    /// The same, of zeros.
    pub const fn calloc(slot: u32, size: u64) -> Action {
        Action::new(Kind::Calloc, size, slot, slot)
    }

    /// The same, at a multiple of 2^`align`.
    pub const fn aligned(slot: u32, size: u64, align: u8) -> Action {
        let mut action = Action::new(Kind::Aligned, size, slot, slot);
        let align = if align > MAX_ALIGN { MAX_ALIGN } else { align };
        action.call |= (align as u64) << ALIGN;
        action
    }

    /// The block of `slot` resized, and then in slot `to`.
    pub const fn realloc(slot: u32, to: u32, size: u64) -> Action {
        Action::new(Kind::Realloc, size, slot, to)
    }

    /// The block of `slot` freed.
    pub const fn free(slot: u32) -> Action {
        Action::new(Kind::Free, 0, slot, slot)
    }

    /// A request that nobody granted.
    pub const fn refused(size: u64) -> Action {
        Action::new(Kind::Refused, size, 0, 0)
    }

    /// Appends the action as a replay has it in memory: one word, or two.
    ///
    /// ```text
    /// first  = kind (4 bits) | given | taken | wide | 0 | size, lowest 24 bits | slot (32 bits)
    /// second = size, upper 24 bits | log2 of the alignment (8) | to (32 bits); if it is wide
    /// ```
    pub(super) fn pack(self, out: &mut Vec<u64>) {
        let size = self.size();
        let wide = size > NARROW || self.to != self.slot || self.align() > 0;
        let flags = self.call >> KIND & 63 | u64::from(wide) << 6;
        out.push(flags | (size & NARROW) << 8 | u64::from(self.slot) << 32);
        if wide {
            out.push(size >> 24 | u64::from(self.align()) << 24 | u64::from(self.to) << 32);
        }
    }

    /// Takes an action off the front; `None`: there is none.
    #[inline(always)]
    pub(super) fn unpack(words: &mut std::slice::Iter<'_, u64>) -> Option<Action> {
        let &word = words.next()?;
        let (flags, slot) = (word & 63, (word >> 32) as u32);
        let mut action = Action { call: word >> 8 & NARROW | flags << KIND, slot, to: slot };
        if word & 64 != 0 {
            let &more = words.next()?;
            action.call |= (more & NARROW) << 24 | (more >> 24 & 63) << ALIGN;
            action.to = (more >> 32) as u32;
        }
        Some(action)
    }

    /// Which function.
    #[inline(always)]
    pub const fn kind(self) -> Kind {
        match self.call >> KIND & 15 {
            0 => Kind::Malloc,
            1 => Kind::Calloc,
            2 => Kind::Aligned,
            3 => Kind::Realloc,
            4 => Kind::Free,
            _ => Kind::Refused,
        }
    }

    /// Bytes requested; 0 of a free.
    #[inline(always)]
    pub const fn size(self) -> u64 {
        self.call & MAX_SIZE
    }

    /// The slot of the block that is resized or freed, or else of the new one.
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// The slot of the block that comes of it.
    #[inline(always)]
    pub const fn to(self) -> u32 {
        self.to
    }

    /// Log2 of the alignment; 0 but of [`Kind::Aligned`].
    #[inline(always)]
    pub const fn align(self) -> u8 {
        (self.call >> ALIGN) as u8
    }

    /// Whether another thread takes the block soon: it may be waiting.
    #[inline(always)]
    pub const fn given(self) -> bool {
        self.call & GIVEN != 0
    }

    /// Whether the block that is resized or freed is one that another thread gave
    /// not long ago: it is to be waited for.
    #[inline(always)]
    pub const fn taken(self) -> bool {
        self.call & TAKEN != 0
    }

    /// Whether a block is in [`to`](Self::to) afterwards.
    #[inline(always)]
    pub const fn gives_block(self) -> bool {
        !matches!(self.kind(), Kind::Free | Kind::Refused)
    }

    /// Whether the block of [`slot`](Self::slot) goes.
    #[inline(always)]
    pub const fn takes_block(self) -> bool {
        matches!(self.kind(), Kind::Realloc | Kind::Free)
    }

    /// The same, given.
    pub const fn with_given(mut self) -> Action {
        self.call |= GIVEN;
        self
    }

    /// The same, taken.
    pub const fn with_taken(mut self) -> Action {
        self.call |= TAKEN;
        self
    }

    /// The same, its block in slot `to`.
    pub const fn moved(mut self, to: u32) -> Action {
        if !matches!(self.kind(), Kind::Realloc) {
            self.slot = to;
        }
        self.to = to;
        self
    }
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind().name(), self.slot)?;
        if self.to != self.slot {
            write!(f, "->{}", self.to)?;
        }
        if self.kind() != Kind::Free {
            write!(f, " {} B", self.size())?;
        }
        if self.kind() == Kind::Aligned {
            write!(f, " at 2^{}", self.align())?;
        }
        if self.taken() {
            f.write_str(" taken")?;
        }
        if self.given() {
            f.write_str(" given")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_packed_action_comes_back(
            slot: u32,
            to: u32,
            size in prop_oneof![0..1_u64 << 25, 0..=MAX_SIZE],
            align in 0..=MAX_ALIGN,
            which in 0..6,
            given: bool,
            taken: bool,
        ) {
            let action = match which {
                0 => Action::malloc(slot, size),
                1 => Action::calloc(slot, size),
                2 => Action::aligned(slot, size, align),
                3 => Action::realloc(slot, to, size),
                4 => Action::free(slot),
                _ => Action::refused(size),
            };
            let action = if given { action.with_given() } else { action };
            let action = if taken { action.with_taken() } else { action };
            let mut words = Vec::new();
            action.pack(&mut words);
            prop_assert!(words.len() <= 2);
            let mut rest = words.iter();
            prop_assert_eq!(Action::unpack(&mut rest), Some(action));
            prop_assert_eq!(rest.len(), 0);
        }
    }
}
