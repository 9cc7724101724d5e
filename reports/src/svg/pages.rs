//! A map of OS pages, several a square where there are many.
//!
//! Drawn without plotters: a page holds many such maps, and a path of runs is a
//! tenth of as many rectangles.

use std::fmt::Write;

use crate::html::escape;
use crate::record::PageState;

/// All states, the most telling first, as legends have them, with their classes in
/// the style sheet.
pub(crate) const SHADES: [(PageState, &str); 4] = [
    (PageState::Live, "live"),
    (PageState::Cached, "cached"),
    (PageState::Kept, "kept"),
    (PageState::Returned, "returned"),
];

/// Squares in a row, and the most rows.
const COLUMNS: usize = 64;
pub(crate) const ROWS: usize = 28;
/// How many OS pages a square of the map of `pages` OS pages stands for.
fn pages_each(pages: usize, rows: usize) -> usize {
    pages.div_ceil(COLUMNS * rows).max(1)
}

/// Draws runs of OS pages, lowest address first, in at most `rows` rows; `described` tells those who
/// cannot see it what it shows.
pub(crate) fn pages(runs: &[(PageState, usize)], rows: usize, described: &str) -> String {
    let squares = squares(runs, rows);
    let rows = squares.len().div_ceil(COLUMNS).max(1);
    let mut out = format!(
        "<svg class=\"map\" role=\"img\" viewBox=\"0 -.5 {COLUMNS} {rows}\" aria-label=\"{}\">",
        escape(described)
    );
    for (shade, class) in SHADES {
        let mut path = String::new();
        for (y, row) in squares.chunks(COLUMNS).enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|a, b| a == b) {
                if run[0] == shade {
                    let _ = write!(path, "M{x} {y}h{}", run.len());
                }
                x += run.len();
            }
        }
        if !path.is_empty() {
            let _ = write!(out, "<path class=\"{class}\" d=\"{path}\"/>");
        }
    }
    out.push_str("</svg>\n");
    out
}

fn squares(runs: &[(PageState, usize)], rows: usize) -> Vec<PageState> {
    let each = pages_each(runs.iter().map(|run| run.1).sum(), rows);
    let mut squares = Vec::new();
    let (mut most, mut filled) = (PageState::Returned, 0);
    for &(shade, mut left) in runs {
        while left > 0 {
            let take = left.min(each - filled);
            (most, filled, left) = (most.max(shade), filled + take, left - take);
            if filled == each {
                squares.push(most);
                (most, filled) = (PageState::Returned, 0);
            }
        }
    }
    if filled > 0 {
        squares.push(most);
    }
    squares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_shows_the_most_telling_of_its_pages() {
        let many = COLUMNS * ROWS;
        assert_eq!(
            (pages_each(many, ROWS), pages_each(many + 1, ROWS), pages_each(0, 1)),
            (1, 2, 1)
        );
        let runs = [(PageState::Kept, many), (PageState::Live, 1), (PageState::Returned, many - 1)];
        let squares = squares(&runs, ROWS);
        assert_eq!(squares.len(), many);
        assert_eq!(
            squares[many / 2 - 1..many / 2 + 2],
            [PageState::Kept, PageState::Live, PageState::Returned]
        );
    }

    #[test]
    fn a_map_is_a_path_a_shade() {
        let svg = pages(
            &[(PageState::Live, 2), (PageState::Returned, 1), (PageState::Live, 64)],
            ROWS,
            "a < b",
        );
        assert!(svg.contains("aria-label=\"a &lt; b\""), "{svg}");
        assert!(svg.contains("<path class=\"live\" d=\"M0 0h2M3 0h61M0 1h3\"/>"), "{svg}");
        assert!(!svg.contains("kept"));
        assert!(pages(&[], ROWS, "").contains("viewBox"));
    }
}
