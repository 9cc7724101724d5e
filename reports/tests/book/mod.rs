//! A textbook made in code, with a picture of every kind.

use brkpoint_reports::explain::{
    Bar, Book, Chapter, Claim, Moment, Picture, Region, Stairs, Try, Value, Values, Verdict, Word,
};
use brkpoint_reports::record::{PageState, Unit};

use crate::fixture;

fn claim(name: &'static str, verdict: Verdict) -> Claim {
    Claim { name, verdict, values: Values::from([("at", Value::Bytes(131_049))]) }
}

fn chapter(number: u8, claims: Vec<Claim>, pictures: Vec<(&'static str, Picture)>) -> Chapter {
    Chapter { number, engine: "glibc 2.36".into(), claims, pictures, tries: Vec::new() }
}

pub fn book() -> Book {
    let mut space = chapter(
        1,
        vec![claim("sparse", Verdict::Holds), claim("random", Verdict::Fails)],
        vec![("space", Picture::Space(regions()))],
    );
    let command = "brkpoint explain 1 -e brkpoint:break=reserved";
    space.tries = vec![Try { name: "reserved", command, breaks: &["order"] }];
    let engine = "an-allocator-with-a-long-name:threshold=134217728,trim=eager";
    let bars = [("fresh", 131_049.0), ("freed", 0.0)];
    let bars = bars.map(|(name, value)| Bar { engine: engine.into(), name, value });
    let stairs = ["glibc", engine].map(|name| Stairs {
        engine: name.into(),
        usable: (1..=4096u64).map(|n| ((n + 8).next_multiple_of(16) - 8).max(24)).collect(),
    });
    let mut heap = vec![PageState::Live; 700];
    heap.extend(vec![PageState::Kept; 3000]);
    heap.extend([PageState::Live; 2]);
    heap.extend(vec![PageState::Returned; 100]);
    let moment =
        |name, mappings| Moment { engine: engine.into(), name, heap: heap.clone(), mappings };
    let words = ["small", "mapped"].map(|block| Word {
        engine: engine.into(),
        block,
        before: 8,
        word: 0x71,
        meaning: "size",
        size: Some(112),
    });
    Book {
        chapters: vec![
            space,
            chapter(
                2,
                vec![claim("glibc", Verdict::Unknown("absent"))],
                vec![("thresholds", Picture::Bars { unit: Unit::Bytes, bars: bars.into() })],
            ),
            chapter(
                4,
                vec![claim("classes", Verdict::Holds)],
                vec![("stairs", Picture::Stairs(stairs.into()))],
            ),
            chapter(
                7,
                vec![claim("holes", Verdict::Holds)],
                vec![(
                    "heap",
                    Picture::Heap(vec![
                        moment("full", vec![PageState::Live; 9]),
                        moment("freed", Vec::new()),
                    ]),
                )],
            ),
            chapter(8, Vec::new(), vec![("words", Picture::Words(words.into()))]),
        ],
        machine: fixture::machine(),
        started: "2026-01-02T03:04:05Z".into(),
        command_line: ["brkpoint", "explain", "-o", "it's.html"].map(String::from).into(),
    }
}

fn regions() -> Vec<Region> {
    let names = ["code", "data", "heap", "mapping", "libraries", "kernel", "stack"];
    (0..)
        .zip(names)
        .map(|(i, name)| {
            let start = 0x5555_5555_0000 + i * 0x1000_0000;
            Region { name, start, end: start + 0x9000, mapped: 0x9000, access: "rw-".into() }
        })
        .collect()
}
