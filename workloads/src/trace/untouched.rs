//! Blocks of which a program did not touch all: what else is known of them than their
//! calls.

use std::ops::Range;

use super::varint;

/// Bytes of an OS page, which is what is touched or not.
pub const OS_PAGE: u64 = 4096;

/// Of smaller blocks it is not kept, in bytes: these are the large ones.
pub const LARGE: u64 = 2 * OS_PAGE;

/// Most blocks of which a frame tells.
pub(super) const MOST: usize = 64 << 10;

/// Most bytes that a frame takes for each.
pub(super) const MOST_BYTES: u32 = 5 + 10 + 10;

/// A large block of which OS pages were not touched while it was live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Untouched {
    /// The thread whose action it comes of.
    pub thread: u32,
    /// Which of the thread's actions that give a large block, from 0.
    pub place: u64,
    /// OS pages; as if they were its last.
    pub pages: u64,
}

/// The addresses of the OS pages that lie in a block, none of them shared.
pub fn whole_pages(address: u64, size: u64) -> Range<u64> {
    let start = address.checked_next_multiple_of(OS_PAGE).unwrap_or(address);
    let end = address.saturating_add(size) / OS_PAGE * OS_PAGE;
    start..end.max(start)
}

/// Appends `all`, which ascend.
pub(super) fn put(out: &mut Vec<u8>, all: &[Untouched]) {
    let mut last = Untouched { thread: 0, place: 0, pages: 0 };
    for &one in all {
        varint::put(out, (one.thread - last.thread).into());
        let since = if one.thread == last.thread { last.place } else { 0 };
        varint::put(out, one.place - since);
        varint::put(out, one.pages);
        last = one;
    }
}

/// Reads `count` of them; `None`: the bytes are something else.
pub(super) fn take(mut bytes: &[u8], count: u32) -> Option<Vec<Untouched>> {
    let mut all = Vec::new();
    let mut last = Untouched { thread: 0, place: 0, pages: 0 };
    for _ in 0..count {
        let further = u32::try_from(varint::take(&mut bytes)?).ok()?;
        let since = if further == 0 { last.place } else { 0 };
        last = Untouched {
            thread: last.thread.checked_add(further)?,
            place: since.checked_add(varint::take(&mut bytes)?)?,
            pages: varint::take(&mut bytes)?,
        };
        all.push(last);
    }
    bytes.is_empty().then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_come_back(all in btree_map((0..9_u32, any::<u64>()), any::<u64>(), 0..50)) {
            let all: Vec<Untouched> = all
                .into_iter()
                .map(|((thread, place), pages)| Untouched { thread, place, pages })
                .collect();
            let mut bytes = Vec::new();
            put(&mut bytes, &all);
            prop_assert!(bytes.len() <= all.len() * MOST_BYTES as usize);
            prop_assert_eq!(take(&bytes, all.len() as u32), Some(all.clone()));
            bytes.push(0);
            prop_assert_eq!(take(&bytes, all.len() as u32), None);
        }

        #[test]
        fn any_bytes_are_some_or_not(bytes: Vec<u8>, count in 0..20_u32) {
            let _ = take(&bytes, count);
        }
    }

    #[test]
    fn pages_that_are_shared_with_neighbours_do_not_count() {
        assert_eq!(whole_pages(4096 + 16, 8192 - 16), 8192..12288);
        assert_eq!(whole_pages(4096, 4096), 4096..8192);
        assert_eq!(whole_pages(16, 100), 4096..4096);
        assert!(whole_pages(u64::MAX - 5, 100).is_empty());
    }
}
