//! A heap at a moment, OS page by OS page, as records hold it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// The OS pages of a heap at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapMap {
    /// Which moment.
    pub moment: Moment,
    /// Operations of the workload so far.
    pub operations: u64,
    /// Bytes requested and not yet freed.
    pub live_bytes: u64,
    /// What there is of each source, in this order.
    pub areas: Vec<Area>,
}

/// A moment at which a heap is looked at; of those at which its pages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Most bytes are live.
    Fullest,
    /// Afterwards, half of them or fewer are.
    Half,
    /// All is free.
    End,
}

/// Where address space comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Below the program break.
    Break,
    /// Anonymous mappings, side by side in the order of their addresses.
    Mappings,
}

/// What an OS page of a heap is; the last is what several together are taken for,
/// if one of them is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageState {
    /// Mapped, and not resident: never touched, or given back.
    Returned,
    /// Resident, and without a live block.
    Kept,
    /// Resident, and without a live block; a thread's cache keeps a block in it. Known
    /// only of allocators that tell.
    Cached,
    /// A live block lies in it.
    Live,
}

/// The OS pages of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// Where they come from.
    pub source: Source,
    /// Bytes of OS pages with a live block.
    pub live_bytes: u64,
    /// Bytes of those that are free and resident, and in no cache as far as is known.
    pub kept_bytes: u64,
    /// Bytes of those without a live block that hold a block of a thread's cache;
    /// `None`: the allocator does not tell, and `kept_bytes` holds them too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_bytes: Option<u64>,
    /// Bytes of those that are not resident.
    pub returned_bytes: u64,
    /// OS pages of a square.
    pub pages_a_square: u32,
    /// Squares in runs, each a letter and how many: `L` live, `C` cached,
    /// `K` kept, `R` returned. `L12R3`. Of a long run that is not resident they are the
    /// beginning: a reservation would hide all else.
    pub squares: String,
}

impl PageState {
    /// All, and their letters.
    const LETTERS: [(PageState, char); 4] = [
        (PageState::Live, 'L'),
        (PageState::Cached, 'C'),
        (PageState::Kept, 'K'),
        (PageState::Returned, 'R'),
    ];
}

/// Most squares of an area.
pub const SQUARES: usize = 2048;

impl Area {
    /// The area of runs of OS pages of `page` bytes; `None` of none. `tells`: whether
    /// the allocator says what its caches keep.
    pub fn of(source: Source, page: u64, runs: &[(PageState, u64)], tells: bool) -> Option<Area> {
        let pages = |of: PageState| {
            runs.iter().filter(|run| run.0 == of).map(|run| run.1).sum::<u64>() * page
        };
        let resident = runs.iter().filter(|run| run.0 != PageState::Returned);
        let most_returned = resident.map(|run| run.1).sum::<u64>() / 8 + 64;
        let drawn = |run: &(PageState, u64)| match run.0 {
            PageState::Returned => (run.0, run.1.min(most_returned)),
            _ => *run,
        };
        let all: u64 = runs.iter().map(|run| drawn(run).1).sum();
        if all == 0 {
            return None;
        }
        let each = all.div_ceil(SQUARES as u64);
        let mut squares: Vec<(PageState, u64)> = Vec::new();
        let mut push = |state: PageState, count: u64| match squares.last_mut() {
            Some(last) if last.0 == state => last.1 += count,
            _ if count > 0 => squares.push((state, count)),
            _ => {}
        };
        let (mut most, mut filled) = (PageState::Returned, 0);
        for (state, mut left) in runs.iter().map(drawn) {
            if filled > 0 {
                let take = left.min(each - filled);
                (most, filled, left) = (most.max(state), filled + take, left - take);
                if filled == each {
                    push(most, 1);
                    filled = 0;
                }
            }
            if filled == 0 {
                push(state, left / each);
                (most, filled) = (state, left % each);
            }
        }
        if filled > 0 {
            push(most, 1);
        }
        let mut text = String::new();
        for (state, count) in squares {
            let letter = PageState::LETTERS.iter().find(|(of, _)| *of == state);
            let _ = write!(text, "{}{count}", letter.map_or('R', |(_, letter)| *letter));
        }
        Some(Area {
            source,
            live_bytes: pages(PageState::Live),
            kept_bytes: pages(PageState::Kept),
            cached_bytes: tells.then(|| pages(PageState::Cached)),
            returned_bytes: pages(PageState::Returned),
            pages_a_square: u32::try_from(each).unwrap_or(u32::MAX),
            squares: text,
        })
    }

    /// The squares in runs; `None` if they are not as [`squares`](Self::squares)
    /// should be, or far too many.
    pub fn runs(&self) -> Option<Vec<(PageState, usize)>> {
        let mut runs = Vec::new();
        let mut rest = self.squares.as_str();
        let mut all = 0;
        while let Some(letter) = rest.chars().next() {
            let (state, _) = *PageState::LETTERS.iter().find(|(_, of)| *of == letter)?;
            rest = &rest[1..];
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let count: usize = rest[..digits].parse().ok()?;
            (rest, all) = (&rest[digits..], count.checked_add(all)?);
            if all > SQUARES {
                return None;
            }
            runs.push((state, count));
        }
        Some(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_keeps_its_figures_and_shows_the_most_telling_of_a_square() {
        let runs = [(PageState::Kept, 3), (PageState::Live, 1), (PageState::Kept, 4092)];
        let area = Area::of(Source::Break, 4096, &runs, false).expect("pages");
        assert_eq!((area.kept_bytes, area.live_bytes), (4095 * 4096, 4096));
        assert_eq!((area.pages_a_square, area.squares.as_str()), (2, "K1L1K2046"));
        let squares = area.runs().expect("runs");
        assert_eq!(squares.iter().map(|run| run.1).sum::<usize>(), SQUARES);
        let small = Area::of(Source::Mappings, 4096, &runs[..2], false).expect("pages");
        assert_eq!((small.pages_a_square, small.squares.as_str()), (1, "K3L1"));
        assert_eq!(Area::of(Source::Break, 4096, &[], false), None);
        let cached = [(PageState::Cached, 2), (PageState::Kept, 1)];
        let cached = Area::of(Source::Break, 4096, &cached, true).expect("pages");
        assert_eq!((cached.cached_bytes, cached.squares.as_str()), (Some(8192), "C2K1"));
        assert_eq!(area.cached_bytes, None);
        let reserved = [(PageState::Live, 8), (PageState::Returned, 1 << 30)];
        let reserved = Area::of(Source::Mappings, 4096, &reserved, false).expect("pages");
        assert_eq!((reserved.returned_bytes, reserved.squares.as_str()), (1 << 42, "L8R65"));
        for bad in ["X1", "L", "1L", "L99999", "L1é2"] {
            assert_eq!(Area { squares: bad.into(), ..area.clone() }.runs(), None, "{bad}");
        }
    }

    #[test]
    fn squares_of_any_runs_add_up() {
        let states = [PageState::Live, PageState::Returned, PageState::Kept, PageState::Cached];
        for seed in 1..200u64 {
            let run = |i: u64| (states[(i * seed % 4) as usize], i * seed * 7919 % 97);
            let runs: Vec<(PageState, u64)> = (0..seed * 3).map(run).collect();
            let resident = runs.iter().filter(|run| run.0 != PageState::Returned);
            let resident: u64 = resident.map(|run| run.1).sum();
            let all: u64 = runs.iter().map(|run| run.1).sum();
            let Some(area) = Area::of(Source::Break, 1, &runs, true) else { continue };
            let squares: usize = area.runs().expect("runs").iter().map(|run| run.1).sum();
            let each = u64::from(area.pages_a_square);
            assert!(squares as u64 <= all.div_ceil(each), "{seed}");
            assert!(squares as u64 * each >= resident && squares <= SQUARES, "{seed}");
            let cached = area.cached_bytes.expect("told");
            let told = area.live_bytes + cached + area.kept_bytes + area.returned_bytes;
            assert_eq!(told, all, "{seed}");
        }
    }
}
