//! How a series is drawn; the same in every plot. Each shape is in a page once
//! ([`symbols`]), and plots refer to it.

use std::fmt::Write;

use super::canvas::{Ink, units};

/// Shapes: a circle, and those of candidates.
const SHAPES: usize = 6;

/// How a series is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marker {
    pub ink: Ink,
    shape: usize,
    pub hollow: bool,
}

impl Marker {
    /// Of an arm by its index and role: the reference is a circle in the colour
    /// of the text, its repeat the same, hollow.
    pub fn of(arms: &[crate::Arm], index: usize) -> Self {
        use crate::record::Role;
        match arms[index].role {
            Role::Candidate | Role::Control => {
                let before = &arms[..index];
                let nth = before.iter().filter(|a| a.role == Role::Candidate).count();
                Self {
                    ink: Ink::Series(nth),
                    // 8 hues and 5 shapes: 40 pairs.
                    shape: nth % (SHAPES - 1) + 1,
                    hollow: false,
                }
            }
            role => Self { ink: Ink::Reference, shape: 0, hollow: role == Role::Repeat },
        }
    }

    /// Its stand-in's width and height, in drawing units; see [`of_size`](Self::of_size).
    pub fn size(self) -> (i32, i32) {
        (self.shape as i32 + 1, i32::from(self.hollow) + 1)
    }

    /// The shape of a stand-in of this size: the name of its symbol.
    pub fn of_size(width: usize, height: usize) -> Option<String> {
        (1..=SHAPES).contains(&width).then(|| symbol(width - 1, height == 2))
    }
}

fn symbol(shape: usize, hollow: bool) -> String {
    format!("{}{shape}", if hollow { 'h' } else { 'm' })
}

/// All shapes, to be put into a page once. They are filled with the colour of who
/// refers to them.
pub(crate) fn symbols() -> String {
    let mut out =
        "<svg width=\"0\" height=\"0\" class=\"unseen\" aria-hidden=\"true\"><defs>\n".to_owned();
    for hollow in [false, true] {
        for shape in 0..SHAPES {
            let _ = write!(out, "<g id=\"{}\">", symbol(shape, hollow));
            // A rim in the colour of the page keeps overlapping markers apart.
            let layers = [(6.2, true), (5.0, false), (3.2, true)];
            for (radius, surface) in &layers[..if hollow { 3 } else { 2 }] {
                let fill = if *surface { " fill=\"var(--surface)\"" } else { "" };
                let corners = corners(shape);
                let _ = if corners.is_empty() {
                    write!(out, "<circle r=\"{}\"{fill}/>", units(radius * 0.9))
                } else {
                    let at = |(x, y): &(f64, f64)| {
                        format!("{},{}", units(x * radius), units(y * radius))
                    };
                    let points: Vec<String> = corners.iter().map(at).collect();
                    write!(out, "<polygon points=\"{}\"{fill}/>", points.join(" "))
                };
            }
            out.push_str("</g>\n");
        }
    }
    out.push_str("</defs></svg>");
    out
}

/// Corners on a circle of radius 1; a round shape has none.
fn corners(shape: usize) -> &'static [(f64, f64)] {
    match shape {
        1 => &[(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
        2 => &[(0.0, -1.0), (1.0, 0.8), (-1.0, 0.8)],
        3 => &[(0.0, -1.15), (1.15, 0.0), (0.0, 1.15), (-1.15, 0.0)],
        4 => &[(-1.0, -0.8), (1.0, -0.8), (0.0, 1.0)],
        5 => &[
            (-0.35, -1.05),
            (0.35, -1.05),
            (0.35, -0.35),
            (1.05, -0.35),
            (1.05, 0.35),
            (0.35, 0.35),
            (0.35, 1.05),
            (-0.35, 1.05),
            (-0.35, 0.35),
            (-1.05, 0.35),
            (-1.05, -0.35),
            (-0.35, -0.35),
        ],
        _ => &[],
    }
}
