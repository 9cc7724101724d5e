//! What each OS page of a process is at a moment: live, kept, or returned.

use brkpoint_reports::explain::Moment;
use brkpoint_reports::record::PageState;

use super::{Block, Seen, Stretch};

/// Bytes of an OS page on this architecture.
pub(super) const OS_PAGE: u64 = 4096;

/// The moment of the `pages` at `at`, at which the blocks of `live` slots, and no
/// others, are live.
pub(super) fn moment(
    engine: &str,
    name: &'static str,
    seen: &Seen,
    at: usize,
    live: impl Fn(u32) -> bool,
) -> Moment {
    let blocks: Vec<Block> = seen.blocks.iter().copied().filter(|block| live(block.slot)).collect();
    let heap = seen.readings.last().map_or(0, |reading| reading.heap.0);
    let (mut own, mut mappings) = (Vec::new(), Vec::new());
    for stretch in &seen.pages[at] {
        let places = places(stretch, &blocks);
        if stretch.start == heap { own.extend(places) } else { mappings.extend(places) }
    }
    Moment { engine: engine.to_owned(), name, heap: own, mappings }
}

fn places(stretch: &Stretch, live: &[Block]) -> Vec<PageState> {
    let mut places: Vec<PageState> = stretch
        .resident
        .iter()
        .map(|resident| if *resident { PageState::Kept } else { PageState::Returned })
        .collect();
    let end = stretch.start + places.len() as u64 * OS_PAGE;
    for block in live.iter().filter(|b| (stretch.start..end).contains(&b.start)) {
        let page = |address: u64| ((address - stretch.start) / OS_PAGE) as usize;
        let last = page((block.start + block.size.max(1) - 1).min(end - 1));
        places[page(block.start)..=last].fill(PageState::Live);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_live_where_a_byte_of_it_is() {
        let stretch = Stretch { start: 0x1000, resident: vec![true, true, true, false] };
        let block = Block { slot: 0, start: 0x1ff0, size: 0x11, usable: 0x18 };
        let expected = [PageState::Live, PageState::Live, PageState::Kept, PageState::Returned];
        assert_eq!(places(&stretch, &[block]), expected);
        let elsewhere = Block { start: 0x9000, ..block };
        assert_eq!(places(&stretch, &[elsewhere])[0], PageState::Kept);
    }
}
