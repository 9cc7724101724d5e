//! What was resident when a program ended.

use std::fs;
use std::io;
use std::path::Path;

use crate::trace::raw::AREA;
use crate::trace::untouched::whole_pages;

/// Which of a process's OS pages were resident.
#[derive(Debug, Default)]
pub(super) struct Resident {
    /// What was looked at, and the parts of it that were; both ascending.
    areas: Vec<(u64, u64)>,
    parts: Vec<(u64, u64)>,
}

impl Resident {
    pub(super) fn read(path: &Path) -> io::Result<Resident> {
        let mut resident = Resident::default();
        for pair in fs::read(path)?.chunks_exact(16) {
            let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            let (from, to) = (word(&pair[..8]), word(&pair[8..]));
            match from & AREA {
                0 => resident.parts.push((from, to)),
                _ => resident.areas.push((from & !AREA, to)),
            }
        }
        Ok(resident)
    }

    /// Of a block, the whole OS pages that were; `None`: nobody looked.
    pub(super) fn pages(&self, address: u64, size: u64) -> Option<u64> {
        let whole = whole_pages(address, size);
        let area = self.areas.partition_point(|&(_, end)| end < whole.end);
        self.areas.get(area).filter(|&&(begin, _)| begin <= whole.start)?;
        let first = self.parts.partition_point(|&(_, end)| end <= whole.start);
        let parts = self.parts[first..].iter().take_while(|&&(begin, _)| begin < whole.end);
        let bytes: u64 =
            parts.map(|&(begin, end)| end.min(whole.end) - begin.max(whole.start)).sum();
        Some(bytes / 4096)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_block_are_resident_or_not_or_nobody_looked() {
        const PAGE: u64 = 4096;
        let resident = Resident {
            areas: vec![(PAGE, 9 * PAGE), (20 * PAGE, 30 * PAGE)],
            parts: vec![(2 * PAGE, 4 * PAGE), (6 * PAGE, 7 * PAGE)],
        };
        assert_eq!(resident.pages(PAGE + 16, 8 * PAGE - 16), Some(3));
        assert_eq!(resident.pages(3 * PAGE, PAGE), Some(1));
        assert_eq!(resident.pages(21 * PAGE, 2 * PAGE), Some(0));
        assert_eq!(resident.pages(8 * PAGE, 2 * PAGE), None);
        assert_eq!(resident.pages(40 * PAGE, PAGE), None);
    }
}
