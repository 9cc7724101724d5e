//! The kinds of settings: their meaning, how they are read and printed.

use core::fmt;

/// Something that can be set from text and prints as that text.
pub(super) trait Setting: Sized + fmt::Display {
    /// The accepted values, for people.
    const VALUES: &'static str;

    /// Reads a value; `None` if the text is not one.
    fn parse(text: &str) -> Option<Self>;
}

/// A number of bytes, printed with the largest exact suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub usize);

/// The suffixes of sizes, largest first.
const SUFFIXES: [(u8, u32); 4] = [(b'T', 40), (b'G', 30), (b'M', 20), (b'K', 10)];

impl Setting for Bytes {
    const VALUES: &'static str = "a size in bytes, with K, M, G or T if you like";

    fn parse(text: &str) -> Option<Bytes> {
        let suffix = SUFFIXES.into_iter().find(|(letter, _)| {
            text.as_bytes().last().map(u8::to_ascii_uppercase) == Some(*letter)
        });
        let (digits, shift) = match suffix {
            Some((_, shift)) => (&text[..text.len() - 1], shift),
            None => (text, 0),
        };
        let Count(number) = Count::parse(digits)?;
        // A size beyond the address space is a slip of the finger.
        let bytes = number.checked_mul(1 << shift)?;
        (bytes <= 1 << 47).then_some(Bytes(bytes))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, shift) in SUFFIXES {
            if self.0 != 0 && self.0 & ((1 << shift) - 1) == 0 {
                return write!(f, "{}{}", self.0 >> shift, char::from(letter));
            }
        }
        write!(f, "{}", self.0)
    }
}

/// A number of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub usize);

impl Setting for Count {
    const VALUES: &'static str = "a number";

    fn parse(text: &str) -> Option<Count> {
        // `usize::from_str` takes a leading `+`; settings do not.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse().ok().map(Count) } else { None }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

impl Setting for Switch {
    const VALUES: &'static str = "0 or 1";

    fn parse(text: &str) -> Option<Switch> {
        match text {
            "0" => Some(Switch(false)),
            "1" => Some(Switch(true)),
            _ => None,
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        u8::from(self.0).fmt(f)
    }
}

/// The size from which a request gets a mapping of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmapThreshold {
    /// No request does.
    Off,
    /// Requests of this many bytes or more do; with 0 every request does.
    Fixed(usize),
    /// Begins at this many bytes and rises: a mapping of up to
    /// [`DYNAMIC_MOST`](MmapThreshold::DYNAMIC_MOST) bytes that is freed sets
    /// the threshold to its size, and the trim threshold to twice that.
    Dynamic(usize),
}

impl MmapThreshold {
    /// The largest mapping that raises a dynamic threshold, in bytes.
    pub const DYNAMIC_MOST: usize = 32 << 20;
    /// Where `dynamic` begins unless told otherwise, in bytes.
    const DYNAMIC_START: usize = 128 << 10;
}

impl Setting for MmapThreshold {
    const VALUES: &'static str =
        "a size in bytes (K, M, G), 0 (every block is mapped), off, dynamic or dynamic:SIZE";

    fn parse(text: &str) -> Option<MmapThreshold> {
        match text {
            "off" => Some(MmapThreshold::Off),
            "dynamic" => Some(MmapThreshold::Dynamic(Self::DYNAMIC_START)),
            _ => match text.strip_prefix("dynamic:") {
                Some(start) => Bytes::parse(start).map(|start| MmapThreshold::Dynamic(start.0)),
                None => Bytes::parse(text).map(|size| MmapThreshold::Fixed(size.0)),
            },
        }
    }
}

impl fmt::Display for MmapThreshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            MmapThreshold::Off => f.write_str("off"),
            MmapThreshold::Fixed(size) => Bytes(size).fmt(f),
            MmapThreshold::Dynamic(size) => write!(f, "dynamic:{}", Bytes(size)),
        }
    }
}

/// An enum whose values have names.
macro_rules! named {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type {
            $($(#[$doc])* $variant,)+
        }

        impl $type {
            /// Every value.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// Its name, as in the environment.
            pub const fn name(self) -> &'static str {
                match self { $($type::$variant => $name),+ }
            }

            /// The value of that name.
            pub fn by_name(name: &str) -> Option<$type> {
                match name { $($name => Some($type::$variant),)+ _ => None }
            }
        }

        impl $crate::config::value::Setting for $type {
            const VALUES: &'static str = $crate::config::value::list!($($name)+);

            fn parse(text: &str) -> Option<$type> {
                $type::by_name(text)
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

/// `"a" "b" "c"` as `"one of a, b, c"`.
macro_rules! list {
    ($first:literal $($rest:literal)*) => { concat!("one of ", $first $(, ", ", $rest)*) };
}

pub(super) use {list, named};

named! {
    /// Where the heap writes down what it knows of a small block.
    Metadata {
        /// In a header of 16 bytes left of each block: the textbook's layout.
        /// Every free is checked: a double free, a pointer that is no block's
        /// and an overwritten header are noticed.
        Header = "header",
        /// In tables apart from blocks of up to `slab_max` bytes, one bit a
        /// block. A double free, or the free of what is no block's start, is
        /// noticed only when the block leaves its thread's cache, and never
        /// if it was handed out again in between.
        OutOfBand = "out-of-band",
    }
}

named! {
    /// Which free chunk a request is cut from. Under every placement what is
    /// left over of it is put back, and the top comes last.
    Placement {
        /// Nearly the smallest that fits, in a bounded number of steps: good
        /// fit, from bins of similar sizes.
        Good = "good",
        /// The one with the lowest address that fits.
        First = "first",
        /// The smallest that fits; of equal ones, that of the lowest address.
        Best = "best",
        /// The next by address that fits, from where the last search ended;
        /// behind the last begins the first again.
        Next = "next",
    }
}

named! {
    /// When free memory at the break goes back to the OS.
    Trim {
        /// Never; the footprint of the heap is its peak.
        Never = "never",
        /// When the top exceeds the trim threshold; `top_pad` of it stays.
        Threshold = "threshold",
        /// Whenever a whole OS page of it is free.
        Eager = "eager",
        /// As `threshold`, but what was given back and is needed again within
        /// `trim_decay` is kept the next time, until nobody has needed it for
        /// so long. Time is looked at when something is freed.
        Decay = "decay",
    }
}

named! {
    /// How OS pages that are free inside the heap go back to the OS while
    /// their address space stays; `trim` says when.
    Purge {
        /// Not at all: only what ends at the break goes back.
        Never = "never",
        /// At once: the resident set shrinks, and the next use costs a minor
        /// fault each (MADV_DONTNEED).
        DontNeed = "dontneed",
        /// When the kernel wants memory: until then they count as resident and
        /// cost nothing to use again (MADV_FREE).
        Free = "free",
    }
}

named! {
    /// What plays the break.
    BreakSource {
        /// The process's own, moved through libc's `sbrk`.
        ///
        /// Only for an allocator that owns the process: libc's own malloc
        /// moves the same break without any lock of ours, and two threads that
        /// do so at once get the same memory. A foreign `sbrk` that does not
        /// race is tolerated.
        Program = "program",
        /// Address space reserved for this heap alone.
        Reserved = "reserved",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_suffixes_and_printed_back() {
        for (text, bytes) in [
            ("0", 0),
            ("64K", 65_536),
            ("64k", 65_536),
            ("3M", 3 << 20),
            ("2G", 2 << 30),
            ("100", 100),
        ] {
            assert_eq!(Bytes::parse(text), Some(Bytes(bytes)), "{text}");
            assert_eq!(Bytes::parse(&Bytes(bytes).to_string()), Some(Bytes(bytes)));
        }
        for text in [
            "",
            "K",
            "-1",
            "+1",
            "1.5M",
            "12Q",
            "64KB",
            "1 K",
            "99999999999G",
            "18446744073709551616",
        ] {
            assert_eq!(Bytes::parse(text), None, "{text}");
        }
    }

    #[test]
    fn thresholds_are_read_and_printed_back() {
        for value in [
            MmapThreshold::Off,
            MmapThreshold::Fixed(0),
            MmapThreshold::Fixed(65_536),
            MmapThreshold::Dynamic(1 << 20),
        ] {
            assert_eq!(MmapThreshold::parse(&value.to_string()), Some(value));
        }
        assert_eq!(MmapThreshold::parse("dynamic"), Some(MmapThreshold::Dynamic(131_072)));
        assert_eq!(MmapThreshold::parse("dynamic:"), None);
        assert_eq!(MmapThreshold::parse("OFF"), None);
    }
}
