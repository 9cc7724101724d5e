//! An operation on an allocator, as a value.
//!
//! A program of them means the same to every allocator: blocks are named by
//! slots, not by addresses. So tests, fuzzing, traces and replay share it.
//!
//! - this file: [`Op`] and [`Event`]
//! - [`draw`]: operations out of random bits, whatever gives the bits
//! - [`Generator`]: an endless program out of a seed; [`Random`]: its bits
//! - [`lines`]: a program as a file
//! - [`text`]: a program as a test, in words and as C
//! - with the feature `arbitrary`: [`Op`] out of a fuzzer's bytes

#[cfg(feature = "arbitrary")]
pub mod arbitrary;
pub mod draw;
mod generator;
pub mod lines;
pub mod text;

pub use draw::{ALIGN_MOST, Shape};
pub use generator::{Generator, Random};

/// One operation. On an empty slot `Realloc`, `Free` and `Usable` do nothing; a
/// block that is in the way of an `Alloc` or a `Calloc` is freed first.
///
/// Slots are small numbers: what keeps track of them needs memory for as many
/// as the largest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Allocate into a slot.
    Alloc {
        /// Which slot.
        slot: u32,
        /// Bytes requested.
        size: usize,
        /// Alignment in bytes, a power of two.
        align: usize,
        /// Whether the block must read as zero.
        zeroed: bool,
    },
    /// Allocate an array, which must read as zero, into a slot; the product of
    /// both numbers may overflow.
    Calloc {
        /// Which slot.
        slot: u32,
        /// How many elements.
        count: usize,
        /// The bytes of each.
        size: usize,
    },
    /// Resize the block of a slot.
    Realloc {
        /// Which slot.
        slot: u32,
        /// Bytes requested.
        size: usize,
    },
    /// Free the block of a slot.
    Free {
        /// Which slot.
        slot: u32,
    },
    /// Ask for the usable size of the block of a slot.
    Usable {
        /// Which slot.
        slot: u32,
    },
    /// Something happens to the allocator or to its process.
    Event(Event),
}

/// Something that happens between requests. What an allocator does not know,
/// or a test cannot bring about, it passes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Free memory is to go back to the OS, as `malloc_trim` has it.
    Trim {
        /// The bytes that may stay at the top.
        keep: usize,
    },
    /// A setting changes for what comes, as `mallopt` has it.
    Set {
        /// Which; taken modulo the number of settings there are.
        knob: u32,
        /// The value, or a number to choose one by.
        value: usize,
    },
    /// What follows is done by this thread, which begins if it is not there.
    Thread {
        /// Which thread.
        thread: u32,
    },
    /// A thread ends; its blocks live on. Not the one that operates just now.
    End {
        /// Which thread.
        thread: u32,
    },
    /// The process forks; the child verifies, allocates, frees and ends.
    Fork,
    /// Time passes.
    Wait {
        /// How much, in milliseconds.
        milliseconds: u32,
    },
    /// Requests to the OS fail.
    Fail {
        /// How many succeed before that.
        after: u32,
        /// How many fail; then they succeed again.
        count: u32,
    },
    /// Somebody else moves the program break up.
    MoveBreak {
        /// By how many bytes.
        bytes: u32,
    },
}
