//! Which threads are in a call of the malloc family, where they say so themselves:
//! a byte for each thread in a file that the recorder maps.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::sys::Pid;

/// The file.
#[derive(Debug)]
pub(super) struct Inside(File);

impl Inside {
    pub(super) fn open(path: &Path) -> io::Result<Inside> {
        File::open(path).map(Inside)
    }

    /// Whether `thread`, which is stopped, is in a call. What it wrote to its mapping
    /// is what is read here.
    pub(super) fn has(&self, thread: Pid) -> bool {
        let mut byte = [0];
        let read = u64::try_from(thread).map(|at| self.0.read_at(&mut byte, at));
        matches!(read, Ok(Ok(1))) && byte == [1]
    }
}
