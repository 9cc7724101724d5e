//! The process's own heap of the allocator as a subject: caches, depot and all,
//! which outlive each input.

use std::alloc::Layout;
use std::ptr::NonNull;

use brkpoint_allocator::{Brkpoint, Stats};
use brkpoint_workloads::op::Event;
use brkpoint_workloads::shadow::{Complaint, Global, Model, Promise, Subject};

use crate::settings;

/// The allocator through its handle.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    global: Global<Brkpoint>,
    /// Whether nobody else uses the heap, so that its accounts are the model's.
    is_alone: bool,
}

impl Process {
    /// A handle; `is_alone` if there is no other in use.
    pub fn new(is_alone: bool) -> Process {
        Process { global: Global(Brkpoint::new()), is_alone }
    }
}

impl Subject for Process {
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        self.global.allocate(layout, zeroed)
    }

    fn allocate_beyond(&mut self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        let Global(heap) = self.global;
        if zeroed {
            heap.allocate_zeroed(size, align)
        } else {
            heap.allocate(size, align).map(|block| block.start)
        }
    }

    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        let Global(heap) = self.global;
        // Every way to free, by the block's size.
        // SAFETY: by contract.
        unsafe {
            match layout.size() % 3 {
                0 => heap.free(block),
                1 => heap.free_sized(block, layout.size(), layout.align()),
                _ => self.global.free(block, layout),
            }
        }
    }

    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // Either way to resize, by the block's size.
        if layout.size() % 3 == 2 {
            // SAFETY: by contract.
            return unsafe { self.global.reallocate(block, layout, size) };
        }
        let Global(heap) = self.global;
        // SAFETY: by contract.
        unsafe { heap.reallocate(block, size, layout.align()) }
    }

    unsafe fn usable_size(&mut self, block: NonNull<u8>, _: Layout) -> usize {
        let Global(heap) = self.global;
        // SAFETY: by contract.
        unsafe { heap.usable_size(block) }
    }

    fn event(&mut self, event: Event) -> Result<(), Complaint> {
        let Global(heap) = self.global;
        match event {
            Event::Trim { keep } => {
                heap.trim(keep);
            }
            Event::Set { knob, value } => {
                heap.configure(|config| settings::change(config, knob, value));
            }
            _ => {}
        }
        Ok(())
    }

    fn fork(&mut self) -> Option<libc::pid_t> {
        // SAFETY: the child only tests the allocator, which promises to work
        // there, and ends.
        let child = unsafe { libc::fork() };
        (child >= 0).then_some(child)
    }

    fn inspect(&mut self, model: &Model, thorough: bool) -> Result<(), Complaint> {
        if !thorough {
            return Ok(());
        }
        let Global(heap) = self.global;
        heap.check().map_err(|broken| Complaint::new(Promise::Invariants, broken))?;
        let stats = heap.stats();
        // What caches hold may be counted with another class or kind of block,
        // so blocks may seem to live that do not; never the other way round.
        let blocks = stats.live_blocks + stats.mapped_blocks;
        let bytes = stats.live + stats.mapped_live;
        if self.is_alone && (blocks < model.blocks || bytes < model.usable) {
            return Err(misstated(model, &stats));
        }
        if self.is_alone { ensure_cached(&heap, &stats) } else { Ok(()) }
    }
}

/// What caches keep is as much as is told, block by block, and each block once.
fn ensure_cached(heap: &Brkpoint, stats: &Stats) -> Result<(), Complaint> {
    let mut cached = Vec::with_capacity(stats.cached_blocks);
    let mut beyond = 0;
    heap.cached(|block, size| {
        // No room is made meanwhile: that would allocate, if we were the process's.
        if cached.len() < cached.capacity() {
            cached.push((block.addr(), size));
        } else {
            beyond += 1;
        }
    });
    cached.sort_unstable();
    let is_apart = cached.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0);
    let bytes: usize = cached.iter().map(|(_, size)| size).sum();
    if beyond == 0 && is_apart && (cached.len(), bytes) == (stats.cached_blocks, stats.cached) {
        return Ok(());
    }
    let what = format!(
        "{} blocks of {bytes} bytes are cached, and {beyond} more; apart: {is_apart}\n{stats}",
        cached.len()
    );
    Err(Complaint::new(Promise::Accounts, what))
}

/// With all freed, all other threads gone and the caches emptied, nothing lives
/// and nothing is cached.
///
/// # Errors
///
/// What does.
pub fn ensure_empty() -> Result<(), Complaint> {
    let heap = Brkpoint::new();
    heap.trim(0);
    heap.check().map_err(|broken| Complaint::new(Promise::Invariants, broken))?;
    let stats = heap.stats();
    let left = stats.live_blocks
        + stats.live
        + stats.mapped_blocks
        + stats.mapped_live
        + stats.cached_blocks
        + stats.cached;
    if left == 0 { Ok(()) } else { Err(misstated(&Model::default(), &stats)) }
}

fn misstated(model: &Model, stats: &Stats) -> Complaint {
    let Model { blocks, usable, .. } = model;
    let what = format!("the program has {blocks} blocks of {usable} usable bytes:\n{stats}");
    Complaint::new(Promise::Accounts, what)
}
