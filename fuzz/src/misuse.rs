//! What a program does wrong: it is refused, by kind where that is promised, and
//! changes nothing; or, where the heap itself was overwritten, the process ends
//! with a message that says so.

use std::ffi::c_int;
use std::ptr::NonNull;

use brkpoint_allocator::{
    Brkpoint, Config, GRAIN, Heap, Metadata, Misuse, MmapThreshold, PageSource, Purge, Trim,
};
use brkpoint_workloads::forked::End;
use brkpoint_workloads::op::draw::{Bits, Events};
use brkpoint_workloads::shadow::{Promise, Rules, Shadow, Violation};

use crate::arena::Arena;
use crate::case::Case;
use crate::child;
use crate::subject::Subjected;

/// A case's events: none that changes settings, under which what is freed stays
/// readable.
pub const EVENTS: Events = Events { trim: true, ..Events::NONE };

/// Which mistake is made.
#[derive(Clone, Copy, Debug)]
pub struct Mistake {
    /// Bytes of the blocks that it is made with.
    pub size: usize,
    /// Which.
    pub kind: usize,
}

impl Mistake {
    /// Draws one.
    pub fn draw(bits: &mut impl Bits) -> Mistake {
        let doublings = 5 + bits.below(8);
        let size = bits.below(1 << doublings);
        Mistake { size, kind: bits.below(18) }
    }

    /// Whether it is made with the process's heap.
    pub fn is_in_process(self) -> bool {
        self.kind >= 12
    }
}

/// Runs a case, and then makes a mistake.
///
/// # Errors
///
/// The promise that was broken.
pub fn run(case: &Case, mistake: Mistake) -> Result<(), Violation> {
    // What is given back can be read no more: then no allocator can tell.
    let config = Config { trim: Trim::Never, purge: Purge::Never, ..case.config };
    let mut subject = Subjected::new(Heap::new(config, Arena::new()));
    let mut shadow = Shadow::with(Rules::FAST);
    for &op in &case.program {
        shadow.perform(&mut subject, op)?;
    }
    let broken = |what: String, at| Violation { at, block: 0, promise: Promise::Harmless, what };
    make(&mut subject.heap, mistake)
        .map_err(|what| broken(format!("{mistake:?}: {what}"), shadow.performed()))?;
    subject.heap.source_mut().verify();
    shadow.verify()?;
    shadow.inspect(&mut subject)?;
    shadow.free_all(&mut subject)?;
    shadow.inspect(&mut subject)
}

/// What a heap says of misuse, and that it does.
struct Refusal(Result<(), Misuse>);

impl Refusal {
    fn is(self, expected: Misuse, what: &str) -> Result<(), String> {
        match self.0 {
            Err(misuse) if misuse == expected => Ok(()),
            other => Err(format!("{what}: {other:?}, not {expected:?}")),
        }
    }

    fn whichever(self, what: &str) -> Result<(), String> {
        if self.0.is_err() { Ok(()) } else { Err(format!("{what}: it was not noticed")) }
    }
}

fn make<S: PageSource>(heap: &mut Heap<S>, mistake: Mistake) -> Result<(), String> {
    let mapped = heap.stats().mapped_blocks;
    let mut blocks = Vec::new();
    for _ in 0..3 {
        let Some(block) = heap.allocate(mistake.size, GRAIN) else { break };
        // SAFETY: a new block; nothing in it looks like a header.
        unsafe {
            let usable = heap.usable_size(block.start).map_err(|misuse| misuse.to_string())?;
            block.start.write_bytes(0, usable);
        }
        blocks.push(block.start);
    }
    let is_mapped = heap.stats().mapped_blocks > mapped;
    let has_headers = heap.config().metadata == Metadata::Header;
    if let [left, block, right] = blocks[..]
        && !is_mapped
    {
        blocks = vec![left, right];
        // SAFETY: three live blocks, which nobody else has.
        unsafe {
            if !err(heap, block, mistake.kind, has_headers, [left, right])? {
                blocks.push(block);
            }
        }
    }
    for block in blocks {
        // SAFETY: live blocks, which nobody else has.
        unsafe { heap.free(block) }.map_err(|misuse| format!("a live block: {misuse}"))?;
    }
    Ok(())
}

/// Makes a mistake with a block; says whether the block is freed.
///
/// # Safety
///
/// Three live blocks that are not mapped, which nobody else has.
unsafe fn err<S: PageSource>(
    heap: &mut Heap<S>,
    block: NonNull<u8>,
    kind: usize,
    has_headers: bool,
    [left, right]: [NonNull<u8>; 2],
) -> Result<bool, String> {
    // SAFETY: by contract; each is refused, or what follows says otherwise. What
    // is written to is restored.
    unsafe {
        let usable = heap.usable_size(block).map_err(|misuse| misuse.to_string())?;
        match kind {
            0 | 1 => {
                let inner = block.add(if kind == 0 || usable <= GRAIN { 1 } else { GRAIN });
                Refusal(heap.free(inner)).is(Misuse::NotABlock, "free within a block")?;
                Refusal(heap.usable_size(inner).map(drop))
                    .is(Misuse::NotABlock, "the size within a block")?;
                // To a size that it could stay with, and to one that it could not.
                for size in [usable, 2 * usable] {
                    let resized = heap.reallocate(inner, size, GRAIN);
                    Refusal(resized.map(drop)).is(Misuse::NotABlock, "resize within a block")?;
                }
            }
            2..6 => {
                heap.free(block).map_err(|misuse| misuse.to_string())?;
                let refused = |result: Result<(), Misuse>, what| {
                    let refusal = Refusal(result);
                    // A unit that is given back leaves no trace of its blocks.
                    if has_headers {
                        refusal.is(Misuse::DoubleFree, what)
                    } else {
                        refusal.whichever(what)
                    }
                };
                refused(heap.free(block), "free of a free block")?;
                refused(heap.usable_size(block).map(drop), "the size of a free block")?;
                for size in [usable, 2 * usable] {
                    let resized = heap.reallocate(block, size, GRAIN);
                    refused(resized.map(drop), "resize of a free block")?;
                }
                if kind > 3 && has_headers {
                    write_after_free(heap, block, usable, kind == 4, [left, right])?;
                }
                return Ok(true);
            }
            6 | 7 if has_headers => {
                let beyond = block.add(usable + kind - 6);
                let saved = beyond.read();
                beyond.write(!saved);
                Refusal(heap.free(block)).is(Misuse::Overrun, "free of a block that overran")?;
                beyond.write(saved);
            }
            8 | 9 if has_headers => {
                let before = block.sub(GRAIN - (kind - 8));
                let saved = before.read();
                before.write(!saved);
                Refusal(heap.free(block)).is(Misuse::Underrun, "free behind an overrun")?;
                before.write(saved);
            }
            10 | 11 if has_headers => {
                let own = block.sub(8 - (kind - 10));
                let saved = own.read();
                own.write(saved ^ 0x10);
                Refusal(heap.free(block)).whichever("free of a block without its header")?;
                own.write(saved);
            }
            _ => {}
        }
    }
    Ok(false)
}

/// In a child: a freed block's links are overwritten, or its header is. It ends
/// with a message when that is come across, which is certain if a neighbour is
/// freed whose merging takes the block out.
///
/// # Safety
///
/// `block` had `usable` bytes and is free, the others are live; all have headers.
unsafe fn write_after_free<S: PageSource>(
    heap: &mut Heap<S>,
    block: NonNull<u8>,
    usable: usize,
    links: bool,
    [left, right]: [NonNull<u8>; 2],
) -> Result<(), String> {
    let is_beside = block.addr().get() + usable + GRAIN == right.addr().get();
    let (end, said) = child::overhear(|| {
        // SAFETY: by contract. Nobody is to see the child's heap in order again.
        unsafe {
            if links {
                block.write_bytes(0x15, GRAIN);
                let freed = heap.free(right).and_then(|()| heap.free(left));
                // With the block itself free, its neighbours are in order.
                return c_int::from(freed.is_err() || is_beside);
            }
            block.sub(8).write(!block.sub(8).read());
            // Is come across, or not: bins are searched from the other end.
            for _ in 0..64 {
                let _ = heap.allocate(usable, GRAIN);
            }
            // A neighbour notices.
            c_int::from(is_beside && heap.free(right).is_ok())
        }
    });
    expect(end, &said, "the heap is corrupt")
}

/// Whether a child ended as misuse ends a process, or with nothing to complain of.
fn expect(end: End, said: &[u8], message: &str) -> Result<(), String> {
    let said = String::from_utf8_lossy(said);
    match end {
        End::Exited(0) => Ok(()),
        End::Killed(libc::SIGABRT) if said.starts_with("brkpoint: ") && said.contains(message) => {
            Ok(())
        }
        end => Err(format!("{end:?} in a child, which said: {said}")),
    }
}

/// A mistake with the process's heap, in a child: it ends with a message, at once
/// or when what caches keep reaches the heap.
///
/// # Errors
///
/// What happened instead.
pub fn in_process(config: Config, mistake: Mistake) -> Result<(), String> {
    let config = Config {
        trim: Trim::Never,
        purge: Purge::Never,
        mmap_threshold: MmapThreshold::Off,
        ..config
    };
    let has_headers = config.metadata == Metadata::Header;
    let (end, said) = child::overhear(|| {
        let heap = Brkpoint::with_config(config);
        let blocks: Vec<NonNull<u8>> = (0..8)
            .filter_map(|_| heap.allocate(mistake.size, GRAIN))
            .map(|block| block.start)
            .collect();
        let &[_, _, before, block, ..] = &blocks[..] else { return 0 };
        // SAFETY: live blocks; what is wrong with it ends this process.
        unsafe {
            block.write_bytes(0, mistake.size);
            match mistake.kind % 6 {
                0 => heap.free(block.add(1)),
                1 => drop(heap.reallocate(block.add(1), 2 * mistake.size + GRAIN, GRAIN)),
                2 if has_headers => drop(heap.usable_size(block.add(1))),
                3 => {
                    // Beside each other, and the second is free.
                    heap.free(block);
                    heap.trim(0);
                    heap.free(before);
                    heap.free(block);
                }
                _ => {
                    heap.free(block);
                    heap.free(block);
                }
            }
        }
        heap.trim(0);
        1
    });
    expect(end, &said, "(0x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_or_refused_for_another_reason_is_noticed() {
        let double_free = || Refusal(Err(Misuse::DoubleFree));
        assert!(double_free().is(Misuse::DoubleFree, "").is_ok());
        assert!(double_free().is(Misuse::NotABlock, "").is_err());
        assert!(Refusal(Ok(())).is(Misuse::DoubleFree, "").is_err());
        assert!(double_free().whichever("").is_ok());
        assert!(Refusal(Ok(())).whichever("").is_err());
    }

    #[test]
    fn a_child_must_end_well_or_with_the_message() {
        let said = b"brkpoint: free(0x10): the block is already free (double free)";
        let aborted = End::Killed(libc::SIGABRT);
        assert!(expect(End::Exited(0), b"", "(0x").is_ok());
        assert!(expect(aborted, said, "(0x").is_ok());
        for (end, said, message) in [
            (End::Exited(1), &said[..], "(0x"),
            (End::Killed(libc::SIGSEGV), said, "(0x"),
            (aborted, &said[1..], "(0x"),
            (aborted, said, "the heap is corrupt"),
        ] {
            assert!(expect(end, said, message).is_err(), "{end:?}");
        }
    }
}
