//! What sizes a workload asks for: measured, kept in `mixes.tsv`, and checked.

use super::Workload;

/// The sizes that are asked for, in one run at `SCALE` with seed 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// Half of the requests are no larger, in bytes; to 1/64.
    pub p50: u64,
    /// 99 of a hundred.
    pub p99: u64,
    /// Requests of 128 KiB and more, in a million.
    pub large: u64,
}

/// Where a mix's large requests begin: at glibc's initial mmap threshold.
pub const LARGE: usize = 128 << 10;

/// How much of a workload is run for it.
#[cfg(test)]
const SCALE: f64 = 0.02;

/// A line for each workload: name, p50, p99, large.
const KEPT: &str = include_str!("mixes.tsv");

impl Workload {
    /// The sizes that it asks for.
    pub fn mix(&self) -> Option<Mix> {
        KEPT.lines().find_map(|line| {
            let mut fields = line.split('\t');
            if fields.next() != Some(self.name) {
                return None;
            }
            let mut number = || fields.next()?.parse().ok();
            Some(Mix { p50: number()?, p99: number()?, large: number()? })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::super::{ALL, Ledger, Observer};
    use super::*;

    struct Blind;

    impl Observer for Blind {
        fn after(&mut self, _: u64, _: u64) {}
    }

    #[test]
    fn the_mixes_that_are_kept_are_those_that_are_measured() {
        let mut measured = String::new();
        for workload in ALL {
            let ledger = Ledger::new(None).expect("maps");
            let mut prepared = workload.prepare(1, SCALE).expect("prepares");
            prepared.run_entered(&ledger, &mut Blind);
            let Mix { p50, p99, large } = ledger.mix();
            // Writing to a String cannot fail.
            let _ = writeln!(measured, "{}\t{p50}\t{p99}\t{large}", workload.name);
        }
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/synthetic/mixes.tsv");
        if std::env::var_os("BRKPOINT_KEEP_MIXES").is_some() {
            std::fs::write(file, &measured).expect("written");
            return;
        }
        assert_eq!(KEPT, measured, "BRKPOINT_KEEP_MIXES=1 with this test writes {file}");
    }
}
