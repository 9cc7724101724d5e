//! Other tools' traces.
//!
//! Another format takes a variant of [`Format`], a function that feeds a
//! [`Weaver`] line by line, and a test on a small file of its own making. A text
//! without times gets one nanosecond an event.

use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};

use super::action::MAX_SIZE;
use super::{Call, Closing, Kind, Weaver, Writer};

/// Most bytes of a line.
const MAX_LINE: u64 = 64 << 10;

/// A format of another tool's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// What glibc's `mtrace(3)` writes: `@ WHERE + 0xADDRESS 0xSIZE`, `-` of a
    /// free, `<` and `>` around a realloc, `!` of one that failed.
    Mtrace,
    /// What malloc labs are taught with: four numbers, then `a ID SIZE`,
    /// `r ID SIZE` and `f ID`.
    Lab,
}

/// Why a text cannot be imported.
#[derive(Debug)]
pub enum ImportError {
    /// It cannot be read, or the trace not written.
    Io(io::Error),
    /// A line, counted from 1, is none of the format.
    Line(u64, &'static str),
}

impl std::fmt::Display for ImportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ImportError::Io(error) => error.fmt(f),
            ImportError::Line(line, what) => write!(f, "line {line}: {what}"),
        }
    }
}

impl std::error::Error for ImportError {}

impl From<io::Error> for ImportError {
    fn from(error: io::Error) -> ImportError {
        ImportError::Io(error)
    }
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 2] = [Format::Mtrace, Format::Lab];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Mtrace => "mtrace",
            Format::Lab => "malloc-lab",
        }
    }

    /// Makes a process's events of a text, as process 0.
    ///
    /// # Errors
    /// A line that is none of the format; `mtrace` passes over what it does not
    /// know, as glibc's own reader does.
    pub fn import<W: Write>(
        self,
        text: impl BufRead,
        writer: &mut Writer<W>,
    ) -> Result<Closing, ImportError> {
        let mut weaver = Weaver::new(writer, 0);
        let thread = weaver.thread();
        let lines = Lines { text, number: 0, line: Vec::new() };
        match self {
            Format::Mtrace => mtrace(lines, &mut weaver, thread)?,
            Format::Lab => lab(lines, &mut weaver, thread)?,
        }
        Ok(weaver.finish()?)
    }
}

/// Lines of bounded length.
struct Lines<R> {
    text: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<&str>, ImportError> {
        self.line.clear();
        self.number += 1;
        let got = (&mut self.text).take(MAX_LINE).read_until(b'\n', &mut self.line)?;
        if got as u64 == MAX_LINE {
            return Err(ImportError::Line(self.number, "it is too long"));
        }
        if got == 0 {
            return Ok(None);
        }
        let text = str::from_utf8(&self.line);
        text.map(Some).map_err(|_| ImportError::Line(self.number, "it is no text"))
    }
}

fn hexadecimal(word: Option<&str>) -> Option<u64> {
    let word = word?;
    u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
}

/// The size of a block that there is.
fn granted(line: u64, size: u64) -> Result<u64, ImportError> {
    if size > MAX_SIZE { Err(ImportError::Line(line, "no block is so large")) } else { Ok(size) }
}

fn mtrace<R: BufRead, W: Write>(
    mut lines: Lines<R>,
    weaver: &mut Weaver<'_, W>,
    thread: u32,
) -> Result<(), ImportError> {
    let (mut now, mut pending) = (0, None);
    loop {
        let number = lines.number + 1;
        let Some(line) = lines.next()? else { break };
        // `= Start` and `= End` frame it; the place of the call has no meaning here.
        let sign = |word: &&str| matches!(*word, "+" | "-" | "<" | ">" | "!");
        let mut words = line.split_ascii_whitespace().skip_while(|word| !sign(word));
        let Some(sign) = words.next() else { continue };
        let first = hexadecimal(words.next()).ok_or(ImportError::Line(number, "no address"))?;
        let mut size = || hexadecimal(words.next()).ok_or(ImportError::Line(number, "no size"));
        now += 1;
        match sign {
            "+" => {
                let (kind, address, size) = (Kind::Malloc, first, size()?);
                let call = match address {
                    0 => Call::Refused { size },
                    _ => {
                        let size = granted(number, size)?;
                        Call::Allocated { kind, address, size, align: 0 }
                    }
                };
                weaver.call(thread, now, call)?;
            }
            "-" => weaver.call(thread, now, Call::Freed { address: first, resident: None })?,
            "<" => {
                if let Some(lost) = pending.replace(weaver.take(thread, first, None)) {
                    weaver.forget(lost);
                }
            }
            ">" => {
                let taken = pending.take();
                let taken = taken.ok_or(ImportError::Line(number, "> without a < before"))?;
                weaver.resized(thread, now, taken, first, granted(number, size()?)?)?;
            }
            // A realloc that failed changes nothing.
            _ => weaver.call(thread, now, Call::Refused { size: size()? })?,
        }
    }
    if let Some(lost) = pending {
        weaver.forget(lost);
    }
    Ok(())
}

fn lab<R: BufRead, W: Write>(
    mut lines: Lines<R>,
    weaver: &mut Weaver<'_, W>,
    thread: u32,
) -> Result<(), ImportError> {
    let (mut now, mut head) = (0, 0);
    // Addresses of our own: an identifier is one until its block is freed.
    let mut live: HashMap<u64, u64> = HashMap::new();
    loop {
        let number = lines.number + 1;
        let Some(line) = lines.next()? else { return Ok(()) };
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        let bad = |what| ImportError::Line(number, what);
        if head < 4 && first.parse::<u64>().is_ok() {
            head += 1;
            continue;
        }
        let mut decimal = |what| words.next().and_then(|word| word.parse().ok()).ok_or(bad(what));
        let id: u64 = match first {
            "a" | "r" | "f" => decimal("no identifier")?,
            _ => return Err(bad("it begins with none of a, r and f")),
        };
        now += 1;
        let address = 16 * now;
        match first {
            "a" => {
                let (kind, size) = (Kind::Malloc, granted(number, decimal("no size")?)?);
                if live.insert(id, address).is_some() {
                    return Err(bad("the identifier is one of a live block"));
                }
                weaver.call(thread, now, Call::Allocated { kind, address, size, align: 0 })?;
            }
            "r" => {
                let size = granted(number, decimal("no size")?)?;
                match live.insert(id, address) {
                    Some(old) => {
                        let taken = weaver.take(thread, old, None);
                        weaver.resized(thread, now, taken, address, size)?;
                    }
                    // As realloc of null.
                    None => {
                        let kind = Kind::Malloc;
                        let call = Call::Allocated { kind, address, size, align: 0 };
                        weaver.call(thread, now, call)?;
                    }
                }
            }
            _ => match live.remove(&id) {
                Some(address) => {
                    weaver.call(thread, now, Call::Freed { address, resident: None })?
                }
                // The labs free -1 as null.
                None => return Err(bad("no live block has the identifier")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::verify::{self, Checked};
    use crate::trace::{Action, Header, Process, Reader};

    fn import(format: Format, text: &str) -> Result<(Checked, Vec<Action>), ImportError> {
        let header = Header { processes: vec![Process::default()], ..Header::default() };
        let mut writer = Writer::new(Vec::new(), &header).expect("writes");
        format.import(text.as_bytes(), &mut writer)?;
        let (bytes, _) = writer.finish().expect("writes");
        let mut reader = Reader::new(&bytes[..]).expect("a trace");
        let mut actions = Vec::new();
        let each = &mut |window: &verify::Window<'_>| actions.extend_from_slice(window.actions);
        let checked = verify::check(&mut reader, 0, each).expect("it is good");
        Ok((checked, actions))
    }

    #[test]
    fn what_mtrace_writes_is_imported() {
        let text = "= Start\n\
                    @ ./a.out:[0x401156] + 0x1a2a6a0 0x64\n\
                    @ /lib/libc.so.6:(fopen+0x4a)[0x7f33] + 0x1a2a710 0x1d8\n\
                    @ ./a.out:[0x401166] < 0x1a2a6a0\n\
                    @ ./a.out:[0x401166] > 0x1a2b000 0x1000\n\
                    @ ./a.out:[0x401166] ! 0x1a2b000 0xffffffffff\n\
                    @ ./a.out:[0x401176] - 0x1a2a710\n\
                    @ ./a.out:[0x401176] - 0x999\n\
                    = End\n";
        let (checked, actions) = import(Format::Mtrace, text).expect("it is one");
        assert_eq!((checked.live_blocks, checked.live_bytes), (1, 0x1000));
        assert_eq!(checked.closing.expect("a closing").foreign, 1);
        let expected = [
            Action::malloc(0, 0x64),
            Action::malloc(1, 0x1d8),
            Action::realloc(0, 0, 0x1000),
            Action::refused(0xff_ffff_ffff),
            Action::free(1),
        ];
        assert_eq!(actions, expected);
    }

    #[test]
    fn what_malloc_labs_use_is_imported() {
        let text = "20000\n3\n6\n1\na 0 512\na 1 128\nr 0 640\nf 1\na 2 128\nf 0\n";
        let (checked, actions) = import(Format::Lab, text).expect("it is one");
        assert_eq!((checked.live_blocks, checked.live_bytes), (1, 128));
        let expected = [
            Action::malloc(0, 512),
            Action::malloc(1, 128),
            Action::realloc(0, 0, 640),
            Action::free(1),
            Action::malloc(1, 128),
            Action::free(0),
        ];
        assert_eq!(actions, expected);
    }

    #[test]
    fn more_than_can_be_live_is_refused() {
        let text: String = (0..1 << 16).map(|id| format!("a {id} {MAX_SIZE}\n")).collect();
        assert!(import(Format::Lab, &text).is_ok());
        let more = text + "a 70000 65536\n";
        assert!(matches!(import(Format::Lab, &more), Err(ImportError::Io(_))));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        for (format, text, line) in [
            (Format::Lab, "1\n1\n1\n1\nx 0 1\n", 5),
            (Format::Lab, "a 0 1\na 0 1\n", 2),
            (Format::Lab, "a 0 1\nf 7\n", 2),
            (Format::Lab, "a 0\n", 1),
            (Format::Lab, "a 0 1\na 1 281474976710656\n", 2),
            (Format::Lab, "a 0 1\nr 0 18446744073709551615\n", 2),
            (Format::Mtrace, "@ x + 0x10 0xffffffffffffffff\n", 1),
            (Format::Mtrace, "@ x + 0x10 0x1\n@ x < 0x10\n@ x > 0x10 0x1000000000000\n", 3),
            (Format::Mtrace, "@ x + 0x10\n", 1),
            (Format::Mtrace, "@ x + 0x10 0x1\n@ x > 0x10 0x2\n", 2),
        ] {
            match import(format, text) {
                Err(ImportError::Line(at, _)) => assert_eq!(at, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
