//! The mistakes that there are.

use brkpoint_workloads::op::draw::Bits;

use crate::case::Case;

/// Which mistake is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Bytes of the blocks that it is made with.
    pub size: usize,
    /// Which.
    pub kind: Kind,
}

/// What a program does wrong: with a heap, or with that of its process, which ends
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Frees, measures and resizes what begins a byte after a block does.
    Within,
    /// The same, where a block could begin.
    AtGrain,
    /// Frees and measures a block that is free.
    FreeTwice,
    /// Resizes one.
    ResizeFreed,
    /// Overwrites the links of one.
    FreedLinks,
    /// Overwrites the header of one.
    FreedHeader,
    /// Overwrites a byte so far behind a block's end.
    Overrun(usize),
    /// Overwrites a byte so far behind the end of the block on the left.
    Underrun(usize),
    /// Overwrites a byte so far behind the start of a block's own header.
    Header(usize),
    /// Frees what begins a byte after a block of the process's heap does.
    ProcessFreeWithin,
    /// Resizes it.
    ProcessResizeWithin,
    /// Measures it.
    ProcessMeasureWithin,
    /// Frees a block that is free, and has become part of another.
    ProcessFreeMerged,
    /// Frees a block that is free.
    ProcessFreeTwice,
    /// Frees one that has left the caches.
    ProcessFreeLater,
}

/// What is drawn. Seeds depend on the order.
pub const KINDS: [Kind; 18] = [
    Kind::Within,
    Kind::AtGrain,
    Kind::FreeTwice,
    Kind::ResizeFreed,
    Kind::FreedLinks,
    Kind::FreedHeader,
    Kind::Overrun(0),
    Kind::Overrun(1),
    Kind::Underrun(0),
    Kind::Underrun(1),
    Kind::Header(0),
    Kind::Header(1),
    Kind::ProcessFreeWithin,
    Kind::ProcessResizeWithin,
    Kind::ProcessMeasureWithin,
    Kind::ProcessFreeMerged,
    Kind::ProcessFreeTwice,
    Kind::ProcessFreeLater,
];

impl Kind {
    /// Whether it is made with the process's heap.
    pub fn is_in_process(self) -> bool {
        matches!(
            self,
            Kind::ProcessFreeWithin
                | Kind::ProcessResizeWithin
                | Kind::ProcessMeasureWithin
                | Kind::ProcessFreeMerged
                | Kind::ProcessFreeTwice
                | Kind::ProcessFreeLater
        )
    }

    /// What is done in its place where blocks have no headers, which it is about.
    pub(super) fn without_headers(self) -> Kind {
        match self {
            Kind::FreedLinks
            | Kind::FreedHeader
            | Kind::Overrun(_)
            | Kind::Underrun(_)
            | Kind::Header(_) => Kind::FreeTwice,
            Kind::ProcessMeasureWithin => Kind::ProcessFreeTwice,
            other => other,
        }
    }
}

impl Mistake {
    /// Draws one.
    pub fn draw(bits: &mut impl Bits) -> Mistake {
        let doublings = 5 + bits.below(8);
        let size = bits.below(1 << doublings);
        Mistake { size, kind: KINDS[bits.below(KINDS.len())] }
    }

    /// As the lines of a test in `fuzz/tests/misuse.rs`.
    pub fn test(self, case: &Case) -> String {
        case.test(&format!(
            "run(&Case {{ config, program: program.to_vec() }}, {self:?}).unwrap();"
        ))
    }
}
