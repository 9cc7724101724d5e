//! Records in; statistics, verdicts, tables, SVG and HTML out.
//!
//! Everything here is a pure function of records: nothing is run or measured.

pub mod record;
