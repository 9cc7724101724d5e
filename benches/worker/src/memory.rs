//! Resident memory of this process, sampled at operation counts.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr;

use brkpoint_reports::record::{Axis, Series};
use brkpoint_workloads::synthetic::Observer;

/// Points of a series; the last is taken when everything is free again.
const POINTS: usize = 200;

/// Samples RSS every so many operations; its own memory is resident before.
#[derive(Debug)]
pub(super) struct Sampler {
    rss: Rss,
    every: u64,
    next: u64,
    last: u64,
    peak_live: u64,
    baseline: u64,
    peak_was_reset: bool,
    taken: usize,
    samples: [Sample; POINTS + 2],
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    operations: u64,
    rss: u64,
    live: u64,
}

/// What a [`Sampler`] saw, in bytes.
#[derive(Debug)]
pub(super) struct Sampled {
    pub baseline: u64,
    pub peak: u64,
    pub peak_live: u64,
    pub kept: u64,
    pub series: Series,
    pub notes: Vec<String>,
}

impl Sampler {
    /// A sampler for a region of so many operations, which begins now.
    pub(super) fn new(operations: u64) -> Result<Sampler, String> {
        let rss = Rss::open().map_err(|error| format!("cannot read RSS from /proc: {error}"))?;
        // Written all over, so that taking samples faults nothing in.
        let filler = Sample { operations: u64::MAX, rss: u64::MAX, live: u64::MAX };
        let every = operations.div_ceil(POINTS as u64).max(1);
        let mut sampler = Sampler {
            rss,
            every,
            next: every,
            last: operations,
            peak_live: 0,
            baseline: 0,
            peak_was_reset: reset_peak().is_ok(),
            taken: 0,
            samples: [filler; POINTS + 2],
        };
        sampler.baseline = sampler.rss.bytes();
        sampler.take(0, 0);
        Ok(sampler)
    }

    fn take(&mut self, operations: u64, live: u64) {
        if let Some(sample) = self.samples.get_mut(self.taken) {
            *sample = Sample { operations, rss: self.rss.bytes(), live };
            self.taken += 1;
        }
    }

    /// Reads the peak and makes a series of the samples.
    pub(super) fn finish(self) -> Result<Sampled, String> {
        let samples = &self.samples[..self.taken];
        let mut notes = Vec::from_iter(self.rss.note());
        // The kernel notes its high-water mark from a count that may be some
        // pages behind on each CPU, which the samples are not.
        let mut peak = samples.iter().map(|sample| sample.rss).max().unwrap_or(self.baseline);
        if self.peak_was_reset {
            let mark = high_water().map_err(|error| format!("cannot read VmHWM: {error}"))?;
            peak = peak.max(mark);
        } else {
            notes.push("clear_refs is refused here: the peak is the largest sample".to_owned());
        }
        let series = Series {
            axis: Axis::Operations,
            x: samples.iter().map(|sample| sample.operations as f64).collect(),
            rss_bytes: samples.iter().map(|sample| sample.rss).collect(),
            live_bytes: samples.iter().map(|sample| sample.live).collect(),
        };
        // The last sample is taken when everything is free.
        let kept = samples.last().map_or(self.baseline, |sample| sample.rss);
        let (baseline, peak_live) = (self.baseline, self.peak_live);
        Ok(Sampled { baseline, peak, peak_live, kept, series, notes })
    }
}

impl Observer for Sampler {
    #[inline]
    fn after(&mut self, operations: u64, live_bytes: u64) {
        self.peak_live = self.peak_live.max(live_bytes);
        if operations >= self.next || operations == self.last {
            self.take(operations, live_bytes);
            self.next = operations + self.every;
        }
    }
}

/// Where RSS is read: `statm` takes a microsecond, but some kernels only
/// approximate it; `smaps_rollup` is exact and slow.
#[derive(Debug)]
struct Rss {
    file: File,
    exact_statm: bool,
}

/// OS pages touched to see whether `statm` counts each of them.
const CONTROL_PAGES: usize = 64;

impl Rss {
    fn open() -> io::Result<Rss> {
        let statm = Rss { file: File::open("/proc/self/statm")?, exact_statm: true };
        // The first time round, code that never ran is made resident too.
        statm.control();
        if statm.control() == (CONTROL_PAGES * os_page()) as u64 {
            return Ok(statm);
        }
        Ok(Rss { file: File::open("/proc/self/smaps_rollup")?, exact_statm: false })
    }

    /// By how many bytes RSS grows when [`CONTROL_PAGES`] are touched.
    fn control(&self) -> u64 {
        let before = self.bytes();
        let mut after = before;
        touch_fresh_pages(CONTROL_PAGES, |touched| {
            if touched == CONTROL_PAGES {
                after = self.bytes();
            }
        });
        after.saturating_sub(before)
    }

    fn bytes(&self) -> u64 {
        let mut buffer = [0; 4096];
        let length = self.file.read_at(&mut buffer, 0).unwrap_or_default();
        let text = &buffer[..length];
        if self.exact_statm {
            let resident = text.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
            digits(resident) * os_page() as u64
        } else {
            kilobytes(text, b"Rss:").unwrap_or_default()
        }
    }

    fn note(&self) -> Option<String> {
        let note = "statm is approximate on this kernel: RSS was read from smaps_rollup";
        (!self.exact_statm).then(|| note.to_owned())
    }
}

/// Makes `VmHWM` start anew from what is resident now.
fn reset_peak() -> io::Result<()> {
    fs::write("/proc/self/clear_refs", "5")
}

/// `VmHWM` in bytes.
fn high_water() -> io::Result<u64> {
    let status = fs::read("/proc/self/status")?;
    kilobytes(&status, b"VmHWM:").ok_or_else(|| io::Error::other("no VmHWM line"))
}

/// The bytes of the line `key   123 kB`.
fn kilobytes(text: &[u8], key: &[u8]) -> Option<u64> {
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(key))?;
    Some(digits(line.trim_ascii_start()) * 1024)
}

/// The decimal number that `text` begins with; 0 if none.
fn digits(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, byte| number * 10 + u64::from(byte - b'0'))
}

/// The size of an OS page in bytes.
pub(super) fn os_page() -> usize {
    // SAFETY: sysconf takes any name, and this one always has an answer.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Maps `pages` OS pages and touches each once, telling `after` how many it has
/// touched; huge pages are not used. Returns the number touched: 0 if the kernel
/// has no room for so many.
pub(super) fn touch_fresh_pages(pages: usize, mut after: impl FnMut(usize)) -> usize {
    let (page, access) = (os_page(), libc::PROT_READ | libc::PROT_WRITE);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let Some(bytes) = pages.checked_mul(page) else { return 0 };
    // SAFETY: a fresh anonymous mapping; a length of 0 is refused.
    let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return 0;
    }
    // SAFETY: the range was just mapped. Where there are no huge pages it fails,
    // and does not matter.
    unsafe { libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE) };
    for touched in 0..pages {
        // SAFETY: touched < pages, so the byte lies in the mapping, which is ours.
        unsafe { start.cast::<u8>().add(touched * page).write_volatile(1) };
        after(touched + 1);
    }
    // SAFETY: the mapping made above, to which nothing refers any more.
    unsafe { libc::munmap(start, bytes) };
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_lines_are_read() {
        let text = b"VmPeak:\t   99 kB\nVmHWM:\t    1234 kB\nRss:  7 kB\n";
        assert_eq!(kilobytes(text, b"VmHWM:"), Some(1234 * 1024));
        assert_eq!(kilobytes(text, b"Rss:"), Some(7 * 1024));
        assert_eq!(kilobytes(text, b"VmSwap:"), None);
    }

    #[test]
    fn both_sources_agree_within_a_megabyte() {
        let statm = Rss { file: File::open("/proc/self/statm").expect("proc"), exact_statm: true };
        let file = File::open("/proc/self/smaps_rollup").expect("proc");
        let rollup = Rss { file, exact_statm: false };
        assert!(statm.bytes() > 0);
        assert!(statm.bytes().abs_diff(rollup.bytes()) < 1 << 20);
    }
}
