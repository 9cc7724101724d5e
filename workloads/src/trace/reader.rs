//! Reads a trace file, a part at a time, in bounded memory: whatever the file
//! says, no more than a part's bytes are kept.

use std::fmt;
use std::io::{self, Read};

use super::frame::{self, Bad, FRAME, Frame, MAGIC, MAX_TEXT, PREFIX, Part};
use super::{Action, Closing, Header, Untouched, VERSION, untouched};

/// Why a trace cannot be read, or not further.
#[derive(Debug)]
pub enum Problem {
    /// The file cannot be read.
    Io(io::Error),
    /// It does not begin as traces do.
    NoTrace,
    /// A newer brkpoint wrote it.
    Newer {
        /// The version of its format.
        version: u32,
    },
    /// Something is wrong with it. What precedes that is good.
    Damage(Damage),
}

/// What is wrong with a trace, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The byte of the file at which that begins.
    pub at: u64,
    /// What.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Io(error) => error.fmt(f),
            Problem::NoTrace => f.write_str(
                "this is no trace of brkpoint; `brkpoint record -o FILE -- COMMAND` makes one, \
                 `brkpoint trace --import` makes one of another tool's",
            ),
            Problem::Newer { version } => write!(
                f,
                "a newer brkpoint wrote this trace: its format has version {version}, and this \
                 one reads versions up to {VERSION}"
            ),
            Problem::Damage(damage) => damage.fmt(f),
        }
    }
}

impl std::error::Error for Problem {}

impl From<Damage> for Problem {
    fn from(damage: Damage) -> Problem {
        Problem::Damage(damage)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the trace is damaged at byte {}: {}", self.at, self.what)
    }
}

/// What comes next in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A thread's actions within a window, which the reader has now.
    Part(Part),
    /// Which blocks of the process at this place were not touched all over.
    Untouched(u32, Vec<Untouched>),
    /// What a process came to.
    Closing(Closing),
    /// The end: the trace is whole.
    End,
}

/// Reads a trace.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    header: Header,
    /// The byte at which the next frame begins.
    at: u64,
    /// The byte at which the payload that the reader has begins.
    payload_at: u64,
    part: Part,
    payload: Vec<u8>,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// A file that cannot be read, is no trace, a newer one, or has a damaged header.
    pub fn new(mut input: R) -> Result<Reader<R>, Problem> {
        let mut prefix = [0; PREFIX];
        let got = fill(&mut input, &mut prefix).map_err(Problem::Io)?;
        if got < MAGIC.len() || prefix[..8] != MAGIC {
            return Err(Problem::NoTrace);
        }
        let damage = |at: usize, what: &str| Damage { at: at as u64, what: what.to_owned() };
        if got < PREFIX {
            return Err(damage(got, "it ends in the middle of its header").into());
        }
        let number =
            |at: usize| u32::from_le_bytes(prefix[at..at + 4].try_into().expect("four bytes"));
        let (version, len, check) = (number(8), number(12), number(16));
        if version > VERSION {
            return Err(Problem::Newer { version });
        }
        if version == 0 || len > MAX_TEXT {
            return Err(damage(8, "its header has a length that no header has").into());
        }
        let mut payload = Vec::new();
        if !read_exactly(&mut input, &mut payload, len as usize).map_err(Problem::Io)? {
            let at = PREFIX + payload.len();
            return Err(damage(at, "it ends in the middle of its header").into());
        }
        if crc32fast::hash(&payload) != check {
            return Err(damage(PREFIX, "the header's checksum does not match").into());
        }
        let header = serde_json::from_slice(&payload)
            .map_err(|error| damage(PREFIX, &format!("the header: {error}")))?;
        let at = (PREFIX + payload.len()) as u64;
        let part = Part::default();
        Ok(Reader { input, header, at, payload_at: at, part, payload, ended: false })
    }

    /// What is said of the recording.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The byte at which the part's bytes begin that the reader has.
    pub fn payload_at(&self) -> u64 {
        self.payload_at
    }

    /// The byte at which the next frame begins.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Reads on. After [`Next::End`] there is nothing more.
    ///
    /// # Errors
    /// A file that cannot be read, and damage; then what was read before is good.
    #[allow(clippy::should_implement_trait, reason = "the reader keeps what it has read")]
    pub fn next(&mut self) -> Result<Next, Problem> {
        let mut bytes = [0; FRAME];
        let got = fill(&mut self.input, &mut bytes).map_err(Problem::Io)?;
        if self.ended {
            return match got {
                0 => Ok(Next::End),
                _ => Err(self.damage(0, "there is more behind its end")),
            };
        }
        if got < FRAME {
            return Err(self.damage(got, "it ends here, before its end: it was cut off"));
        }
        let Some(frame) = Frame::decode(&bytes) else {
            return Err(self.damage(0, "what should be a frame is none"));
        };
        let whole = read_exactly(&mut self.input, &mut self.payload, frame.payload());
        if !whole.map_err(Problem::Io)? {
            let got = FRAME + self.payload.len();
            return Err(self.damage(got, "it ends in the middle of a frame: it was cut off"));
        }
        if crc32fast::hash(&self.payload) != frame.check {
            return Err(self.damage(FRAME, "a checksum does not match"));
        }
        let next = match frame.kind {
            frame::PART | frame::LAST => Next::Part(frame.part),
            frame::UNTOUCHED => match untouched::take(&self.payload, frame.part.events) {
                Some(all) => Next::Untouched(frame.part.process, all),
                None => return Err(self.damage(FRAME, "it does not tell of blocks")),
            },
            frame::CLOSING => match serde_json::from_slice(&self.payload) {
                Ok(closing) => Next::Closing(closing),
                Err(error) => return Err(self.damage(FRAME, &error.to_string())),
            },
            _ => Next::End,
        };
        self.ended = next == Next::End;
        self.part = frame.part;
        self.payload_at = self.at + FRAME as u64;
        self.at = self.payload_at + self.payload.len() as u64;
        if self.ended && fill(&mut self.input, &mut bytes[..1]).map_err(Problem::Io)? > 0 {
            return Err(self.damage(0, "there is more behind its end"));
        }
        Ok(next)
    }

    /// Tells `each` of the actions of the part that was read last.
    ///
    /// # Errors
    /// Bytes that are no actions; some may have been told before.
    pub fn actions(&self, each: impl FnMut(Action)) -> Result<(), Problem> {
        let bytes = &self.payload[..self.part.actions as usize];
        frame::actions(bytes, self.part.events, each).map_err(|bad| self.bad(bad))
    }

    /// Tells `each` of the nanoseconds before each action of that part.
    ///
    /// # Errors
    /// Bytes that are no times.
    pub fn times(&self, each: impl FnMut(u64)) -> Result<(), Problem> {
        let bytes = &self.payload[self.part.actions as usize..];
        frame::times(bytes, self.part.events, each).map_err(|bad| self.bad(bad))
    }

    fn bad(&self, bad: Bad) -> Problem {
        let what = match bad {
            Bad::Action => "a part has an action that there is not",
            Bad::Length => "a part's actions have another length than it says",
        };
        Damage { at: self.payload_at, what: what.to_owned() }.into()
    }

    fn damage(&self, further: usize, what: &str) -> Problem {
        Damage { at: self.at + further as u64, what: what.to_owned() }.into()
    }
}

/// Reads until the buffer is full or the input ends.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match input.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// Reads `len` bytes into `buffer`, which grows only as they come; whether there
/// were so many.
fn read_exactly(input: &mut impl Read, buffer: &mut Vec<u8>, len: usize) -> io::Result<bool> {
    buffer.clear();
    input.take(len as u64).read_to_end(buffer)?;
    Ok(buffer.len() == len)
}
