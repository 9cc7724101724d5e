//! A program as lines, to be kept in a file and read back.

use std::fmt::{self, Write};
use std::str::FromStr;

use super::{Event, Op};

/// A line that is no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoOperation {
    /// Which line, counted from 1.
    pub line: usize,
    /// What it says.
    pub text: String,
}

impl fmt::Display for NoOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoOperation { line, text } = self;
        write!(f, "line {line}: {text:?} is no operation, such as `alloc 0 100 16` or `free 0`")
    }
}

impl std::error::Error for NoOperation {}

/// A program as lines, one for each operation.
pub fn write(program: &[Op]) -> String {
    let mut text = String::new();
    for op in program {
        // Writing to a String cannot fail.
        let _ = match *op {
            Op::Alloc { slot, size, align, zeroed: false } => {
                writeln!(text, "alloc {slot} {size} {align}")
            }
            Op::Alloc { slot, size, align, .. } => writeln!(text, "zeroed {slot} {size} {align}"),
            Op::Calloc { slot, count, size } => writeln!(text, "calloc {slot} {count} {size}"),
            Op::Realloc { slot, size } => writeln!(text, "realloc {slot} {size}"),
            Op::Free { slot } => writeln!(text, "free {slot}"),
            Op::Usable { slot } => writeln!(text, "usable {slot}"),
            Op::Event(Event::Trim { keep }) => writeln!(text, "trim {keep}"),
            Op::Event(Event::Set { knob, value }) => writeln!(text, "set {knob} {value}"),
            Op::Event(Event::Thread { thread }) => writeln!(text, "thread {thread}"),
            Op::Event(Event::End { thread }) => writeln!(text, "end {thread}"),
            Op::Event(Event::Fork) => writeln!(text, "fork"),
            Op::Event(Event::Wait { milliseconds }) => writeln!(text, "wait {milliseconds}"),
            Op::Event(Event::Fail { after, count }) => writeln!(text, "fail {after} {count}"),
            Op::Event(Event::MoveBreak { bytes }) => writeln!(text, "break {bytes}"),
        };
    }
    text
}

/// Reads a program back. Empty lines, and what follows a `#`, are passed over.
///
/// # Errors
///
/// The first line that is no operation.
pub fn read(text: &str) -> Result<Vec<Op>, NoOperation> {
    let mut program = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let no = || NoOperation { line: at + 1, text: said(line).to_owned() };
        program.extend(parse(line).ok_or_else(no)?);
    }
    Ok(program)
}

/// A line without its remark.
fn said(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// Reads one line, without allocating: the operation, if there is one on it;
/// `None` if there is something else.
pub fn parse(line: &str) -> Option<Option<Op>> {
    let mut words = said(line).split_whitespace();
    let Some(name) = words.next() else { return Some(None) };
    let op = match name {
        "alloc" | "zeroed" => {
            let (slot, size, align) =
                (number(&mut words)?, number(&mut words)?, number(&mut words)?);
            usize::is_power_of_two(align).then_some(())?;
            Op::Alloc { slot, size, align, zeroed: name == "zeroed" }
        }
        "calloc" => Op::Calloc {
            slot: number(&mut words)?,
            count: number(&mut words)?,
            size: number(&mut words)?,
        },
        "realloc" => Op::Realloc { slot: number(&mut words)?, size: number(&mut words)? },
        "free" => Op::Free { slot: number(&mut words)? },
        "usable" => Op::Usable { slot: number(&mut words)? },
        "trim" => Op::Event(Event::Trim { keep: number(&mut words)? }),
        "set" => Op::Event(Event::Set { knob: number(&mut words)?, value: number(&mut words)? }),
        "thread" => Op::Event(Event::Thread { thread: number(&mut words)? }),
        "end" => Op::Event(Event::End { thread: number(&mut words)? }),
        "fork" => Op::Event(Event::Fork),
        "wait" => Op::Event(Event::Wait { milliseconds: number(&mut words)? }),
        "fail" => Op::Event(Event::Fail { after: number(&mut words)?, count: number(&mut words)? }),
        "break" => Op::Event(Event::MoveBreak { bytes: number(&mut words)? }),
        _ => return None,
    };
    words.next().is_none().then_some(Some(op))
}

fn number<'a, T: FromStr>(words: &mut impl Iterator<Item = &'a str>) -> Option<T> {
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::draw::Events;
    use super::super::{Generator, Shape};
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let events = Events {
            trim: true,
            set: true,
            threads: 3,
            fork: true,
            wait: true,
            fail: true,
            move_break: true,
        };
        let shape = Shape {
            slots: 9,
            largest: 1 << 20,
            align_most: 64,
            edges: &[4096],
            impossible: true,
            events,
        };
        let program: Vec<Op> = Generator::shaped(2, shape).take(5000).collect();
        assert_eq!(read(&write(&program)), Ok(program));
    }

    #[test]
    fn a_bad_line_is_named_and_remarks_are_passed_over() {
        assert_eq!(read("\n# a remark\nfree 3 # and why\n"), Ok(vec![Op::Free { slot: 3 }]));
        for bad in ["free", "free x", "free 1 2", "alloc 0 8 12", "frob 1", "alloc 0 -1 16"] {
            let error = read(&format!("free 0\n{bad}")).unwrap_err();
            assert_eq!(error, NoOperation { line: 2, text: bad.to_owned() });
        }
    }
}
