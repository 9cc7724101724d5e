//! The setting for size classes: a scheme by its name, or a list.

use core::fmt;

use super::value::{Bytes, Setting};
use crate::size_class::GRAIN;

/// How requests are rounded up. All classes are multiples of 16 bytes;
/// [`round`](SizeClasses::round) has the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "settings are `const` and `Copy`: no box")]
pub enum SizeClasses {
    /// Every multiple of 16 bytes is a class.
    Spacing16,
    /// Four classes from each power of two to the next.
    Steps4,
    /// Eight classes from each power of two to the next.
    Steps8,
    /// Powers of two.
    Powers,
    /// Those of a list, and beyond its last every multiple of 16 bytes.
    List(ClassList),
}

/// Size classes of one's own, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassList {
    /// In bytes; 0 where there is none.
    sizes: [u32; ClassList::MOST],
    len: usize,
}

impl ClassList {
    /// The most classes of a list.
    pub const MOST: usize = 64;
    /// The largest class of a list, in bytes.
    pub const LARGEST: usize = 1 << 30;

    const EMPTY: ClassList = ClassList { sizes: [0; ClassList::MOST], len: 0 };

    /// The list of these sizes in bytes. `None` if there are none or more than
    /// [`MOST`](ClassList::MOST), if one is no multiple of 16 bytes or more than
    /// [`LARGEST`](ClassList::LARGEST), or if they do not ascend.
    pub const fn new(sizes: &[usize]) -> Option<ClassList> {
        let mut list = ClassList::EMPTY;
        let mut i = 0;
        while i < sizes.len() {
            if !list.push(sizes[i]) {
                return None;
            }
            i += 1;
        }
        if list.len == 0 { None } else { Some(list) }
    }

    /// Adds a size behind the last; `false`, and no change, if it may not be
    /// there.
    const fn push(&mut self, size: usize) -> bool {
        let ascends = size > if self.len == 0 { 0 } else { self.size(self.len - 1) };
        if self.len == ClassList::MOST
            || !ascends
            || !size.is_multiple_of(GRAIN)
            || size > ClassList::LARGEST
        {
            return false;
        }
        self.sizes[self.len] = size as u32;
        self.len += 1;
        true
    }

    /// How many classes there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The class at `index`, in bytes.
    pub(crate) const fn size(&self, index: usize) -> usize {
        self.sizes[index] as usize
    }
}

impl SizeClasses {
    /// Every scheme that has a name.
    pub const ALL: &'static [SizeClasses] =
        &[SizeClasses::Spacing16, SizeClasses::Steps4, SizeClasses::Steps8, SizeClasses::Powers];
}

/// What a list begins with, and what stands between its sizes: no comma, since
/// that separates settings where several are given in one text.
const LIST: &str = "list:";
const BETWEEN: char = '+';

impl Setting for SizeClasses {
    const VALUES: &'static str = "one of spacing16, steps4, steps8, powers, or list:SIZE+SIZE+... \
                                  (up to 64 multiples of 16 bytes in ascending order, K, M, \
                                  none above 1G)";

    fn parse(text: &str) -> Option<SizeClasses> {
        if let Some(sizes) = text.strip_prefix(LIST) {
            let mut list = ClassList::EMPTY;
            let whole = sizes
                .split(BETWEEN)
                .all(|size| Bytes::parse(size).is_some_and(|Bytes(size)| list.push(size)));
            return whole.then_some(SizeClasses::List(list));
        }
        match text {
            "spacing16" => Some(SizeClasses::Spacing16),
            "steps4" => Some(SizeClasses::Steps4),
            "steps8" => Some(SizeClasses::Steps8),
            "powers" => Some(SizeClasses::Powers),
            _ => None,
        }
    }
}

impl fmt::Display for SizeClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizeClasses::Spacing16 => f.write_str("spacing16"),
            SizeClasses::Steps4 => f.write_str("steps4"),
            SizeClasses::Steps8 => f.write_str("steps8"),
            SizeClasses::Powers => f.write_str("powers"),
            SizeClasses::List(list) => {
                f.write_str(LIST)?;
                (0..list.len()).try_for_each(|i| {
                    let size = Bytes(list.size(i));
                    if i == 0 { write!(f, "{size}") } else { write!(f, "{BETWEEN}{size}") }
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_names_are_read_and_printed_back() {
        let most: Vec<_> = (1..=ClassList::MOST).map(|i| (i * GRAIN).to_string()).collect();
        let most = format!("list:{}", most.join("+"));
        for (text, sizes) in [
            ("list:16", &[16][..]),
            ("list:32+64+96", &[32, 64, 96]),
            ("list:48+1K+4K+1M", &[48, 1024, 4096, 1 << 20]),
            ("list:1G", &[ClassList::LARGEST]),
        ] {
            let value = ClassList::new(sizes).map(SizeClasses::List);
            assert!(value.is_some() && SizeClasses::parse(text) == value, "{text}");
            assert_eq!(value.unwrap().to_string(), text);
        }
        assert!(SizeClasses::parse(&most).is_some_and(|most| {
            SizeClasses::ALL
                .iter()
                .chain([&most])
                .all(|value| SizeClasses::parse(&value.to_string()) == Some(*value))
        }));
        assert_eq!(SizeClasses::parse(&format!("{most}+2K")), None, "one too many");
    }

    #[test]
    fn what_is_no_list_of_ascending_multiples_of_16_is_refused() {
        for text in [
            "list",
            "list:",
            "list:0",
            "list:+32",
            "list:32+",
            "list:32++64",
            "list:40",
            "list:32+32",
            "list:64+32",
            "list:32,64",
            "list:32+x",
            "list: 32",
            "list:2G",
            "LIST:32",
            "32+64",
        ] {
            assert_eq!(SizeClasses::parse(text), None, "{text}");
        }
        assert_eq!(ClassList::new(&[]), None);
    }

    #[test]
    fn the_accepted_values_are_said_as_they_are() {
        let said = SizeClasses::VALUES;
        assert!(said.contains(&format!("up to {} multiples of {GRAIN} ", ClassList::MOST)));
        assert!(said.contains(&format!("none above {}", Bytes(ClassList::LARGEST))));
        assert!(SizeClasses::ALL.iter().all(|scheme| said.contains(&scheme.to_string())));
    }
}
