//! The size-class schemes: how a request below the mmap threshold is rounded,
//! and the numbers that small classes go by.

use crate::config::{ClassList, SizeClasses};

/// Every class is a multiple of this, in bytes; so is every block's address.
pub const GRAIN: usize = 16;

impl SizeClasses {
    /// The class of a request: the bytes that its block will have, at least
    /// `request`. `request` is at most `isize::MAX`.
    ///
    /// All schemes but a list end at 32 KiB: larger blocks are few, no cache keeps
    /// them, and to round them would waste more than all smaller ones together.
    ///
    /// What is wasted is less than [`GRAIN`], or less than the share of the
    /// block that [`waste_bound`](SizeClasses::waste_bound) gives.
    pub const fn round(&self, request: usize) -> usize {
        let grains = if request == 0 { GRAIN } else { request.next_multiple_of(GRAIN) };
        match self {
            SizeClasses::List(list) => listed(grains, list),
            _ if grains > NUMBERED_MOST => grains,
            SizeClasses::Spacing16 => grains,
            SizeClasses::Steps4 => stepped(grains, 4),
            SizeClasses::Steps8 => stepped(grains, 8),
            SizeClasses::Powers => grains.next_power_of_two(),
        }
    }

    /// The share of a block, as (numerator, denominator), that rounding to its
    /// class wastes less than, where the class is wider than [`GRAIN`]: the
    /// widest class's width to its size, (0, 1) if none is wider.
    pub const fn waste_bound(&self) -> (usize, usize) {
        // A scheme is the same in every doubling from a few hundred bytes on.
        let last = match self {
            SizeClasses::List(list) => list.size(list.len() - 1),
            _ => NUMBERED_MOST,
        };
        let (mut part, mut whole) = (0, 1);
        let mut below = 0;
        while below < last {
            let class = self.round(below + 1);
            let width = class - below;
            if width > GRAIN && width * whole > part * class {
                (part, whole) = (width, class);
            }
            below = class;
        }
        (part, whole)
    }
}

/// `size` rounded up to the list's class, or as it is beyond the last.
const fn listed(size: usize, list: &ClassList) -> usize {
    let mut i = 0;
    while i < list.len() {
        if size <= list.size(i) {
            return list.size(i);
        }
        i += 1;
    }
    size
}

/// `size` rounded up to one of `steps` equal steps between powers of two.
const fn stepped(size: usize, steps: usize) -> usize {
    // The power of two below `size`, or `size` itself less the step it ends.
    let below = 1 << (size - 1).ilog2();
    let step = below / steps;
    if step <= GRAIN { size } else { size.next_multiple_of(step) }
}

/// Requests of up to this many bytes have classes with numbers.
pub(crate) const NUMBERED_MOST: usize = 32 << 10;
/// The last number there may be. A scheme with more classes below
/// [`NUMBERED_MOST`] numbers only its first.
pub(crate) const CLASS_LAST: usize = 127;

/// The classes of one scheme, numbered from 1: the table that units and thread
/// caches go by. 0 stands for "no such class".
///
/// ```text
/// sizes[1] < sizes[2] < ... < sizes[last]
/// of(n) == c > 0   =>  sizes[c - 1] < n <= sizes[c] == round(n)       (n > 0)
/// of(n) == 0      <=>  n > sizes[last]                                (n > 0)
/// ```
#[derive(Clone)]
pub(crate) struct Classes {
    sizes: [u32; CLASS_LAST + 1],
    last: u8,
    of_grains: [u8; NUMBERED_MOST / GRAIN + 1],
}

impl Classes {
    /// No class at all.
    pub(crate) const NONE: Classes =
        Classes { sizes: [0; CLASS_LAST + 1], last: 0, of_grains: [0; NUMBERED_MOST / GRAIN + 1] };

    pub(crate) const fn new(scheme: &SizeClasses) -> Classes {
        let mut classes = Classes::NONE;
        let mut grains = 0;
        while (classes.last as usize) < CLASS_LAST {
            let size = scheme.round(classes.sizes[classes.last as usize] as usize + 1);
            if size > NUMBERED_MOST {
                break;
            }
            classes.last += 1;
            classes.sizes[classes.last as usize] = size as u32;
            while grains * GRAIN <= size {
                classes.of_grains[grains] = classes.last;
                grains += 1;
            }
        }
        classes
    }

    /// The class of a request, or 0.
    #[inline]
    pub(crate) fn of(&self, request: usize) -> usize {
        match self.of_grains.get(request.div_ceil(GRAIN)) {
            Some(&class) => usize::from(class),
            None => 0,
        }
    }

    /// The last class whose blocks fit into `bytes`; 0 if there is none, or if
    /// it might be much smaller.
    pub(crate) fn within(&self, bytes: usize) -> usize {
        match self.of(bytes) {
            0 => 0,
            class if self.size(class) <= bytes => class,
            class => class - 1,
        }
    }

    /// The bytes of a block of `class`.
    #[inline]
    pub(crate) const fn size(&self, class: usize) -> usize {
        self.sizes[class] as usize
    }

    /// The largest number.
    pub(crate) const fn last(&self) -> usize {
        self.last as usize
    }
}

/// Each scheme keeps the promises of `round` on requests up to 64 KiB and
/// round the powers of two beyond.
const _: () = {
    const fn holds(scheme: &SizeClasses, (part, whole): (usize, usize), request: usize) {
        let class = scheme.round(request);
        let waste = class - request;
        assert!(class.is_multiple_of(GRAIN) && class > 0);
        assert!(scheme.round(class) == class);
        assert!(waste <= GRAIN && (waste < GRAIN || request == 0) || waste * whole < class * part);
        assert!(request == 0 || scheme.round(request - 1) <= class);
    }
    let schemes = SizeClasses::ALL;
    let mut i = 0;
    while i < schemes.len() {
        let bound = schemes[i].waste_bound();
        let mut request = 0;
        while request <= 4096 {
            holds(&schemes[i], bound, request);
            request += 1;
        }
        let mut power = 4096;
        while power < 1 << 46 {
            holds(&schemes[i], bound, power - 1);
            holds(&schemes[i], bound, power);
            holds(&schemes[i], bound, power + 1);
            power <<= 1;
        }
        i += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_of_a_doubling_are_counted() {
        for (scheme, classes) in [
            (SizeClasses::Spacing16, 64),
            (SizeClasses::Steps4, 4),
            (SizeClasses::Steps8, 8),
            (SizeClasses::Powers, 1),
        ] {
            let mut seen: Vec<_> = (1025..=2048).map(|size| scheme.round(size)).collect();
            seen.dedup();
            assert_eq!(seen.len(), classes, "{scheme}");
        }
    }

    /// Lists with steps of all widths, that end early, late, and beyond what
    /// has numbers; and one of as many classes as there may be.
    fn lists() -> Vec<SizeClasses> {
        let most: Vec<usize> = (1..=ClassList::MOST).map(|i| i * i * GRAIN).collect();
        [&[16][..], &[32, 64, 96], &[48, 64, 4096, 4112, 30_000 / 16 * 16], &[1 << 20], &most]
            .map(|sizes| SizeClasses::List(ClassList::new(sizes).expect("ascending multiples")))
            .to_vec()
    }

    fn schemes() -> Vec<SizeClasses> {
        [SizeClasses::ALL, &lists()].concat()
    }

    #[test]
    fn waste_bounds_come_from_the_classes() {
        let bounds: Vec<_> = schemes().iter().map(SizeClasses::waste_bound).collect();
        let expected = [
            (0, 1),
            (32, 160),
            (32, 288),
            (32, 64),
            (0, 1),
            (32, 32),
            (48, 48),
            (1 << 20, 1 << 20),
        ];
        assert_eq!(bounds[..8], expected);
        assert_eq!(bounds[8], (48, 64), "the second of 16, 64, 144, ...");
    }

    #[test]
    fn numbers_and_sizes_agree_with_rounding() {
        for scheme in schemes() {
            let classes = Classes::new(&scheme);
            let most = classes.size(classes.last());
            for request in 0..=NUMBERED_MOST + 1 {
                let class = classes.of(request);
                assert_eq!(class == 0, request > most || most == 0, "{scheme} {request}");
                if class > 0 {
                    assert_eq!(classes.size(class), scheme.round(request), "{scheme} {request}");
                }
                let within = classes.within(request);
                assert!(classes.size(within) <= request);
                assert!(class == 0 || within == class || within + 1 == class);
            }
        }
        assert_eq!(Classes::new(&SizeClasses::Steps8).last(), 72);
    }

    proptest! {
        #[test]
        fn waste_is_within_its_bound(request in 1_usize..1 << 40, scheme in prop::sample::select(schemes())) {
            let class = scheme.round(request);
            let (part, whole) = scheme.waste_bound();
            prop_assert!(class >= request);
            prop_assert!(class - request < GRAIN || (class - request) * whole < class * part);
        }
    }
}
