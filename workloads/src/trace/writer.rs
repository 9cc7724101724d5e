//! Writes a trace file, a part at a time.

use std::io::{self, Write};

use super::frame::{self, FRAME, Frame, MAGIC, MAX_EVENTS, MAX_TEXT, PREFIX, Part};
use super::{Action, Closing, Header, Untouched, VERSION, untouched, varint};

/// Writes a trace.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    actions: Vec<u8>,
    times: Vec<u8>,
    written: u64,
}

fn text(value: &impl serde::Serialize) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec(value)?;
    if text.len() > MAX_TEXT as usize {
        return Err(io::Error::other(format!("a header of {} bytes is too long", text.len())));
    }
    Ok(text)
}

impl<W: Write> Writer<W> {
    /// A trace with this header.
    ///
    /// # Errors
    /// What writing to `out` gives, and a header of more than 16 MiB.
    pub fn new(mut out: W, header: &Header) -> io::Result<Writer<W>> {
        let text = text(header)?;
        let mut prefix = [0; PREFIX];
        prefix[..8].copy_from_slice(&MAGIC);
        prefix[8..12].copy_from_slice(&VERSION.to_le_bytes());
        prefix[12..16].copy_from_slice(&(text.len() as u32).to_le_bytes());
        prefix[16..].copy_from_slice(&crc32fast::hash(&text).to_le_bytes());
        out.write_all(&prefix)?;
        out.write_all(&text)?;
        let written = (PREFIX + text.len()) as u64;
        Ok(Writer { out, actions: Vec::new(), times: Vec::new(), written })
    }

    /// A thread's `actions` in a window, and for each of them the nanoseconds
    /// since the thread's previous one. Of `part`, the number of events does not
    /// matter.
    ///
    /// # Errors
    /// What writing gives.
    ///
    /// # Panics
    /// If there are none, more than [`MAX_EVENTS`], or not as many times.
    pub fn part(&mut self, part: Part, actions: &[Action], times: &[u64]) -> io::Result<()> {
        assert!(!actions.is_empty() && actions.len() <= MAX_EVENTS as usize);
        assert_eq!(actions.len(), times.len());
        self.actions.clear();
        self.times.clear();
        actions.iter().for_each(|&action| frame::put_action(&mut self.actions, action));
        times.iter().for_each(|&time| varint::put(&mut self.times, time));
        let mut check = crc32fast::Hasher::new();
        check.update(&self.actions);
        check.update(&self.times);
        let part = Part {
            events: actions.len() as u32,
            actions: self.actions.len() as u32,
            times: self.times.len() as u32,
            ..part
        };
        let kind = if part.last { frame::LAST } else { frame::PART };
        let frame = Frame { kind, part, check: check.finalize() };
        self.out.write_all(&frame.encode())?;
        self.out.write_all(&self.actions)?;
        self.out.write_all(&self.times)?;
        self.written += (FRAME + frame.payload()) as u64;
        Ok(())
    }

    /// Which of a process's blocks were not touched all over, behind its parts;
    /// they ascend.
    ///
    /// # Errors
    /// What writing gives.
    pub fn untouched(&mut self, process: u32, all: &[Untouched]) -> io::Result<()> {
        for some in all.chunks(untouched::MOST) {
            self.actions.clear();
            untouched::put(&mut self.actions, some);
            let (events, actions) = (some.len() as u32, self.actions.len() as u32);
            let part = Part { process, events, actions, ..Part::default() };
            let check = crc32fast::hash(&self.actions);
            let frame = Frame { kind: frame::UNTOUCHED, part, check };
            self.out.write_all(&frame.encode())?;
            self.out.write_all(&self.actions)?;
            self.written += (FRAME + frame.payload()) as u64;
        }
        Ok(())
    }

    /// What a process came to, behind its parts.
    ///
    /// # Errors
    /// What writing gives.
    pub fn closing(&mut self, closing: &Closing) -> io::Result<()> {
        let text = text(closing)?;
        let part = Part { process: closing.process, actions: text.len() as u32, ..Part::default() };
        let frame = Frame { kind: frame::CLOSING, part, check: crc32fast::hash(&text) };
        self.out.write_all(&frame.encode())?;
        self.out.write_all(&text)?;
        self.written += (FRAME + text.len()) as u64;
        Ok(())
    }

    /// Marks the trace as whole; gives what it was written to, and its bytes.
    ///
    /// # Errors
    /// What writing gives.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        let check = crc32fast::hash(&[]);
        let frame = Frame { kind: frame::END, part: Part::default(), check };
        self.out.write_all(&frame.encode())?;
        self.out.flush()?;
        Ok((self.out, self.written + FRAME as u64))
    }
}
