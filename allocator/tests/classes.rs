//! Which sizes blocks have.

mod support;

use brkpoint_allocator::{ClassList, Config, Heap, Metadata, Simulated, SizeClasses};
use support::allocate;

fn simulated(config: Config) -> Heap<Simulated> {
    Heap::new(config, Simulated::new(64 << 20))
}

#[test]
fn a_scheme_gives_blocks_of_its_classes() {
    for (scheme, usable) in [
        (SizeClasses::Spacing16, 1040),
        (SizeClasses::Steps8, 1152),
        (SizeClasses::Steps4, 1280),
        (SizeClasses::Powers, 2048),
    ] {
        let mut heap = simulated(Config { size_classes: scheme, ..Config::DEFAULT });
        let block = allocate(&mut heap, 1025);
        // SAFETY: a live block.
        assert_eq!(unsafe { heap.usable_size(block) }, Ok(usable), "{scheme}");
    }
}

#[test]
fn a_list_gives_blocks_of_its_classes_and_of_16_bytes_spacing_beyond() {
    let list = SizeClasses::List(ClassList::new(&[32, 96, 4096, 100_000]).unwrap());
    for metadata in [Metadata::Header, Metadata::OutOfBand] {
        let mut heap = simulated(Config { size_classes: list, metadata, ..Config::DEFAULT });
        for (request, usable) in [
            (0, 32),
            (1, 32),
            (32, 32),
            (33, 96),
            (97, 4096),
            (4096, 4096),
            (4097, 100_000),
            (100_000, 100_000),
            (100_001, 100_016),
            (200_000, 200_000),
        ] {
            let block = allocate(&mut heap, request);
            // SAFETY: a live block.
            assert_eq!(unsafe { heap.usable_size(block) }, Ok(usable), "{request} {metadata}");
        }
        heap.check().unwrap();
    }
}
