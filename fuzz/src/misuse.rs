//! What a program does wrong: it is refused, by kind where that is promised, and
//! changes nothing; or, where the heap itself was overwritten, the process ends
//! with a message that says so.

use std::ptr::NonNull;

use brkpoint_allocator::{
    Brkpoint, Config, GRAIN, Heap, Metadata, Misuse, MmapThreshold, PageSource, Purge, Trim,
};
use brkpoint_workloads::forked::End;
use brkpoint_workloads::op::draw::Events;
use brkpoint_workloads::shadow::{Promise, Rules, Shadow, Violation};

use crate::arena::Arena;
use crate::case::Case;
use crate::child;
use crate::subject::Subjected;

mod mistake;

pub use mistake::{KINDS, Kind, Mistake};

/// A case's events: none that changes settings, under which what is freed stays
/// readable.
pub const EVENTS: Events = Events { trim: true, ..Events::NONE };

/// What is made of a heap's answer: a test has one accept everything.
pub type Answer = fn(Result<(), Misuse>) -> Result<(), Misuse>;

/// Runs a case, and then makes a mistake; one with the process's heap in a child,
/// under the case's settings alone.
///
/// # Errors
///
/// The promise that was broken.
pub fn run(case: &Case, mistake: Mistake) -> Result<(), Violation> {
    run_answering(case, mistake, |said| said)
}

/// As [`run`], where a heap's answers are made others.
///
/// # Errors
///
/// The promise that was broken.
pub fn run_answering(case: &Case, mistake: Mistake, answer: Answer) -> Result<(), Violation> {
    // What is given back can be read no more: then no allocator can tell.
    let config = Config { trim: Trim::Never, purge: Purge::Never, ..case.config };
    let has_headers = config.metadata == Metadata::Header;
    let kind = if has_headers { mistake.kind } else { mistake.kind.without_headers() };
    let mistake = Mistake { kind, ..mistake };
    let broken = |what: String, at| {
        let what = format!("{mistake:?}: {what}");
        Violation { at, block: 0, promise: Promise::Harmless, what }
    };
    if kind.is_in_process() {
        return in_process(config, mistake).map_err(|what| broken(what, 0));
    }
    let mut subject = Subjected::new(Heap::new(config, Arena::new()));
    let mut shadow = Shadow::with(Rules::FAST);
    for &op in &case.program {
        shadow.perform(&mut subject, op)?;
    }
    make(&mut subject.heap, mistake, answer).map_err(|what| broken(what, shadow.performed()))?;
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

    /// With headers, by this kind; without, a free block may be part of something
    /// else by now.
    fn of_free(self, has_headers: bool, what: &str) -> Result<(), String> {
        if has_headers { self.is(Misuse::DoubleFree, what) } else { self.whichever(what) }
    }
}

fn make<S: PageSource>(heap: &mut Heap<S>, mistake: Mistake, answer: Answer) -> Result<(), String> {
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
    if let [left, block, right] = blocks[..]
        && !is_mapped
    {
        blocks = vec![left, right];
        // SAFETY: three live blocks, which nobody else has.
        unsafe {
            if !err(heap, block, mistake.kind, answer, [left, right])? {
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
/// Three live blocks that are not mapped, which nobody else has; they have headers
/// if the mistake is about those.
unsafe fn err<S: PageSource>(
    heap: &mut Heap<S>,
    block: NonNull<u8>,
    kind: Kind,
    answer: Answer,
    [left, right]: [NonNull<u8>; 2],
) -> Result<bool, String> {
    let has_headers = heap.config().metadata == Metadata::Header;
    let refusal = |said| Refusal(answer(said));
    // SAFETY: by contract; each is refused, or what follows says otherwise. What
    // is written to is restored.
    unsafe {
        let usable = heap.usable_size(block).map_err(|misuse| misuse.to_string())?;
        // One that a block could stay with, and one that it could not.
        let sizes = [usable, 2 * usable];
        match kind {
            Kind::Within | Kind::AtGrain => {
                let is_near = kind == Kind::Within || usable <= GRAIN;
                let inner = block.add(if is_near { 1 } else { GRAIN });
                refusal(heap.free(inner)).is(Misuse::NotABlock, "free within a block")?;
                refusal(heap.usable_size(inner).map(drop))
                    .is(Misuse::NotABlock, "the size within a block")?;
                for size in sizes {
                    let resized = heap.reallocate(inner, size, GRAIN).map(drop);
                    refusal(resized).is(Misuse::NotABlock, "resize within a block")?;
                }
            }
            Kind::FreeTwice | Kind::ResizeFreed | Kind::FreedLinks | Kind::FreedHeader => {
                heap.free(block).map_err(|misuse| misuse.to_string())?;
                let again = refusal(heap.free(block));
                again.of_free(has_headers, "free of a free block")?;
                match kind {
                    Kind::ResizeFreed => {
                        for size in sizes {
                            let resized = heap.reallocate(block, size, GRAIN).map(drop);
                            refusal(resized).of_free(has_headers, "resize of a free block")?;
                        }
                    }
                    Kind::FreedLinks | Kind::FreedHeader => {
                        let links = kind == Kind::FreedLinks;
                        write_after_free(heap, block, usable, links, [left, right])?;
                    }
                    _ => {
                        let size = heap.usable_size(block).map(drop);
                        refusal(size).of_free(has_headers, "the size of a free block")?;
                    }
                }
                return Ok(true);
            }
            Kind::Overrun(far) => {
                let said = overwritten(heap, block, block.add(usable + far), 0xff);
                refusal(said).is(Misuse::Overrun, "free of a block that overran")?;
            }
            Kind::Underrun(far) => {
                let said = overwritten(heap, block, block.sub(GRAIN - far), 0xff);
                refusal(said).is(Misuse::Underrun, "free behind an overrun")?;
            }
            Kind::Header(far) => {
                let said = overwritten(heap, block, block.sub(8 - far), 0x10);
                refusal(said).whichever("free of a block without its header")?;
            }
            _ => unreachable!("{kind:?} is made with the process's heap"),
        }
    }
    Ok(false)
}

/// What freeing a block says while these bits of a byte are others.
///
/// # Safety
///
/// A live block, which nobody else has, and a byte of the heap's own.
unsafe fn overwritten<S: PageSource>(
    heap: &mut Heap<S>,
    block: NonNull<u8>,
    place: NonNull<u8>,
    bits: u8,
) -> Result<(), Misuse> {
    // SAFETY: by contract; it is restored.
    unsafe {
        let saved = place.read();
        place.write(saved ^ bits);
        let said = heap.free(block);
        place.write(saved);
        said
    }
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
                return child::status(freed.is_ok() && !is_beside);
            }
            block.sub(8).write(!block.sub(8).read());
            // Is come across, or not: bins are searched from the other end.
            for _ in 0..64 {
                let _ = heap.allocate(usable, GRAIN);
            }
            // A neighbour notices.
            child::status(!is_beside || heap.free(right).is_err())
        }
    });
    expect(end, &said, "the heap is corrupt")
}

/// Whether a child ended as misuse ends a process, or with nothing to complain of.
fn expect(end: End, said: &[u8], message: &str) -> Result<(), String> {
    let said = String::from_utf8_lossy(said);
    match end {
        End::Exited(child::FINE) => Ok(()),
        End::Killed(libc::SIGABRT) if said.starts_with("brkpoint: ") && said.contains(message) => {
            Ok(())
        }
        end => Err(format!("{end:?} in a child, which said: {said}")),
    }
}

/// A mistake with the process's heap, in a child: it ends with a message, at once
/// or when what caches keep reaches the heap.
fn in_process(config: Config, mistake: Mistake) -> Result<(), String> {
    let config = Config { mmap_threshold: MmapThreshold::Off, ..config };
    let (end, said) = child::overhear(|| {
        let heap = Brkpoint::with_config(config);
        let blocks: Vec<NonNull<u8>> = (0..8)
            .filter_map(|_| heap.allocate(mistake.size, GRAIN))
            .map(|block| block.start)
            .collect();
        let &[_, _, before, block, ..] = &blocks[..] else { return child::BROKEN };
        // SAFETY: live blocks; what is wrong with it ends this process.
        unsafe {
            block.write_bytes(0, mistake.size);
            match mistake.kind {
                Kind::ProcessFreeWithin => heap.free(block.add(1)),
                Kind::ProcessResizeWithin => {
                    heap.reallocate(block.add(1), 2 * mistake.size + GRAIN, GRAIN);
                }
                Kind::ProcessMeasureWithin => {
                    heap.usable_size(block.add(1));
                }
                Kind::ProcessFreeMerged => {
                    // Beside each other, and the second is free.
                    heap.free(block);
                    heap.trim(0);
                    heap.free(before);
                    heap.free(block);
                }
                Kind::ProcessFreeTwice => {
                    heap.free(block);
                    heap.free(block);
                }
                Kind::ProcessFreeLater => {
                    heap.free(block);
                    heap.trim(0);
                    heap.free(block);
                }
                kind => unreachable!("{kind:?} is made with a heap of its own"),
            }
        }
        heap.trim(0);
        child::BROKEN
    });
    expect(end, &said, "(0x")
}

#[cfg(test)]
mod tests {
    use brkpoint_workloads::forked;

    use super::*;

    #[test]
    fn a_refusal_is_none_if_it_is_accepted_or_refused_as_something_else() {
        assert!(Refusal(Ok(())).is(Misuse::DoubleFree, "").is_err());
        assert!(Refusal(Err(Misuse::NotABlock)).is(Misuse::DoubleFree, "").is_err());
        assert!(Refusal(Err(Misuse::DoubleFree)).is(Misuse::DoubleFree, "").is_ok());
        assert!(Refusal(Ok(())).whichever("").is_err());
        assert!(Refusal(Err(Misuse::NotABlock)).whichever("").is_ok());
        assert!(Refusal(Err(Misuse::NotABlock)).of_free(true, "").is_err());
        assert!(Refusal(Err(Misuse::NotABlock)).of_free(false, "").is_ok());
    }

    #[test]
    fn a_child_ends_as_misuse_should_or_is_complained_of() {
        let abort = End::Killed(libc::SIGABRT);
        for (end, said, is_right) in [
            (End::Exited(child::FINE), "", true),
            (abort, "brkpoint: free(0x1): not a block\n", true),
            // It was accepted.
            (End::Exited(child::BROKEN), "", false),
            (End::Exited(forked::PANICKED), "brkpoint: free(0x1): not a block\n", false),
            (End::Killed(libc::SIGSEGV), "brkpoint: free(0x1): not a block\n", false),
            (abort, "", false),
            (abort, "brkpoint: something else\n", false),
            (abort, "panicked: free(0x1)\n", false),
        ] {
            let found = expect(end, said.as_bytes(), "(0x");
            assert_eq!(found.is_ok(), is_right, "{end:?}, which said {said:?}");
        }
    }
}
