//! A program as people read it: in words, as the lines of a test, as C.

use std::fmt::{self, Write};

use super::{Event, Op};

/// In words: what a person would tell another.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Op::Alloc { slot, size, align, zeroed } => {
                write!(f, "allocate {size} bytes")?;
                if align != 16 {
                    write!(f, " aligned to {align}")?;
                }
                write!(f, "{} as block {slot}", if zeroed { ", zeroed," } else { "" })
            }
            Op::Calloc { slot, count, size } => {
                write!(f, "allocate {count} x {size} zeroed bytes as block {slot}")
            }
            Op::Realloc { slot, size } => write!(f, "resize block {slot} to {size} bytes"),
            Op::Free { slot } => write!(f, "free block {slot}"),
            Op::Usable { slot } => write!(f, "ask for the usable size of block {slot}"),
            Op::Event(event) => event.fmt(f),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Event::Trim { keep } => write!(f, "trim, keeping {keep} bytes"),
            Event::Set { knob, value } => write!(f, "change setting {knob} to choice {value}"),
            Event::Thread { thread } => write!(f, "go on in thread {thread}"),
            Event::End { thread } => write!(f, "end thread {thread}"),
            Event::Fork => f.write_str("fork"),
            Event::Wait { milliseconds } => write!(f, "wait {milliseconds} ms"),
            Event::Fail { after, count: u32::MAX } => {
                write!(f, "the OS refuses all requests after {after} more")
            }
            Event::Fail { after, count } => {
                write!(f, "the OS refuses {count} requests after {after} more")
            }
            Event::MoveBreak { bytes } => write!(f, "somebody else moves the break by {bytes}"),
        }
    }
}

/// A program in words, a numbered line for each operation.
pub fn words(program: &[Op]) -> String {
    let mut text = String::new();
    for (at, op) in program.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{at:>4}  {op}");
    }
    text
}

/// A program as the lines of a Rust array, to be pasted into a test.
pub fn rust(program: &[Op]) -> String {
    let mut text = String::from("let program = [\n");
    for op in program {
        let shown = format!("{op:?}").replace("Event(", "Event(Event::");
        let _ = writeln!(text, "    Op::{shown},");
    }
    text.push_str("];\n");
    text
}

/// A program in C over the malloc family, which writes to each block. Changes
/// of settings, threads and what a test does to the OS become remarks.
pub fn c(program: &[Op]) -> String {
    let slots = program.iter().filter_map(Op::slot).max().map_or(1, |slot| slot as usize + 1);
    let mut text = format!(
        "#include <malloc.h>\n#include <stdlib.h>\n#include <string.h>\n\
         #include <sys/wait.h>\n#include <unistd.h>\n\n\
         static char *block[{slots}];\n\nint main(void) {{\n"
    );
    for (at, op) in program.iter().enumerate() {
        let _ = writeln!(text, "    {}", in_c(op, at % 255 + 1));
    }
    text.push_str("}\n");
    text
}

fn in_c(op: &Op, fill: usize) -> String {
    let touch = |slot, size: usize| {
        let fill = format!(" if (block[{slot}]) memset(block[{slot}], {fill}, {size});");
        if size > 0 && size < 1 << 40 { fill } else { String::new() }
    };
    match *op {
        Op::Alloc { slot, size, align, zeroed } => {
            let call = match (align, zeroed) {
                (0..=16, false) => format!("malloc({size}u)"),
                (0..=16, true) => format!("calloc(1, {size}u)"),
                _ => format!("memalign({align}, {size}u)"),
            };
            format!("free(block[{slot}]); block[{slot}] = {call};{}", touch(slot, size))
        }
        Op::Calloc { slot, count, size } => {
            let touch = count.checked_mul(size).map_or(String::new(), |all| touch(slot, all));
            format!("free(block[{slot}]); block[{slot}] = calloc({count}u, {size}u);{touch}")
        }
        Op::Realloc { slot, size } => format!(
            "if (block[{slot}]) {{ char *p = realloc(block[{slot}], {size}u); if (p) block[{slot}] = p; }}"
        ),
        Op::Free { slot } => format!("free(block[{slot}]); block[{slot}] = NULL;"),
        Op::Usable { slot } => format!("malloc_usable_size(block[{slot}]);"),
        Op::Event(Event::Trim { keep }) => format!("malloc_trim({keep});"),
        Op::Event(Event::Fork) => "if (fork() == 0) _exit(0); wait(NULL);".to_owned(),
        Op::Event(event) => format!("/* {event} */"),
    }
}

impl Op {
    /// The slot that it is about, if it is about one.
    pub fn slot(&self) -> Option<u32> {
        match *self {
            Op::Alloc { slot, .. }
            | Op::Calloc { slot, .. }
            | Op::Realloc { slot, .. }
            | Op::Free { slot }
            | Op::Usable { slot } => Some(slot),
            Op::Event(_) => None,
        }
    }

    /// The same, about another slot.
    #[must_use]
    pub fn moved(mut self, to: u32) -> Op {
        match &mut self {
            Op::Alloc { slot, .. }
            | Op::Calloc { slot, .. }
            | Op::Realloc { slot, .. }
            | Op::Free { slot }
            | Op::Usable { slot } => *slot = to,
            Op::Event(_) => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: [Op; 6] = [
        Op::Alloc { slot: 0, size: 40, align: 16, zeroed: true },
        Op::Alloc { slot: 2, size: 100, align: 64, zeroed: false },
        Op::Event(Event::Wait { milliseconds: 8 }),
        Op::Realloc { slot: 0, size: usize::MAX },
        Op::Event(Event::Trim { keep: 0 }),
        Op::Free { slot: 0 },
    ];

    #[test]
    fn words_say_what_each_operation_does() {
        let text = words(&PROGRAM);
        assert!(text.starts_with("   0  allocate 40 bytes, zeroed, as block 0\n"), "{text}");
        assert!(text.contains("   1  allocate 100 bytes aligned to 64 as block 2\n"), "{text}");
        assert_eq!(text.lines().count(), PROGRAM.len());
    }

    #[test]
    fn the_lines_of_a_test_are_the_values_themselves() {
        let text = rust(&PROGRAM);
        assert!(text.contains("    Op::Alloc { slot: 0, size: 40, align: 16, zeroed: true },\n"));
        assert!(text.contains("    Op::Event(Event::Wait { milliseconds: 8 }),\n"), "{text}");
    }

    #[test]
    fn c_has_a_line_for_each_operation() {
        let text = c(&PROGRAM);
        for line in [
            "static char *block[3];",
            "block[0] = calloc(1, 40u); if (block[0]) memset(block[0], 1, 40);",
            "block[2] = memalign(64, 100u);",
            "/* wait 8 ms */",
            "malloc_trim(0);",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
