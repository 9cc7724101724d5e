//! Trace files, which come from anywhere: whatever is in them, reading and checking
//! them ends, and what is good of them ends with as many blocks as it says. Other
//! tools' texts are imported or refused.
#![no_main]

use brkpoint_workloads::trace::verify::{self, Checked};
use brkpoint_workloads::trace::{Header, Problem, Reader, Writer, import};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(reader) = Reader::new(bytes) {
        for process in 0..reader.header().processes.len().min(3) {
            let Ok(mut reader) = Reader::new(bytes) else { return };
            let mut events = 0;
            let mut each = |window: &verify::Window<'_>| {
                events += window.actions.len() as u64;
                assert_eq!(window.actions.len(), window.times.len());
            };
            match verify::check(&mut reader, process as u32, &mut each) {
                Ok(Checked { events: counted, live_blocks, slots, .. }) => {
                    assert_eq!(counted, events);
                    assert!(live_blocks <= u64::from(slots) && u64::from(slots) <= 2 * events);
                }
                Err(Problem::Damage(damage)) => assert!(damage.at <= bytes.len() as u64),
                Err(_) => {}
            }
        }
        return;
    }
    for format in import::Format::ALL {
        let mut writer = Writer::new(Vec::new(), &Header::default()).expect("writes");
        if format.import(bytes, &mut writer).is_ok() {
            let (trace, _) = writer.finish().expect("writes");
            let mut reader = Reader::new(&trace[..]).expect("our own");
            verify::check(&mut reader, 0, &mut |_| ()).expect("what is imported is good");
        }
    }
});
