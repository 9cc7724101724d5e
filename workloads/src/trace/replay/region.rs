//! Memory of the replay's own, resident before anything is measured.

use std::io;
use std::ptr;

use super::ReplayError;

/// More memory than this is not made resident beforehand.
const POPULATED: usize = 512 << 20;

/// A mapping of zeros.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) start: *mut u8,
    pub(super) bytes: usize,
}

impl Region {
    pub(super) fn new(bytes: usize) -> Result<Region, ReplayError> {
        let bytes = bytes.max(1).next_multiple_of(4096);
        let populate = if bytes <= POPULATED { libc::MAP_POPULATE } else { 0 };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | populate;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping where the kernel chooses.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            let what = "mapping the replay's own memory";
            return Err(ReplayError::System(what, io::Error::last_os_error()));
        }
        Ok(Region { start: start.cast(), bytes })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which goes with us.
        unsafe { libc::munmap(self.start.cast(), self.bytes) };
    }
}
