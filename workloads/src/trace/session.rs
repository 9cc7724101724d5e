//! A recording that is under way, as whoever started it sees it.

use std::fs::OpenOptions;
use std::io;
use std::mem::size_of;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

use super::raw::{self, Control};

/// The control page of a recording.
#[derive(Debug)]
pub struct Session {
    control: *mut Control,
}

// SAFETY: a mapping that stays as long as the session; all in it is atomic.
unsafe impl Send for Session {}
// SAFETY: as above.
unsafe impl Sync for Session {}

/// The time stamp counter, and CLOCK_MONOTONIC in nanoseconds.
pub fn now() -> (u64, u64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    (stamp(), time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(target_arch = "x86_64")]
fn stamp() -> u64 {
    // SAFETY: every x86-64 has it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// The recorder is for x86-64 only: nothing was recorded here.
#[cfg(not(target_arch = "x86_64"))]
fn stamp() -> u64 {
    0
}

impl Session {
    /// Begins a recording in `directory`, which is there and empty, of at most so
    /// many bytes; with `inside`, threads say while they are in a call.
    ///
    /// # Errors
    /// What making the files gives.
    pub fn begin(directory: &Path, max_bytes: u64, inside: bool) -> io::Result<Session> {
        if inside {
            let file =
                OpenOptions::new().write(true).create_new(true).open(directory.join("inside"))?;
            file.set_len(raw::INSIDE_BYTES)?;
        }
        let path = directory.join("control");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len(4096)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of a file that was just made.
        let control = unsafe {
            libc::mmap(ptr::null_mut(), 4096, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if control == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        const { assert!(size_of::<Control>() <= 4096) };
        let session = Session { control: control.cast() };
        let control = session.control();
        let (stamp, ns) = now();
        control.stop.store(u64::MAX, Relaxed);
        control.max_bytes.store(max_bytes, Relaxed);
        control.begin.stamp.store(stamp, Relaxed);
        control.begin.ns.store(ns, Relaxed);
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        control.began_s.store(since_1970.as_secs(), Relaxed);
        control.version.store(raw::VERSION, Relaxed);
        control.magic.store(raw::MAGIC, Release);
        Ok(session)
    }

    fn control(&self) -> &Control {
        // SAFETY: the mapping stays as long as the session.
        unsafe { &*self.control }
    }

    /// Bytes that were written so far.
    pub fn bytes(&self) -> u64 {
        self.control().bytes.load(Relaxed)
    }

    /// Ends the recording because so much time is over; what is done later is not
    /// recorded.
    pub fn time_is_over(&self, seconds: u64) {
        let control = self.control();
        control.seconds.store(seconds.min(u32::MAX.into()) as u32, Relaxed);
        // Whoever stopped it before said why.
        let _ = control.reason.compare_exchange(0, raw::STOPPED_BY_TIME, AcqRel, Relaxed);
        control.stop.fetch_min(now().0, AcqRel);
    }

    /// Ends the recording: what still runs is not recorded any further.
    pub fn end(&self) {
        let (stamp, ns) = now();
        let control = self.control();
        control.stop.fetch_min(stamp, AcqRel);
        control.end.ns.store(ns, Relaxed);
        control.end.stamp.store(stamp, Release);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: our own mapping.
        unsafe { libc::munmap(self.control.cast(), 4096) };
    }
}
