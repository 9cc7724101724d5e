//! The seeds of the target `misuse`, without a fuzzer. A test of its own, since the
//! children of some use the process's heap.

use std::fs;
use std::path::Path;

use arbitrary::Unstructured;
use brkpoint_fuzz::case::Case;
use brkpoint_fuzz::misuse::{self, Mistake};
use brkpoint_workloads::op::arbitrary::Bytes;

#[test]
fn mistakes_are_refused_or_end_the_process() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/misuse");
    let mut made = [0; 2];
    for seed in fs::read_dir(seeds).unwrap() {
        let path = seed.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let mut bytes = Unstructured::new(&bytes);
        let mistake = Mistake::draw(&mut Bytes(&mut bytes));
        let case = Case::draw(&mut bytes, misuse::EVENTS).unwrap();
        let what = if mistake.is_in_process() {
            misuse::in_process(case.config, mistake)
        } else {
            misuse::run(&case, mistake).map_err(|violation| violation.to_string())
        };
        what.unwrap_or_else(|what| panic!("{}: {what}", path.display()));
        made[usize::from(mistake.is_in_process())] += 1;
    }
    assert!(made.iter().all(|&count| count >= 10), "few seeds are left: {made:?}");
}
