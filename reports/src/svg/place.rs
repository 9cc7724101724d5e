//! Labels that keep clear of each other and of what they name.

/// An upright rectangle, in CSS pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    pub fn around((x, y): (f64, f64), radius: f64) -> Self {
        Self { x: x - radius, y: y - radius, width: 2.0 * radius, height: 2.0 * radius }
    }

    /// The hull of an upright or level line, with a little room.
    pub fn along(a: (f64, f64), b: (f64, f64)) -> Self {
        Self {
            x: a.0.min(b.0) - 1.0,
            y: a.1.min(b.1) - 1.0,
            width: (a.0 - b.0).abs() + 2.0,
            height: (a.1 - b.1).abs() + 2.0,
        }
    }

    /// The point of it that is nearest to `p`, and how far that is.
    pub fn nearest(&self, p: (f64, f64)) -> ((f64, f64), f64) {
        let near =
            (p.0.clamp(self.x, self.x + self.width), p.1.clamp(self.y, self.y + self.height));
        (near, (near.0 - p.0).hypot(near.1 - p.1))
    }

    pub fn meets(&self, other: &Rect) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }

    pub fn holds(&self, other: &Rect) -> bool {
        self.x <= other.x
            && self.y <= other.y
            && other.x + other.width <= self.x + self.width
            && other.y + other.height <= self.y + self.height
    }
}

/// What a place costs, in CSS pixels of distance: lying on a line, and looking
/// like the label of another point.
const ON_LINE: f64 = 30.0;
const MISTAKEN: f64 = 60.0;

/// From this distance on, a label needs a line to its point.
pub(super) const TETHERED: f64 = 14.0;

/// A place for each label of `size` near its point, within `bounds`, clear of
/// all `points` and of the others; `None` where there is no room. It keeps off
/// `lines` and away from the other points as far as that leaves a near place.
pub(super) fn beside(
    points: &[(f64, f64)],
    sizes: &[(f64, f64)],
    lines: &[Rect],
    bounds: Rect,
) -> Vec<Option<Rect>> {
    let markers: Vec<Rect> = points.iter().map(|&p| Rect::around(p, 6.0)).collect();
    let mut placed: Vec<Option<Rect>> = vec![None; points.len()];
    // After the first point, which the others are compared with, those with many
    // free sides choose first: they take what is nearest, out of the way of the
    // crowd.
    let mut order: Vec<usize> = (0..points.len()).filter(|&i| sizes[i].0 > 0.0).collect();
    order.sort_by_key(|&i| {
        let near = Rect::around(points[i], 40.0);
        (i > 0, markers.iter().filter(|m| m.meets(&near)).count())
    });
    for i in order {
        let free = |rect: &Rect| {
            bounds.holds(rect)
                && !markers.iter().any(|m| m.meets(rect))
                && !placed.iter().flatten().any(|other| other.meets(rect))
        };
        let cost = |rect: &Rect| {
            let (near, own) = rect.nearest(points[i]);
            let crossed = lines.iter().filter(|line| line.meets(rect)).count() as f64;
            let tethered = own > TETHERED;
            // So near to another point that it looks like that one's label.
            let reach = if tethered { TETHERED } else { own + 4.0 };
            let other = |p: &(f64, f64)| *p != points[i] && rect.nearest(*p).1 < reach;
            let crosses = |dot: Rect| placed.iter().flatten().any(|label| label.meets(&dot));
            let mistaken =
                points.iter().any(other) || (tethered && tether(points[i], near).any(crosses));
            own + ON_LINE * crossed + if mistaken { MISTAKEN } else { 0.0 }
        };
        placed[i] = candidates(points[i], sizes[i])
            .filter(free)
            .map(|rect| (cost(&rect), rect))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, rect)| rect);
    }
    placed
}

/// Dots along the line from a point to its label.
fn tether(from: (f64, f64), to: (f64, f64)) -> impl Iterator<Item = Rect> {
    (0..=16).map(move |i| {
        let share = f64::from(i) / 16.0;
        Rect::around((from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1)), 1.0)
    })
}

/// Places round a point, at every side and corner, near and far.
fn candidates((x, y): (f64, f64), (width, height): (f64, f64)) -> impl Iterator<Item = Rect> {
    // How far to the side, and how far the label is shifted along it.
    const SIDES: [(f64, f64); 16] = [
        (1.0, 0.0),
        (-1.0, 0.0),
        (0.0, -1.0),
        (0.0, 1.0),
        (1.0, -1.0),
        (1.0, 1.0),
        (-1.0, -1.0),
        (-1.0, 1.0),
        (1.0, -0.5),
        (1.0, 0.5),
        (-1.0, -0.5),
        (-1.0, 0.5),
        (0.5, -1.0),
        (0.5, 1.0),
        (-0.5, -1.0),
        (-0.5, 1.0),
    ];
    const GAPS: [f64; 9] = [8.0, 12.0, 18.0, 26.0, 38.0, 52.0, 70.0, 92.0, 120.0];
    GAPS.into_iter().flat_map(move |gap| {
        SIDES.into_iter().map(move |(dx, dy)| Rect {
            x: x + dx * gap + (dx - 1.0) * width / 2.0,
            y: y + dy * gap + (dy - 1.0) * height / 2.0,
            width,
            height,
        })
    })
}

/// Moves `wanted` heights apart until neighbours are `gap` from each other, all
/// within `low..=high`; as even as it gets if they do not fit.
pub(super) fn apart(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let n = wanted.len();
    let gap = match n {
        0 | 1 => gap,
        _ => gap.min((high - low) / (n - 1) as f64),
    };
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut placed = vec![0.0; n];
    let mut floor = low;
    for &i in &order {
        placed[i] = wanted[i].max(floor);
        floor = placed[i] + gap;
    }
    let mut ceiling = high;
    for &i in order.iter().rev() {
        placed[i] = placed[i].min(ceiling);
        ceiling = placed[i] - gap;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_meet_neither_each_other_nor_a_point() {
        let points: Vec<(f64, f64)> = (0..8).map(|i| (100.0 + f64::from(i), 100.0)).collect();
        let bounds = Rect { x: 0.0, y: 0.0, width: 300.0, height: 200.0 };
        let placed = beside(&points, &vec![(60.0, 12.0); points.len()], &[], bounds);
        let rects: Vec<Rect> = placed.into_iter().flatten().collect();
        assert!(rects.len() >= 6, "{} of 8 placed", rects.len());
        for (i, rect) in rects.iter().enumerate() {
            assert!(bounds.holds(rect));
            assert!(!rects[..i].iter().any(|other| other.meets(rect)));
            assert!(!points.iter().any(|&p| Rect::around(p, 6.0).meets(rect)));
        }
    }

    #[test]
    fn a_label_keeps_off_lines_and_away_from_what_it_does_not_name() {
        let bounds = Rect { x: 0.0, y: 0.0, width: 300.0, height: 200.0 };
        // Another point where the label would go first, and a line to the left.
        let points = [(100.0, 100.0), (168.0, 100.0)];
        let line = Rect::along((60.0, 0.0), (60.0, 200.0));
        let placed = beside(&points, &[(50.0, 12.0), (0.0, 12.0)], &[line], bounds);
        let label = placed[0].unwrap();
        assert!(!label.meets(&line), "{label:?}");
        assert!(label.nearest(points[0]).1 + 4.0 <= label.nearest(points[1]).1, "{label:?}");
        assert_eq!(placed[1], None, "an empty label takes no room");
        // In a crowd, each still has its place.
        let crowd: Vec<(f64, f64)> =
            (0..6).map(|i| (140.0 + 9.0 * f64::from(i % 3), 100.0 + f64::from(i))).collect();
        let placed = beside(&crowd, &[(40.0, 12.0); 6], &[line], bounds);
        assert!(placed.iter().all(|label| label.is_some_and(|l| !l.meets(&line))), "{placed:?}");
    }

    #[test]
    fn heights_end_up_in_order_and_apart() {
        let placed = apart(&[50.0, 50.0, 10.0, 52.0], 12.0, 0.0, 100.0);
        let mut sorted = placed.clone();
        sorted.sort_by(f64::total_cmp);
        assert_eq!(sorted[0], placed[2]);
        assert!(sorted.windows(2).all(|w| w[1] - w[0] >= 12.0 - 1e-9), "{placed:?}");
        let crowded = apart(&[5.0; 30], 12.0, 0.0, 100.0);
        assert!(crowded.iter().all(|y| (-1e-6..=100.0 + 1e-6).contains(y)), "{crowded:?}");
    }
}
