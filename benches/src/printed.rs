//! A number that a program prints, as the measure of its work.

use brkpoint_reports::record::Metric;
use regex::Regex;

/// Which number, and which way it is better.
#[derive(Debug, Clone)]
pub struct Printed {
    /// Finds it: its first group, or all that it matches. The last match counts.
    pub regex: Regex,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

impl Printed {
    /// What it is called in records.
    pub fn metric(&self) -> Metric {
        match self.more_is_better {
            true => Metric::PrintedRate,
            false => Metric::PrintedCost,
        }
    }

    /// The number in `text`.
    ///
    /// # Errors
    /// If there is none, or none above zero: what was found instead.
    pub fn find(&self, text: &str) -> Result<f64, String> {
        let found = self.regex.captures_iter(text).last();
        let Some(found) = found.and_then(|found| found.get(1).or_else(|| found.get(0))) else {
            return Err(format!("it printed nothing that {:?} matches", self.regex.as_str()));
        };
        let plain = found.as_str().replace(',', "");
        match plain.trim().parse::<f64>() {
            Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
            _ => Err(format!(
                "{:?} matches {:?}, which is no number above zero",
                self.regex.as_str(),
                found.as_str()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(regex: &str, text: &str) -> Result<f64, String> {
        Printed { regex: Regex::new(regex).expect("a regex"), more_is_better: true }.find(text)
    }

    #[test]
    fn the_last_match_counts_and_a_group_says_which_part_of_it() {
        let text = "SET: 1,200.50 requests\nGET: 2400 requests per second, p50=0.2\n";
        assert_eq!(find(r"([0-9.,]+) requests", text), Ok(2400.0));
        assert_eq!(find(r"SET: ([0-9.,]+)", text), Ok(1200.5));
        assert_eq!(find(r"0\.\d", text), Ok(0.2));
    }

    #[test]
    fn no_number_is_told_with_what_was_there() {
        assert!(find("x=(.*)", "y=1").is_err_and(|why| why.contains("matches")));
        for text in ["x=fast", "x=-1", "x=0", "x=inf", "x="] {
            assert!(find("x=(.*)", text).is_err_and(|why| why.contains("no number")), "{text}");
        }
    }
}
