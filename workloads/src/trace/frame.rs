//! How a trace file is divided into frames.
//!
//! ```text
//! file   = magic, version, header's length, header's checksum (20 bytes), header (JSON), frame...
//! frame  = kind, process, thread, window, events, ended, actions, times, check, own (40 bytes), payload
//! ```
//!
//! All numbers are little-endian; checksums are CRC-32 (IEEE).

use super::action::{MAX_ALIGN, MAX_SIZE};
use super::{Action, Kind, untouched, varint};

pub(super) const MAGIC: [u8; 8] = *b"BRKTRACE";
/// Bytes before the header's text.
pub(super) const PREFIX: usize = 20;
/// Most bytes of the header's text and of a closing.
pub(super) const MAX_TEXT: u32 = 16 << 20;
/// Most events of a part.
pub const MAX_EVENTS: u32 = 1 << 16;
/// Bytes of a frame's own fields.
pub(super) const FRAME: usize = 40;
/// Most bytes of an action and of a time.
const MAX_ACTION: u32 = 1 + 5 + 5 + 7 + 1;
const MAX_TIME: u32 = 10;

pub(super) const PART: u8 = 1;
pub(super) const CLOSING: u8 = 2;
pub(super) const END: u8 = 3;
/// A part behind which its thread has no more.
pub(super) const LAST: u8 = 4;
/// Which blocks of a process were not touched all over.
pub(super) const UNTOUCHED: u8 = 5;

/// A thread's actions within a window: the fields of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    /// Place in [`Header::processes`](super::Header::processes).
    pub process: u32,
    /// Threads are numbered by their first event.
    pub thread: u32,
    /// Windows are numbered from 0.
    pub window: u32,
    /// Actions.
    pub events: u32,
    /// Threads that had ended when this one began; only in its first part.
    pub ended: u32,
    /// The thread ends with it.
    pub last: bool,
    /// Bytes of the actions.
    pub actions: u32,
    /// Bytes of the times.
    pub times: u32,
}

/// A frame's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub kind: u8,
    pub part: Part,
    /// Checksum of the payload.
    pub check: u32,
}

impl Frame {
    pub(super) fn payload(&self) -> usize {
        self.part.actions as usize + self.part.times as usize
    }

    pub(super) fn encode(&self) -> [u8; FRAME] {
        let part = &self.part;
        let numbers = [
            u32::from(self.kind),
            part.process,
            part.thread,
            part.window,
            part.events,
            part.ended,
            part.actions,
            part.times,
            self.check,
        ];
        let mut bytes = [0; FRAME];
        for (place, number) in bytes.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let own = crc32fast::hash(&bytes[..FRAME - 4]);
        bytes[FRAME - 4..].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    /// `None`: these bytes are no frame.
    pub(super) fn decode(bytes: &[u8; FRAME]) -> Option<Frame> {
        let mut numbers = [0; FRAME / 4];
        for (number, place) in numbers.iter_mut().zip(bytes.chunks_exact(4)) {
            *number = u32::from_le_bytes(place.try_into().ok()?);
        }
        let [kind, process, thread, window, events, ended, actions, times, check, own] = numbers;
        if own != crc32fast::hash(&bytes[..FRAME - 4]) {
            return None;
        }
        let kind = u8::try_from(kind).ok()?;
        let last = kind == LAST;
        let part = Part { process, thread, window, events, ended, last, actions, times };
        let frame = Frame { kind, part, check };
        let sane = match frame.kind {
            PART | LAST => {
                (1..=MAX_EVENTS).contains(&events)
                    && actions >= events
                    && actions <= events * MAX_ACTION
                    && times >= events
                    && times <= events * MAX_TIME
            }
            CLOSING => actions <= MAX_TEXT && times == 0,
            UNTOUCHED => {
                events as usize <= untouched::MOST
                    && actions <= events * untouched::MOST_BYTES
                    && times == 0
            }
            END => actions == 0 && times == 0,
            _ => false,
        };
        sane.then_some(frame)
    }
}

/// Why actions cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// A kind, flag, size or alignment that there is not.
    Action,
    /// Fewer or more bytes than actions or times need.
    Length,
}

pub(super) fn put_action(out: &mut Vec<u8>, action: Action) {
    let (given, taken) = (u8::from(action.given()) << 3, u8::from(action.taken()) << 4);
    let moved = u8::from(action.kind() == Kind::Realloc && action.to() != action.slot()) << 5;
    out.push(action.kind() as u8 | given | taken | moved);
    if action.kind() != Kind::Refused {
        varint::put(out, action.slot().into());
    }
    if moved != 0 {
        varint::put(out, action.to().into());
    }
    if action.kind() != Kind::Free {
        varint::put(out, action.size());
    }
    if action.kind() == Kind::Aligned {
        out.push(action.align());
    }
}

fn slot(bytes: &mut &[u8]) -> Result<u32, Bad> {
    let slot = varint::take(bytes).ok_or(Bad::Length)?;
    u32::try_from(slot).map_err(|_| Bad::Action)
}

#[inline]
fn take_action(bytes: &mut &[u8]) -> Result<Action, Bad> {
    let (&tag, rest) = bytes.split_first().ok_or(Bad::Length)?;
    *bytes = rest;
    let (given, taken, moved) = (tag & 8 != 0, tag & 16 != 0, tag & 32 != 0);
    let size = |bytes: &mut &[u8]| {
        let size = varint::take(bytes).ok_or(Bad::Length)?;
        if size <= MAX_SIZE { Ok(size) } else { Err(Bad::Action) }
    };
    let action = match tag & 7 {
        0 => Action::malloc(slot(bytes)?, size(bytes)?),
        1 => Action::calloc(slot(bytes)?, size(bytes)?),
        2 => {
            let (slot, size) = (slot(bytes)?, size(bytes)?);
            let (&align, rest) = bytes.split_first().ok_or(Bad::Length)?;
            *bytes = rest;
            if align > MAX_ALIGN {
                return Err(Bad::Action);
            }
            Action::aligned(slot, size, align)
        }
        3 => {
            let from = slot(bytes)?;
            let to = if moved { slot(bytes)? } else { from };
            Action::realloc(from, to, size(bytes)?)
        }
        4 => Action::free(slot(bytes)?),
        5 => Action::refused(size(bytes)?),
        _ => return Err(Bad::Action),
    };
    let flags_fit = tag < 64
        && (!moved || action.kind() == Kind::Realloc && action.to() != action.slot())
        && (!given || action.gives_block())
        && (!taken || action.takes_block())
        // Whoever waits for it must not find the block as it was before.
        && (moved || action.kind() != Kind::Realloc || !given && !taken);
    if !flags_fit {
        return Err(Bad::Action);
    }
    let action = if given { action.with_given() } else { action };
    Ok(if taken { action.with_taken() } else { action })
}

/// Tells `each` of all `events` actions in `bytes`.
pub(crate) fn actions(bytes: &[u8], events: u32, mut each: impl FnMut(Action)) -> Result<(), Bad> {
    let mut rest = bytes;
    for _ in 0..events {
        each(take_action(&mut rest)?);
    }
    if rest.is_empty() { Ok(()) } else { Err(Bad::Length) }
}

/// Tells `each` of all `events` times in `bytes`: nanoseconds since the thread's
/// previous event.
pub(crate) fn times(bytes: &[u8], events: u32, mut each: impl FnMut(u64)) -> Result<(), Bad> {
    let mut rest = bytes;
    for _ in 0..events {
        each(varint::take(&mut rest).ok_or(Bad::Length)?);
    }
    if rest.is_empty() { Ok(()) } else { Err(Bad::Length) }
}
