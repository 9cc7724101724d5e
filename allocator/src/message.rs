//! Words for people, written to stderr without allocating.

use core::fmt;

use crate::os::raw;

/// One line, cut off where the buffer ends.
pub(crate) struct Message {
    text: [u8; Message::MOST],
    len: usize,
}

impl Message {
    /// Has room for the longest list of size classes, and why it is refused.
    const MOST: usize = 1024;
    const PREFIX: &'static str = "brkpoint: ";

    pub(crate) fn new() -> Message {
        let mut message = Message { text: [0; Message::MOST], len: 0 };
        message.push(Message::PREFIX);
        message
    }

    fn push(&mut self, text: &str) {
        // One byte stays free for the newline.
        let room = Message::MOST - 1 - self.len;
        let mut len = text.len().min(room);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        self.text[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
    }

    /// What has been written so far.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.text[..self.len]).expect("cut at a character boundary")
    }

    /// Ends the line and writes it out.
    pub(crate) fn send(&mut self) {
        self.text[self.len] = b'\n';
        raw::write_stderr(&self.text[..=self.len]);
    }
}

impl fmt::Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

/// Says why, and ends the process: the heap's memory was overwritten or a
/// pointer freed that must not be, and whatever came next would be worse.
#[cold]
pub(crate) fn die(args: fmt::Arguments<'_>) -> ! {
    let mut message = Message::new();
    let _ = fmt::Write::write_fmt(&mut message, args);
    message.send();
    raw::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        for bytes_before in 0..4 {
            let mut message = Message::new();
            message.push(&"x".repeat(bytes_before));
            message.push(&"文".repeat(Message::MOST));
            let text = message.text();
            assert!(text.ends_with('文') && text.len() > Message::MOST - 4, "{}", text.len());
        }
    }
}
