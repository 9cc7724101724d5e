//! Entries in fewer bytes: how the recorder keeps a window that is full.
//!
//! ```text
//! entry  = lengths | place | size | time
//! lengths: 1 byte: of place (3 bits, 0 to 6), of size (2, 0 to 2), of time (2: 0, 2, 4 or 8)
//! place:   address and kind, the lowest 48 bits of `first`, less the previous entry's;
//!          the sign is in the lowest bit
//! size:    the upper 16 bits of `first`
//! time:    `second`, less the previous entry's and 1
//! ```
//!
//! Differences wrap. The first entry's previous one is all zero, and its time counts from
//! 0. So any entries come back as they were. Those of one thread are near each other, and
//! the stamps of a thread that is alone mostly one apart: an entry takes 3 to 4.5 bytes.
//!
//! The recorder includes this file as it is, so there is nothing but `core` in it.

use super::raw::Entry;

/// Most bytes that an entry takes.
pub const MOST: usize = 1 + 6 + 2 + 8;
/// A field is written as so many bytes; what is behind it is written over by the next.
const STORE: usize = size_of::<u64>();

/// Bytes that packing so many entries may write to.
pub const fn room(entries: usize) -> usize {
    entries * MOST + STORE
}

/// Packs entries; gives the bytes that they take. There must be [`room`].
pub fn pack(entries: &[Entry], to: &mut [u8]) -> usize {
    assert!(to.len() >= room(entries.len()), "there is room");
    let (mut place, mut time) = (0_u64, 0_u64);
    let mut at = to.as_mut_ptr();
    for entry in entries {
        let moved = (entry.first << 16).wrapping_sub(place).cast_signed();
        // The bit that becomes the lowest is 0 before.
        let moved = ((moved >> 15) ^ (moved >> 63)).cast_unsigned();
        let size = entry.first >> 48;
        let later = entry.second.wrapping_sub(time);
        (place, time) = (entry.first << 16, entry.second.wrapping_add(1));
        let moved_len = (bits(moved) + 7) >> 3;
        let size_len = usize::from(size > 0) + usize::from(size > 0xff);
        // The first byte, and the place behind it.
        let head = moved_len as u64 | (size_len as u64) << 3 | moved << 8;
        // SAFETY: each field begins at most MOST bytes an entry behind the begin, as the
        // lengths are at most 6, 2 and 8, and STORE bytes are there from each such place
        // on, as was asserted.
        unsafe {
            // Where a thread is alone, mostly; a branch is then cheaper than a length.
            if later == 0 {
                put(at, head);
                at = at.add(1 + moved_len);
                put(at, size);
                at = at.add(size_len);
            } else {
                let code = 1 + u64::from(later > 0xffff) + u64::from(later > 0xffff_ffff);
                put(at, head | code << 5);
                at = at.add(1 + moved_len);
                put(at, size);
                at = at.add(size_len);
                put(at, later);
                at = at.add(1 << code);
            }
        }
    }
    at.addr() - to.as_ptr().addr()
}

/// Bits of a number that is less than 2^63.
#[inline(always)]
const fn bits(number: u64) -> usize {
    // Not of 0, for which processors have no answer.
    63 - (number << 1 | 1).leading_zeros() as usize
}

/// # Safety
/// `STORE` bytes may be written from `at` on.
#[inline(always)]
unsafe fn put(at: *mut u8, value: u64) {
    // SAFETY: by contract.
    unsafe { at.cast::<u64>().write_unaligned(value.to_le()) };
}

/// Entries out of packed ones, with the place that has been reached.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unpacker {
    at: usize,
    place: u64,
    time: u64,
}

impl Unpacker {
    /// The next entry of `bytes`; `None`: that is their end, or they are damaged.
    pub fn next(&mut self, bytes: &[u8]) -> Option<Entry> {
        let mut rest = bytes.get(self.at..)?;
        let lengths = usize::from(*rest.split_off_first()?);
        let moved = take(&mut rest, lengths & 7, 6)?;
        let size = take(&mut rest, lengths >> 3 & 3, 2)?;
        let later = take(&mut rest, 1 << (lengths >> 5) & !1, 8)?;
        self.at = bytes.len() - rest.len();
        let moved = moved >> 1 ^ (moved & 1).wrapping_neg();
        self.place = self.place.wrapping_add(moved) & 0xffff_ffff_ffff;
        let second = self.time.wrapping_add(later);
        self.time = second.wrapping_add(1);
        Some(Entry { first: size << 48 | self.place, second })
    }

    /// How many of `bytes` have not been unpacked.
    pub fn rest(&self, bytes: &[u8]) -> usize {
        bytes.len() - self.at
    }
}

/// Takes a number of `len` bytes, which are to be no more than `most`.
#[inline(always)]
fn take(rest: &mut &[u8], len: usize, most: usize) -> Option<u64> {
    if len > most {
        return None;
    }
    let mut number = [0; STORE];
    number[..len].copy_from_slice(rest.split_off(..len)?);
    Some(u64::from_le_bytes(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::raw::{FREE, MALLOC, REFUSED, SIZE_BITS, STAMP_BITS};
    use super::*;

    fn packed(entries: &[Entry]) -> Vec<u8> {
        // What is written behind it would be seen.
        let mut bytes = vec![0xa5; room(entries.len()) + 16];
        let len = pack(entries, &mut bytes[..room(entries.len())]);
        assert!(len <= entries.len() * MOST, "{len}");
        assert_eq!(bytes[room(entries.len())..], [0xa5; 16]);
        bytes.truncate(len);
        bytes
    }

    fn unpacked(bytes: &[u8]) -> (Vec<Entry>, bool) {
        let mut unpacker = Unpacker::default();
        let entries = std::iter::from_fn(|| unpacker.next(bytes)).collect();
        (entries, unpacker.rest(bytes) == 0)
    }

    /// Words near the ends of fields, and any.
    fn word() -> impl Strategy<Value = u64> {
        let near =
            (0_u32..64, -2_i64..3).prop_map(|(bit, off)| (1_u64 << bit).wrapping_add_signed(off));
        prop_oneof![
            Just(0),
            Just(u64::MAX),
            near.clone(),
            near.prop_map(|near| !near),
            any::<u64>()
        ]
    }

    /// An entry as the recorder writes it, or a place where nothing was written.
    fn entry() -> impl Strategy<Value = Entry> {
        let written =
            (MALLOC..=REFUSED, word(), word(), word()).prop_map(|(kind, at, size, stamp)| {
                Entry::new(kind, at, size >> (64 - SIZE_BITS), stamp >> (64 - STAMP_BITS))
            });
        let more =
            (prop::option::of(0_u32..64), word()).prop_map(|(log2, size)| Entry::more(log2, size));
        prop_oneof![8 => written, 1 => more, 1 => Just(Entry { first: 0, second: 0 })]
    }

    proptest! {
        #[test]
        fn entries_come_back(entries in prop::collection::vec(entry(), 0..300)) {
            prop_assert_eq!(unpacked(&packed(&entries)), (entries, true));
        }

        #[test]
        fn any_words_come_back(words in prop::collection::vec((word(), word()), 0..300)) {
            let entries: Vec<Entry> =
                words.into_iter().map(|(first, second)| Entry { first, second }).collect();
            prop_assert_eq!(unpacked(&packed(&entries)), (entries, true));
        }

        #[test]
        fn any_bytes_are_entries_or_not(bytes: Vec<u8>) {
            let (entries, _) = unpacked(&bytes);
            prop_assert!(entries.len() <= bytes.len(), "each takes a byte at least");
        }

        #[test]
        fn what_is_cut_off_is_found_to_be(entries in prop::collection::vec(entry(), 1..40)) {
            let bytes = packed(&entries);
            for len in 0..bytes.len() {
                let (begin, _) = unpacked(&bytes[..len]);
                prop_assert!(begin.len() < entries.len());
                prop_assert_eq!(&begin[..], &entries[..begin.len()]);
            }
        }
    }

    #[test]
    fn entries_of_one_thread_take_few_bytes() {
        let entries: Vec<Entry> = (0..1000)
            .map(|at| {
                let address = 0x5555_5555_6000 + 32 * (at % 7);
                let kind = if at % 2 == 0 { MALLOC } else { FREE };
                Entry::new(kind, address, 24 * u64::from(kind == MALLOC), 1_000_000 + at)
            })
            .collect();
        let len = packed(&entries).len();
        assert!(len < 4 * entries.len(), "{len}");
    }

    #[test]
    fn the_largest_fields_take_no_more_than_there_is_room_for() {
        let entries: Vec<Entry> = (0..1000_u64)
            .map(|at| match at % 2 {
                0 => Entry { first: u64::MAX >> 1 ^ 1 << 46, second: u64::MAX },
                _ => Entry { first: u64::MAX, second: 1 << 63 },
            })
            .collect();
        let bytes = packed(&entries);
        assert!(bytes.len() > entries.len() * (MOST - 1), "{}", bytes.len());
        assert_eq!(unpacked(&bytes), (entries, true));
    }
}
