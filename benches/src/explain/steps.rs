//! A program for a worker that performs steps: its module `steps` says what
//! each of them does.

use std::fmt::{Display, Write};

use brkpoint_workloads::op::{Event, Op, lines};

/// Steps, in the order in which they are performed.
#[derive(Debug, Clone, Default)]
pub struct Steps(String);

impl Steps {
    /// None yet.
    pub fn new() -> Steps {
        Steps::default()
    }

    /// `malloc(size)` into a slot.
    pub fn alloc(self, slot: u32, size: u64) -> Steps {
        self.op(Op::Alloc { slot, size: size as usize, align: 16, zeroed: false })
    }

    /// `malloc(size)` into each of some slots.
    pub fn alloc_all(self, slots: impl Iterator<Item = u32>, size: u64) -> Steps {
        slots.fold(self, |steps, slot| steps.alloc(slot, size))
    }

    /// `free`, of what is in a slot.
    pub fn free(self, slot: u32) -> Steps {
        self.op(Op::Free { slot })
    }

    /// `free`, of what is in each of some slots.
    pub fn free_all(self, slots: impl Iterator<Item = u32>) -> Steps {
        slots.fold(self, Steps::free)
    }

    /// `malloc_trim(0)`.
    pub fn trim(self) -> Steps {
        self.op(Op::Event(Event::Trim { keep: 0 }))
    }

    /// A byte is written to each OS page of a block.
    pub fn touch(self, slot: u32) -> Steps {
        self.line(format_args!("touch {slot}"))
    }

    /// The 16 bytes left of a block are told.
    pub fn peek(self, slot: u32) -> Steps {
        self.line(format_args!("peek {slot}"))
    }

    /// Heap, faults and resident memory are told; the next phase begins.
    pub fn read(self) -> Steps {
        self.line("read")
    }

    /// All mappings are told.
    pub fn maps(self) -> Steps {
        self.line("maps")
    }

    /// Which OS pages are resident is told.
    pub fn pages(self) -> Steps {
        self.line("pages")
    }

    /// Where the program's own parts lie is told.
    pub fn landmarks(self) -> Steps {
        self.line("landmarks")
    }

    /// As a worker reads them.
    pub fn text(&self) -> &str {
        &self.0
    }

    fn op(mut self, op: Op) -> Steps {
        self.0.push_str(&lines::write(&[op]));
        self
    }

    fn line(mut self, line: impl Display) -> Steps {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
        self
    }
}
