//! A map of OS pages, several a square where there are many.
//!
//! Drawn without plotters: a page holds many such maps, and a path of runs is a
//! tenth of as many rectangles.

use std::fmt::Write;

use crate::html::escape;

/// What an OS page is, the most telling last: it is what a square shows if any
/// of its OS pages is that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shade {
    /// Mapped, and not resident.
    Returned,
    /// Resident, and nobody's.
    Kept,
    /// Resident, and in a cache of the allocator's.
    Cached,
    /// A live block lies in it.
    Live,
}

impl Shade {
    /// All, the most telling first, as legends have them.
    pub const ALL: [Shade; 4] = [Shade::Live, Shade::Cached, Shade::Kept, Shade::Returned];

    /// Its class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Shade::Live => "live",
            Shade::Cached => "cached",
            Shade::Kept => "kept",
            Shade::Returned => "returned",
        }
    }
}

/// Squares in a row, and the most rows.
const COLUMNS: usize = 64;
const ROWS: usize = 28;
/// Height and width of a square, in units of the drawing.
const SIDE: usize = 6;

/// How many OS pages a square of the map of `pages` OS pages stands for.
fn pages_each(pages: usize) -> usize {
    pages.div_ceil(COLUMNS * ROWS).max(1)
}

/// Draws runs of OS pages, lowest address first; `described` tells those who
/// cannot see it what it shows.
pub(crate) fn pages(runs: &[(Shade, usize)], described: &str) -> String {
    let squares = squares(runs);
    let rows = squares.len().div_ceil(COLUMNS).max(1);
    let mut out = format!(
        "<svg class=\"map\" role=\"img\" viewBox=\"0 0 {} {}\" aria-label=\"{}\">",
        COLUMNS * SIDE,
        rows * SIDE,
        escape(described)
    );
    for shade in Shade::ALL {
        let mut path = String::new();
        for (y, row) in squares.chunks(COLUMNS).enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|a, b| a == b) {
                if run[0] == shade {
                    let _ =
                        write!(path, "M{} {}h{}", x * SIDE, y * SIDE + SIDE / 2, run.len() * SIDE);
                }
                x += run.len();
            }
        }
        if !path.is_empty() {
            let _ = write!(out, "<path class=\"{}\" d=\"{path}\"/>", shade.class());
        }
    }
    out.push_str("</svg>\n");
    out
}

fn squares(runs: &[(Shade, usize)]) -> Vec<Shade> {
    let each = pages_each(runs.iter().map(|run| run.1).sum());
    let mut squares = Vec::new();
    let (mut most, mut filled) = (Shade::Returned, 0);
    for &(shade, mut left) in runs {
        while left > 0 {
            let take = left.min(each - filled);
            (most, filled, left) = (most.max(shade), filled + take, left - take);
            if filled == each {
                squares.push(most);
                (most, filled) = (Shade::Returned, 0);
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
        assert_eq!((pages_each(many), pages_each(many + 1), pages_each(0)), (1, 2, 1));
        let runs = [(Shade::Kept, many), (Shade::Live, 1), (Shade::Returned, many - 1)];
        let squares = squares(&runs);
        assert_eq!(squares.len(), many);
        assert_eq!(
            squares[many / 2 - 1..many / 2 + 2],
            [Shade::Kept, Shade::Live, Shade::Returned]
        );
    }

    #[test]
    fn a_map_is_a_path_a_shade() {
        let svg = pages(&[(Shade::Live, 2), (Shade::Returned, 1), (Shade::Live, 64)], "a < b");
        assert!(svg.contains("aria-label=\"a &lt; b\""), "{svg}");
        assert!(svg.contains("<path class=\"live\" d=\"M0 3h12M18 3h366M0 9h18\"/>"), "{svg}");
        assert!(!svg.contains("kept"));
        assert!(pages(&[], "").contains("viewBox"));
    }
}
