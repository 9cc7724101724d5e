//! Minor faults on the memory that an allocator had from its memory calls, without a
//! tracer of faults: an OS page of it was faulted in as often as it was there when it
//! was given up, and once more if it is there at the end.
//!
//! Which mappings are the allocator's shows in what is new after its call. A page that
//! is read before it is written has two faults and counts as one; what a process had
//! before the phase does not count. Of threads that map at one moment, one may be taken
//! for another.

use std::collections::BTreeMap;

use super::calls::{Call, Memory};
use super::process::{self, Anonymous};
use super::sys::{self, Pid};

/// Addresses from the first up to the second, ascending, apart.
type Ranges = Vec<(u64, u64)>;

/// All processes of a tree.
#[derive(Debug, Default)]
pub(super) struct HeapFaults {
    processes: BTreeMap<Pid, Space>,
    /// OS pages that were there when they were given up.
    lost: u64,
}

/// A process that has been in the measured phase.
#[derive(Debug, Default)]
struct Space {
    /// The allocator's mappings but that of `brk`.
    mapped: Ranges,
    /// All there were when the allocator last asked for one.
    before: Option<Ranges>,
    /// OS pages that were there already when the phase began.
    older: u64,
    /// OS pages that were there at the last look.
    there: u64,
    over: bool,
}

impl HeapFaults {
    /// A marker: the measured phase begins or ends.
    pub(super) fn phase(&mut self, thread: Pid, measured: bool) {
        let Some(status) = process::status(thread) else { return };
        if measured {
            self.space(status.process);
        } else if self.processes.contains_key(&status.process) {
            self.look(thread);
            self.processes.entry(status.process).and_modify(|space| space.over = true);
        }
    }

    fn space(&mut self, process: Pid) -> &mut Space {
        self.processes.entry(process).or_insert_with(|| {
            let heap = process::anonymous(process).unwrap_or_default().heap;
            let older = process::present(process, &heap, sys::os_page()).unwrap_or_default();
            Space { older, ..Space::default() }
        })
    }

    /// `thread` is about to make a memory call.
    pub(super) fn call(&mut self, thread: Pid, memory: &Memory, measured: bool) {
        let Some(status) = process::status(thread) else { return };
        let process = status.process;
        if !measured && !self.processes.contains_key(&process) {
            return;
        }
        let Some(seen) = process::anonymous(process) else { return };
        let space = self.space(process);
        if space.over {
            return;
        }
        space.settle(&seen);
        let page = sys::os_page();
        let up = |address: u64| address.saturating_add(page - 1) / page * page;
        let end = |length: u64| up(memory.start.saturating_add(length));
        let given_up = match memory.call {
            Call::Brk if memory.length > 0 => minus(&seen.heap, &[(0, up(memory.length))]),
            Call::Mremap if end(memory.length) < end(memory.old) => {
                common(&space.mapped, &[(end(memory.length), end(memory.old))])
            }
            _ if memory.discards => {
                let range = [(memory.start, end(memory.length))];
                let mut all = common(&space.mapped, &range);
                all.extend(common(&seen.heap, &range));
                all
            }
            _ => Ranges::new(),
        };
        if measured && matches!(memory.call, Call::Mmap | Call::Mremap) {
            space.before = Some(seen.others);
        }
        self.lost += process::present(process, &given_up, page).unwrap_or_default();
    }

    /// A look at a process that may be about to give up all of its memory.
    pub(super) fn look(&mut self, thread: Pid) {
        let Some(status) = process::status(thread) else { return };
        let Some(space) = self.processes.get_mut(&status.process) else { return };
        let Some(seen) = process::anonymous(status.process) else { return };
        if space.over {
            return;
        }
        space.settle(&seen);
        let mut all = space.mapped.clone();
        all.extend(seen.heap);
        if let Some(there) = process::present(status.process, &all, sys::os_page()) {
            space.there = there;
        }
    }

    pub(super) fn finish(self) -> u64 {
        let ends = self.processes.values().map(|space| space.there.saturating_sub(space.older));
        self.lost + ends.sum::<u64>()
    }
}

impl Space {
    /// Learns which mappings are the allocator's from those that there are.
    fn settle(&mut self, seen: &Anonymous) {
        self.mapped = common(&self.mapped, &seen.others);
        let Some(before) = &self.before else { return };
        let new = minus(&seen.others, before);
        if !new.is_empty() {
            self.mapped.extend(new);
            self.mapped.sort_unstable();
            self.before = None;
        }
    }
}

/// What of `these` is not in `those`.
fn minus(these: &[(u64, u64)], those: &[(u64, u64)]) -> Ranges {
    let mut left = Ranges::new();
    for &(mut begin, end) in these {
        let first = those.partition_point(|&(_, other_end)| other_end <= begin);
        for &(other, other_end) in those[first..].iter().take_while(|&&(other, _)| other < end) {
            if begin < other {
                left.push((begin, other));
            }
            begin = begin.max(other_end);
        }
        if begin < end {
            left.push((begin, end));
        }
    }
    left
}

/// What is in both.
fn common(these: &[(u64, u64)], those: &[(u64, u64)]) -> Ranges {
    minus(these, &minus(these, those))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told_apart() {
        let these = [(10, 20), (30, 40), (50, 60)];
        assert_eq!(minus(&these, &[]), these);
        assert_eq!(minus(&these, &[(0, 100)]), []);
        assert_eq!(minus(&these, &[(12, 14), (18, 35)]), [(10, 12), (14, 18), (35, 40), (50, 60)]);
        assert_eq!(common(&these, &[(12, 14), (18, 35)]), [(12, 14), (18, 20), (30, 35)]);
        assert_eq!(common(&these, &[(20, 30), (60, 90)]), []);
    }

    #[test]
    fn a_mapping_is_the_allocators_if_it_is_new_after_its_call() {
        let others = |ranges: &[(u64, u64)]| Anonymous { heap: vec![], others: ranges.to_vec() };
        let mut space = Space { before: Some(vec![(10, 20)]), ..Space::default() };
        // Not there yet: another thread's stop.
        space.settle(&others(&[(10, 20)]));
        assert_eq!(space.mapped, []);
        // The kernel merged it with its neighbour.
        space.settle(&others(&[(10, 24)]));
        assert_eq!((space.mapped.clone(), &space.before), (vec![(20, 24)], &None));
        space.settle(&others(&[(10, 22), (40, 50)]));
        assert_eq!(space.mapped, [(20, 22)], "what went is no longer its, others' never was");
    }
}
