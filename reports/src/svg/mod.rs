//! Plots, as SVG that lives inside a page.
//!
//! plotters draws; this module adds what it lacks. A plot is drawn in units of
//! an eighth of a CSS pixel (`canvas::PX`), because plotters rounds to whole units.
//! Colours are drawn as stand-ins ([`Ink`]) that become CSS variables, so that
//! the page decides on light and dark. Tooltips are transparent shapes on top.
//!
//! ```text
//! canvas   a drawing area in, SVG text out; ink, text, tooltips
//! marker   how a series is drawn      text  its font, and how wide it is
//! compact  what plotters wrote, in fewer bytes
//! axis     the range of some figures, its ticks, their unit
//! scatter  time against peak RSS        bars  system calls, minor faults, occupancy
//! latency  single calls                 curve a measure against a setting
//! forest   ratios and their intervals   lines memory over time
//! front    configurations of a tuning   sweep, heat  the same by one knob, by two
//! samples  every sample as a dot
//! trend    a quantity over commits
//! place    labels that keep clear of each other
//! pages    maps of OS pages      book  pictures of the textbook
//! profile  a recorded program: live bytes, sizes
//! ```
//!
//! Every plot is a small panel for one workload, as wide as a telephone, so that
//! its text stays readable everywhere; `None` where there is nothing to draw.

mod axis;
mod bars;
mod book;
mod canvas;
mod compact;
mod curve;
mod forest;
mod front;
mod heat;
mod latency;
mod lines;
mod marker;
mod pages;
mod place;
mod profile;
mod samples;
mod scatter;
mod sweep;
mod text;
mod trend;

pub(crate) use bars::{FULLNESS, faults, occupancy, syscalls};
pub(crate) use book::{Band, StairNames, levels, space, stairs};
pub(crate) use canvas::{KINDS, swatch_kind, swatch_series};
pub(crate) use curve::{Curve, curve};
pub(crate) use forest::forest;
pub(crate) use front::{Kind, Spot, front};
pub(crate) use heat::{Square, heat};
pub(crate) use latency::latency;
pub(crate) use lines::memory;
pub(crate) use marker::symbols;
pub(crate) use pages::{ROWS, SHADES, pages};
pub(crate) use profile::{live, sizes};
pub(crate) use samples::samples;
pub(crate) use scatter::{means, scatter};
pub(crate) use sweep::{Mark, sweep};
pub(crate) use trend::trend;

/// Width of every panel in CSS pixels.
const WIDTH: f64 = 368.0;
