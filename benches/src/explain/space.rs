//! Chapter 1: the address space of a process.

use brkpoint_reports::explain::{Chapter, Claim, Picture, Region, Try, Value, Values, Verdict};
use brkpoint_reports::record::Pass;

use super::{ExplainError, Lab, Mapping, Seen, Steps};

/// A small block, and one that every usual threshold gives a mapping.
const SMALL: (u32, u64) = (0, 100);
const LARGE: (u32, u64) = (1, 16 << 20);

/// What user space of x86-64 has with four levels of page tables (the kernel's
/// Documentation/arch/x86/x86_64/mm.rst).
const SPACE: u64 = 1 << 47;

/// Parts of a process, in the textbook's order, lowest first.
const ORDER: [&str; 6] = ["code", "data", "bss", "heap", "mapping", "stack"];

const TRIES: [Try; 2] = [
    Try { name: "fixed", command: "setarch -R brkpoint explain 1", breaks: &["random"] },
    Try {
        name: "reserved",
        command: "brkpoint explain 1 -e brkpoint:break=reserved",
        breaks: &["parts", "order"],
    },
];

pub(super) fn chapter(lab: &Lab<'_>) -> Result<Chapter, ExplainError> {
    let steps = Steps::new().alloc(SMALL.0, SMALL.1).alloc(LARGE.0, LARGE.1).landmarks().maps();
    // Without an instrument, addresses are as random as the system has them.
    let [first, second] = [
        Layout::of(lab.run(lab.subject(), &steps, Pass::Time)?),
        Layout::of(lab.run(lab.subject(), &steps, Pass::Time)?),
    ];
    Ok(Chapter {
        number: 1,
        engine: lab.title(),
        claims: vec![first.parts(), first.order(), first.sparse(), first.random(&second)],
        pictures: vec![("space", Picture::Space(first.regions()))],
        tries: TRIES.to_vec(),
    })
}

/// A part, its access, and whether a path is that of its mapping.
type Kind<'a> = (&'a str, &'a str, &'a dyn Fn(&str) -> bool);

/// Where the parts of one process lie.
struct Layout {
    maps: Vec<Mapping>,
    /// By name, as in [`ORDER`] and a constant and a library beside.
    places: Values,
    executable: String,
}

impl Layout {
    fn of(mut seen: Seen) -> Layout {
        let mut places = Values::new();
        for name in ["code", "constant", "data", "bss", "library", "stack"] {
            places.insert(name, Value::Address(seen.landmarks[name]));
        }
        places.insert("heap", Value::Address(seen.blocks[0].start));
        places.insert("mapping", Value::Address(seen.blocks[1].start));
        let maps = seen.maps.pop().unwrap_or_default();
        let code = seen.landmarks["code"];
        let executable = maps.iter().find(|map| map.holds(code)).map(|map| map.path.clone());
        Layout { maps, places, executable: executable.unwrap_or_default() }
    }

    fn address(&self, name: &str) -> u64 {
        match self.places[name] {
            Value::Address(address) => address,
            _ => unreachable!("all places are addresses"),
        }
    }

    /// The mapping in which a part lies.
    fn at(&self, name: &str) -> Option<&Mapping> {
        self.maps.iter().find(|map| map.holds(self.address(name)))
    }

    /// Each part lies in a mapping of its kind.
    fn parts(&self) -> Claim {
        let own = |path: &str| path == self.executable;
        let expected: [Kind<'_>; 8] = [
            ("code", "r-x", &own),
            ("constant", "r--", &own),
            ("data", "rw-", &own),
            // What of it lies behind the file's last OS page is anonymous.
            ("bss", "rw-", &|path| own(path) || path.is_empty()),
            ("heap", "rw-", &|path| path == "[heap]"),
            ("mapping", "rw-", &str::is_empty),
            ("library", "r-x", &|path| path.starts_with('/') && !own(path)),
            ("stack", "rw-", &|path| path == "[stack]"),
        ];
        let holds = expected.iter().all(|(name, access, is_path)| {
            self.at(name).is_some_and(|map| map.access.starts_with(access) && is_path(&map.path))
        });
        Claim { name: "parts", verdict: Verdict::of(holds), values: self.places.clone() }
    }

    fn order(&self) -> Claim {
        let holds = ORDER.windows(2).all(|pair| self.address(pair[0]) < self.address(pair[1]));
        let apart = self.address("stack").saturating_sub(self.address("heap"));
        let values = Values::from([("apart", Value::Bytes(apart >> 40 << 40))]);
        Claim { name: "order", verdict: Verdict::of(holds), values }
    }

    fn sparse(&self) -> Claim {
        let mapped: u64 = self.user_space().map(|map| map.end - map.start).sum();
        let share = mapped as f64 / SPACE as f64 * 100.0;
        let values = Values::from([
            ("mapped", Value::Bytes(mapped)),
            ("space", Value::Bytes(SPACE)),
            ("share", Value::Percent(share)),
        ]);
        Claim { name: "sparse", verdict: Verdict::of(share < 1.0), values }
    }

    fn random(&self, other: &Layout) -> Claim {
        let differs = |name: &str| self.address(name) != other.address(name);
        let holds = ["code", "heap", "mapping", "stack"].iter().all(|name| differs(name));
        let values = Values::from([
            ("heap", self.places["heap"].clone()),
            ("other_heap", other.places["heap"].clone()),
            ("stack", self.places["stack"].clone()),
            ("other_stack", other.places["stack"].clone()),
        ]);
        Claim { name: "random", verdict: Verdict::of(holds), values }
    }

    /// All mappings but the kernel's own page above user space.
    fn user_space(&self) -> impl Iterator<Item = &Mapping> {
        self.maps.iter().filter(|map| map.end <= SPACE)
    }

    fn regions(&self) -> Vec<Region> {
        let mut regions: Vec<Region> = Vec::new();
        for map in self.user_space() {
            let (name, size) = (self.kind(map), map.end - map.start);
            match regions.last_mut().filter(|last| last.name == name) {
                Some(last) => {
                    last.end = map.end;
                    last.mapped += size;
                }
                None => regions.push(Region {
                    name,
                    start: map.start,
                    end: map.end,
                    mapped: size,
                    access: map.access.chars().take(3).collect(),
                }),
            }
        }
        regions
    }

    /// The name of a mapping's kind in the texts.
    fn kind(&self, map: &Mapping) -> &'static str {
        let holds = |name| map.holds(self.address(name));
        match (map.path.as_str(), map.access.get(..3)) {
            ("[heap]", _) => "heap",
            ("[stack]", _) => "stack",
            ("", _) if holds("bss") => "data",
            ("", _) if holds("mapping") => "mapping",
            ("", _) => "anonymous",
            (path, Some("r-x")) if path == self.executable => "code",
            (path, Some("rw-")) if path == self.executable => "data",
            (path, _) if path == self.executable => "constants",
            (path, _) if path.starts_with('[') => "kernel",
            _ => "libraries",
        }
    }
}
