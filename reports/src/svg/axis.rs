//! The range of some figures, and the ticks on it.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::record::Unit;
use crate::units;

/// From this spread on, an axis that need not begin at zero is logarithmic.
const LOG_SPREAD: f64 = 4.0;

/// An axis. Values are placed at [`at`](Self::at), which is linear in pixels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// Lower and upper end, as [`at`](Self::at) gives them.
    pub range: (f64, f64),
    /// Places of the ticks.
    pub ticks: Vec<f64>,
    /// Name of the unit of the labels; may be empty.
    pub unit: &'static str,
    scale: f64,
    log: bool,
}

impl Axis {
    /// An axis from zero to the largest value.
    pub fn from_zero(values: impl Iterator<Item = f64>, unit: Unit, ticks: usize) -> Self {
        let most = values.filter(|v| v.is_finite()).fold(0.0, f64::max);
        let most = if most > 0.0 { most } else { 1.0 };
        Self::linear(0.0, most * 1.02, unit, ticks)
    }

    /// An axis round the values, logarithmic if they spread far; `None` if there
    /// are none, or one that is not positive.
    pub fn around(
        values: impl Iterator<Item = f64> + Clone,
        unit: Unit,
        ticks: usize,
    ) -> Option<Self> {
        let usable = |v: f64| v.is_finite() && v > 0.0;
        if !values.clone().all(usable) {
            return None;
        }
        let low = values.clone().reduce(f64::min)?;
        let high = values.reduce(f64::max)?;
        if high / low > LOG_SPREAD {
            return Some(Self::logarithmic(low, high, unit, ticks));
        }
        let pad = ((high - low) * 0.1).max(high * 0.02);
        Some(Self::linear((low - pad).max(0.0), high + pad, unit, ticks))
    }

    /// A logarithmic axis of ratios that has 1 on it.
    pub fn ratios(values: impl Iterator<Item = f64>) -> Self {
        let usable = values.filter(|v| v.is_finite() && *v > 0.0);
        let (low, high) = usable.fold((0.9f64, 1.1f64), |(l, h), v| (l.min(v), h.max(v)));
        Self::logarithmic(low, high, Unit::Count, 5)
    }

    /// An axis of `rows` rows, the first on top at 0.5, without ticks.
    pub fn rows(rows: usize) -> Self {
        Self { range: (-(rows as f64), 0.0), ticks: Vec::new(), unit: "", scale: 1.0, log: false }
    }

    /// An axis of so many slots from left to right, which are named by hand.
    pub fn slots(slots: usize) -> Self {
        Self { range: (0.0, slots as f64), ..Self::rows(0) }
    }

    fn linear(low: f64, high: f64, unit: Unit, ticks: usize) -> Self {
        let (scale, name) = units::scale(high, unit);
        let step = nice_step((high - low) / scale / ticks as f64) * scale;
        let first = (low / step).ceil() as i64;
        let last = (high / step).floor() as i64;
        Self {
            range: (low, high),
            ticks: (first..=last).map(|i| i as f64 * step).collect(),
            unit: name,
            scale,
            log: false,
        }
    }

    fn logarithmic(low: f64, high: f64, unit: Unit, ticks: usize) -> Self {
        let (scale, name) = units::scale(high, unit);
        // Beyond any figure, and far from overflow.
        let (low, high) = (low.clamp(1e-30, 1e30), high.clamp(1e-30, 1e30));
        let pad = (high / low).powf(0.06).max(1.01);
        let (low, high) = (low / pad, high * pad);
        let decades =
            ((low / scale).log10().floor() as i32)..=((high / scale).log10().ceil() as i32);
        let span = decades.end() - decades.start();
        // Fewer digits a decade, and then fewer decades, until the ticks fit.
        let digits: [&[f64]; 4] =
            [&[1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        let make = |digits: &[f64], every: i32| -> Vec<f64> {
            let decades = decades.clone().filter(|d| d.rem_euclid(every) == 0);
            let all = decades.flat_map(|d| digits.iter().map(move |m| m * 10f64.powi(d) * scale));
            all.filter(|v| (low..=high).contains(v)).collect()
        };
        let fitting = digits.iter().map(|digits| make(digits, 1)).find(|t| t.len() <= ticks);
        let values = fitting.unwrap_or_else(|| make(&[1.0], 1 + span / ticks as i32));
        Self {
            range: (low.ln(), high.ln()),
            ticks: values.iter().map(|v| v.ln()).collect(),
            unit: name,
            scale,
            log: true,
        }
    }

    /// Where a value lies.
    pub fn at(&self, value: f64) -> f64 {
        if self.log { value.max(f64::MIN_POSITIVE).ln() } else { value }
    }

    /// The label of a tick: a number in the axis's unit.
    pub fn label(&self, tick: f64) -> String {
        let value = if self.log { tick.exp() } else { tick } / self.scale;
        match value.abs() {
            v if v < 1e-12 => "0".into(),
            v if v >= 999_999.5 => format!("{}M", plain(value / 1e6)),
            v if v >= 9_999.5 => format!("{}k", plain(value / 1e3)),
            _ => plain(value),
        }
    }

    /// What is measured along the axis, with its unit, and which end is better:
    /// the lower, as with every measure.
    pub fn measure(&self, name: &str) -> String {
        format!("{} (lower is better)", self.title(name))
    }

    /// What the axis is, with its unit.
    pub fn title(&self, name: &str) -> String {
        let log = if self.log { ", log scale" } else { "" };
        match self.unit {
            "" => format!("{name}{log}"),
            unit => format!("{name}, {unit}{log}"),
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, limit: (i32, i32)) -> i32 {
        let share = (place - self.range.0) / (self.range.1 - self.range.0);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.ticks.clone(),
        }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.range.0..self.range.1
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(place: &f64) -> String {
        place.to_string()
    }

    fn format_ext(&self, place: &f64) -> String {
        self.label(*place)
    }
}

/// Up to four digits that matter, without zeros at the end.
fn plain(value: f64) -> String {
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The smallest of 1, 2, 5 x 10^k that is at least `step`.
fn nice_step(step: f64) -> f64 {
    let decade = 10f64.powf(step.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|d| d * decade >= step * 0.999);
    digit.unwrap_or(10.0) * decade
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|t| axis.label(*t)).collect()
    }

    #[test]
    fn ticks_are_round_numbers_in_the_unit_of_the_axis() {
        let axis = Axis::from_zero([0.0713, 0.02].into_iter(), Unit::Seconds, 4);
        assert_eq!((labels(&axis).join(" "), axis.unit), ("0 20 40 60".into(), "ms"));
        let axis = Axis::around([1024.0, 1_048_576.0].into_iter(), Unit::Bytes, 5).unwrap();
        assert_eq!((labels(&axis).join(" "), axis.unit), ("0.001 0.01 0.1 1".into(), "MiB"));
        let axis = Axis::from_zero([1_198_000.0].into_iter(), Unit::Count, 3);
        assert_eq!(labels(&axis).join(" "), "0 500k 1M");
        let axis = Axis::ratios([0.5, 2.2].into_iter());
        assert_eq!(labels(&axis).join(" "), "0.5 1 2");
    }

    #[test]
    fn odd_values_give_a_usable_axis_or_none() {
        assert_eq!(Axis::around([1.0, 0.0].into_iter(), Unit::Count, 4), None);
        assert_eq!(Axis::around([f64::NAN].into_iter(), Unit::Count, 4), None);
        assert_eq!(Axis::around([].into_iter(), Unit::Count, 4), None);
        for values in [&[][..], &[0.0], &[f64::NAN], &[1e300], &[1e-300], &[5.0, 5.0]] {
            for axis in [
                Some(Axis::from_zero(values.iter().copied(), Unit::Bytes, 4)),
                Axis::around(values.iter().copied(), Unit::Seconds, 4),
                Some(Axis::ratios(values.iter().copied())),
            ] {
                let Some(axis) = axis else { continue };
                assert!(axis.range.0 < axis.range.1, "{values:?}: {axis:?}");
                assert!(axis.ticks.len() <= 20, "{values:?}: {axis:?}");
            }
        }
    }
}
