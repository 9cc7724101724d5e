//! Random programs under the shadow oracle, with every invariant checked after
//! every operation, over every preset, size-class scheme, trim policy and
//! placement.

mod support;

use brkpoint_allocator::{BreakSource, Bytes, Config, Heap, Simulated, System, Trim};
use brkpoint_workloads::op::draw::Events;
use brkpoint_workloads::op::{ALIGN_MOST, Generator, Op, Random, Shape};
use proptest::prelude::*;
use support::{configs, run, settings};

/// Room for any of these programs, at any rounding.
const HALF: usize = 256 << 20;

#[test]
fn every_configuration_keeps_every_promise() {
    for (seed, config) in configs().enumerate() {
        let heap = Heap::new(config, Simulated::new(HALF));
        let program = Generator::new(seed as u64, 48, 600 << 10).take(600);
        run(heap, program).unwrap_or_else(|error| panic!("{config}{error}"));
    }
}

#[test]
fn small_blocks_under_every_configuration() {
    for (seed, config) in configs().enumerate() {
        // A low threshold and pad, so that all borders are crossed often.
        let config = Config { top_pad: Bytes(0), trim_threshold: Bytes(8192), ..config };
        let heap = Heap::new(config, Simulated::new(HALF));
        let program = Generator::new(seed as u64 + 1000, 200, 2048).take(1500);
        run(heap, program).unwrap_or_else(|error| panic!("{config}{error}"));
    }
}

#[test]
fn settings_change_time_passes_and_the_os_refuses() {
    let events = Events {
        trim: true,
        set: true,
        wait: true,
        fail: true,
        move_break: true,
        ..Events::default()
    };
    let shape = Shape {
        slots: 32,
        largest: 40 << 10,
        align_most: ALIGN_MOST,
        edges: &[1 << 10, 64 << 10, 128 << 10, 1 << 20],
        impossible: true,
        events,
    };
    for seed in 0..400 {
        let config = settings::draw(&mut Random::new(seed));
        let heap = Heap::new(config, Simulated::new(64 << 20));
        let program = Generator::shaped(seed, shape).take(250);
        run(heap, program).unwrap_or_else(|error| panic!("seed {seed}\n{config}{error}"));
    }
}

#[test]
fn the_kernel_as_source() {
    for (seed, config) in configs().enumerate() {
        let heap = Heap::new(config, System::new(BreakSource::Reserved));
        let program = Generator::new(seed as u64 + 2000, 48, 600 << 10).take(150);
        run(heap, program).unwrap_or_else(|error| panic!("{config}{error}"));
    }
}

#[test]
fn with_everything_freed_and_trimmed_nothing_but_the_last_os_page_is_held() {
    for config in configs() {
        let heap = Heap::new(config, Simulated::new(HALF));
        let mut heap = run(heap, Generator::new(5, 64, 300 << 10).take(500)).unwrap();
        heap.trim(0);
        heap.check().unwrap();
        let (stats, source) = (heap.stats(), heap.source());
        let mapped = stats.mapped_bytes + stats.region_bytes + stats.table_bytes;
        assert_eq!(mapped, source.mapped_bytes(), "{config}");
        assert_eq!(stats.break_bytes, source.break_bytes(), "{config}");
        assert!(stats.footprint() - stats.table_bytes <= 4096, "{config}{stats}");
    }
}

#[test]
fn the_same_program_over_and_over_does_not_grow_the_heap() {
    for config in configs() {
        let mut heap = Heap::new(config, Simulated::new(HALF));
        let mut footprints = Vec::new();
        for _ in 0..30 {
            heap = run(heap, Generator::new(9, 64, 200 << 10).take(300)).unwrap();
            footprints.push(heap.stats().footprint());
        }
        // A dynamic threshold moves what was mapped into the heap, and a class of
        // which one block is asked for in each round gets its unit late, but once.
        let (early, late) = (footprints[..20].iter().max(), footprints[20..].iter().max());
        // What time lets go of moves holes about.
        let eighths = if config.trim == Trim::Decay { 10 } else { 8 };
        let most = early.map(|early| early * eighths / 8);
        assert!(late.copied() <= most, "{config}{footprints:?}");
    }
}

fn op() -> impl Strategy<Value = Op> {
    let slot = 0..12_u32;
    let size = prop_oneof![
        4 => 0..600_usize,
        2 => 0..70_000_usize,
        1 => (0..64_usize).prop_map(|over| (128 << 10) - 32 + over),
        1 => 0..400_000_usize,
    ];
    prop_oneof![
        4 => (slot.clone(), size.clone(), 0..17_u32, any::<bool>()).prop_map(
            |(slot, size, align, zeroed)| Op::Alloc {
                slot,
                size,
                // Mostly ordinary: large alignments are rare.
                align: if align < 12 { 16 } else { 1 << (align - 1) },
                zeroed,
            }
        ),
        2 => (slot.clone(), size).prop_map(|(slot, size)| Op::Realloc { slot, size }),
        3 => slot.prop_map(|slot| Op::Free { slot }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_program_under_any_configuration(
        program in prop::collection::vec(op(), 1..80),
        config in prop::sample::select(configs().collect::<Vec<_>>()),
        top_pad in prop::sample::select(vec![0, 4096, 128 << 10]),
    ) {
        let config = Config { top_pad: Bytes(top_pad), ..config };
        let heap = Heap::new(config, Simulated::new(64 << 20));
        prop_assert_eq!(run(heap, program).map(drop), Ok(()));
    }
}
