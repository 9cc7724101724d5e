//! The allocators, and what each documents that it can do.

use brkpoint_workloads::conform::Chapter;
use brkpoint_workloads::op::Shape;
use brkpoint_workloads::shadow::Rules;

use crate::adapters::{Acid, Api, Given, Region, leak};

/// What programs may ask for. The documentation of each allocator says so.
#[derive(Clone, Copy)]
pub struct Limits {
    /// The bytes of its region; 0 if its memory is the kernel's.
    pub region: usize,
    /// The largest block in bytes.
    pub largest: usize,
    /// The largest alignment in bytes.
    pub align: usize,
    /// With no more than so many bytes in use, it must not refuse; 0 if it may
    /// always.
    pub granted: usize,
    /// Whether threads may share it.
    pub threads: bool,
    /// Whether all that is freed is used again.
    pub reuse: bool,
}

/// With the kernel's memory: as much as any chapter asks for.
const KERNEL: Limits = Limits {
    region: 0,
    largest: usize::MAX,
    align: usize::MAX,
    granted: usize::MAX,
    threads: true,
    reuse: true,
};

/// A heap over a region, with room enough that fragmentation is no excuse.
const REGION: Limits =
    Limits { region: 32 << 20, largest: 256 << 10, align: 16 << 10, granted: 1 << 20, ..KERNEL };

/// A heap whose size is part of its type.
const SMALL: Limits =
    Limits { region: SMALL_LEN, largest: 8 << 10, align: 4096, granted: 32 << 10, ..KERNEL };
const SMALL_LEN: usize = 1 << 20;

/// For what documents that threads may not share it.
const ALONE: Limits = Limits { threads: false, ..REGION };

/// A heap that uses what is freed never again, so that it soon refuses all.
const ONCE: Limits = Limits { granted: 0, reuse: false, ..SMALL };

/// Over the kernel's memory, of which little is used again before all is free:
/// so blocks are small, and its footprint may grow.
const BUMP: Limits = Limits { largest: 64 << 10, threads: false, reuse: false, ..KERNEL };

/// An allocator.
pub struct Subject {
    /// The crate.
    pub name: &'static str,
    /// The first numbers of its release.
    pub line: &'static str,
    /// What it can do.
    pub limits: Limits,
    /// Makes one.
    pub make: fn(Region) -> Given,
}

impl Subject {
    /// The subject of an id.
    pub fn of(id: &str) -> Option<&'static Subject> {
        SUBJECTS.iter().find(|subject| subject.id() == id)
    }

    /// What no other subject has.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.line)
    }

    /// The release this was built with.
    pub fn release(&self) -> &'static str {
        self.locked(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")))
    }

    /// The newest release of its line.
    pub fn newest(&self) -> &'static str {
        self.locked(include_str!("../../findings/Cargo.lock"))
    }

    /// Whether there was no newer release at all: a crate's newest line is first.
    pub fn is_current(&self) -> bool {
        let first = SUBJECTS.iter().find(|other| other.name == self.name);
        first.is_some_and(|first| first.newest() == self.release())
    }

    fn locked(&self, lock: &'static str) -> &'static str {
        let name = self.name.split(' ').next().unwrap_or_default();
        let (entry, line) = (format!("name = \"{name}\"\nversion = \""), format!("{}.", self.line));
        let mut versions = lock.split(&entry).skip(1).filter_map(|rest| rest.split('"').next());
        versions.find(|version| version.starts_with(&line)).expect("every subject is locked")
    }

    /// A chapter as far as the limits go.
    pub fn fitted(&self, chapter: &Chapter) -> Chapter {
        let Limits { region, align, granted, .. } = self.limits;
        // A heap of a given size is exhausted by large blocks.
        let exhausted = chapter.rules.granted == 0 && region != 0;
        let largest = if exhausted { region / 4 } else { self.limits.largest };
        let shape = Shape {
            largest: chapter.shape.largest.min(largest),
            align_most: chapter.shape.align_most.min(align),
            ..chapter.shape
        };
        let granted = chapter.rules.granted.min(granted);
        Chapter { shape, rules: Rules { granted, ..chapter.rules }, ..*chapter }
    }

    /// Whether a chapter tries something with it. Nothing here knows settings,
    /// a break or the allocator of the process.
    pub fn fits(&self, chapter: &str) -> bool {
        match chapter {
            "events" | "fork" => false,
            "threads" => self.limits.threads,
            "rounds" => self.limits.reuse,
            _ => true,
        }
    }
}

/// The table: crate, release, limits, and how one is made. A crate's newest line
/// comes first.
macro_rules! subjects {
    ($($name:literal $line:literal $limits:expr, $region:pat => $make:expr;)*) => {
        /// Every allocator that is tried.
        pub const SUBJECTS: &[Subject] =
            &[$(Subject { name: $name, line: $line, limits: $limits, make: |$region| $make }),*];
    };
}

/// A heap that is handed its region by a call.
macro_rules! given {
    ($heap:expr, |$name:ident| $init:expr) => {{
        let $name = leak($heap);
        // SAFETY: the region is this heap's alone, and there for good; a leaked
        // heap does not move.
        let _ = unsafe { $init };
        $name
    }};
}

/// A heap whose size is part of its type.
macro_rules! fixed {
    ($heap:ty, $new:ident) => {{
        static HEAP: $heap = <$heap>::$new();
        &HEAP
    }};
}

/// blink-alloc's, for the main thread.
macro_rules! blink {
    ($module:ident) => {{
        // SAFETY: the limits say that threads do not share it.
        let heap = unsafe { $module::UnsafeGlobalBlinkAlloc::new() };
        given!(heap, |heap| heap.blink_mode())
    }};
}

/// buddy-alloc's: small blocks come from a region of their own.
macro_rules! buddy {
    ($module:ident, $region:ident) => {{
        use $module::{BuddyAllocParam, FastAllocParam, NonThreadsafeAlloc};
        let (fast, buddy) = $region.split();
        let fast = FastAllocParam::new(fast.start, fast.len);
        leak(NonThreadsafeAlloc::new(fast, BuddyAllocParam::new(buddy.start, buddy.len, 64)))
    }};
}

subjects! {
    "acid_alloc" "0.1" REGION, region => leak(Acid::over(region));
    "blink-alloc" "0.4" BUMP, _ => blink!(blink_alloc_0_4);
    "blink-alloc" "0.3" BUMP, _ => blink!(blink_alloc_0_3);
    "buddy-alloc" "0.6" ALONE, region => buddy!(buddy_alloc_0_6, region);
    "buddy-alloc" "0.5" ALONE, region => buddy!(buddy_alloc_0_5, region);
    "buddy_system_allocator" "0.13" REGION, Region { start, len } =>
        given!(buddy_system_0_13::LockedHeap::<32>::new(), |heap| heap.lock().init(start as usize, len));
    "buddy_system_allocator" "0.12" REGION, Region { start, len } =>
        given!(buddy_system_0_12::LockedHeap::<32>::new(), |heap| heap.lock().init(start as usize, len));
    "buddy_system_allocator" "0.6" REGION, Region { start, len } =>
        given!(buddy_system_0_6::LockedHeap::new(), |heap| heap.lock().init(start as usize, len));
    "bump-scope" "2" BUMP, _ =>
        leak(Api(bump_scope_2::Bump::<bump_scope_2::alloc::Global>::new()));
    "bump-scope" "1" BUMP, _ =>
        leak(Api(bump_scope_1::Bump::<bump_scope_1::alloc::Global>::new()));
    "bumpalo" "3" BUMP, _ => leak(Api(leak(bumpalo_3::Bump::new())));
    "dlmalloc" "0.2" KERNEL, _ => &dlmalloc_0_2::GlobalDlmalloc;
    "dlmalloc" "0.1" KERNEL, _ => &dlmalloc_0_1::GlobalDlmalloc;
    "emballoc" "0.3" SMALL, _ => fixed!(emballoc_0_3::Allocator<SMALL_LEN>, new);
    "emballoc" "0.2" SMALL, _ => fixed!(emballoc_0_2::Allocator<SMALL_LEN>, new);
    "emballoc" "0.1" SMALL, _ => fixed!(emballoc_0_1::Allocator<SMALL_LEN>, new);
    "embedded-alloc (TLSF)" "0.7" REGION, Region { start, len } =>
        given!(embedded_alloc_0_7::TlsfHeap::empty(), |heap| heap.init(start as usize, len));
    "embedded-alloc (TLSF)" "0.6" REGION, Region { start, len } =>
        given!(embedded_alloc_0_6::TlsfHeap::empty(), |heap| heap.init(start as usize, len));
    "embedded-alloc (LLFF)" "0.7" REGION, Region { start, len } =>
        given!(embedded_alloc_0_7::LlffHeap::empty(), |heap| heap.init(start as usize, len));
    "embedded-alloc (LLFF)" "0.5" REGION, Region { start, len } =>
        given!(embedded_alloc_0_5::Heap::empty(), |heap| heap.init(start as usize, len));
    "good_memory_allocator" "0.1" REGION, Region { start, len } =>
        given!(good_memory_0_1::SpinLockedAllocator::<20, 8>::empty(), |heap| heap.init(start as usize, len));
    "linked_list_allocator" "0.10" REGION, Region { start, len } =>
        given!(linked_list_0_10::LockedHeap::empty(), |heap| heap.lock().init(start, len));
    "linked_list_allocator" "0.9" REGION, Region { start, len } =>
        given!(linked_list_0_9::LockedHeap::empty(), |heap| heap.lock().init(start as usize, len));
    "nolock" "0.4" KERNEL, _ => leak(nolock_0_4::allocator::lrmalloc::Allocator::new());
    "picoalloc" "5" KERNEL, _ => {
        use picoalloc_5::{Allocator, Mutex, UnsafeSystem};
        leak(Mutex::new(Allocator::new(UnsafeSystem::<{ 1 << 30 }>)))
    };
    "rlsf" "0.2" KERNEL, _ => leak(rlsf_0_2::GlobalTlsf::<()>::new());
    // "RSBMalloc accepts alignments up to 4 KiB."
    "rsbmalloc" "0.4" Limits { align: 4096, ..KERNEL }, _ => leak(rsbmalloc_0_4::RSBMalloc::new());
    "rusty_alloc-api" "2" KERNEL, _ => &rusty_alloc_2::RustyAlloc;
    "slab_allocator_rs" "1" REGION, Region { start, len } =>
        given!(slab_allocator_1::LockedHeap::empty(), |heap| heap.init(start as usize, len));
    // Counts blocks, here of 16 bytes, by 16 bits.
    "stalloc" "0.7" SMALL, _ => fixed!(stalloc_0_7::SyncStalloc<65_534, 16>, new);
    "stalloc" "0.6" SMALL, _ => fixed!(stalloc_0_6::SyncStalloc<65_534, 16>, new);
    "static-alloc" "0.3" ONCE, _ => fixed!(static_alloc_0_3::Bump<[u8; SMALL_LEN]>, uninit);
    "static-alloc" "0.2" ONCE, _ => fixed!(static_alloc_0_2::Bump<[u8; SMALL_LEN]>, uninit);
    "stoolap-jemalloc" "0.1" KERNEL, _ => leak(stoolap_jemalloc_0_1::Jemalloc::new());
    "talc" "5" REGION, Region { start, len } => {
        use talc_5::{TalcLock, source::Manual};
        let heap = TalcLock::<spin::Mutex<()>, Manual>::new(Manual);
        given!(heap, |heap| heap.lock().claim(start, len).expect("room for its own"))
    };
    "talc" "4" REGION, Region { start, len } => {
        use talc_4::{ErrOnOom, Span, Talc};
        let (heap, span) = (Talc::new(ErrOnOom).lock::<spin::Mutex<()>>(), Span::from_base_size(start, len));
        given!(heap, |heap| heap.lock().claim(span).expect("room for its own"))
    };
    "wee_alloc" "0.4" KERNEL, _ => leak(wee_alloc_0_4::WeeAlloc::INIT);
}
