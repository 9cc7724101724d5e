//! What the tests of the allocator share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::process::Command;
use std::ptr::NonNull;

use brkpoint_allocator::{
    Bytes, ClassList, Config, Heap, Metadata, PageSource, Placement, Preset, Purge, SizeClasses,
    Trim,
};
use brkpoint_workloads::op::Op;
use brkpoint_workloads::shadow::Shadow;

pub mod settings;
pub mod subject;

pub use subject::{Staged, Subjected};

/// Runs a program on a heap, with every invariant and every promise verified
/// after every operation, and frees everything at the end.
pub fn run<S: Staged>(
    heap: Heap<S>,
    program: impl IntoIterator<Item = Op>,
) -> Result<Heap<S>, String> {
    let mut subject = Subjected::new(heap);
    let mut shadow = Shadow::new(32);
    for op in program {
        shadow.perform(&mut subject, op).map_err(|violation| format!("{op:?}: {violation}"))?;
    }
    shadow.free_all(&mut subject).map_err(|violation| format!("freeing all: {violation}"))?;
    Ok(subject.heap)
}

/// A list of size classes as a user might give it: with wide steps, and with an
/// end below the mmap threshold.
pub fn list() -> SizeClasses {
    let list = ClassList::new(&[32, 48, 96, 128, 400, 1024, 1040, 5008, 40 << 10]);
    SizeClasses::List(list.expect("ascending multiples of 16"))
}

/// Every preset, and the heap of the break alone with units.
fn bases() -> impl Iterator<Item = Config> {
    let presets = Preset::ALL.iter().map(|preset| preset.config(&Config::DEFAULT));
    let units = Config {
        metadata: Metadata::OutOfBand,
        slab_max: Bytes(512),
        ..Preset::BrkOnly.config(&Config::DEFAULT)
    };
    presets.chain([units])
}

/// Every base with every scheme of size classes, and a list.
fn rounded() -> impl Iterator<Item = Config> {
    bases().flat_map(|base| {
        let schemes = SizeClasses::ALL.iter().copied().chain([list()]);
        schemes.map(move |size_classes| Config { size_classes, ..base })
    })
}

/// Every base with every scheme and every trim policy; and each with one of the
/// textbook's placements and one trim policy in turn, such that any two values
/// meet.
pub fn configs() -> impl Iterator<Item = Config> {
    let all = rounded().flat_map(|base| Trim::ALL.iter().map(move |&trim| Config { trim, ..base }));
    let placements = [Placement::First, Placement::Best, Placement::Next];
    // Any two values meet: 3, 4 and 5 of them in turn, as often as there are bases.
    let trims = Trim::ALL.iter().cycle();
    let purges = [Purge::DontNeed, Purge::Free, Purge::DontNeed, Purge::Never, Purge::Free];
    let textbook = rounded()
        .zip(placements.into_iter().cycle().zip(trims.zip(purges.into_iter().cycle())))
        .map(|(base, (placement, (&trim, purge)))| Config { placement, trim, purge, ..base });
    all.chain(textbook)
}

/// A block that must be given.
pub fn allocate<S: PageSource>(heap: &mut Heap<S>, size: usize) -> NonNull<u8> {
    heap.allocate(size, 16).expect("memory").start
}

/// Frees a live block.
pub fn free<S: PageSource>(heap: &mut Heap<S>, block: NonNull<u8>) {
    // SAFETY: the tests keep no pointer to what they free.
    unsafe { heap.free(block) }.expect("a live block");
}

/// Runs one of this program's ignored tests in a process of its own.
pub fn child(test: &str, prepare: impl FnOnce(&mut Command)) -> (String, bool) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "--test-threads=1", test]);
    prepare(&mut command);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (text.into_owned(), output.status.success())
}
