//! The record file: appended a whole line at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use brkpoint_reports::record::Line;

/// A record file that is open for appending.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

/// The record file could not be made or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the record file {path}: {source}; choose another with -o")]
pub struct JournalError {
    path: String,
    source: io::Error,
}

impl Journal {
    /// Makes a new file at `path`, with the directories above it. A file that
    /// is there already is refused: what was measured is never overwritten.
    pub fn create(path: &Path) -> Result<Journal, JournalError> {
        let error = |source| JournalError { path: path.display().to_string(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(error)?;
        }
        let file = OpenOptions::new().append(true).create_new(true).open(path).map_err(error)?;
        Ok(Journal { file, path: path.to_owned() })
    }

    /// Appends `line` in one write, so that an interruption leaves whole lines.
    pub fn append(&mut self, line: &Line) -> Result<(), JournalError> {
        let text = serde_json::to_string(line).map_err(io::Error::other);
        text.and_then(|text| self.file.write_all((text + "\n").as_bytes()))
            .map_err(|source| JournalError { path: self.path.display().to_string(), source })
    }
}
