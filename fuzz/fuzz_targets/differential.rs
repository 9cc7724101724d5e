//! One program under two settings: what a program can see is the same; and
//! under the same settings twice, everything is.
#![no_main]

use arbitrary::Unstructured;
use brkpoint_fuzz::case::{Case, HEAP};
use brkpoint_fuzz::{report, settings};
use brkpoint_workloads::op::arbitrary::Bytes;
use brkpoint_workloads::op::draw::Events;
use brkpoint_workloads::shadow::{Promise, Violation};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Unstructured::new(bytes);
    let other = settings::draw(&mut Bytes(&mut bytes));
    // A refusal depends on where a break is.
    let events = Events { move_break: false, ..HEAP };
    let Ok(case) = Case::draw(&mut bytes, events) else { return };
    let run = |case: &Case| -> Result<(), Violation> {
        let differs = |what: String| Violation { at: 0, block: 0, promise: Promise::Granted, what };
        let (answers, places) = case.trace()?;
        let (again, places_again) = case.trace()?;
        if (&answers, &places) != (&again, &places_again) {
            return Err(differs("the same program on the same heap went another way".to_owned()));
        }
        let (others, _) = Case { config: other, ..case.clone() }.trace()?;
        match answers.iter().zip(&others).position(|(one, other)| one != other) {
            Some(at) => Err(Violation {
                at: at as u64,
                ..differs(format!(
                    "{:?}, but {:?} with other settings:\n{other}",
                    answers[at], others[at]
                ))
            }),
            None => Ok(()),
        }
    };
    if let Err(violation) = run(&case) {
        report::fail(&case, &violation, run);
    }
});
