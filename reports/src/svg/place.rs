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

/// A place for each label of `size` near its point, within `bounds`, clear of
/// all `points` and of the others; `None` where there is no room. It is clear of
/// `lines` too, where that leaves a place.
pub(super) fn beside(
    points: &[(f64, f64)],
    sizes: &[(f64, f64)],
    lines: &[Rect],
    bounds: Rect,
) -> Vec<Option<Rect>> {
    let markers: Vec<Rect> = points.iter().map(|&p| Rect::around(p, 6.0)).collect();
    let mut placed: Vec<Option<Rect>> = vec![None; points.len()];
    // Points with many free sides choose first: they take what is nearest, out
    // of the way of the crowd.
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&i| {
        let near = Rect::around(points[i], 40.0);
        markers.iter().filter(|m| m.meets(&near)).count()
    });
    for i in order {
        let free = |rect: &Rect| {
            bounds.holds(rect)
                && !markers.iter().any(|m| m.meets(rect))
                && !placed.iter().flatten().any(|other| other.meets(rect))
        };
        let clear = |rect: &Rect| free(rect) && !lines.iter().any(|line| line.meets(rect));
        let places = || candidates(points[i], sizes[i]);
        placed[i] = places().find(clear).or_else(|| places().find(free));
    }
    placed
}

/// Places round a point, the best first: right, left, above, below, corners,
/// then the same farther out.
fn candidates((x, y): (f64, f64), (width, height): (f64, f64)) -> impl Iterator<Item = Rect> {
    const SIDES: [(f64, f64); 8] = [
        (1.0, 0.0),
        (-1.0, 0.0),
        (0.0, -1.0),
        (0.0, 1.0),
        (1.0, -1.0),
        (1.0, 1.0),
        (-1.0, -1.0),
        (-1.0, 1.0),
    ];
    [8.0, 16.0, 26.0, 38.0, 52.0].into_iter().flat_map(move |gap| {
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
