//! How often the gate is right: batches resampled from recordings.
//!
//! `cargo run --release -p brkpoint-reports --example gate_batches -- RECORDS...`
//! prints the table of docs/gate.md. `scripts/gate-batches` makes the recordings.

use std::path::PathBuf;
use std::process::ExitCode;

use brkpoint_reports::Records;
use brkpoint_reports::gate::batches;

/// Gates with each plant.
const BATCHES: usize = 100;

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let records = match Records::read(&paths) {
        Ok(records) => records,
        Err(error) => {
            eprintln!("gate_batches: {error}");
            return ExitCode::from(2);
        }
    };
    for problem in &records.problems {
        eprintln!("gate_batches: {problem}");
    }
    match batches(&records, BATCHES) {
        Some(batches) => {
            print!("{}", batches.to_markdown());
            ExitCode::SUCCESS
        }
        None => {
            eprintln!(
                "gate_batches: fewer whole rounds than half of what the first stage of a gate \
                 may take; record more with `brkpoint gate --record`"
            );
            ExitCode::from(2)
        }
    }
}
